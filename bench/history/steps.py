"""Where a series moved, by ruptures: a change of the mean, found with PELT.

The noise is estimated from the differences of neighbours, which a step hardly touches.  A series that never
changes has none, and every change of it is a step: so are simulated values judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from statistics import median

#: Penalty of a step, in units of the noise's variance times log n: twice the BIC, against false ones.
STRICTNESS = 4.0
#: Points on each side of a step of wall time.
SHORTEST = 3
#: Smallest step of wall time that is told, as a part of the level before.
LEAST = 0.03


@dataclass(frozen=True)
class Step:
    """A move: the first point of the new level, and the levels before and after."""

    at: int
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """The level after over the level before."""
        return self.after / self.before if self.before else float("inf")


def exact(values: Sequence[float]) -> list[Step]:
    """Return every change of a simulated series.

    Examples
    --------
    >>> exact([3, 3, 5])
    [Step(at=2, before=3, after=5)]
    """
    return [Step(k, values[k - 1], values[k]) for k in range(1, len(values)) if values[k] != values[k - 1]]


def noisy(values: Sequence[float]) -> list[Step]:
    """Return the steps of a series of wall times; none where there are too few points to tell."""
    if len(values) < 2 * SHORTEST:
        return []
    import numpy as np  # noqa: PLC0415
    import ruptures  # noqa: PLC0415  (a second)

    signal = np.asarray(values, np.float64)
    apart = np.abs(np.diff(signal))
    # 0.6745 is the median of |N(0, 1)|; a difference of two has twice the variance.
    noise = float(np.median(apart)) / 0.6745 / 2**0.5
    if noise == 0:
        noise = float(apart.max()) * 1e-3 or 1.0
    found = ruptures.Pelt(model="l2", min_size=SHORTEST, jump=1).fit(signal.reshape(-1, 1))
    ends = [int(end) for end in found.predict(pen=STRICTNESS * noise**2 * log(len(values)))]
    levels = [median(values[a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    made = [Step(at, levels[k], levels[k + 1]) for k, at in enumerate(ends[:-1])]
    return [step for step in made if abs(step.ratio - 1) >= LEAST]
