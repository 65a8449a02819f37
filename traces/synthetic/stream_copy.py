"""A streaming copy: some lines read, as many written, on to the end and again from the start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from traces.events import READ, WRITE
from traces.synthetic.parts import LINE, PACE, READS, Accesses, Kind, Layout, Parameter, Work, div, need, u64


def _build(values: Mapping[str, int], _seed: int, layout: Layout) -> Work:
    size, line, burst, stride = (values[name] for name in ("size", "line", "burst", "stride"))
    need(stride >= line, "copy", "stride", f"at least a line, {line} bytes", stride)
    lines = size // stride
    need(lines >= burst, "copy", "size", f"at least burst x stride, {burst * stride} bytes", size)
    source, target = layout.buffer("source", size, READS), layout.buffer("target", size)
    whole = lines // burst * burst  # what a pass copies: whole bursts

    def at(number: Any) -> Accesses:
        group, step = div(number, 2 * burst)
        writes, k = div(step, burst)
        offset = (group * u64(burst) + k) % u64(whole) * u64(stride)
        return Accesses(
            t_ns=number * u64(values["pace"]),
            op=np.where(writes != 0, u64(WRITE), u64(READ)),
            stream=np.zeros(number.size, np.uint64),
            iova=np.where(writes != 0, u64(target.iova), u64(source.iova)) + offset,
            size=np.full(number.size, line, np.uint64),
        )

    return Work(("copy engine",), (source, target), at)


KIND = Kind(
    "copy",
    "A streaming copy from one buffer to another",
    (
        Parameter("size", 64 << 20, 4096, 1 << 36, "bytes", "of each buffer"),
        Parameter("burst", 4, 1, 1024, "lines", "read before as many are written"),
        Parameter("stride", 64, 16, 1 << 30, "bytes", "from one line to the next"),
        LINE,
        PACE,
    ),
    _build,
)
