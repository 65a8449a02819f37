"""`smmubench perf`: the wall-clock benchmarks."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench import options
from bench.errors import UsageError
from bench.output import print_json, print_pairs, print_table

if TYPE_CHECKING:
    from bench.perf.verdicts import Verdict

LEAST_HELP = "Relative difference of medians below which nothing is claimed."


@click.group()
def perf() -> None:
    """Time the suite itself with pyperf, and tell whether two timings differ."""


@perf.command("list")
@click.argument("script", nargs=-1)
@options.as_json
def list_scripts(script: tuple[str, ...], as_json: bool) -> None:
    """List the scripts and their benchmarks, or those of some scripts (`translate`, `faults` ...).

    Each script runs alone, too (`python bench/bm_translate.py --help`).
    """
    from bench.perf import scripts  # noqa: PLC0415

    made = [
        (name.removeprefix("bm_"), _what(scripts.ROOT / "bench" / f"{name}.py"),
         [(one.name, one.unit) for one in scripts.benchmarks(name)])
        for name in scripts.choose(script)
    ]  # fmt: skip
    if as_json:
        print_json([{"script": name, "what": what,
                     "benchmarks": [{"name": benchmark, "per": unit} for benchmark, unit in inside]}
                    for name, what, inside in made])  # fmt: skip
        return
    print_table(("script", "what it times"), [(name, what) for name, what, _ in made])
    click.echo()
    rows = [(name, benchmark, unit) for name, _, inside in made for benchmark, unit in inside]
    print_table(("script", "benchmark", "per"), rows)


@perf.command()
@click.argument("script", nargs=-1)
@click.option("--fast", is_flag=True, help="pyperf's rough answer.")
@click.option("--rigorous", is_flag=True, help="pyperf's longer run.")
@click.option("--only", metavar="WORD", help="Only benchmarks with WORD in their names.")
@click.option("-p", "--processes", type=click.IntRange(1, 1000), metavar="N", help="Processes a benchmark.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="pyperf's JSON  [default: a new name in runs/]",
)
def run(
    script: tuple[str, ...], fast: bool, rigorous: bool, only: str | None, processes: int | None,
    out: Path | None,
) -> None:  # fmt: skip
    """Run the suite, or some scripts of it (`translate`, `faults` ...), into one pyperf file."""
    if fast and rigorous:
        raise UsageError("both at once", "--fast", "not beside --rigorous", "both")
    from bench import rows  # noqa: PLC0415
    from bench.perf import scripts  # noqa: PLC0415
    from bench.progress import announce_compilation, say  # noqa: PLC0415

    chosen = scripts.choose(script)
    rows.check_target(out)
    target = out or _free()
    if target.exists():
        raise UsageError("is there already", target, "a new file", "one")
    announce_compilation()
    arguments = [word for word, wanted in (("--fast", fast), ("--rigorous", rigorous)) if wanted]
    arguments += [] if only is None else ["--only", only]
    arguments += [] if processes is None else ["-p", str(processes)]
    beside = target.with_name(f".{target.name}.part")
    beside.unlink(missing_ok=True)
    ran = False
    try:
        for number, name in enumerate(chosen, 1):
            say(f"{name}.py, {number} of {len(chosen)}")
            ran = scripts.run(name, beside, arguments) or ran
        if not ran:
            raise UsageError("no such benchmark", "--only", "a part of a benchmark's name", repr(only))
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
    click.echo(
        f"saved {target}\nnext:\n  smmubench perf compare {target} OTHER\n  smmubench history add {target}"
    )


@perf.command()
@click.argument("before", type=click.Path(path_type=Path), metavar="A")
@click.argument("after", type=click.Path(path_type=Path), metavar="B")
@click.option("--least", type=click.FloatRange(0.0, 10.0), default=0.05, show_default=True, help=LEAST_HELP)
@options.as_json
def compare(before: Path, after: Path, least: float, as_json: bool) -> int:
    """Compare two pyperf files: pyperf's table, and our verdict beside it.

    Exit status 1 if something is slower. A verdict counts a process once, and is corrected over the suite.
    """
    return _compare(before, after, least, as_json, interleaved=None)


@perf.command()
@click.argument("before", metavar="REV1")
@click.argument("after", metavar="REV2")
@click.option("--script", "wanted", multiple=True, metavar="S", help="Only this script; may be repeated.")
@click.option("--only", metavar="WORD", help="Only benchmarks with WORD in their names.")
@click.option(
    "--rounds",
    type=click.IntRange(5, 1000),
    default=8,
    show_default=True,
    metavar="N",
    help="Processes a benchmark and revision.",
)
@click.option("--least", type=click.FloatRange(0.0, 10.0), default=0.05, show_default=True, help=LEAST_HELP)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help="Keep both pyperf files here."
)
@options.as_json
def ab(
    before: str, after: str, wanted: tuple[str, ...], only: str | None, rounds: int, least: float,
    out: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """Check two revisions out, run them in turn (A B, B A, ...), and compare.

    Each has a work tree of its own, and runs with this environment's packages. What drifts on the host
    drifts for both.
    """
    from bench.perf import rounds as turns  # noqa: PLC0415
    from bench.progress import Progress  # noqa: PLC0415

    with ExitStack() as stack:
        folder = out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="smmubench-ab-")))
        if out is not None:
            _empty(out)
        trees = [
            stack.enter_context(turns.worktree(revision, where))
            for revision, where in ((before, "REV1"), (after, "REV2"))
        ]
        outs = [folder / "A.json", folder / "B.json"]
        arguments = ["-n", "3", *([] if only is None else ["--only", only])]
        with Progress("scripts run") as progress:
            turns.interleave(trees, outs, rounds, wanted, arguments, progress)
        return _compare(outs[0], outs[1], least, as_json, interleaved=True)


def _compare(before: Path, after: Path, least: float, as_json: bool, interleaved: bool | None) -> int:
    from bench.perf import files, verdicts  # noqa: PLC0415

    suites = [files.load(path) for path in (before, after)]
    samples = [files.samples(suite) for suite in suites]
    found = verdicts.judge(samples[0], samples[1], least=least)
    if not found:
        raise UsageError("nothing in common", f"{before} and {after}", "a benchmark that both have", "none")
    alone = [name for one, other in (samples, samples[::-1]) for name in one if name not in other]
    in_turn = files.interleaved(*suites) if interleaved is None else interleaved
    notes = files.difference(*suites)
    if as_json:
        print_json({"clock": "wall", "least": least, "level": verdicts.LEVEL,
                    "interleaved": in_turn, "differs": notes, "only_in_one": alone,
                    "rows": [v.to_json() for v in found]})  # fmt: skip
    else:
        _table(before, after, found, least, in_turn, notes, alone)
    return 1 if any(v.verdict == verdicts.SLOWER for v in found) else 0


def _table(
    before: Path, after: Path, found: list[Verdict], least: float, in_turn: bool, notes: list[str],
    alone: list[str],
) -> None:  # fmt: skip
    from bench.perf import verdicts  # noqa: PLC0415
    from bench.perf.words import seconds  # noqa: PLC0415

    click.echo("pyperf says (means, t-test of every value):", err=False)
    command = [sys.executable, "-m", "pyperf", "compare_to", str(before), str(after), "--table"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    click.echo(done.stdout.strip() or done.stderr.strip())
    click.echo("\nwe say (medians of processes):")
    rows = [
        (v.name, seconds(v.before), seconds(v.after), f"{v.ratio:.3f}",
         f"{v.processes[0]}, {v.processes[1]}", "" if v.p is None else f"{v.p:.2g}", v.verdict)
        for v in found
    ]  # fmt: skip
    headings = ("benchmark", "A", "B", "B/A", "processes", "p", "verdict")
    print_table(headings, rows, right=headings[1:-1], whole=0, kept=headings[1:])
    counts = [f"{sum(v.verdict == one for v in found)} {one}" for one in
              (verdicts.SLOWER, verdicts.FASTER, verdicts.SAME, verdicts.FEW)]  # fmt: skip
    by = f"Mann-Whitney, corrected over the suite (Benjamini-Hochberg, {verdicts.LEVEL:.0%})"
    pairs = [("verdict", ", ".join(counts)), ("claimed", f"{by}, and medians {least:.0%} or more apart")]
    if not in_turn:
        pairs.append(
            ("beware", "A and B did not run in turn: the host may have changed (`perf ab` takes turns)")
        )
    pairs += [("differs", note) for note in notes] + [("only in one", name) for name in alone]
    click.echo()
    print_pairs(pairs)


def _what(path: Path) -> str:
    import ast  # noqa: PLC0415

    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0]


def _free() -> Path:
    from bench.rows import FOLDER  # noqa: PLC0415
    from smmucore.kernel import source_hash  # noqa: PLC0415

    number = 1
    while (path := FOLDER / f"perf-{source_hash()}-{number}.json").exists():
        number += 1
    return path


def _empty(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError("cannot be made", folder, "a folder", error.strerror or str(error)) from None
    if any((folder / name).exists() for name in ("A.json", "B.json")):
        raise UsageError("is there already", folder, "a folder without A.json and B.json", "one with")
