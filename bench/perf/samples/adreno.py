"""An Adreno's work as a capture of command streams (.rd), and as a drm/msm devcoredump."""

from __future__ import annotations

import struct
from pathlib import Path

from bench.perf.samples import frame
from bench.perf.samples.sample import Sample

_GPU = 630
_GPU_ID, _CMD, _GPUADDR, _SUBMIT, _CONTENTS = 13, 2, 3, 6, 12
#: Buffers without contents in a submit's list; the first leaves with the next submit.
_LISTED = 16

#: The dump's ring: where it lies and its bytes.
_RING, _RING_BYTES = 0x1_0000_0000_1000, 1 << 15
#: Lines of registers behind the buffers: most of a dump says nothing of addresses.
_REGISTERS = 4000


def _rd(path: Path) -> None:
    """Write a submit for each time that the frame is drawn, with its list of buffers and their bytes."""
    with path.open("wb") as file:

        def section(kind: int, payload: bytes) -> None:
            file.write(struct.pack("<II", kind, len(payload)) + payload)

        def buffer(iova: int) -> None:
            section(_GPUADDR, struct.pack("<III", iova & 0xFFFF_FFFF, frame.APART, iova >> 32))

        section(_GPU_ID, struct.pack("<I", _GPU))
        for submit in range(frame.TIMES):
            section(_CMD, f"sample/1: fence={submit + 1}\0".encode())
            for iova, words in frame.buffers():
                buffer(iova)
                section(_CONTENTS, struct.pack(f"<{len(words)}I", *words).ljust(frame.APART, b"\0"))
            for number in range(submit, submit + _LISTED):
                buffer(frame.END + number * frame.APART)
            dwords = len(frame.main_stream())
            section(_SUBMIT, struct.pack("<III", frame.BASE & 0xFFFF_FFFF, dwords, frame.BASE >> 32))


def _ascii85(words: list[int]) -> str:
    """Write dwords as Linux does: five digits each, or a z for a zero."""
    weights = tuple(85**power for power in (4, 3, 2, 1, 0))
    return "".join(
        "".join(chr(33 + word // weight % 85) for weight in weights) if word else "z" for word in words
    )


def _ring() -> list[int]:
    return frame.main_stream() * frame.TIMES


def _devcore(path: Path) -> None:
    """Write a dump after a fault, with all of the work still in the ring."""
    ring = _ring()
    with path.open("w", encoding="ascii") as file:
        file.write(
            "---\nkernel: 6.14.0\nmodule: msm\ntime: 1593887022.767858793\ncomm: sample\n"
            f"revision: {_GPU} (6.3.0.2)\nrbbm-status: 0x00000000\n"
            "fault-info:\n  - ttbr0=0000000919306000\n  - iova=0000000200c17000\n  - dir=WRITE\n"
            "  - type=TRANSLATION\n  - source=CP\n"
            f"ringbuffer:\n  - id: 0\n    iova: 0x{_RING:016x}\n    last-fence: {frame.TIMES}\n"
            f"    retired-fence: 0\n    rptr: 0\n    wptr: {len(ring)}\n    size: {_RING_BYTES}\n"
            f"    data: !!ascii85 |\n     {_ascii85(ring)}\nbos:\n"
        )
        for iova, words in frame.buffers():
            file.write(f"  - iova: 0x{iova:016x}\n    size: {frame.APART}\n    data: !!ascii85 |\n")
            file.write(f"     {_ascii85(words)}\n")
        file.write("registers:\n")
        for number in range(_REGISTERS):
            file.write(f"  - {{ offset: 0x{4 * number:06x}, value: 0x00000000 }}\n")


_PACKETS = frame.TIMES * frame.PACKETS
#: Each submit: two MARKs, and what is fetched.  The first list is mapped; then one buffer comes and one goes.
RD = Sample(
    "sample.rd",
    "packet",
    _PACKETS,
    frame.TIMES * (2 + frame.fetches(len(frame.main_stream())) + frame.CALLED)
    + (frame.FILLED + _LISTED)
    + 2 * (frame.TIMES - 1),
    _rd,
)
#: The ring: a MARK, and what is fetched.  Buffers and the ring are mapped.  The fault: a MARK and a WRITE.
DEVCORE = Sample(
    "sample.devcore",
    "packet",
    _PACKETS,
    (1 + frame.fetches(len(_ring())) + frame.TIMES * frame.CALLED) + (frame.FILLED + 1) + 2,
    _devcore,
)
