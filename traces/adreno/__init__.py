"""What captures of Adreno GPUs hold: command streams, buffers by address, and a dump's encodings."""
