"""Numbers as people write and read them: durations, counts, fractions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from bench.errors import UsageError

#: Units of time, in ns.
UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
SUFFIXES = {"": 1, "k": 1_000, "M": 1_000_000}

_NUMBER = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)([A-Za-z]*)", re.ASCII)
_MOST_NS = 1 << 53  # 104 days: sums and products of times stay far below int64


def duration(text: str, where: str = "duration") -> int:
    """Read a duration; return ns.

    Examples
    --------
    >>> duration("1ms"), duration("1.5us"), duration("0")
    (1000000, 1500, 0)
    """
    match = _NUMBER.fullmatch(text)
    if match is None or (match[2] not in UNITS and text != "0"):
        raise UsageError("not a duration", where, "a number with ns, us, ms or s, such as 100us", repr(text))
    ns = Fraction(match[1]) * UNITS.get(match[2], 1)
    if ns.denominator != 1:
        raise UsageError("not a whole number of ns", where, "a whole number of ns", repr(text))
    if ns > _MOST_NS:
        raise UsageError("duration too long", where, f"at most {show_ns(_MOST_NS)}", repr(text))
    return int(ns)


def positive_duration(text: str, where: str = "duration") -> int:
    """Read a duration above 0; return ns."""
    ns = duration(text, where)
    if ns == 0:
        raise UsageError("duration of 0", where, "more than 0", repr(text))
    return ns


def count(text: str, where: str = "count") -> int:
    """Read a count, with k or M.

    Examples
    --------
    >>> count("100"), count("2k"), count("1.5M")
    (100, 2000, 1500000)
    """
    match = _NUMBER.fullmatch(text)
    if match is None or match[2] not in SUFFIXES:
        raise UsageError("not a count", where, "a whole number, or one with k or M", repr(text))
    number = Fraction(match[1]) * SUFFIXES[match[2]]
    if number.denominator != 1 or number > 1 << 40:
        raise UsageError("not a count", where, "a whole number of at most 2**40", repr(text))
    return int(number)


def size(text: str, where: str = "size") -> int:
    """Read a number of bytes above 0, with K, M or G of 1024.

    Examples
    --------
    >>> size("4K"), size("2M"), size("64")
    (4096, 2097152, 64)
    """
    match = re.fullmatch(r"(\d{1,12})([KMG]?)", text, re.ASCII)
    number = int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2]] if match else 0
    if not 0 < number <= 1 << 48:
        raise UsageError("not a size", where, "a whole number of bytes, or one with K, M or G", repr(text))
    return number


def positive_count(text: str, where: str = "count") -> int:
    """Read a count of at least 1."""
    number = count(text, where)
    if number == 0:
        raise UsageError("count of 0", where, "1 or more", repr(text))
    return number


@dataclass(frozen=True)
class Moment:
    """A point of a run: a fraction of it, or a time from its start."""

    fraction: Fraction | None = None
    ns: int = 0

    def of(self, whole: int) -> int:
        """Return the moment in units of `whole` where it is a fraction, else its ns."""
        return self.ns if self.fraction is None else int(self.fraction * whole)


def fraction(text: str, where: str = "fraction") -> Moment:
    """Read a percentage from 0% to 100%.

    Examples
    --------
    >>> fraction("50%").of(7)
    3
    """
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,9})?)%", text, re.ASCII)
    if match is None or Fraction(match[1]) > 100:
        raise UsageError("not a fraction", where, "0% to 100%", repr(text))
    return Moment(fraction=Fraction(match[1]) / 100)


def moment(text: str, where: str = "moment") -> Moment:
    """Read a percentage or a duration."""
    return fraction(text, where) if text.endswith("%") else Moment(ns=duration(text, where))


def three_digits(value: float) -> str:
    """Write a number of at least 0 with three digits.

    Examples
    --------
    >>> [three_digits(x) for x in (0, 1, 1.234, 12.34, 123.4, 999.96)]
    ['0', '1.00', '1.23', '12.3', '123', '1000']
    """
    if value == 0:
        return "0"
    for limit, digits in ((9.995, 2), (99.95, 1)):
        if value < limit:
            return f"{value:.{digits}f}"
    return f"{value:.0f}"


def show_ns(ns: float, space: str = " ") -> str:
    """Write a duration with three digits and the unit that suits it.

    Examples
    --------
    >>> [show_ns(ns) for ns in (0, 36, 1234, 999_999, 12_345_678, 5_000_000_000)]
    ['0', '36 ns', '1.23 us', '1 ms', '12.3 ms', '5 s']
    """
    if ns == 0:
        return "0"
    unit = next((u for u, size in UNITS.items() if ns < 999.5 * size), "s")
    text = three_digits(ns / UNITS[unit])
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}{space}{unit}"


def exact_ns(ns: int) -> str:
    """Write a duration so that `duration` reads the same ns back.

    Examples
    --------
    >>> [exact_ns(ns) for ns in (0, 10, 1500, 2_000_000)]
    ['0', '10ns', '1500ns', '2ms']
    """
    if ns == 0:
        return "0"
    unit = next(u for u in reversed(UNITS) if ns % UNITS[u] == 0)
    return f"{ns // UNITS[unit]}{unit}"


def show_count(number: int) -> str:
    """Write a count in at most five characters.

    Examples
    --------
    >>> [show_count(n) for n in (0, 9999, 12_345, 200_000, 1_234_567)]
    ['0', '9999', '12.3k', '200k', '1.23M']
    """
    if number < 10_000:
        return str(number)
    size, suffix = next((s, x) for s, x in ((10**3, "k"), (10**6, "M"), (10**9, "G"), (10**12, "T"))
                        if number < 999.5 * s or s == 10**12)  # fmt: skip
    return three_digits(number / size) + suffix
