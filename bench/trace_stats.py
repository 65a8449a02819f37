"""What is in a trace: events, sizes, strides, footprint, reuse, rates; one pass for each half of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.reach import ENTRIES, Reach, reach
from traces.events import EXEC, MAP, OP_NAMES, UNMAP
from traces.reader import Trace

#: Page sizes whose footprint is counted.
PAGES = ("4K", "64K", "2M")

#: Reuse distances up to which accesses are counted.
WITHIN = (1, 16, 64, 256, 1024, 4096, 16384, 65536)

#: Strides up to so many bytes, either way, are counted one by one; longer ones by powers of two.
NEAR = 1 << 16
#: Of longer strides, so many powers of two are shown as one.
_OCTAVES = 4
_STREAMS = 1 << 16
#: Strides that are listed.
_LISTED = 8


@dataclass
class Counts:
    """What one pass counts."""

    rows: int = 0
    ops: Any = field(default_factory=lambda: np.zeros(len(OP_NAMES), np.int64))
    #: Accesses by op, bytes, first and last time, by stream.
    by_stream: Any = field(default_factory=lambda: np.zeros((_STREAMS, 3), np.int64))
    stream_bytes: Any = field(default_factory=lambda: np.zeros(_STREAMS, np.uint64))
    first_ns: Any = field(default_factory=lambda: np.full(_STREAMS, -1, np.int64))
    last_ns: Any = field(default_factory=lambda: np.zeros(_STREAMS, np.int64))
    by_space: Any = field(default_factory=lambda: np.zeros((1 << 16, len(OP_NAMES)), np.int64))
    #: Accesses by log2 of their size, rounded up; and those of exactly that size.
    sizes: Any = field(default_factory=lambda: np.zeros((65, 2), np.int64))
    near: Any = field(default_factory=lambda: np.zeros(2 * NEAR + 1, np.int64))
    far: Any = field(default_factory=lambda: np.zeros((2, 65), np.int64))  #: forward, back
    mapped: int = 0
    unmapped: int = 0
    start_ns: int = 0
    end_ns: int = 0
    _last: Any = field(default_factory=lambda: np.zeros(_STREAMS, np.uint64))
    _seen: Any = field(default_factory=lambda: np.zeros(_STREAMS, bool))

    def feed(self, block: Any) -> None:
        """Count a block of events."""
        if not self.rows:
            self.start_ns = int(block["t_ns"][0])
        self.end_ns = int(block["t_ns"][-1])
        self.rows += block.size
        op = block["op"]
        self.ops += np.bincount(op, minlength=len(OP_NAMES))
        both = block["space"].astype(np.int64) * len(OP_NAMES) + op
        self.by_space += np.bincount(both, minlength=self.by_space.size).reshape(self.by_space.shape)
        self.mapped += int(block["size"][op == MAP].sum())
        self.unmapped += int(block["size"][op == UNMAP].sum())
        accesses = block[op <= EXEC]
        if accesses.size:
            self._accesses(accesses)

    def _accesses(self, accesses: Any) -> None:
        size = accesses["size"]
        log = np.bitwise_count(_filled(size - np.uint64(1)))
        exact = size & (size - np.uint64(1)) == 0
        self.sizes[:, 0] += np.bincount(log, minlength=65)
        self.sizes[:, 1] += np.bincount(log[exact], minlength=65)
        # Stream by stream, each in its order.
        order = np.argsort(accesses["stream"], kind="stable")
        mine = accesses[order]
        stream, iova, t = mine["stream"], mine["iova"], mine["t_ns"].astype(np.int64)
        begins = np.flatnonzero(np.r_[True, stream[1:] != stream[:-1]])
        ends = np.r_[begins[1:], stream.size] - 1
        own = stream[begins]
        both = own.repeat(ends - begins + 1).astype(np.int64) * 3 + mine["op"]
        self.by_stream += np.bincount(both, minlength=3 * _STREAMS).reshape(_STREAMS, 3)
        self.stream_bytes[own] += np.add.reduceat(mine["size"], begins)
        new = own[self.first_ns[own] < 0]
        self.first_ns[new] = t[begins[self.first_ns[own] < 0]]
        self.last_ns[own] = t[ends]
        before = np.r_[np.uint64(0), iova[:-1]]
        before[begins] = self._last[own]
        known = np.ones(stream.size, bool)
        known[begins] = self._seen[own]
        self._last[own], self._seen[own] = iova[ends], True
        self._strides(before[known], iova[known])

    def _strides(self, before: Any, after: Any) -> None:
        # Wraps to the shorter way round, as a stride.
        stride = (after - before).view(np.int64)
        near = np.abs(stride) <= NEAR  # of the most negative number the absolute is negative itself
        near &= stride != np.iinfo(np.int64).min
        self.near += np.bincount(stride[near] + NEAR, minlength=self.near.size)
        far = stride[~near]
        for row, part in enumerate((far[far > 0], far[far < 0])):
            size = np.where(part < 0, ~part + 1, part).astype(np.uint64)
            self.far[row] += np.bincount(np.bitwise_count(_filled(size)) - 1, minlength=65)

    @property
    def accesses(self) -> int:
        """Accesses of all streams."""
        return int(self.ops[: EXEC + 1].sum())


def _filled(x: Any) -> Any:
    """Set every bit below the highest."""
    for shift in (1, 2, 4, 8, 16, 32):
        x = x | (x >> np.uint64(shift))
    return x


@dataclass(frozen=True)
class Stats:
    """A trace's counts, and the curves that its footprint and reuse are from."""

    trace: Trace
    counts: Counts
    reach: Reach

    def to_json(self) -> dict[str, Any]:
        """Return everything under the names of docs/traces.md."""
        c, m = self.counts, self.trace.manifest
        ns = c.end_ns - c.start_ns
        total = int(c.stream_bytes.sum())
        return {
            "trace": m.name,
            "kind": m.kind,
            "sha256": self.trace.sha256,
            "clock_is_real": m.clock_is_real,
            "events": c.rows,
            "ops": {name: int(n) for name, n in zip(OP_NAMES, c.ops, strict=True)},
            "accesses": c.accesses,
            "bytes": total,
            "duration_ns": ns,
            "accesses_per_s": _per_second(c.accesses, ns),
            "bytes_per_s": _per_second(total, ns),
            "streams": [self._stream(s.stream, s.name) for s in m.streams],
            "spaces": [
                {"space": s.space, "name": s.name,
                 **{name: int(n) for name, n in zip(OP_NAMES, c.by_space[s.space], strict=True)}}
                for s in m.spaces
            ],
            "mapped_bytes": c.mapped,
            "unmapped_bytes": c.unmapped,
            "sizes": self.sizes(),
            "strides": self.strides(),
            "pages": [self._pages(column) for column in self.reach.columns],
        }  # fmt: skip

    def _stream(self, stream: int, name: str) -> dict[str, Any]:
        c = self.counts
        first = int(c.first_ns[stream])
        ns = int(c.last_ns[stream]) - first
        by_op = {op: int(n) for op, n in zip(OP_NAMES[:3], c.by_stream[stream], strict=True)}
        n = sum(by_op.values())
        return {"stream": stream, "name": name, "accesses": n, **by_op, "bytes": int(c.stream_bytes[stream]),
                "first_ns": first if n else None, "last_ns": first + ns if n else None,
                "accesses_per_s": _per_second(n, ns)}  # fmt: skip

    def sizes(self) -> list[dict[str, int]]:
        """Return the access sizes by power of two: above half of `most` and up to it."""
        listed = enumerate(self.counts.sizes.tolist())
        return [{"most": 1 << k, "accesses": n, "exactly": exactly} for k, (n, exactly) in listed if n]

    def strides(self) -> list[dict[str, Any]]:
        """Return the commonest strides from one access of a stream to its next, and the rest by range."""
        c = self.counts
        order = np.argsort(-c.near, kind="stable")[:_LISTED]
        listed = [int(k) for k in order if c.near[k]]
        made: list[dict[str, Any]] = [
            {"from": k - NEAR, "to": k - NEAR, "accesses": int(c.near[k])} for k in listed
        ]
        rest = c.near.copy()
        rest[listed] = 0
        made += [
            {"from": low, "to": high, "accesses": int(part.sum()), "other": True}
            for low, high, part in ((-NEAR, -1, rest[:NEAR]), (0, NEAR, rest[NEAR:]))
            if part.any()
        ]
        for row, sign in ((0, 1), (1, -1)):
            for k in range(NEAR.bit_length() - 1, 64, _OCTAVES):
                low, high = max(1 << k, NEAR + 1), (1 << (k + _OCTAVES)) - 1
                n = int(c.far[row][k : k + _OCTAVES].sum())
                if n:
                    made.append({"from": sign * low, "to": sign * high, "accesses": n})
        return made

    @staticmethod
    def _pages(column: Any) -> dict[str, Any]:
        c = column.curve
        return {
            "page": column.page,
            "pages": c.distinct,
            "bytes": column.distinct_bytes,
            "sample_rate": 1 / c.weight,
            "cold": c.cold,
            "reuse_within": {str(n): int(c.hits[n]) for n in ENTRIES if n in WITHIN},
            "knee90": c.knee(90),
            "knee99": c.knee(99),
        }


def _per_second(count: int, ns: int) -> int | None:
    return count * 1_000_000_000 // ns if ns > 0 else None


def stats(trace: Trace, progress: Callable[[int, int], None] | None = None) -> Stats:
    """Count what is in a trace.

    Raises
    ------
    TraceError, UsageError
    """
    counts = Counts()
    for block in trace.blocks():
        counts.feed(block)
        if progress is not None:
            progress(counts.rows, 2 * trace.rows)
    second = None if progress is None else lambda done, rows: progress(rows + done, 2 * rows)
    return Stats(trace, counts, reach(trace, PAGES, progress=second))
