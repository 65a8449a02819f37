"""Zipf's law in whole numbers: rank k is drawn in proportion to 1 / k**s.

Ranks up to `EXACT` have a weight of their own.  Above, ranks are taken in bands of a 64th of their size;
a band has its middle rank's weight for each of its ranks, and they are equally likely.  Weights come from
`decimal`, whose logarithm and exponential are correctly rounded everywhere, and are whole numbers.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import reduce
from itertools import accumulate
from typing import Any

import numpy as np

from traces.synthetic.draws import draw, subkey

EXACT = 256
_PER_OCTAVE = 64
_SCALE = 1 << 62
_DIGITS = Context(prec=50, rounding=ROUND_HALF_EVEN)


def bands(count: int) -> list[tuple[int, int]]:
    """Return (first rank, ranks) of each band; ranks count from 1.

    Examples
    --------
    >>> bands(3), sum(ranks for _, ranks in bands(100_000))
    ([(1, 1), (2, 1), (3, 1)], 100000)
    """
    made = [(rank, 1) for rank in range(1, min(count, EXACT) + 1)]
    first = EXACT + 1
    while first <= count:
        ranks = min(max(first // _PER_OCTAVE, 1), count - first + 1)
        made.append((first, ranks))
        first += ranks
    return made


def _middle(first: int, ranks: int) -> Decimal:
    return _DIGITS.divide(Decimal(2 * first + ranks - 1), Decimal(2))


def weight(rank: Decimal, hundredths: int) -> Decimal:
    """Return rank ** -(hundredths / 100)."""
    exponent = _DIGITS.divide(Decimal(-hundredths), Decimal(100))
    return _DIGITS.exp(_DIGITS.multiply(_DIGITS.ln(rank), exponent))


class Zipf:
    """Draws ranks.

    Parameters
    ----------
    count : int
        Ranks, 1 to 2**32.
    hundredths : int
        The exponent s, times 100; 0: every rank is equally likely.
    key : int
    """

    def __init__(self, count: int, hundredths: int, key: int) -> None:
        listed = bands(count)
        weights = [
            _DIGITS.multiply(weight(_middle(first, ranks), hundredths), Decimal(ranks))
            for first, ranks in listed
        ]
        total = reduce(_DIGITS.add, weights)
        whole = [int(_DIGITS.divide(_DIGITS.multiply(w, Decimal(_SCALE)), total)) for w in weights]
        whole[0] += _SCALE - sum(whole)
        self._ends = np.array(list(accumulate(whole)), np.uint64)
        self._first = np.array([first - 1 for first, _ in listed], np.uint64)
        self._ranks = np.array([ranks for _, ranks in listed], np.uint64)
        self._keys = subkey(key, 0), subkey(key, 1)

    def ranks(self, number: Any) -> Any:
        """Return the rank, from 0, of draws `number` (uint64 array)."""
        band = np.searchsorted(self._ends, draw(self._keys[0], number) >> np.uint64(2), side="right")
        inside = draw(self._keys[1], number) >> np.uint64(32)
        return self._first[band] + ((inside * self._ranks[band]) >> np.uint64(32))
