"""Over which part of each cost's range the headline orderings hold.

One cost at a time goes to the ends of its range, the others staying at their defaults.  Where a claim holds
at one end of a part (low to default, default to high) and not at the other, the flip is found by bisection
to the last integer.  Should a claim flip twice within a part, that is not seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bench.errors import UsageError
from bench.grid import describe, in_threads
from bench.orderings import METRICS, Ordering
from bench.run import Case, Row, Runner
from bench.units import show_ns
from smmucore.costs import Profile
from smmucore.cpus import ASSUMED
from smmucore.hardware import Hardware
from smmucore.policies import POLICIES

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Knob:
    """A cost that is varied, or one of the CPU's figures; values are whole numbers of `unit`."""

    name: str
    tag: str
    unit: str
    low: int
    default: int
    high: int
    source: str

    @property
    def ends(self) -> tuple[int, ...]:
        """The values at which every ordering is looked at."""
        return tuple(dict.fromkeys((self.low, self.default, self.high)))

    def show(self, value: int, space: str = " ") -> str:
        """Write a value."""
        if self.unit == "ns":
            return show_ns(value, space)
        return f"{value / 1000:g}" + (f"{space}GHz" if self.unit == "MHz" else "")


#: Values of the CPU's figures are whole thousandths: of a cycle, of a GHz.
CPI, CLOCK = ("cpi", "cycles/1000"), ("clock", "MHz")


def knobs(profile: Profile) -> list[Knob]:
    """Return what is varied: CPI, clock, and each cost that is assumed, cited, or given a range by a user.

    Counted costs move with CPI and clock, which carry their doubt; what is drawn is left alone.
    """
    cpu, made = profile.cpu, []
    for (name, unit), value, limits, tag in (
        (CPI, cpu.cpi, cpu.cpi_range, cpu.cpi_is), (CLOCK, cpu.ghz, cpu.ghz_range, cpu.ghz_is),
    ):  # fmt: skip
        if tag == ASSUMED:
            low, default, high = (round(1000 * x) for x in (limits[0], value, limits[1]))
            made.append(Knob(name, tag, unit, low, default, high, f"of {cpu.title}"))
    for name, cost in profile.costs.items():
        doubtful = cost.tag in ("assumed", "cited") or name in profile.changed
        if doubtful and cost.low < cost.high and name not in profile.drawn:
            made.append(Knob(name, cost.tag, "ns", cost.low, cost.ns, cost.high, cost.source))
    return made


def varied(profile: Profile, knob: Knob, value: int) -> Profile:
    """Return the profile with one knob at a value."""
    if value == knob.default:
        return profile
    if knob.name == CPI[0]:
        return profile.with_cpu(cpi=value / 1000)
    if knob.name == CLOCK[0]:
        return profile.with_cpu(ghz=value / 1000)
    return profile.with_costs({knob.name: replace(profile.costs[knob.name], ns=value)})


@dataclass(frozen=True)
class Point:
    """The two policies' metrics at one value of a knob, and whether the claim holds there."""

    value: int
    less: float
    more: float
    holds: bool

    @property
    def difference(self) -> float:
        """The first less the second; 0 where neither ever ends."""
        return 0.0 if self.less == self.more else self.less - self.more

    def to_json(self) -> dict[str, Any]:
        """Return plain data: null for what never ends."""
        numbers = {"less": self.less, "more": self.more, "difference": self.difference}
        finite = {name: x if math.isfinite(x) else None for name, x in numbers.items()}
        return {"value": self.value, **finite, "holds": self.holds}


@dataclass(frozen=True)
class Bar:
    """What one knob does to one ordering; `holds_over` are the closed intervals in which it holds."""

    knob: Knob
    low: Point
    default: Point
    high: Point
    holds_over: tuple[tuple[int, int], ...]

    @property
    def swing(self) -> float:
        """How far the difference moves."""
        found = [point.difference for point in (self.low, self.default, self.high)]
        return max(found) - min(found) if len(set(found)) > 1 else 0.0

    @property
    def everywhere(self) -> bool:
        """Whether the claim holds over the whole range, as far as is known."""
        return self.holds_over == ((self.knob.low, self.knob.high),)

    @property
    def where(self) -> str:
        """Where the claim holds, in words."""
        if self.everywhere:
            return "all of it"
        parts = [f"{self.knob.show(a, '')}..{self.knob.show(b, '')}" for a, b in self.holds_over]
        return " and ".join(parts) or "none of it"

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        points = {name: getattr(self, name).to_json() for name in ("low", "default", "high")}
        k = self.knob
        return {"cost": k.name, "is": k.tag, "unit": k.unit, **points, "source": k.source,
                "holds_over": [list(part) for part in self.holds_over]}  # fmt: skip


