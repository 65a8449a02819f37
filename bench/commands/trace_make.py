"""`smmubench traces make`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import options
from bench.errors import UsageError
from bench.output import print_json, print_table

if TYPE_CHECKING:
    from traces.synthetic.parts import Parameter

#: As in `traces.synthetic.make`, which loads numpy.
SEEDS = 1 << 63


@click.command()
@click.argument("kind", required=False)
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="The trace to write.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set a parameter; may be repeated."
)
@click.option("--seed", type=click.IntRange(0, SEEDS - 1), default=0, show_default=True)
@click.option("--list", "listed", is_flag=True, help="List the kinds; with KIND, its parameters.")
@options.as_json
def make(
    kind: str | None, out: Path | None, settings: tuple[str, ...], seed: int, listed: bool, as_json: bool
) -> None:
    """Make a synthetic trace of KIND: an access pattern by formula, no recording.

    The same kind, parameters and seed give the same events on every machine. `mix` takes several kinds
    at once: --set parts=copy+scanout, and --set copy.size=8M for one of them.
    """
    if listed:
        _list(kind, as_json)
        return
    if kind is None:
        raise UsageError("no kind of trace", "traces make", "a kind, such as those of --list", "none")
    if out is None:
        raise UsageError("no file", "traces make", "-o FILE", "none")
    from bench import rows  # noqa: PLC0415
    from bench.progress import Progress  # noqa: PLC0415
    from traces.synthetic.make import plan, write  # noqa: PLC0415

    rows.check_target(out)
    planned = plan(kind, settings, seed)
    with Progress("events written") as progress:
        manifest = write(planned, out, progress)
    if as_json:
        print_json({"trace": str(out), **manifest.model_dump(exclude_none=True)})
        return
    events = sum(manifest.counts.values())
    click.echo(f"saved {out}: {events:,} events\nnext:\n  smmubench traces stats {out}")


def _list(kind: str | None, as_json: bool) -> None:
    from traces.synthetic import mix  # noqa: PLC0415
    from traces.synthetic.registry import KINDS, MIX, MIX_TITLE, PARTS, find, parameters  # noqa: PLC0415

    if kind == MIX:
        found: list[tuple[Any, ...]] = [
            ("parts", PARTS, "kinds joined by +", "a kind's second is called KIND2; PART.key sets a part's"),
            ("spaces", mix.SPACES[0], " or ".join(mix.SPACES), "whether each part has a space of its own"),
            *(_row(p) for p in mix.WHOLE),
        ]
    elif kind is not None:
        find(kind)
        found = [_row(p) for p in parameters(kind)]
    elif as_json:
        kinds = [(k.name, k.title, [_json(p) for p in parameters(k.name)]) for k in KINDS.values()]
        print_json({"kinds": [{"name": n, "title": t, "parameters": ps} for n, t, ps in kinds]})
        return
    else:
        print_table(("kind", "what"), [*((k.name, k.title) for k in KINDS.values()), (MIX, MIX_TITLE)])
        click.echo("\n`smmubench traces make KIND --list` shows a kind's parameters")
        return
    headings = ("parameter", "default", "range", "meaning")
    if as_json:
        print_json({"kind": kind, "parameters": [dict(zip(headings, row, strict=True)) for row in found]})
        return
    print_table(headings, found)


def _row(p: Parameter) -> tuple[str, ...]:
    power = ", a power of two" if p.power else ""
    return p.name, f"{p.default:,}", f"{p.low:,} to {p.high:,} {p.unit}{power}", p.meaning


def _json(p: Parameter) -> dict[str, Any]:
    return {"name": p.name, "default": p.default, "low": p.low, "high": p.high, "unit": p.unit,
            "power_of_two": p.power, "meaning": p.meaning}  # fmt: skip
