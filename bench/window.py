"""The MULTI window: what a fault does that comes between a handler's read of FSR and its clear.

A handler clears the bits that it has read.  A MULTI that was set after the read outlives the clear: nothing
is left to read but a stale FAR, and the line is up again (a ghost).  Where the part stalls, and FSR is not
frozen while it does, an MMU-500 also ignores the RESUME behind such a clear (docs/model.md, section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bench.grid import describe, in_threads
from bench.run import Case, Row, Runner
from bench.scenario import Scenario, parse
from bench.units import exact_ns
from smmucore.hardware import find
from smmucore.policies import POLICIES

FAULTS = 1000
#: 100 ns to 100 us, evenly on a logarithmic axis: from far below a handler's pass to far above it.
PER_DECADE = 24
GAPS = tuple(round(10 ** (2 + k / PER_DECADE)) for k in range(3 * PER_DECADE + 1))

#: What a point keeps of a run.
COUNTERS = (
    "irq_entries", "irq_spurious", "resume_written", "resume_ignored",
    "faults_injected", "faults_recorded", "faults_coalesced", "faults_lost",
)  # fmt: skip

#: Why the panel of ghosts is not of an MMU-500.
WHY_NOT_MMU500 = (
    "on a part that can stall P1's HUPCF=0 terminates what issues while a fault is outstanding before it can "
    "fault, so there are no ghosts; thunderx-smmuv2 cannot stall, and always processes the others"
)
NOT_SETTLED = (
    "whether FSR is frozen while SS is set: the architecture's pseudocode, as quoted on the lists, says so, "
    "and none of the eight public samples of a stall shows SS with MULTI; both settings are shown"
)


@dataclass(frozen=True)
class Panel:
    """One counter of some policies on one part, against the gap."""

    name: str
    title: str
    hardware: str
    counter: str
    what: str
    policies: tuple[str, ...]


_STALLING = ("P8", "reread-clear", "clear-all")
PANELS = (
    Panel("not-frozen", "FSR not frozen while stalled (fsr_frozen_while_stalled=no)",
          "mmu500,fsr_frozen_while_stalled=no", "resume_ignored", "RESUMEs ignored", _STALLING),
    Panel("frozen", "FSR frozen while stalled (the preset)",
          "mmu500", "resume_ignored", "RESUMEs ignored", _STALLING),
    Panel("ghosts", "no stalls, faults are terminated",
          "thunderx-smmuv2", "irq_spurious", "ghosts: entries with MULTI alone", ("P1", *_STALLING)),
)  # fmt: skip


@dataclass(frozen=True)
class Point:
    """One run: `counters` are those of `COUNTERS`."""

    gap_ns: int
    counters: dict[str, int]
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"gap_ns": self.gap_ns, **self.counters, "verdict": self.verdict}


@dataclass(frozen=True)
class Curves:
    """A panel's points, by policy, in the order of the gaps."""

    panel: Panel
    points: dict[str, tuple[Point, ...]]

    def values(self, policy: str) -> list[int]:
        """Return the panel's counter of one policy at each gap."""
        return [point.counters[self.panel.counter] for point in self.points[policy]]

    @property
    def highest(self) -> int:
        """The largest value of all."""
        return max(value for policy in self.points for value in self.values(policy))

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        p = self.panel
        lines = [{"policy": key, "points": [point.to_json() for point in points]}
                 for key, points in self.points.items()]  # fmt: skip
        return {
            "name": p.name,
            "title": p.title,
            "hardware": p.hardware,
            "counter": p.counter,
            "lines": lines,
        }


@dataclass(frozen=True)
class Window:
    """All panels, and the manifest that says what they rest on."""

    manifest: dict[str, Any]
    gaps: tuple[int, ...]
    faults: int
    curves: tuple[Curves, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"manifest": self.manifest, "panels": [curves.to_json() for curves in self.curves]}


def window(
    case: Case,
    gaps: Sequence[int] = GAPS,
    faults: int = FAULTS,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Window:
    """Run a burst with each gap under each panel's policies.

    Parameters
    ----------
    case : Case
        Its scenario is not played: each gap has a burst of its own.
    gaps : sequence of int
        ns from one fault to the next; each is run once, in ascending order.
    faults : int
        Of a burst.
    threads : int
        The result does not depend on it.
    progress : callable, optional
        Called with (gaps done, gaps).

    Raises
    ------
    UsageError
        The trace has no room for the burst, or cannot be replayed.
    """
    ascending = tuple(sorted(set(gaps)))
    runners = [Runner(replace(case, scenario=burst(faults, gap))) for gap in ascending]
    done = in_threads([partial(_cells, runner) for runner in runners], threads, progress)
    curves = []
    for panel in PANELS:
        points = {
            policy: tuple(
                _point(gap, rows[panel.hardware, policy]) for gap, rows in zip(ascending, done, strict=True)
            )
            for policy in panel.policies
        }
        curves.append(Curves(panel, points))
    used = [key for key in POLICIES if any(key in panel.policies for panel in PANELS)]
    manifest = describe(runners[0].case, runners[0], used, [panel.hardware for panel in PANELS])
    manifest |= {
        "scenario": f"burst:n={faults},gap=GAP",
        "gaps_ns": list(ascending),
        "not_settled": NOT_SETTLED,
    }
    return Window(manifest, ascending, faults, tuple(curves))


def burst(faults: int, gap: int) -> Scenario:
    """Return the burst that is played for one gap.

    >>> burst(1000, 1500).text
    'burst:n=1000,gap=1500ns'
    """
    return parse(f"burst:n={faults},gap={exact_ns(gap)}")


def _cells(runner: Runner) -> dict[tuple[str, str], Row]:
    return {
        (panel.hardware, policy): runner.run(POLICIES[policy], find(panel.hardware))
        for panel in PANELS
        for policy in panel.policies
    }


def _point(gap: int, row: Row) -> Point:
    return Point(gap, {name: row.counters[name] for name in COUNTERS}, row.verdict)
