"""Reads a column's cells: decimal, hexadecimal, words and times, many at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from traces.events import EXEC, MAP, MARK, READ, TLBI, UNMAP, WRITE

_OPS = {
    READ: ("read", "r", "rd", "load", "ld", "acc", "access"),
    WRITE: ("write", "w", "wr", "store", "st"),
    EXEC: ("exec", "x", "execute", "fetch", "ifetch"),
    MAP: ("map",),
    UNMAP: ("unmap",),
    TLBI: ("tlbi", "inv", "invalidate"),
    MARK: ("mark",),
}
#: Word, in lower case -> op.
WORDS_OF_OP = {word: op for op, words in _OPS.items() for word in words}
#: Word, in lower case -> rights.
WORDS_OF_PROT = {"r": 1, "w": 2, "rw": 3, "x": 4, "rx": 5, "wx": 6, "rwx": 7, "ro": 1, "wo": 2, "none": 0}

#: Digits behind the point of a time in each unit.
_DIGITS = {1: 0, 1_000: 3, 1_000_000: 6, 1_000_000_000: 9}
#: Times are nanoseconds of 63 bits.
_MOST_NS = (1 << 63) - 1


@dataclass
class Cells:
    """One column's numbers.

    Attributes
    ----------
    values : numpy.ndarray
        uint64; 0 where there is none.
    absent, bad : numpy.ndarray
        bool: cells that are empty, and cells that cannot be read.
    expected : str
        What a cell should have been.
    """

    values: np.ndarray
    absent: np.ndarray
    bad: np.ndarray
    expected: str


def _text(column: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _is_text(column: Any) -> bool:
    import pyarrow as pa  # noqa: PLC0415

    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
                or pa.types.is_decimal(column.type) or pa.types.is_null(column.type))  # fmt: skip


def _integers(column: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return values, absent and negative of a column of integers; None for one of anything else."""
    import pyarrow as pa  # noqa: PLC0415

    if not pa.types.is_integer(column.type):
        return None
    absent = np.asarray(column.is_null())
    raw = column.fill_null(0).to_numpy(zero_copy_only=False)
    negative = raw < 0
    return np.where(negative, 0, raw).astype(np.uint64), absent, negative


def numbers(column: Any, hexadecimal: bool, words: dict[str, int]) -> Cells:
    """Read whole numbers, or words that stand for some.

    Parameters
    ----------
    column : pyarrow.Array
        Text or integers; anything else is bad throughout.
    hexadecimal : bool
        Text is hexadecimal even without ``0x``.
    words : dict of str to int
        In lower case.

    Returns
    -------
    Cells
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    expected = f"a whole number{' in hexadecimal' if hexadecimal else ', decimal or 0x...'}"
    if words:
        expected += f", or one of {', '.join(words)}"
    whole = _integers(column)
    if whole is not None:
        return Cells(*whole, expected)
    n = len(column)
    if not _is_text(column):
        return Cells(np.zeros(n, np.uint64), np.zeros(n, bool), np.ones(n, bool), expected)
    text = _text(column)
    absent = np.asarray(text.is_null())
    if hexadecimal:
        digits = pc.replace_substring_regex(text, "^0[xX]", "")
        text = pc.binary_join_element_wise("0x", digits, "")
    bad = np.zeros(n, bool)
    try:
        values = text.cast(pa.uint64()).fill_null(0).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        # Some are words, or wrong: each distinct one once, as most columns have few.
        values = np.zeros(n, np.uint64)
        known: dict[str, int | None] = {}
        for row, cell in enumerate(text.to_pylist()):
            if cell is None:
                continue
            if cell not in known:
                if len(known) > 1 << 12:
                    known.clear()
                known[cell] = _number(cell, words)
            value = known[cell]
            if value is None:
                bad[row] = True
            else:
                values[row] = value
    return Cells(values, absent, bad, expected)


def _number(cell: str, words: dict[str, int]) -> int | None:
    if (word := words.get(cell.lower())) is not None:
        return word
    digits = cell[2:] if cell[:2] in ("0x", "0X") else cell
    # Only ASCII digits, and no more than 64 bits can need.
    if not digits.isascii() or not digits.isalnum() or len(digits) > 20:
        return None
    try:
        value = int(digits, 16 if digits is not cell and len(digits) < len(cell) else 10)
    except ValueError:
        return None
    return value if value < 1 << 64 else None


def times(column: Any, unit: int) -> Cells:
    """Read times as nanoseconds: whole or with as many digits behind the point as nanoseconds need.

    Parameters
    ----------
    column : pyarrow.Array
        Text, numbers or timestamps.
    unit : int
        Nanoseconds of 1.

    Returns
    -------
    Cells
    """
    import pyarrow as pa  # noqa: PLC0415

    expected = f"a time from 0 on in whole nanoseconds (unit: {unit:,} ns)"
    n = len(column)
    if pa.types.is_timestamp(column.type):
        unit, column = 1, _timestamp(column)
    whole = _integers(column)
    if whole is not None:
        values, absent, bad = whole
        bad = bad | (values > _MOST_NS // unit)
        return Cells(np.where(bad, 0, values) * np.uint64(unit), absent, bad, expected)
    if pa.types.is_floating(column.type):
        raw = column.fill_null(0).cast(pa.float64()).to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = np.rint(raw * unit)
            bad = ~((scaled >= 0) & (scaled < float(_MOST_NS)))
        return Cells(np.where(bad, 0, scaled).astype(np.uint64), np.asarray(column.is_null()), bad, expected)
    if not _is_text(column):
        return Cells(np.zeros(n, np.uint64), np.zeros(n, bool), np.ones(n, bool), expected)
    text = _text(column)
    absent = np.asarray(text.is_null())
    try:
        values = text.cast(pa.uint64()).fill_null(0).to_numpy(zero_copy_only=False)
        bad = values > _MOST_NS // unit
        return Cells(np.where(bad, 0, values) * np.uint64(unit), absent, bad, expected)
    except pa.ArrowInvalid:
        values, bad = np.zeros(n, np.uint64), np.zeros(n, bool)
        for row, cell in enumerate(text.to_pylist()):
            if cell is not None:
                value = _time(cell, unit)
                bad[row] = value is None
                values[row] = value or 0
        return Cells(values, absent, bad, expected)


def _timestamp(column: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    try:
        return column.cast(pa.timestamp("ns")).cast(pa.int64())
    except pa.ArrowInvalid:
        return pa.array([-1] * len(column), pa.int64())


def _time(cell: str, unit: int) -> int | None:
    """Read one time exactly.

    >>> _time("1.5", 1000), _time("1.0001", 1000)
    (1500, None)
    """
    front, _, behind = cell.partition(".")
    digits, behind = _DIGITS[unit], behind.rstrip("0")
    if (
        len(behind) > digits
        or len(front) > 19
        or not (front + behind).isascii()
        or not (front + behind).isdigit()
    ):
        return None
    value = int(front or "0") * unit + int(behind.ljust(digits, "0") or "0")
    return value if value <= _MOST_NS else None
