"""How a long trace is sampled, as `--sample` says it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from bench.errors import UsageError
from bench.units import count

#: The lowest rate is one page in 2**20: `smmucore.recency.MOST_HALVINGS`, not imported, for it needs numba.
MOST_HALVINGS = 20

#: Distinct pages of one size after which sampling sets in unless told otherwise; and the most that a fixed
#: rate may hold.  About 100 bytes each.
MOST_PAGES = 1 << 18


@dataclass(frozen=True)
class Sampling:
    """How a long trace is sampled: from the start at one page in ``2**halvings``, at most `most` pages."""

    halvings: int
    most: int | None
    text: str


def sampling(text: str | None) -> Sampling:
    """Read ``--sample``: nothing, a rate (``1``, ``0.01``, ``1/64``), or a number of pages (``8k``).

    Examples
    --------
    >>> sampling("1/64").halvings, sampling("0.01").halvings, sampling("8k").most
    (6, 7, 8000)
    """
    if text is None:
        return Sampling(0, MOST_PAGES, f"exact up to {MOST_PAGES:,} pages of a size")
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(-1)
    if rate == 1:
        return Sampling(0, None, "exact")
    if 0 < rate < 1:
        # The largest power of two that is not above it.
        halvings = (-(-rate.denominator // rate.numerator) - 1).bit_length()
        if halvings <= MOST_HALVINGS:
            return Sampling(halvings, MOST_PAGES, f"one page in {1 << halvings:,}")
    elif rate < 0 or rate > 1:
        try:
            pages = count(text, "--sample")
        except UsageError:
            pages = 0
        if 256 <= pages <= 1 << 24:
            return Sampling(0, pages, f"exact up to {pages:,} pages of a size")
    expected = "a rate such as 0.01 or 1/64 (at least 2**-20), 1 for exact, or 256 to 16M pages such as 8k"
    raise UsageError("not a sample", "--sample", expected, repr(text))
