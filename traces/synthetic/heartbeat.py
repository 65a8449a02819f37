"""A GMU's heartbeat: a few small accesses to its message queues, at a period."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from traces.events import READ, WRITE
from traces.synthetic.parts import PACE, Accesses, Kind, Layout, Parameter, Work, div, need, u64

_WORD = 16  # bytes of an access


def _build(values: Mapping[str, int], _seed: int, layout: Layout) -> Work:
    reads, writes, period, pace = (values[name] for name in ("reads", "writes", "period", "pace"))
    each = reads + writes
    need(each > 0, "heartbeat", "reads", "1 or more accesses a beat", each)
    need(
        each * pace <= period,
        "heartbeat",
        "period",
        f"at least {each} accesses x pace, {each * pace} ns",
        period,
    )
    queue = values["queue"]
    need(queue % _WORD == 0, "heartbeat", "queue", f"a multiple of {_WORD}", queue)
    commands, replies = layout.buffer("commands", queue), layout.buffer("replies", queue)

    def at(number: Any) -> Accesses:
        beat, k = div(number, each)
        write = k >= u64(reads)
        read_at = u64(commands.iova) + (beat * u64(reads) + k) * u64(_WORD) % u64(queue)
        written = u64(replies.iova) + (beat * u64(writes) + k - u64(reads)) * u64(_WORD) % u64(queue)
        return Accesses(
            t_ns=beat * u64(period) + k * u64(pace),
            op=np.where(write, u64(WRITE), u64(READ)),
            stream=np.zeros(number.size, np.uint64),
            iova=np.where(write, written, read_at),
            size=np.full(number.size, _WORD, np.uint64),
        )

    return Work(("gmu",), (commands, replies), at)


KIND = Kind(
    "heartbeat",
    "A GMU's heartbeat: reads of a command queue, writes of a reply queue",
    (
        Parameter("period", 20_000, 1, 1_000_000_000, "ns", "from one beat to the next"),
        Parameter("reads", 2, 0, 64, "accesses", "of 16 bytes, a beat"),
        Parameter("writes", 1, 0, 64, "accesses", "of 16 bytes, a beat, after the reads"),
        Parameter("queue", 4096, 16, 1 << 20, "bytes", "of each queue, gone through and begun again"),
        PACE,
    ),
    _build,
)
