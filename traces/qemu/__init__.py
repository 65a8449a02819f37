"""Records traces from a Linux guest behind QEMU's emulated SMMUv3."""
