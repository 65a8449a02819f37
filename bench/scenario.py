"""Scenarios: how a trace is turned into faults, written `name:key=value,...` and joined with `+`.

A scenario here is only what was asked for.  What it does to a given trace is `bench.inject`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from bench.errors import ScenarioError, UsageError
from bench.units import count, duration, fraction, moment, positive_count, positive_duration

OPS = ("read", "write", "exec")
BUSIEST = -1
RANDOM = -2


def _op(text: str, where: str) -> int:
    if text not in OPS:
        raise UsageError("unknown operation", where, f"one of {', '.join(OPS)}", repr(text))
    return OPS.index(text)


def _stream(text: str, where: str) -> int:
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if not 0 <= number <= 0xFFFF:
        raise UsageError("not a stream ID", where, "0 to 65535", repr(text))
    return number


def _rate(text: str, where: str) -> Fraction:
    rate = fraction(text, where).fraction
    if not rate:
        raise UsageError("rate of 0", where, "more than 0%", repr(text))
    return rate


def _buffer(text: str, where: str) -> int:
    if text in ("busiest", "random"):
        return BUSIEST if text == "busiest" else RANDOM
    try:
        return count(text, where)
    except UsageError:
        expected = "busiest, random, or the number of a MAP event"
        raise UsageError("not a buffer", where, expected, repr(text)) from None


@dataclass(frozen=True)
class Key:
    """One key of a scenario: how its value is read, its default as one would write it, what it says."""

    read: Callable[[str, str], Any]
    default: str
    meaning: str


@dataclass(frozen=True)
class Kind:
    """One scenario: what it does, and its keys."""

    title: str
    keys: Mapping[str, Key]


#: Every scenario.  An empty default means that the trace decides.
KINDS = {
    "as-captured": Kind("the trace as it is", {}),
    "unmap": Kind(
        "a buffer vanishes in mid-run, under the device's feet",
        {
            "at": Key(fraction, "50%", "after this share of the accesses"),
            "buffer": Key(
                _buffer, "busiest", "busiest (most accesses still to come), random, or a MAP's number"
            ),
            "seed": Key(count, "", "chooses where buffer=random; otherwise the run's seed"),
        },
    ),
    "readonly": Kind(
        "a buffer loses its write right in mid-run: permission faults",
        {
            "at": Key(fraction, "50%", "after this share of the accesses"),
            "buffer": Key(_buffer, "busiest", "busiest (most writes to come), random, or a MAP's number"),
            "seed": Key(count, "", "chooses where buffer=random; otherwise the run's seed"),
        },
    ),
    "burst": Kind(
        "accesses to unmapped addresses, one page apart: the storm dial",
        {
            "n": Key(positive_count, "100", "accesses"),
            "gap": Key(duration, "1ms", "time from one to the next"),
            "at": Key(moment, "0", "first one: a time, or a share of the trace's duration"),
            "op": Key(_op, "read", "read, write or exec"),
            "stream": Key(_stream, "", "stream ID; otherwise the busiest stream of the trace"),
        },
    ),
    "wild": Kind(
        "stray accesses among the others, each to a random page that no MAP reaches",
        {
            "rate": Key(_rate, "0.01%", "share of the accesses that a stray one follows"),
            "op": Key(_op, "", "read, write or exec; otherwise that of the access before it"),
            "stream": Key(_stream, "", "stream ID; otherwise that of the access before it"),
            "seed": Key(count, "", "chooses accesses and pages; otherwise the run's seed"),
        },
    ),
    "demand": Kind("nothing is mapped until a pager maps it (client: pager)", {}),
    "suspend": Kind(
        "the SMMU sleeps when it has been idle, even between a fault and its thread",
        {"after": Key(positive_duration, "20ms", "idle time: Linux suspends the SMMU after 20 ms")},
    ),
    "heartbeat": Kind(
        "an innocent stream with a deadline, on the same TBU",
        {
            "every": Key(positive_duration, "100us", "period"),
            "deadline": Key(positive_duration, "10ms", "K7: the GMU's out-of-band watchdog"),
            "n": Key(positive_count, "", "beats; otherwise as many as the trace's duration holds, and one"),
        },
    ),
}


@dataclass(frozen=True)
class Part:
    """One scenario with every value; `given` are the keys that were written, as written."""

    name: str
    values: Mapping[str, Any]
    given: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        keys = ",".join(f"{key}={value}" for key, value in self.given)
        return f"{self.name}:{keys}" if keys else self.name


@dataclass(frozen=True)
class Scenario:
    """Scenarios that are played together; `text` is what was asked for, verbatim."""

    text: str
    parts: tuple[Part, ...]

    def of(self, name: str) -> list[Part]:
        """Return the parts called `name`."""
        return [part for part in self.parts if part.name == name]


def parse(text: str) -> Scenario:
    """Read a scenario.

    Parameters
    ----------
    text : str
        Such as ``burst:n=1000,gap=1ms+heartbeat:every=100us``.

    Raises
    ------
    ScenarioError
        An unknown scenario or key, a value that cannot be read, or a key twice.

    Examples
    --------
    >>> [str(part) for part in parse("burst:n=1k+demand").parts]
    ['burst:n=1k', 'demand']
    >>> parse("burst").parts[0].values["gap"]
    1000000
    """
    return Scenario(text, tuple(_part(part) for part in text.split("+")))


def _part(text: str) -> Part:
    name, colon, rest = text.partition(":")
    if name not in KINDS:
        raise ScenarioError("unknown scenario", "scenario", f"one of {', '.join(KINDS)}", repr(name))
    keys = KINDS[name].keys
    given: dict[str, str] = {}
    for pair in rest.split(",") if colon else ():
        key, equals, value = pair.partition("=")
        where = f"scenario {name}"
        if key not in keys:
            known = f"one of {', '.join(keys)}" if keys else "none (it takes no keys)"
            raise ScenarioError("unknown scenario key", where, known, repr(key))
        if key in given:
            raise ScenarioError("scenario key given twice", where, f"{key} once", f"{key} again")
        if not equals or not value:
            raise ScenarioError("scenario key without a value", where, f"{key}=VALUE", repr(pair))
        given[key] = value
    values: dict[str, Any] = {}
    for key, spec in keys.items():
        written = given.get(key, spec.default)
        try:
            values[key] = spec.read(written, f"scenario {name}: {key}") if written else None
        except UsageError as error:
            raise ScenarioError(error.what, error.where, error.expected, error.found) from None
    return Part(name, values, tuple(given.items()))
