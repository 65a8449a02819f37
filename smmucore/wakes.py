"""How long a wake-up takes (K3): always the same, or drawn from a seeded lognormal distribution.

What is drawn from is a table of 1024 quantiles in whole ns, made here in plain Python, so that compiled code
(`smmucore.draws`) has no floating point in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log
from statistics import NormalDist
from typing import Any

import numpy as np

#: Costs that may be drawn, in the order of the rows of the table.
DRAWN = ("thread_wake", "work_wake")
OF_THREAD = 0
OF_WORKER = 1

QUANTILES = 1024
#: Then the highest quantile is below 2**53 ns, whatever the median.
LONGEST_P99 = 60_000_000_000


@dataclass(frozen=True)
class Lognormal:
    """A lognormal distribution, by its median and its 99th percentile in ns."""

    p50: int
    p99: int

    def __post_init__(self) -> None:
        if not 1 <= self.p50 <= self.p99 <= LONGEST_P99:
            raise ValueError(f"expected 1 ns <= p50 <= p99 <= {LONGEST_P99} ns; found {self.p50}, {self.p99}")

    def quantiles(self) -> list[int]:
        """Return the quantiles at (k + 0.5) / 1024, rounded to ns.

        >>> made = Lognormal(5_000, 50_000).quantiles()
        >>> made[0], made[511], made[512], made[1023]
        (191, 4994, 5006, 130706)
        """
        normal = NormalDist()
        width = log(self.p99 / self.p50) / normal.inv_cdf(0.99)
        midpoints = ((k + 0.5) / QUANTILES for k in range(QUANTILES))
        return [round(self.p50 * exp(width * normal.inv_cdf(p))) for p in midpoints]


def table(fixed: Mapping[str, int], drawn: Mapping[str, Lognormal]) -> Any:
    """Return what is drawn from: int64, a row for each of `DRAWN`, one column if all are fixed."""
    width = QUANTILES if drawn else 1
    rows = [drawn[name].quantiles() if name in drawn else [fixed[name]] * width for name in DRAWN]
    return np.array(rows, np.int64)
