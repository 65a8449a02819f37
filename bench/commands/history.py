"""`smmubench history`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import options, pictures
from bench.errors import UsageError
from bench.output import print_json, print_pairs, print_table

if TYPE_CHECKING:
    from bench.history.series import Series

_FILE = click.option("--file", "file", type=click.Path(path_type=Path), metavar="FILE",
                     help="The history  [default: runs/history.duckdb]")  # fmt: skip
_CLOCK = click.option("--clock", type=click.Choice(("wall", "simulated")), default="wall", show_default=True,
                      help="Never both: they do not belong in one table.")  # fmt: skip
_WHERE = click.option("--where", "wheres", multiple=True, metavar="KEY=TEXT",
                      help="Only where policy, hardware, scenario, host ... begins so.")  # fmt: skip
_MOVED = click.option("--moved", is_flag=True, help="Only series with a step.")


@click.group()
def history() -> None:
    """Keep results by commit, show where they moved, and draw them."""


@history.command("add")
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RESULT...")
@click.option(
    "--commit", metavar="REV", help="What they are of  [default: the checkout's HEAD; + if changed]"
)
@click.option("--at", type=click.DateTime(), help="When that was  [default: the commit's date]")
@_FILE
@options.as_json
def add_results(
    results: tuple[Path, ...], commit: str | None, at: datetime | None, file: Path | None, as_json: bool
) -> None:
    """Add results: pyperf's JSON, rows of `compare`, a sweep's folder, or results/golden.

    What is there already is not added twice.
    """
    from bench.history import add, store  # noqa: PLC0415
    from bench.perf.scripts import ROOT  # noqa: PLC0415

    if commit is None:
        commit, stamp = add.head(ROOT)
        at = at or stamp
    target = file or store.DEFAULT
    told = []
    with store.opened(target, write=True) as db:
        for path in results:
            clock, new, lines = add.add(db, path, commit, at)
            told.append({"result": str(path), "clock": clock, "lines": lines, "new": new})
    if as_json:
        print_json({"file": str(target), "commit": commit, "added": told})
        return
    for one in told:
        click.echo(f"{one['result']}: {one['lines']:,} lines of the {one['clock']} clock, {one['new']:,} new")
    click.echo(f"kept in {target} as of {commit[:12]}")


@history.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@_CLOCK
@_WHERE
@_MOVED
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=40,
    show_default=True,
    metavar="N",
    help="Series to print; 0: all.",
)
@_FILE
@options.as_json
def show(
    names: tuple[str, ...], clock: str, wheres: tuple[str, ...], moved: bool, limit: int, file: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Show the series whose names contain NAME, and where they moved."""
    found = _read(file, clock, names, wheres, moved)
    if as_json:
        print_json([{**vars(one), "steps": [vars(step) for step in one.steps()]} for one in found])
        return
    shown = found[:limit] if limit else found
    headings = ("series", "points", "first", "last", "moved")
    rows = [
        (
            one.title,
            f"{len(one.values)}",
            _write(one, one.values[0]),
            _write(one, one.values[-1]),
            _moves(one),
        )
        for one in shown
    ]
    print_table(headings, rows, right=headings[1:4], whole=0, kept=headings[1:4])
    if len(found) > len(shown):
        click.echo(f"... and {len(found) - len(shown):,} more (--limit 0 prints all)")
    click.echo()
    how = ("every change: simulated values are exact" if clock == "simulated" else
           "PELT of ruptures, steps of 3% and more, 3 points on each side")  # fmt: skip
    print_pairs([("clock", clock), ("steps", how)])


@history.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="A .png or .svg file."
)
@_CLOCK
@_WHERE
@_MOVED
@_FILE
def plot(
    names: tuple[str, ...], out: Path, clock: str, wheres: tuple[str, ...], moved: bool, file: Path | None
) -> None:
    """Draw each series along the commits, its steps marked."""
    from bench.history import picture  # noqa: PLC0415

    pictures.check_target(out)
    found = [one for one in _read(file, clock, names, wheres, moved) if _numbers(one)]
    if not 0 < len(found) <= picture.MOST:
        expected = f"1 to {picture.MOST} series (a NAME, --where or --moved chooses)"
        raise UsageError(
            "too many to draw" if found else "nothing to draw", "plot", expected, f"{len(found)}"
        )
    picture.draw(found, out)
    click.echo(f"saved {out}: {len(found)} series")


def _read(
    file: Path | None, clock: str, names: tuple[str, ...], wheres: tuple[str, ...], moved: bool
) -> list[Series]:
    from bench.history import series, store  # noqa: PLC0415

    with store.opened(file or store.DEFAULT) as db:
        found = series.read(db, clock, names, wheres)
    return [one for one in found if not moved or one.steps()]


def _numbers(one: Series) -> bool:
    return all(isinstance(value, (int, float)) for value in one.values)


def _write(one: Series, value: Any) -> str:
    if one.clock == "wall":
        from bench.perf.words import seconds  # noqa: PLC0415

        return seconds(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _moves(one: Series) -> str:
    words = []
    for step in one.steps():
        move = f"{_write(one, step.before)} -> {_write(one, step.after)}"
        more = f" ({step.ratio - 1:+.0%})" if one.clock == "wall" else ""
        words.append(f"{one.commits[step.at][:8]}: {move}{more}")
    return "; ".join(words)
