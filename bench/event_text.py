"""Events as text: lines of a table, CSV, JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from traces.events import (
    ABRUPT,
    EXEC,
    MAP,
    OP_NAMES,
    PA_UNKNOWN,
    PROT_PRIV,
    TLBI,
    TLBI_KIND_MASK,
    UNMAP,
)

COLUMNS = ("event", "t_ns", "op", "stream", "space", "iova", "size", "pa", "prot")
_RIGHTS = "rwxpcd"
_TLBI = ("va", "va-last", "asid", "all", "vaa", "vaa-last", "vmid", "ipas2", "ipas2-last", "sync")
_WIDTHS = (">9", ">13", "<5", ">6", ">5", ">18", ">10", ">18", "<")
_UNKNOWN = int(PA_UNKNOWN)


def rights(op: int, prot: int) -> str:
    """Say what `prot` means for an event of this op; unknown bits are shown as a number.

    Examples
    --------
    >>> rights(MAP, 0b10011), rights(TLBI, ABRUPT | 2), rights(0, 0), rights(0, PROT_PRIV)
    ('rwc', 'asid abrupt', '', 'priv')
    """
    if op == MAP and prot < 1 << len(_RIGHTS):
        return "".join(letter for bit, letter in enumerate(_RIGHTS) if prot >> bit & 1)
    if op in (UNMAP, TLBI):
        kind, rest = prot & TLBI_KIND_MASK, prot & ~(TLBI_KIND_MASK | ABRUPT)
        if rest == 0 and kind < len(_TLBI):
            words = [_TLBI[kind]] if op == TLBI else [f"{kind:#x}"] if kind else []
            return " ".join(words + (["abrupt"] if prot & ABRUPT else []))
    if op <= EXEC and prot in (0, PROT_PRIV):
        return "priv" if prot else ""
    return f"{prot:#x}" if prot else ""


def _values(blocks: Iterator[Any], most: int | None) -> Iterator[tuple[int, ...]]:
    row = 0
    for block in blocks:
        for event in block[: None if most is None else most - row].tolist():
            yield (row, *event)
            row += 1
        if most is not None and row >= most:
            return


def table(blocks: Iterator[Any], most: int | None) -> Iterator[str]:
    """Stream the lines of a table; what an event has not is left out."""
    yield _line(COLUMNS)
    for row, t, op, stream, space, iova, size, pa, prot in _values(blocks, most):
        where = f"{pa:#x}" if op <= MAP and pa != _UNKNOWN else ""
        yield _line((row, t, OP_NAMES[op], stream if op <= EXEC else "", space, f"{iova:#x}", size, where,
                     rights(op, prot)))  # fmt: skip


def _line(cells: tuple[Any, ...]) -> str:
    return "  ".join(f"{cell:{width}}" for cell, width in zip(map(str, cells), _WIDTHS, strict=True)).rstrip()


def csv(blocks: Iterator[Any], most: int | None) -> Iterator[str]:
    """Stream the lines of a CSV file with headings; addresses are in hexadecimal."""
    yield ",".join(COLUMNS)
    for row, t, op, stream, space, iova, size, pa, prot in _values(blocks, most):
        yield f"{row},{t},{OP_NAMES[op]},{stream},{space},{iova:#x},{size},{pa:#x},{prot}"


def jsonl(blocks: Iterator[Any], most: int | None) -> Iterator[str]:
    """Stream an object a line; addresses are text in hexadecimal, which JSON's numbers may round."""
    for row, t, op, stream, space, iova, size, pa, prot in _values(blocks, most):
        values = (row, t, OP_NAMES[op], stream, space, f"{iova:#x}", size, f"{pa:#x}", prot)
        yield json.dumps(dict(zip(COLUMNS, values, strict=True)))


FORMATS: dict[str, Callable[[Iterator[Any], int | None], Iterator[str]]] = {
    "table": table,
    "csv": csv,
    "jsonl": jsonl,
}
