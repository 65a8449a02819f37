"""Whether two pyperf files differ: medians of processes, Mann-Whitney, Benjamini-Hochberg, a least effect.

Values of one process are alike: they share its memory layout and its moment.  So a process counts once, with
its median.  A difference is claimed where the corrected p-value is small *and* the medians are further apart
than `LEAST`: on a shared host two identical runs often differ by a few per cent, "significantly".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

#: Level of the false discovery rate over the suite.
LEVEL = 0.05
#: Relative difference of the medians below which nothing is claimed.
LEAST = 0.05
#: Processes a side below which nothing can be claimed: with fewer no p-value is small enough.
FEWEST = 5

FASTER, SLOWER, SAME, FEW = "faster", "SLOWER", "no change", "too few"

#: Benchmark -> the median of each process, in seconds.
Samples = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Verdict:
    """One benchmark, before and after.

    Attributes
    ----------
    name : str
    before, after : float
        Medians over processes, s.
    processes : tuple of int
    p : float or None
        Of Mann-Whitney, corrected over the suite; None with too few processes.
    verdict : str
    """

    name: str
    before: float
    after: float
    processes: tuple[int, int]
    p: float | None
    verdict: str

    @property
    def ratio(self) -> float:
        """Time after over time before."""
        return self.after / self.before

    def to_json(self) -> dict[str, object]:
        """Return plain data."""
        return {**vars(self), "processes": list(self.processes), "ratio": self.ratio}


def judge(before: Samples, after: Samples, level: float = LEVEL, least: float = LEAST) -> list[Verdict]:
    """Judge every benchmark that both have, in the order of `before`.

    Parameters
    ----------
    before, after : mapping
        Medians of processes by benchmark.
    level : float
        Of the false discovery rate over the suite.
    least : float
        Least relative difference of medians that is claimed, the same both ways.
    """
    from scipy.stats import false_discovery_control, mannwhitneyu  # noqa: PLC0415  (a second)

    names = [name for name in before if name in after]
    enough = [name for name in names if min(len(before[name]), len(after[name])) >= FEWEST]
    found = [float(mannwhitneyu(before[name], after[name]).pvalue) for name in enough]
    corrected = dict(zip(enough, false_discovery_control(found), strict=True)) if found else {}
    made = []
    for name in names:
        a, b = median(before[name]), median(after[name])
        p = float(corrected[name]) if name in corrected else None
        counts = (len(before[name]), len(after[name]))
        made.append(Verdict(name, a, b, counts, p, _verdict(b / a, p, level, least)))
    return made


def _verdict(ratio: float, p: float | None, level: float, least: float) -> str:
    if p is None:
        return FEW
    if p > level or 1 / (1 + least) < ratio < 1 + least:
        return SAME
    return SLOWER if ratio > 1 else FASTER
