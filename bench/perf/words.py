"""Wall times as people read them."""

from __future__ import annotations


def seconds(value: float) -> str:
    """Write a time with three digits.

    Examples
    --------
    >>> seconds(6.0412e-9), seconds(0.0231), seconds(999.7e-6), seconds(12)
    ('6.04 ns', '23.1 ms', '1 ms', '12 s')
    """
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if value * factor >= 0.9995:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"
