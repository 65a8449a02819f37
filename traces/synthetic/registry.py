"""The kinds of trace that can be made, and their parameters as a user gives them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from traces.errors import TraceError
from traces.synthetic import (
    chase,
    gather,
    gemm,
    hash_join,
    heartbeat,
    render,
    scanout,
    stream_copy,
    texture,
)
from traces.synthetic.parts import ACCESSES, PAGE, Kind, Parameter

_MODULES = (render, texture, gemm, stream_copy, chase, hash_join, gather, scanout, heartbeat)
KINDS = {module.KIND.name: module.KIND for module in _MODULES}

#: Several kinds at once; `traces.synthetic.mix`.
MIX = "mix"
MIX_TITLE = "Several kinds at once, each with streams of its own"
PARTS = "tiled-render+scanout+heartbeat"
MOST_PARTS = 64

_NUMBER = re.compile(r"(\d{1,18})([A-Za-z]*)", re.ASCII)
_SUFFIXES = {
    "bytes": {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30},
    "ns": {"": 1, "ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000},
    "": {"": 1, "k": 1_000, "M": 1_000_000},
}
_SAID = {"bytes": "a whole number, or one with K, M or G (of 1024)",
         "ns": "a whole number with ns, us, ms or s", "": "a whole number, or one with k or M"}  # fmt: skip

Values = dict[str, int | str]


def parameters(kind: str) -> tuple[Parameter, ...]:
    """Return all numbers of a kind, those that every kind has first."""
    return (ACCESSES, PAGE, *KINDS[kind].parameters)


def find(name: str) -> Kind:
    """Return the kind called `name`.

    Raises
    ------
    TraceError
    """
    if name not in KINDS:
        raise TraceError(
            "unknown kind of trace", "traces make", f"one of {', '.join((*KINDS, MIX))}", repr(name)
        )
    return KINDS[name]


def split(settings: Iterable[str]) -> dict[str, str]:
    """Read ``key=value`` texts.

    Raises
    ------
    TraceError
        One is not of that form, or a key comes twice.
    """
    made: dict[str, str] = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not (equals and key and value):
            raise TraceError("not a setting", "traces make --set", "key=value", repr(text))
        if key in made:
            raise TraceError("a parameter set twice", "traces make --set", f"{key} once", repr(text))
        made[key] = value
    return made


def read(kind: str, settings: Mapping[str, str], without: tuple[str, ...] = ()) -> dict[str, int]:
    """Return the numbers that a kind is made by: those of `settings`, and the defaults.

    Parameters
    ----------
    kind : str
    settings : mapping of str to str
    without : tuple of str
        Names that cannot be set here.

    Raises
    ------
    TraceError
        An unknown name, a value that is no number, or one out of range.
    """
    known = {p.name: p for p in parameters(kind) if p.name not in without}
    for key in settings:
        if key not in known:
            raise TraceError(
                "unknown parameter", f"traces make {kind}", f"one of {', '.join(known)}", repr(key)
            )
    values = {name: p.default for name, p in known.items()}
    return values | {key: number(known[key], text, kind) for key, text in settings.items()}


def number(parameter: Parameter, text: str, kind: str) -> int:
    """Read one value.

    Raises
    ------
    TraceError
    """
    p = parameter
    unit = p.unit if p.unit in _SUFFIXES else ""
    what, where = f"bad parameter {p.name}", f"traces make {kind}"
    match = _NUMBER.fullmatch(text)
    if match is None or match[2] not in _SUFFIXES[unit]:
        raise TraceError(what, where, _SAID[unit], repr(text))
    value = int(match[1]) * _SUFFIXES[unit][match[2]]
    if not p.low <= value <= p.high:
        raise TraceError(what, where, f"{p.low:,} to {p.high:,} {p.unit}", f"{value:,}")
    if p.power and value & (value - 1):
        raise TraceError(what, where, "a power of two", f"{value:,}")
    return value
