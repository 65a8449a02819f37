"""CUDA kernels as Accel-Sim's tracer (version 5) writes them, and the list that names them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.perf.samples.sample import LINES, PAGE, Sample

#: 2 kernels of 10 thread blocks of 10 warps, so many instructions each.
KERNELS, BLOCKS, WARPS = 2, 10, 10
INSTRUCTIONS = LINES // (KERNELS * BLOCKS * WARPS)
#: One instruction of so many uses global memory, near the real kernels' share, as 32 lanes of 4 bytes.
_EVERY = 4
_LANES, _LANE, _SECTOR = 32, 4, 32
_SECTORS = _LANES * _LANE // _SECTOR
_MEMORY = LINES // _EVERY

#: What is copied to the GPU at first: all that is used later.
_BASE = 0x7FB0_FC00_0000
_BYTES = -(-_MEMORY * _LANES * _LANE // PAGE) * PAGE


def _strided(iova: int) -> str:
    return f"ffffffff 1 R4 LDG.E 1 R4 4 1 {iova:#x} {_LANE} 0"


def _listed(iova: int) -> str:
    lanes = " ".join(f"{iova + _LANE * lane:#x}" for lane in range(_LANES))
    return f"ffffffff 1 R4 LDG.E 1 R4 4 0 {lanes} 0"


def _stepped(iova: int) -> str:
    """Write the lanes' distances, the lanes of each pair swapped: 1, 0, 3, 2 ..."""
    steps = " ".join(str(3 * _LANE if lane % 2 == 0 else -_LANE) for lane in range(1, _LANES))
    return f"ffffffff 0 STG.E 2 R6 R9 4 2 {iova + _LANE:#x} {steps} 0"


#: The three ways in which the tracer writes addresses, in turn.
_WAYS: tuple[Callable[[int], str], ...] = (_strided, _listed, _stepped)


def _write(path: Path) -> None:
    number = 0
    names = [f"kernel-{kernel}.traceg" for kernel in range(1, KERNELS + 1)]
    path.write_text("\n".join([f"MemcpyHtoD,{_BASE:#x},{_BYTES}", *names, ""]), encoding="ascii")
    for kernel, name in enumerate(names, 1):
        with (path.parent / name).open("w", encoding="ascii") as file:
            file.write(
                f"-kernel name = sample\n-kernel id = {kernel}\n-grid dim = ({BLOCKS},1,1)\n"
                f"-block dim = ({WARPS * _LANES},1,1)\n-shmem = 0\n-nregs = 16\n-binary version = 80\n"
                "-cuda stream id = 0\n-shmem base_addr = 0x00007fb139000000\n"
                "-local mem base_addr = 0x00007fb137000000\n-nvbit version = 1.7\n"
                "-accelsim tracer version = 5\n-enable lineinfo = 0\n\n"
            )
            for block in range(BLOCKS):
                file.write(f"#BEGIN_TB\n\nthread block = {block},0,0\n")
                for warp in range(WARPS):
                    file.write(f"\nwarp = {warp}\ninsts = {INSTRUCTIONS}\n")
                    for n in range(INSTRUCTIONS):
                        if n % _EVERY == 1:
                            what = _WAYS[number % len(_WAYS)](_BASE + number * _LANES * _LANE)
                            number += 1
                        else:
                            what = "ffffffff 1 R1 IMAD.MOV.U32 2 R255 R255 0 0"
                        file.write(f"{16 * n:04x} {what}\n")
                file.write("\n#END_TB\n\n")


#: An access a sector; a MARK for the copy and for each kernel; one MAP, as the pages lie side by side.
ACCELSIM = Sample("kernelslist.g", "instruction", LINES, _MEMORY * _SECTORS + 1 + KERNELS + 1, _write)
