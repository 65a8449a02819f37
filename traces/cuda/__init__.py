"""Captures from a CUDA GPU: kernels that note the addresses of their own global loads and stores.

`probe` reads the card's clocks and numbers, `recorder` keeps the ring in device memory, `card` hands out
device memory and remembers it, `workloads` holds the programs, `record` runs one and saves what was noted
(numpy and numba only, so that it runs on a bare machine), `clocks` puts the SMs' notes in one order, and
`convert` makes a trace of them.

Run without a GPU under ``NUMBA_ENABLE_CUDASIM=1``: everything but the card's own order and times is the same.
"""