@dataclass(frozen=True)
class Tornado:
    """One ordering on one hardware: its bars, the widest swing first."""

    ordering: Ordering
    hardware: str
    default: Point
    bars: tuple[Bar, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        o, metric = self.ordering, METRICS[self.ordering.metric]
        return {
            "name": o.name, "claim": o.claim, "formula": o.formula, "metric": o.metric,
            "metric_is": metric.title, "unit": metric.unit, "hardware": self.hardware,
            "default": {k: v for k, v in self.default.to_json().items() if k != "value"},
            "costs": [bar.to_json() for bar in self.bars],
        }  # fmt: skip


@dataclass(frozen=True)
class Sensitivity:
    """All of them, and the manifest that says what they rest on."""

    manifest: dict[str, Any]
    tornadoes: tuple[Tornado, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"manifest": self.manifest, "orderings": [t.to_json() for t in self.tornadoes]}


class _Runs:
    """Runs by hardware, policy and knob; each is computed once."""

    def __init__(self, case: Case) -> None:
        self.profile = case.costs
        self.runner = Runner(case)
        self._rows: dict[tuple[str, str, str, int], Row] = {}

    def row(self, hardware: Hardware, policy: str, knob: Knob, value: int) -> Row:
        # Where the knob is at its default, it does not matter which knob that is.
        key = (hardware.name, policy, "" if value == knob.default else knob.name, value - knob.default)
        if key not in self._rows:
            runner = self.runner.with_costs(varied(self.profile, knob, value))
            self._rows[key] = runner.run(POLICIES[policy], hardware)
        return self._rows[key]

    def point(self, hardware: Hardware, ordering: Ordering, knob: Knob, value: int) -> Point:
        of = METRICS[ordering.metric].of
        less, more = (of(self.row(hardware, p, knob, value)) for p in (ordering.less, ordering.more))
        return Point(value, less, more, ordering.holds(less, more))

    def bar(self, hardware: Hardware, ordering: Ordering, knob: Knob) -> Bar:
        at = {value: self.point(hardware, ordering, knob, value) for value in knob.ends}
        parts: list[tuple[int, int]] = []
        begin = knob.low
        for left, right in zip(knob.ends, knob.ends[1:], strict=False):
            if at[left].holds == at[right].holds:
                continue
            last = flip(left, right, lambda value: self.point(hardware, ordering, knob, value).holds)
            if at[left].holds:
                parts.append((begin, last))
            else:
                begin = last + 1
        if at[knob.high].holds:
            parts.append((begin, knob.high))
        return Bar(knob, at[knob.low], at[knob.default], at[knob.high], tuple(parts))


def flip(left: int, right: int, holds: Callable[[int], bool]) -> int:
    """Return the last value, from `left` on, at which a claim is as it is at `left`; at `right` it is not.

    >>> flip(0, 100, lambda value: value < 42)
    41
    """
    wanted = holds(left)
    while right - left > 1:
        middle = (left + right) // 2
        if holds(middle) == wanted:
            left = middle
        else:
            right = middle
    return left


def sensitivity(
    case: Case,
    orderings: Sequence[Ordering],
    hardware: Sequence[Hardware],
    threads: int = 1,
    progress: Report | None = None,
    flips: Report | None = None,
) -> Sensitivity:
    """Vary each cost over its range, one at a time.

    Parameters
    ----------
    case : Case
    orderings, hardware : sequence
    threads : int
        The result does not depend on it.
    progress, flips : callable, optional
        Called with (runs done, runs), then with (bars done, bars).

    Raises
    ------
    UsageError
        Nothing has a range.
    """
    runs, moved = _Runs(case), knobs(case.costs)
    if not moved:
        raise UsageError("nothing to vary", "--costs", "a cost with a range", "none")
    by_name = {chip.name: chip for chip in hardware}
    policies = [p for p in POLICIES if any(p in (o.less, o.more) for o in orderings)]
    cells = dict.fromkeys(
        (chip.name, policy, knob if value != knob.default else moved[0], value - knob.default)
        for chip in hardware
        for policy in policies
        for knob in moved
        for value in knob.ends
    )
    in_threads(
        [
            partial(runs.row, by_name[chip], policy, knob, knob.default + by)
            for chip, policy, knob, by in cells
        ],
        threads,
        progress,
    )
    pairs = [(chip, ordering) for chip in hardware for ordering in orderings]
    bars = in_threads(
        [partial(runs.bar, chip, ordering, knob) for chip, ordering in pairs for knob in moved],
        threads,
        flips,
    )
    tornadoes = []
    for n, (chip, ordering) in enumerate(pairs):
        mine = bars[n * len(moved) : (n + 1) * len(moved)]
        mine.sort(key=lambda bar: -bar.swing)
        tornadoes.append(Tornado(ordering, chip.name, mine[0].default, tuple(mine)))
    manifest = describe(case, runs.runner, policies, [chip.name for chip in hardware])
    manifest["varied"] = {knob.name: [knob.low, knob.default, knob.high, knob.unit] for knob in moved}
    return Sensitivity(manifest, tuple(tornadoes))
