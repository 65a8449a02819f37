"""`smmubench sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import options
from bench.errors import UsageError
from bench.output import print_json, print_pairs, print_table

if TYPE_CHECKING:
    from bench.sweeps.drive import Done
    from bench.sweeps.plan import Plan


class RunByDefault(click.Group):
    """A group whose first argument may be left out: ``sweep SPEC.toml`` is ``sweep run SPEC.toml``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` in front of what is no subcommand."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=RunByDefault)
def sweep() -> None:
    """Run the product of axes: `sweep SPEC.toml`, the same again to take up what was killed.

    The file names values of trace, policy, hardware, client, scenario, cost and seed (docs/sweeps.md).
    """


_SPEC = click.argument("spec", type=click.Path(path_type=Path), metavar="SPEC.toml")


@sweep.command()
@_SPEC
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the dataset  [default: runs/NAME]",
)
@click.option(
    "--dask",
    metavar="ADDRESS",
    help="Run on a Dask cluster, such as tcp://host:8786 (needs smmubench[cluster]).",
)
@click.option("--retry-failed", is_flag=True, help="Compute those cells again that failed before.")
@click.option(
    "--every",
    type=click.FloatRange(0.0, 3600.0),
    default=5.0,
    show_default=True,
    metavar="S",
    help="Seconds from one file of rows to the next: what a kill may cost.",
)
@options.threads
@options.as_json
def run(
    spec: Path, out: Path | None, dask: str | None, retry_failed: bool, every: float, threads: int,
    as_json: bool,
) -> int:  # fmt: skip
    """Compute the cells of SPEC.toml that are not finished yet (`run` may be left out).

    Rows land in the dataset as they come. A cell that fails is recorded with its error, and the sweep goes
    on; the exit status is then 1.
    """
    plan = _read(spec)
    from bench.progress import announce_compilation  # noqa: PLC0415
    from bench.sweeps import drive as loop  # noqa: PLC0415
    from bench.sweeps.dataset import Dataset  # noqa: PLC0415
    from bench.sweeps.live import Live  # noqa: PLC0415

    folder = _folder(plan, out)
    executor: loop.Executor
    if dask is None:
        from bench.sweeps.local import Threads  # noqa: PLC0415

        executor = Threads(threads)
        announce_compilation()
    else:
        from bench.sweeps.cluster import Cluster  # noqa: PLC0415

        executor = Cluster(dask)
    live = Live()
    try:
        with Dataset(folder, plan) as dataset:
            if retry_failed:
                dataset.forget_failed()
            done = loop.drive(dataset, executor, live, every)
    finally:
        live.stop()
    if as_json:
        print_json({"folder": str(folder), **vars(done)})
    else:
        _told(done, folder)
    return 1 if done.failed else 0


@sweep.command()
@_SPEC
@options.as_json
def check(spec: Path, as_json: bool) -> None:
    """Read SPEC.toml, and say how many cells it has; compute nothing."""
    plan = _read(spec)
    from bench.sweeps.plan import AXES  # noqa: PLC0415

    first = next(plan.cells())
    size = {axis: len(getattr(plan, axis)) for axis in AXES}
    if as_json:
        print_json({"name": plan.name, "cells": plan.count(), "axes": size, "first": plan.words(first)})
        return
    words = plan.words(first)
    print_table(
        ("axis", "values", "the first"), [(a, f"{size[a]:,}", str(words[a])) for a in AXES], ("values",)
    )
    click.echo(f"\n{plan.count():,} cells (no policy runs on hardware that it is not about)")


@sweep.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR|SPEC.toml")
@click.option(
    "--where", "wheres", multiple=True, metavar="COLUMN=VALUE", help="Only such rows; may be repeated."
)
@click.option("--columns", metavar="A,B,...", help="These columns, after the axes that vary.")
@click.option("--sort", metavar="COLUMN", help="By this column; -COLUMN: largest first  [default: the axes]")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=40,
    show_default=True,
    metavar="N",
    help="Rows to print; 0: all.",
)
@click.option("--sql", metavar="QUERY", help="A DuckDB query instead; the rows are the table `rows`.")
@click.option("--failed", is_flag=True, help="The cells that failed, with their errors.")
@options.as_json
def show(folder: Path, as_json: bool, **how: Any) -> None:
    """Print the rows of a sweep, finished or not."""
    from bench.sweeps import show as question  # noqa: PLC0415

    if folder.is_file():
        folder = _folder(_read(folder), None)
    found = question.show(folder, **how)
    if as_json:
        print_json(found.to_json())
        return
    rows = [
        [question.written(name, value) for name, value in zip(found.columns, row, strict=True)]
        for row in found.rows
    ]
    titles = [question.title(name) for name in found.columns]
    folded = ("trace", "scenario", "cost", "hardware", "error")
    print_table(titles, rows, right=[question.title(name) for name in found.numbers], whole=0,
                kept=[name for name in titles if name not in folded])  # fmt: skip
    if found.left_out:
        click.echo(f"... and {found.left_out:,} more (--limit 0 prints all)")
    click.echo()
    print_pairs(found.footer)


def _read(spec: Path) -> Plan:
    from bench.sweeps.spec import read_spec  # noqa: PLC0415

    return read_spec(spec)


def _folder(plan: Plan, out: Path | None) -> Path:
    from bench.rows import FOLDER  # noqa: PLC0415

    if out is not None and out.exists() and not out.is_dir():
        raise UsageError("cannot be written", out, "a folder", "a file")
    return out if out is not None else FOLDER / plan.name


def _told(done: Done, folder: Path) -> None:
    from bench.sweeps.live import duration  # noqa: PLC0415

    rate = f", {done.computed / done.seconds:,.0f} cells/s" if done.seconds > 0.1 and done.computed else ""
    took = duration(done.seconds) if done.seconds >= 1 else f"{done.seconds:.2f} s"
    words = [f"{done.computed:,} computed in {took}{rate}"]
    if done.before:
        words.append(f"{done.before:,} finished before")
    if done.failed:
        words.append(f"{done.failed:,} failed (`--retry-failed` computes them again)")
    if done.others:
        words.append(f"{done.others:,} rows of another spec or model beside them")
    click.echo(f"{done.cells:,} cells: {', '.join(words)}")
    click.echo(f"rows saved in {folder}\nnext:\n  smmubench sweep show {folder}")
