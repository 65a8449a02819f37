"""A user's own cost profile from a TOML file: what was measured on a real part, over one of ours.

::

    name = "my-soc"             # left out: the file's name
    base = "mobile-big"         # what is not said below
    cpi = 1.4
    clock = 2.84                # GHz
    console = "serial-115200"

    [cost.mmio_read]
    ns = 210
    low = 180                   # the range; left out: none
    high = 260
    tag = "measured"            # measured, cited, derived or assumed (the default)
    source = "ARMv8 PMU, our board, 2026-11"
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import UsageError, unknown
from smmucore import costs
from smmucore.costs import CONSOLES, CPUS, NAMES, Cost, Profile, Tag
from smmucore.cpus import CPI_LIMITS, GHZ_LIMITS

ORIGIN = "set in the cost file"

#: As long as `bench.units.duration` allows.
_Ns = Annotated[int, Field(ge=0, le=1 << 53)]
_Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
_Text = Annotated[str, Field(min_length=1, max_length=1000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class _Value(_Strict):
    ns: _Ns
    low: _Ns | None = None
    high: _Ns | None = None
    tag: Tag = "assumed"
    source: _Text = ORIGIN


class _File(_Strict):
    name: _Word | None = None
    base: str = "mobile-big"
    cpi: Annotated[float, Field(ge=CPI_LIMITS[0], le=CPI_LIMITS[1])] | None = None
    clock: Annotated[float, Field(ge=GHZ_LIMITS[0], le=GHZ_LIMITS[1])] | None = None
    console: str = "ring"
    cost: dict[str, _Value] = {}


def read_costs(path: Path, console: str | None = None) -> Profile:
    """Read a cost profile; `console` goes before the file's.

    Raises
    ------
    UsageError
        With the file and the key.
    """
    where = f"--costs {path}"
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "bytes that are no UTF-8"
        raise UsageError("cannot be read", where, "a cost file", reason) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError("not TOML", where, found=str(error)) from None
    try:
        made = _File.model_validate(found)
    except ValidationError as error:
        raise _refusal(where, error.errors()[0]) from None
    for key, known, value in (("base", CPUS, made.base), ("console", CONSOLES, made.console)):
        if value not in known:
            raise unknown(key, f"{where}: {key}", known, value)
    name = made.name or path.stem
    if name in CPUS:
        raise UsageError("name that is taken", f"{where}: name", f"none of {', '.join(CPUS)}", repr(name))
    profile = costs.profile(made.base, console or made.console).with_cpu(made.cpi, made.clock, ORIGIN)
    chosen = {key: _cost(f"{where}: cost", key, value) for key, value in made.cost.items()}
    return profile.with_costs(chosen).named(name)


def _cost(where: str, name: str, value: _Value) -> Cost:
    if name not in NAMES:
        raise unknown("cost", where, NAMES, name)
    low = value.ns if value.low is None else value.low
    high = value.ns if value.high is None else value.high
    if not low <= value.ns <= high:
        raise UsageError("range without its value", f"{where}.{name}", "low <= ns <= high",
                         f"{low}, {value.ns}, {high}")  # fmt: skip
    return Cost(value.ns, low, high, value.tag, value.source)


def _refusal(where: str, problem: Any) -> UsageError:
    loc = [str(part) for part in problem["loc"]]
    kind, found, expected = problem["type"], repr(problem["input"])[:60], str(problem["msg"])
    if kind == "extra_forbidden":
        known = _Value if len(loc) > 1 else _File
        expected, found = f"one of {', '.join(known.model_fields)}", repr(loc[-1])
    elif kind == "missing":
        expected, found = "a value", "nothing"
    elif kind in ("model_type", "model_attributes_type", "dict_type"):
        expected = "a table such as [cost.mmio_read]"
    elif kind == "string_pattern_mismatch":
        expected = "at most 40 letters, digits, dots, dashes and underscores"
    return UsageError("not a cost file", f"{where}: {'.'.join(loc)}",
                      expected.removeprefix("Input should be "), found)  # fmt: skip
