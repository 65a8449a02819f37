"""A history as series: one benchmark on one host, or one value of one cell, along the commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import UsageError
from bench.history import steps
from bench.history.store import KEYS, SIMULATED, WALL

#: What a series goes along, and what is therefore no part of its name.
_ALONG = ("commit_id", "kernels")


@dataclass(frozen=True)
class Series:
    """Values along the commits, oldest first.

    Attributes
    ----------
    clock : str
        "simulated" (integers, or words) or "wall" (seconds).
    name : str
        The benchmark or the counter.
    keys : dict
        What else it is known by, empty keys left out.
    commits : tuple of str
    values : tuple
    """

    clock: str
    name: str
    keys: dict[str, str]
    commits: tuple[str, ...]
    values: tuple[Any, ...]

    @property
    def title(self) -> str:
        """Return the name, and what tells it from others."""
        words = [short(value) for value in self.keys.values()]
        return f"{self.name} ({', '.join(words)})" if words else self.name

    def steps(self) -> list[steps.Step]:
        """Return where it moved: every change of a simulated value, what is no noise of a wall time."""
        return steps.exact(self.values) if self.clock == SIMULATED else steps.noisy(self.values)


def short(value: str) -> str:
    """Shorten hashes."""
    head, at, rest = value.partition("@")
    whole = len(value) >= 32 and all(c in "0123456789abcdef" for c in value)
    return value[:8] if whole else f"{head}@{rest[:4]}" if at else value


def read(db: Any, clock: str, names: Sequence[str], where: Sequence[str]) -> list[Series]:
    """Read the series of one clock.

    Parameters
    ----------
    db : duckdb.DuckDBPyConnection
    clock : str
    names : sequence of str
        Benchmarks or counters, whole or a part of the name; all if none is given.
    where : sequence of str
        ``KEY=TEXT``: keys that begin with it.

    Raises
    ------
    UsageError
        An unknown key.
    """
    assert clock in (SIMULATED, WALL)
    value = "median" if clock == WALL else "coalesce(value::varchar, word)"
    tests, wanted = ["true"], []
    if names:
        tests.append("(" + " or ".join(["contains(name, ?)"] * len(names)) + ")")
        wanted += list(names)
    for pair in where:
        key, equals, text = pair.partition("=")
        key = "commit_id" if key == "commit" else key
        if key not in KEYS or not equals:
            known = ["commit" if one == "commit_id" else one for one in KEYS]
            raise UsageError("not a key", "--where", f"KEY=TEXT with a key of {', '.join(known)}", repr(pair))
        tests.append(f"starts_with({key}, ?)")
        wanted.append(text)
    apart = [key for key in KEYS if key not in _ALONG]
    query = (
        f"select name, {', '.join(apart)}, commit_id, {value} "
        f"from {clock} join runs on runs.id = {clock}.run where {' and '.join(tests)} "
        f"order by name, {', '.join(apart)}, made_at nulls first, place"
    )
    grouped: dict[tuple[str, ...], list[tuple[str, Any]]] = {}
    for name, *keys, commit, found in db.execute(query, wanted).fetchall():
        grouped.setdefault((name, *keys), []).append((commit, found))
    return [_series(clock, known, points, apart) for known, points in grouped.items()]


def _series(clock: str, known: tuple[str, ...], points: list[tuple[str, Any]], apart: list[str]) -> Series:
    keys = {key: value for key, value in zip(apart, known[1:], strict=True) if value}
    values = [found if clock == WALL else _value(found) for _, found in points]
    return Series(clock, known[0], keys, tuple(commit for commit, _ in points), tuple(values))


def _value(found: str) -> int | str:
    return int(found) if found.lstrip("-").isdigit() else found
