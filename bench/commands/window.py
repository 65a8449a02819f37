"""`smmubench window`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import ask, options, pictures
from bench.output import print_json, print_pairs, print_table
from bench.progress import say
from bench.units import exact_ns, positive_count, positive_duration, show_ns

if TYPE_CHECKING:
    from bench.window import Curves, Window

FAULTS = "1000"


@click.command()
@click.argument("trace", default=ask.TRACE)
@click.option(
    "--gap",
    "gaps",
    multiple=True,
    metavar="G",
    help="Time from one fault to the next; may be repeated.  [default: 100ns to 100us, 24 a decade]",
)
@click.option("--faults", default=FAULTS, show_default=True, metavar="N", help="Faults of a burst.")
@options.case_but_scenario
@options.threads
@options.as_json
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw the curves into a .png or .svg file.",
)
def window(
    trace: str,
    gaps: tuple[str, ...],
    faults: str,
    threads: int,
    as_json: bool,
    out: Path | None,
    **asked: Any,
) -> None:
    """Show what faults do that come between a handler's read of FSR and its clear, by their distance.

    A burst is played on TRACE with each gap. Counted are the RESUMEs that an MMU-500 ignores because of a
    MULTI that the clear has left, with FSR frozen while a transaction is stalled and with FSR not frozen; and
    the ghosts, entries with MULTI alone, where nothing can stall.
    """
    wanted = [positive_duration(gap, "--gap") for gap in gaps]
    number = positive_count(faults, "--faults")
    pictures.check_target(out)
    case = ask.case(trace, **asked)
    from bench import window as question  # noqa: PLC0415
    from bench.progress import Progress, announce_compilation  # noqa: PLC0415

    announce_compilation()
    with Progress("gaps done") as progress:
        made = question.window(case, wanted or question.GAPS, number, threads, progress)
    if out is not None:
        from bench.window_picture import draw  # noqa: PLC0415

        draw(made, out)
        say(f"picture saved in {out}")
    if as_json:
        print_json(made.to_json())
        return
    _print(made)


def _print(made: Window) -> None:
    from bench.table import case_footer  # noqa: PLC0415
    from bench.window import NOT_SETTLED, WHY_NOT_MMU500  # noqa: PLC0415

    for curves in made.curves:
        _one(made, curves)
        click.echo()
    first, last = (show_ns(made.gaps[k]) for k in (0, -1))
    print_pairs(
        [
            *case_footer(made.manifest),
            ("gaps", f"{len(made.gaps)}, {first} to {last}; those at which all are 0 are left out"),
            ("ghosts", f"irq_spurious; {WHY_NOT_MMU500}"),
            ("not settled", NOT_SETTLED),
        ]
    )


def _one(made: Window, curves: Curves) -> None:
    panel = curves.panel
    print_pairs([(panel.name, f"{panel.what} ({panel.counter}), on {panel.hardware}: {panel.title}")])
    columns = [curves.values(policy) for policy in panel.policies]
    rows = [
        (exact_ns(gap), *(str(column[k]) for column in columns))
        for k, gap in enumerate(made.gaps)
        if any(column[k] for column in columns)
    ]
    if rows:
        print_table(("gap", *panel.policies), rows, right=("gap", *panel.policies))
    else:
        print_pairs([("", f"{', '.join(panel.policies)}: 0 at every gap")])
