"""The history's file: a table a clock, and one of what their lines are known by.

`simulated` has a line a value of a run: exact, the same wherever it is computed.  `wall` has a line a
benchmark of a run on some host, with every process's median.  No query of ours joins the two.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Where the history is unless told otherwise.
DEFAULT = Path("runs") / "history.duckdb"

SIMULATED, WALL = "simulated", "wall"

#: Goes up with every change of the tables.
FORMAT = 1

#: What a line is known by, in both tables; what a clock has no use for is empty.
KEYS = ("commit_id", "kernels", "trace", "policy", "hardware", "costs", "scenario", "client", "seed", "host")

_TABLES = f"""
create table about (format integer not null, made_by varchar not null);
create sequence places;
create table runs (
    id ubigint primary key, place bigint not null default nextval('places'), made_at timestamp,
    {", ".join(f"{key} varchar not null" for key in KEYS)});
create table simulated (
    run ubigint not null, name varchar not null, value bigint, word varchar, primary key (run, name));
create table wall (
    run ubigint not null, name varchar not null, median double not null, medians double[] not null,
    primary key (run, name));
"""


@dataclass(frozen=True)
class Line:
    """One value of one clock.

    Attributes
    ----------
    made_at : datetime or None
    keys : dict
        Of `KEYS`; what is left out is empty.
    name : str
        Counter, percentile or benchmark.
    value : int, str or float
        An integer or a word (simulated), or seconds (wall): the median over processes.
    medians : tuple of float
        Of each process (wall).
    """

    made_at: datetime | None
    keys: dict[str, str]
    name: str
    value: int | str | float
    medians: tuple[float, ...] = ()

    @property
    def run(self) -> int:
        """The run's number: a hash of its keys and, for wall times, of when it was."""
        when = str(self.made_at) if self.medians else ""
        text = "\n".join([when, *(self.keys.get(key, "") for key in KEYS)])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


@contextmanager
def opened(path: Path, write: bool = False) -> Iterator[Any]:
    """Open a history; make it if it is to be written and is not there.

    Yields
    ------
    duckdb.DuckDBPyConnection

    Raises
    ------
    UsageError
        No history, a file that is damaged or something else, one of a newer format, or one that another
        process writes.  The file is then as it was.
    """
    import duckdb  # noqa: PLC0415

    fresh = not path.exists()
    if fresh and not write:
        raise UsageError("no history", path, "one that `smmubench history add` made", "no such file")
    if not fresh:
        # Read only first: opening for writing may already change a file that is not ours.
        _check(duckdb, path)
    if fresh:
        _make(duckdb, path)
    try:
        db = duckdb.connect(str(path), read_only=not write)
    except (duckdb.Error, OSError) as error:
        raise _refusal(path, error) from None
    try:
        yield db
    except duckdb.Error as error:
        raise UsageError("history refused by DuckDB", path, found=_first(error)) from None
    finally:
        db.close()


def _make(duckdb: Any, path: Path) -> None:
    """Make an empty history, beside and then renamed: half a one would be no history."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(str(beside)) as db:
            db.execute(_TABLES)
            db.execute("insert into about values (?, ?)", [FORMAT, _version()])
        beside.replace(path)
    except (duckdb.Error, OSError) as error:
        raise UsageError("cannot be made", path, "a history", _first(error)) from None
    finally:
        beside.unlink(missing_ok=True)


def _check(duckdb: Any, path: Path) -> None:
    if path.is_dir():
        raise UsageError("not a history", path, "a file", "a directory")
    try:
        with duckdb.connect(str(path), read_only=True) as db:
            tables = {row[0] for row in db.execute("select table_name from duckdb_tables()").fetchall()}
            if "about" not in tables:
                raise UsageError(
                    "not a history", path, "a table about", ", ".join(sorted(tables)) or "no tables"
                )
            (made,) = db.execute("select format from about").fetchall() or [(None,)]
    except (duckdb.Error, OSError) as error:
        raise _refusal(path, error) from None
    if made[0] != FORMAT:
        newer = isinstance(made[0], int) and made[0] > FORMAT
        what = "history of a newer smmubench" if newer else "history of another format"
        raise UsageError(what, path, f"format {FORMAT}", str(made[0]))
    missing = {"runs", SIMULATED, WALL} - tables
    if missing:
        raise UsageError(
            "not a history", path, "tables runs, simulated and wall", f"no {', '.join(sorted(missing))}"
        )


def _refusal(path: Path, error: Exception) -> UsageError:
    text = _first(error)
    if "could not set lock" in text.lower():
        return UsageError("history in use", path, "one that no other process writes", text)
    return UsageError("not a history, or a damaged one", path, "a DuckDB file", text)


def _first(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).splitlines()[0][:160]


def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415

    return f"smmubench {version('smmubench')}"


def insert(db: Any, clock: str, lines: Sequence[Line]) -> int:
    """Add lines that are not there yet, all or none; return how many were new.

    Parameters
    ----------
    db : duckdb.DuckDBPyConnection
    clock : str
        "simulated" or "wall": the table.
    lines : sequence of Line
    """
    import pyarrow as pa  # noqa: PLC0415

    if not lines:
        return 0
    before = _count(db, clock)
    text, stamp = pa.string(), pa.timestamp("us")
    runs = {line.run: line for line in lines}
    columns: dict[str, Any] = {"id": pa.array(runs, pa.uint64())}
    columns["made_at"] = pa.array([line.made_at for line in runs.values()], stamp)
    for key in KEYS:
        columns[key] = pa.array([line.keys.get(key, "") for line in runs.values()], text)
    values = {"run": pa.array([line.run for line in lines], pa.uint64())}
    values["name"] = pa.array([line.name for line in lines], text)
    if clock == WALL:
        values["median"] = pa.array([line.value for line in lines], pa.float64())
        values["medians"] = pa.array([line.medians for line in lines], pa.list_(pa.float64()))
    else:
        words = [line.value if isinstance(line.value, str) else None for line in lines]
        numbers = [None if isinstance(line.value, str) else line.value for line in lines]
        values |= {"value": pa.array(numbers, pa.int64()), "word": pa.array(words, text)}
    db.execute("begin")
    try:
        for table, made in (("runs", columns), (clock, values)):
            db.register("incoming", pa.table(made))
            named = ", ".join(made)
            db.execute(f"insert into {table} ({named}) select {named} from incoming on conflict do nothing")
            db.unregister("incoming")
        db.execute("commit")
    except BaseException:
        db.execute("rollback")
        raise
    return _count(db, clock) - before


def _count(db: Any, table: str) -> int:
    return int(db.execute(f"select count(*) from {table}").fetchall()[0][0])
