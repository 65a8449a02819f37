"""`smmubench report` and `smmubench answer`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import ask, options, pictures, profiles
from bench.errors import UsageError, unknown
from bench.output import print_json, print_pairs, print_table
from bench.progress import say

if TYPE_CHECKING:
    from bench.answers.base import Answer, Asking
    from bench.report.page import Report

_QUESTIONS = 15

_ASKED = (
    click.option(
        "--trace", default=ask.TRACE, show_default=True, metavar="TRACE", help="A file or a bundled trace."
    ),
    click.option(
        "--costs",
        default=profiles.COSTS,
        show_default=True,
        metavar="F",
        help="Cost profile, or a cost file of your own.",
    ),
    click.option("--seed", type=click.IntRange(0, (1 << 63) - 1), default=0, show_default=True),
    click.option(
        "--quick", is_flag=True, help="Fewer points, for a first look: half a minute instead of two."
    ),
    click.option("--against", metavar="RUN", help="Saved runs of other code, for question 15."),
    options.threads,
)


def _asked(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_ASKED):
        command = option(command)
    return command


@click.command()
@click.argument("run", required=False, metavar="[RUN|SWEEP]")
@click.option("--questions", metavar="LIST", help="Some of the fifteen only, such as 1,2,5.")
@_asked
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    metavar="FILE",
    help="The page to write.",
)
def report(run: str | None, questions: str | None, out: Path, **asked: Any) -> None:
    """Write one HTML file with every answer, its figure, its rows and what it rests on.

    Without RUN, what the fifteen questions take is run (two minutes). RUN is what `compare -o` or `replay -o`
    saved, a folder of such files, or a sweep's folder: the page then shows those runs. The file needs no
    network, and can be sent as it is.
    """
    from bench import rows  # noqa: PLC0415

    wanted = _numbers(questions)
    rows.check_target(out)
    if run is not None:
        if questions is not None:
            raise UsageError("two things asked for", "--questions", "either RUN or --questions", f"RUN {run}")
        from bench.report.runs import report as of_runs  # noqa: PLC0415

        made = of_runs(run)
    else:
        made = _of_questions(wanted, asked)
    from bench.report.page import render, write  # noqa: PLC0415

    write(render(made), out)
    size = out.stat().st_size / 1e6
    click.echo(f"saved {out}: {len(made.sections)} figures, {len(made.headline)} runs, {size:.1f} MB")


def _of_questions(wanted: list[int], asked: dict[str, Any]) -> Report:
    import shlex  # noqa: PLC0415

    from bench.answers import QUESTIONS, headline  # noqa: PLC0415
    from bench.report import provenance  # noqa: PLC0415
    from bench.report.page import Report, section  # noqa: PLC0415

    left_out = []
    if asked["against"] is None and 15 in wanted:
        wanted = [n for n in wanted if n != 15]
        left_out.append(
            (f"15. {QUESTIONS[15].text}", "smmubench answer 15 --against RUN: it needs saved runs")
        )
    at = provenance.commit()
    sections, used = [], []
    for number in wanted:
        answer = _answer(number, asked)
        used += answer.manifest.get("hardware", [])
        sections.append(section(answer, at))
    asking = _asking(asked)
    runs, _, _, manifest = headline.rows(asking)
    costs = [made for made in [provenance.costs(manifest["costs"], manifest["console"])] if made is not None]
    words = ["smmubench", "report", *asking.words()]
    return Report(
        "smmubench: the fifteen questions",
        runs,
        sections,
        manifest,
        provenance.hardware([*runs["hardware"], *used]),
        costs,
        at,
        shlex.join(words),
        left_out,
    )


@click.command()
@click.argument("number", type=click.IntRange(1, _QUESTIONS), required=False)
@_asked
@options.as_json
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the figure (.png, .svg) or the rows (.csv).",
)
def answer(number: int | None, as_json: bool, out: Path | None, **asked: Any) -> None:
    """Answer question NUMBER of the fifteen: its table, and with -o its figure or its rows.

    Without a number the questions are listed.
    """
    if number is None:
        _list(as_json)
        return
    _check(out)
    made = _answer(number, asked)
    if out is not None:
        _save(made, out)
    if as_json:
        print_json(made.to_json())
        return
    click.echo(f"{number}. {made.question.text}\n")
    print_table(made.headings, made.table)
    click.echo()
    from bench.report import provenance  # noqa: PLC0415

    print_pairs(
        [
            *((f"note {k}", note) for k, note in enumerate(made.notes, 1)),
            *provenance.pairs(made.manifest, provenance.commit()),
        ]
    )
    if out is None:
        click.echo(f"\nnext:\n  {made.command} -o q{number}.svg\n  smmubench report")


def _answer(number: int, asked: dict[str, Any]) -> Answer:
    from bench.answers import QUESTIONS  # noqa: PLC0415
    from bench.progress import Progress, announce_compilation  # noqa: PLC0415

    announce_compilation()
    with Progress(f"runs of question {number} done") as progress:
        return QUESTIONS[number].answer(_asking({**asked, "progress": progress}))


def _asking(asked: dict[str, Any]) -> Asking:
    from bench.answers import Asking  # noqa: PLC0415

    return Asking(**asked)


def _list(as_json: bool) -> None:
    from bench.answers import QUESTIONS  # noqa: PLC0415

    if as_json:
        print_json(
            [{"number": q.number, "question": q.text, "asked_by": q.asked_by} for q in QUESTIONS.values()]
        )
        return
    print_table(
        ("", "question", "asked by"),
        [(str(q.number), q.text, q.asked_by) for q in QUESTIONS.values()],
        right=("",),
    )


def _numbers(text: str | None) -> list[int]:
    if text is None:
        return list(range(1, _QUESTIONS + 1))
    made = []
    for word in text.split(","):
        if not (word.isascii() and word.isdigit() and 1 <= int(word) <= _QUESTIONS):
            raise unknown("question", "--questions", map(str, range(1, _QUESTIONS + 1)), word)
        made.append(int(word))
    return sorted(set(made))


def _check(out: Path | None) -> None:
    if out is None:
        return
    if out.suffix.lower() != ".csv":
        pictures.check_target(out)
        return
    from bench import rows  # noqa: PLC0415

    rows.check_target(out)


def _save(made: Answer, out: Path) -> None:
    if out.suffix.lower() == ".csv":
        from bench.report.page import write  # noqa: PLC0415

        write(made.frame.to_csv(index=False, lineterminator="\n"), out)
    else:
        pictures.save(made.figure(), out)
    say(f"saved {out}")
