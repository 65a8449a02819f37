"""`smmubench sensitivity`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import ask, options, pictures
from bench.orderings import METRICS, ORDERINGS, SCENARIO
from bench.output import print_json, print_pairs, print_table
from bench.progress import say
from bench.units import show_count, show_ns, three_digits

if TYPE_CHECKING:
    from bench.sensitivity import Bar, Sensitivity, Tornado


@click.command()
@click.argument("trace", default=ask.TRACE)
@click.option(
    "--orderings",
    "names",
    multiple=True,
    metavar="O",
    help=f"{', '.join(ORDERINGS)}; may be repeated.  [default: all of them]",
)
@click.option(
    "--hardware",
    multiple=True,
    default=("mmu500",),
    show_default=True,
    metavar="H",
    help="Preset, perhaps changed: mmu500,tlb=256x8:random; may be repeated.",
)
@options.case
@options.threads
@options.as_json
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw the tornadoes into a .png or .svg file.",
)
def sensitivity(
    trace: str, names: tuple[str, ...], hardware: tuple[str, ...], scenario: str | None, threads: int,
    as_json: bool, out: Path | None, **asked: Any,
) -> None:  # fmt: skip
    """Tell over which part of each cost's range the headline orderings of the policies hold.

    One cost at a time goes through its range: CPI and clock, and each that is assumed or cited. Where an
    ordering flips, the flip is searched for. Without options, a bundled capture is replayed with a storm
    beside an innocent stream.
    """  # fmt: skip
    chosen = [ask.named("ordering", "--orderings", ORDERINGS, name) for name in dict.fromkeys(names)]
    chips = list({chip.name: chip for chip in ask.presets(hardware)}.values())
    pictures.check_target(out)
    case = ask.case(trace, scenario=scenario or SCENARIO, **asked)
    from bench import sensitivity as question  # noqa: PLC0415
    from bench.progress import Progress, announce_compilation  # noqa: PLC0415

    announce_compilation()
    with Progress("runs done") as runs, Progress("ranges searched for flips") as flips:
        made = question.sensitivity(case, chosen or list(ORDERINGS.values()), chips, threads, runs, flips)
    if out is not None:
        from bench.tornado import draw  # noqa: PLC0415

        draw(made, out)
        say(f"picture saved in {out}")
    if as_json:
        print_json(made.to_json())
        return
    _print(made)


def _print(made: Sensitivity) -> None:
    for tornado in made.tornadoes:
        _one(tornado)
        click.echo()
    from bench.table import case_footer  # noqa: PLC0415

    print_pairs(
        [
            *case_footer(made.manifest),
            ("varied", "one cost at a time, the others at their defaults; a flip and back within one part of "
                       "a range (low to default, default to high) is not seen"),
        ]
    )  # fmt: skip


def _one(tornado: Tornado) -> None:
    o, at = tornado.ordering, tornado.default
    metric = METRICS[o.metric]
    says = "holds" if at.holds else "does NOT hold"
    both = f"{show(at.less, metric.unit)} and {show(at.more, metric.unit)}"
    moved = show_signed(at.difference, metric.unit)
    claim = f"{o.formula} in {metric.title}: {both}, difference {moved}; with the default costs it {says}"
    print_pairs([(o.name, f"{o.claim}, on {tornado.hardware}"), ("", claim)])
    moving = [bar for bar in tornado.bars if bar.swing or not _same(bar)]
    if moving:
        headings = ("cost", "is", "low", "default", "high", "at low", "at high", "holds over")
        rows = [
            (bar.knob.name, bar.knob.tag, *(bar.knob.show(getattr(bar, n).value, "") for n in headings[2:5]),
             *(show_signed(point.difference, metric.unit) for point in (bar.low, bar.high)), bar.where)
            for bar in moving
        ]  # fmt: skip
        print_table(headings, rows, right=headings[2:-1])
    still = [bar.knob.name for bar in tornado.bars if bar not in moving]
    if still:
        print_pairs([("no effect", ", ".join(still))])


def _same(bar: Bar) -> bool:
    return bar.low.holds == bar.default.holds == bar.high.holds


def show(value: float, unit: str) -> str:
    """Write a value of a metric."""
    if not math.isfinite(value):
        return "never"
    if unit == "ns":
        return show_ns(value, "")
    return f"{three_digits(value)}%" if unit == "%" else show_count(int(value))


def show_signed(value: float, unit: str) -> str:
    """Write a difference of a metric: with its sign, zero without.

    Examples
    --------
    >>> show_signed(-1500, "ns"), show_signed(3, "deadlines"), show_signed(0, "%")
    ('-1.5us', '+3', '0')
    """
    if value == 0:
        return "0"
    return ("-" if value < 0 else "+") + show(abs(value), unit)
