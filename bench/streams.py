"""A stream table from a TOML file (H1): which streams go to which bank, which bypass, which fault.

::

    usfcfg = true          # a stream that no group matches faults; false: it bypasses

    [[group]]
    id = 0x10
    mask = 0xf             # bits of the stream ID that do not count; left out: 0
    type = "translate"     # translate (the default), bypass or fault
    bank = 0               # the number of a space of the trace
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from bench.errors import UsageError
from smmucore.mmu import BANKS
from smmucore.streams import STREAM_MASK, Group, StreamTable

_Id = Annotated[int, Field(ge=0, le=STREAM_MASK)]
#: S2CR.CBNDX has eight bits.
_MOST_BANKS = 256
_HEADER = re.compile(r"\s*\[\[\s*group\s*\]\]")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Group(_Strict):
    id: _Id
    mask: _Id = 0
    type: Literal["translate", "bypass", "fault"] = "translate"
    bank: Annotated[int, Field(ge=0, lt=_MOST_BANKS)] | None = None

    @model_validator(mode="after")
    def _bank(self) -> _Group:
        if (self.bank is None) == (self.type == "translate"):
            expected = "a bank with type translate" if self.bank is None else f"no bank with type {self.type}"
            raise PydanticCustomError("bank_rule", "{expected}", {"expected": expected})
        return self


class _File(_Strict):
    usfcfg: bool
    group: list[_Group] = []


def read_streams(path: Path, spaces: int) -> StreamTable:
    """Read a stream table for a trace with so many spaces.

    A bank that no space of the trace has is refused, for a slip is likelier than intent; from 128 on there is
    none on any SMMUv2, and its streams fault (UCBF).  Groups may overlap: that is a conflict of the streams
    that match several (SMCF).

    Raises
    ------
    UsageError
        With the file, the line and the group.
    """
    try:
        text = path.read_text()
        found = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "bytes that are no UTF-8"
        raise UsageError("cannot be read", f"--streams {path}", "a stream table", reason) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError("not TOML", f"--streams {path}", found=str(error)) from None
    lines = [number for number, line in enumerate(text.splitlines(), 1) if _HEADER.match(line)]
    try:
        made = _File.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        shown = first["loc"][-1] if first["type"] == "extra_forbidden" else first["input"]
        value = "nothing" if first["type"] in ("missing", "bank_rule") else repr(shown)[:60]
        where = _where(path, first["loc"], lines)
        raise UsageError("not a stream table", where, _expected(first), value) from None
    groups = []
    for number, row in enumerate(made.group):
        bank = 0 if row.bank is None else row.bank
        if spaces <= bank < BANKS:
            where = _where(path, ("group", number, "bank"), lines)
            expected = f"one of the trace's spaces (0 to {spaces - 1}), or from {BANKS} on for UCBF"
            raise UsageError("unknown bank", where, expected, str(bank))
        groups.append(Group(row.id, row.mask, row.type, bank))
    return StreamTable(tuple(groups), made.usfcfg)


def _expected(problem: Any) -> str:
    if problem["type"] == "missing":
        return "a value"
    if problem["type"] == "extra_forbidden":
        known = _Group if len(problem["loc"]) > 1 else _File
        return f"one of {', '.join(known.model_fields)}"
    text = str(problem["msg"])
    return text.removeprefix("Input should be ")


def _where(path: Path, loc: tuple[int | str, ...], lines: list[int]) -> str:
    place = f"--streams {path}"
    rest = [str(part) for part in loc]
    if len(loc) > 1 and loc[0] == "group" and isinstance(loc[1], int):
        line = f"line {lines[loc[1]]}, " if loc[1] < len(lines) else ""
        place += f": {line}group {loc[1]}"
        rest = rest[2:]
    return f"{place}: {'.'.join(rest)}" if rest else place
