"""`smmubench regress`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import options
from bench.errors import UsageError
from bench.output import print_json, print_table

if TYPE_CHECKING:
    from bench.golden.difference import Difference
    from bench.golden.matrix import Made

#: More lines than that are counted, not printed; `--json` has them all.
SHOWN = 40


@click.command()
@click.option(
    "--accept",
    is_flag=True,
    help="Keep the rows as they are now; a moved value needs a new line under Model changes.",
)
@click.option("--block", "names", multiple=True, metavar="B", help="Only this block; may be repeated.")
@click.option(
    "--golden",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the matrix and its rows are  [default: results/golden of the checkout]",
)
@click.option(
    "--changelog",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="[default: CHANGELOG.md of the checkout]",
)
@options.threads
@options.as_json
def regress(
    accept: bool, names: tuple[str, ...], golden: Path | None, changelog: Path | None, threads: int,
    as_json: bool,
) -> int:  # fmt: skip
    """Run the fixed matrix and compare its rows, for equality, with those kept in results/golden.

    Exit status 1 if any differs. A simulated result is the same on every machine, so a difference is a
    change of the model. About a minute.
    """
    from bench.golden import changelog as log  # noqa: PLC0415
    from bench.golden import difference, matrix, store  # noqa: PLC0415

    folder = golden or matrix.FOLDER
    blocks = matrix.read_matrix(folder)
    chosen = [block for block in blocks if not names or block.name in names]
    for name in names:
        if name not in [block.name for block in blocks]:
            known = f"one of {', '.join(block.name for block in blocks)}"
            raise UsageError("unknown block", "--block", known, repr(name))
    if accept and names:
        raise UsageError("cannot accept a part", "--accept", "no --block", ", ".join(names))
    kept = store.read_manifest(folder)
    if kept is None and not accept:
        raise UsageError("no golden results", folder, "manifest.json (made by --accept)", "none")
    # What is cheap to refuse is refused before a minute is spent.
    before = {block.name: store.read_rows(folder, block) for block in chosen}
    book = changelog or matrix.FOLDER.parents[1] / "CHANGELOG.md"
    lines = log.model_changes(book) if accept else ()
    made = _run(chosen, threads)
    found = [
        d for one in made for d in difference.differences(one.block.name, before[one.block.name], one.rows)
    ]
    strangers = _strangers(made, kept)
    if as_json:
        print_json({"rows": sum(len(one.rows) for one in made), "traces_changed": strangers,
                    "differences": [vars(d) for d in found]})  # fmt: skip
    elif kept is not None:
        _print(made, found, strangers)
    if not accept:
        return 1 if found or strangers else 0
    if not (found or strangers or kept is None):
        click.echo("smmubench: nothing to accept", err=True)
        return 0
    fresh = [line for line in lines if kept is None or line not in kept.model_changes]
    if kept is not None and not fresh and (strangers or any(d.moves for d in found)):
        raise UsageError("values moved without a word", f"{book}: {log.HEADING[4:]}",
                         "a new line that says what moved, by how much, and why", "none")  # fmt: skip
    written = store.write(folder, made, _manifest(made, lines))
    click.echo(f"smmubench: {len(written)} files written in {folder}", err=True)
    return 0


def _run(blocks: list[Any], threads: int) -> list[Made]:
    from bench.golden import matrix  # noqa: PLC0415
    from bench.progress import Progress, announce_compilation  # noqa: PLC0415

    announce_compilation()
    total = sum(matrix.cells(block) for block in blocks)
    made: list[Made] = []
    done = 0
    with Progress("golden rows") as progress:
        for block in blocks:
            made.append(matrix.run_block(block, threads, partial(_tell, progress, done, total)))
            done += len(made[-1].rows)
    return made


def _tell(progress: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _strangers(made: list[Made], kept: Any) -> list[str]:
    """Return the traces whose files are no longer the ones that the kept rows were made of."""
    known = {} if kept is None else kept.traces
    now = {one.block.trace: one.trace_sha256 for one in made}
    return [name for name, sha256 in now.items() if name in known and known[name] != sha256]


def _manifest(made: list[Made], lines: tuple[str, ...]) -> Any:
    from importlib.metadata import version  # noqa: PLC0415

    from bench.golden.store import Manifest  # noqa: PLC0415
    from smmucore.kernel import source_hash  # noqa: PLC0415

    traces = {one.block.trace: one.trace_sha256 for one in made}
    return Manifest(version("smmubench"), source_hash(), traces, lines)


def _print(made: list[Made], found: list[Difference], strangers: list[str]) -> None:
    for name in strangers:
        click.echo(f"trace {name}: not the file that the kept rows were made of")
    if found:
        headings = ("policy", "hardware", "block", "client", "counter", "before", "after")
        print_table(headings, [_line(d) for d in found[:SHOWN]], right=headings[-2:])
    if len(found) > SHOWN:
        click.echo(f"... and {len(found) - SHOWN:,} more (--json has all)")
    rows = sum(len(one.rows) for one in made)
    if not found:
        click.echo(f"{rows:,} rows of {len(made)} blocks: all equal to the golden results")
        return
    touched = len({(d.block, d.client, d.hardware, d.policy) for d in found})
    new = sum(not d.moves for d in found)
    click.echo(
        f"{rows:,} rows of {len(made)} blocks: {touched:,} differ, in {len(found):,} values ({new:,} new)"
    )


def _line(d: Difference) -> tuple[str, ...]:
    return (d.policy, d.hardware, d.block, d.client, d.counter, _show(d.before), _show(d.after))


def _show(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)
