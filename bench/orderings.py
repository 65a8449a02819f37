"""The headline orderings: what is claimed of two policies, and the metrics that it is claimed of.

`bench.sensitivity` asks over which part of each cost's range they hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.run import Row

#: A storm that fills a TBU's slots, beside an innocent stream with a deadline: every claim below is about it.
SCENARIO = "burst:n=200,gap=500ns+heartbeat:every=20us"

#: What a metric is when something never ended.
NEVER = math.inf


@dataclass(frozen=True)
class Metric:
    """A figure of a run; `unit` is ns, % or a word for what is counted."""

    name: str
    title: str
    unit: str
    of: Callable[[Row], float]


def _cpu_share(row: Row) -> float:
    busy = sum(row.counters[name] for name in ("cpu_irq_ns", "cpu_thread_ns", "cpu_work_ns"))
    return 100 * busy / row.end_ns if row.end_ns else 0.0


def _makespan(row: Row) -> float:
    if row.counters["transactions_pending"] or row.verdict in ("hang", "livelock"):
        return NEVER
    return row.counters["makespan_ns"]


METRICS = {
    metric.name: metric
    for metric in (
        Metric("irq_entries", "hard interrupts", "interrupts", lambda row: row.counters["irq_entries"]),
        Metric("cpu_share", "CPU time of all contexts, of one CPU over the run", "%", _cpu_share),
        Metric("makespan", "end of the last transaction", "ns", _makespan),
        Metric("watchdogs", "deadlines missed by the heartbeat", "deadlines",
               lambda row: row.counters["watchdogs"]),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Ordering:
    """A claim: on `metric`, policy `less` is below policy `more` (`strict`), or not above it."""

    name: str
    claim: str
    metric: str
    less: str
    more: str
    strict: bool = True

    def holds(self, less: float, more: float) -> bool:
        """Tell whether the claim holds of two values."""
        return less < more if self.strict else less <= more

    @property
    def formula(self) -> str:
        """The claim in symbols.

        >>> ORDERINGS["interrupts"].formula
        'P8 < P4'
        """
        return f"{self.less} {'<' if self.strict else '<='} {self.more}"


ORDERINGS = {
    ordering.name: ordering
    for ordering in (
        Ordering("interrupts", "a masked line takes fewer interrupts than one left to storm",
                 "irq_entries", "P8", "P4"),
        Ordering("order", "clear before RESUME takes fewer interrupts than RESUME before clear",
                 "irq_entries", "P2", "P2b"),
        Ordering("cpu", "a thread that resumes costs less CPU than a worker that does",
                 "cpu_share", "P8", "P4"),
        Ordering("deadlines", "a thread that resumes misses fewer deadlines than a worker that does",
                 "watchdogs", "P8", "P4"),
        Ordering("terminate", "never stalling is done no later than stalling until a worker resumes",
                 "makespan", "P1", "P4", strict=False),
        Ordering("thread", "resuming in the hard interrupt is done before resuming in a thread",
                 "makespan", "P2", "P8"),
    )
}  # fmt: skip
