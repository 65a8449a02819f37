"""Display scan-out: the lines of a frame, at the pace of a screen, with a pause while it flies back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from traces.events import READ
from traces.synthetic.parts import READS, Accesses, Kind, Layout, Parameter, Work, bases, div, need, u64

SECOND = 1_000_000_000


def _build(values: Mapping[str, int], _seed: int, layout: Layout) -> Work:
    width, height, total = (values[name] for name in ("width", "height", "lines"))
    need(height <= total <= 2 * height, "scanout", "lines", f"{height} (height) to {2 * height}", total)
    pixel, burst = values["bytes"], values["burst"]
    need(width * pixel % burst == 0, "scanout", "burst", f"a divisor of a line, {width * pixel} bytes", burst)
    bursts = width * pixel // burst
    size = width * pixel * height
    frames = [layout.buffer(f"frame {k}", size, READS) for k in range(values["frames"])]
    base = bases(frames)
    a_second = values["refresh"] * total * bursts
    need(a_second <= 1 << 34, "scanout", "refresh", "at most 2**34 bursts a second", f"{a_second:,}")

    def at(number: Any) -> Accesses:
        frame, rest = div(number, height * bursts)
        # The bursts of the blank lines are counted for the time they take.
        slot = frame * u64(total * bursts) + rest
        seconds, more = div(slot, a_second)
        return Accesses(
            t_ns=seconds * u64(SECOND) + more * u64(SECOND) // u64(a_second),
            op=np.full(number.size, READ, np.uint64),
            stream=np.zeros(number.size, np.uint64),
            iova=base[frame % u64(base.size)] + rest * u64(burst),
            size=np.full(number.size, burst, np.uint64),
        )

    return Work(("display",), tuple(frames), at)


KIND = Kind(
    "scanout",
    "Display scan-out: lines of a frame at a refresh rate",
    (
        Parameter("width", 1920, 16, 16384, "pixels", "of the frame"),
        Parameter("height", 1080, 16, 16384, "lines", "of the frame"),
        Parameter("lines", 1125, 16, 32768, "lines", "of a refresh, blank ones included"),
        Parameter("bytes", 4, 1, 8, "bytes", "of a pixel"),
        Parameter("burst", 256, 16, 4096, "bytes", "of one access"),
        Parameter("refresh", 60, 1, 1000, "Hz", "frames a second"),
        Parameter("frames", 2, 1, 8, "buffers", "frame buffers, shown in turn"),
    ),
    _build,
)
