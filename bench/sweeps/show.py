"""The rows of a sweep, asked for with DuckDB: what is wanted is read, and no more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UsageError, unknown
from bench.sweeps.dataset import ROWS, check_format
from bench.sweeps.plan import AXES
from bench.sweeps.schema import SCHEMA
from bench.sweeps.work import FAILED
from bench.units import show_ns

#: What is shown unless other columns are asked for, with headings that leave room for the axes.
COLUMNS = {
    "verdict": "verdict", "irq_entries": "IRQs", "resume_ignored": "ignored",
    "faults_lost": "lost", "latency_ns.p99": "p99", "makespan_ns": "makespan",
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """Rows to print, and what they are of."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    numbers: tuple[str, ...]
    left_out: int
    plan: dict[str, Any]
    counts: dict[str, int]

    @property
    def footer(self) -> list[tuple[str, str]]:
        """What every table of a sweep says below it."""
        done, failed, all_of_it = (self.counts[name] for name in ("done", "failed", "cells"))
        state = f"{done + failed:,} of {all_of_it:,} cells finished, {failed:,} of them failed"
        if self.counts["others"]:
            state += f"; {self.counts['others']:,} rows of another model are left out"
        traces = ", ".join(f"{name} ({what['kind']})" for name, what in self.plan["traces"].items())
        return [("sweep", self.plan["name"]), ("state", state), ("traces", traces),
                ("clock", "simulated; model " + self.plan["model"])]  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        plan = {name: value for name, value in self.plan.items() if name != "format"}
        return {"manifest": {**plan, **self.counts}, "rows": rows}


def show(
    folder: Path,
    wheres: tuple[str, ...] = (),
    columns: str | None = None,
    sort: str | None = None,
    limit: int = 0,
    sql: str | None = None,
    failed: bool = False,
) -> Found:
    """Ask for rows of the dataset in `folder`.

    Rows of another model than the plan's are left out: they are answers to another question.

    Raises
    ------
    UsageError
        No sweep, an unknown column, or a query that DuckDB refuses.
    """
    import duckdb  # noqa: PLC0415

    plan = check_format(folder)
    if not plan:
        raise UsageError("no sweep", folder, "a folder that `smmubench sweep` made", "none")
    with duckdb.connect(":memory:") as db:
        try:
            counts = _open(db, folder, plan)
            if sql is None:
                query, values = _query(db, plan, wheres, columns, sort, failed)
                total = db.execute(f"select count(*) from ({query})", values).fetchall()[0][0]
                made = db.execute(f"{query} limit {limit}" if limit else query, values)
            else:
                # A query may read the rows, and nothing else of this machine.
                db.execute("set allowed_directories = [?]", [f"{(folder / ROWS).resolve()}/"])
                db.execute("set enable_external_access = false")
                made = db.execute(sql)
                total = 0
            names = tuple(column[0] for column in made.description or ())
            kinds = [str(column[1]) for column in made.description or ()]
            rows = made.fetchall()
        except duckdb.Error as error:
            where = "--sql" if sql is not None else folder
            raise UsageError("refused by DuckDB", where, found=str(error).splitlines()[0]) from None
    numeric = tuple(n for n, kind in zip(names, kinds, strict=True) if kind not in ("VARCHAR", "BOOLEAN"))
    return Found(names, rows, numeric, max(0, total - len(rows)), plan, counts)


def _open(db: Any, folder: Path, plan: dict[str, Any]) -> dict[str, int]:
    """Make the table `rows`; return how many are done, failed, and of another model."""
    db.execute("set threads = 2")
    files = sorted(str(path.resolve()) for path in (folder / ROWS).glob("*.parquet"))
    if files:
        listed = ", ".join(_quoted(file) for file in files)
        db.execute(f"create view every as select * from read_parquet([{listed}], hive_partitioning = false)")
    else:
        import pyarrow as pa  # noqa: PLC0415

        db.register("none_yet", pa.Table.from_pylist([], schema=SCHEMA))
        db.execute("create view every as select * from none_yet")
    of_model = f"model = {_quoted(plan['model'])}"
    db.execute(f"create view rows as select * from every where {of_model}")
    counts = dict(db.execute("select status, count(*) from rows group by 1").fetchall())
    others = db.execute(f"select count(*) from every where not ({of_model})").fetchall()[0][0]
    return {"cells": plan["cells"], "done": counts.get("done", 0), "failed": counts.get(FAILED, 0),
            "others": others}  # fmt: skip


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _place(axis: str, plan: dict[str, Any]) -> str:
    """Order by an axis as the sweep's file has its values; 2us then goes before 16us."""
    words = plan["axes"].get(axis)
    if not words:
        return f'"{axis}"'
    return f'list_position([{", ".join(_quoted(str(word)) for word in words)}], "{axis}"), "{axis}"'


def _query(
    db: Any,
    plan: dict[str, Any],
    wheres: tuple[str, ...],
    columns: str | None,
    sort: str | None,
    failed: bool,
) -> tuple[str, list[str]]:
    values: list[str] = []
    tests = [f"status = '{FAILED}'" if failed else f"status <> '{FAILED}'"]
    for pair in wheres:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError("no value", "--where", "COLUMN=VALUE", repr(pair))
        tests.append(f"{_column(name, '--where')}::varchar = ?")
        values.append(value)
    chosen = columns.split(",") if columns is not None else ["error"] if failed else list(COLUMNS)
    varying = [axis for axis in AXES if _varies(db, axis)] or ["policy"]
    named = [_column(name, "--columns") for name in (*varying, *chosen)]
    by = [_place(axis, plan) for axis in AXES]
    if sort is not None:
        by.insert(0, _column(sort.lstrip("-"), "--sort") + (" desc" if sort.startswith("-") else ""))
    query = f"select {', '.join(dict.fromkeys(named))} from rows where {' and '.join(tests)}"
    return f"{query} order by {', '.join(by)}", values


def _varies(db: Any, axis: str) -> bool:
    return bool(db.execute(f'select count(distinct "{axis}") > 1 from rows').fetchall()[0][0])


def _column(name: str, option: str) -> str:
    if name not in SCHEMA.names:
        raise unknown("column", option, SCHEMA.names, name)
    return f'"{name}"'


def title(name: str) -> str:
    """Return the heading of a column."""
    return COLUMNS.get(name, name)


def written(name: str, value: Any) -> str:
    """Write a value of a column for people."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return show_ns(value) if "_ns" in name else f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
