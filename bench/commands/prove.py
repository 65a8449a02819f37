"""`smmubench policies prove` and `policies search`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench import ask, options
from bench.errors import UsageError
from bench.output import print_json
from smmucore.clients import CLIENTS
from smmucore.hardware import COMPARED, PRESETS

if TYPE_CHECKING:
    from bench.prove.cells import Row
    from smmucore.explored import Question

#: The speed yardstick's: its fault path is another's.
_LEFT_OUT = ("reference-39bit",)
#: Whether FSR is frozen during a stall is not settled (H5): where something can stall, both.
_BOTH = tuple(f"{chip.name},fsr_frozen_while_stalled=no" for chip in COMPARED)
ALL_HARDWARE = (*(name for name in PRESETS if name not in _LEFT_OUT), *_BOTH)


@click.command()
@click.argument("name", default="all")
@click.option(
    "--hardware",
    multiple=True,
    metavar="H",
    help="Preset, perhaps changed, or all; may be repeated.  [default: mmu500; of several policies "
    "those of `compare`]",
)
@click.option(
    "--client", multiple=True, metavar="C", help=f"Or all; may be repeated.  [default: {ask.CLIENT}]"
)
@click.option(
    "--cpus",
    type=click.Choice(["same", "split", "both"]),
    help="Interrupt and worker on one CPU, on a CPU each.  [default: split; of several policies both]",
)
@click.option(
    "--faults", type=click.IntRange(1, 6), default=3, show_default=True, metavar="N", help="Faults at most."
)
@click.option(
    "--banks",
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    metavar="B",
    help="Context banks; on one line with --hardware H,shared_line=yes.",
)
@click.option("--suspend", is_flag=True, help="The SMMU may fall asleep when it is idle (runtime PM).")
@click.option(
    "--break",
    "breaks",
    metavar="PROPERTY",
    help="Whose schedule to show, of the properties that are broken.  [default: the worst]",
)
@click.option("--full", is_flag=True, help="Show every step on a line of its own.")
@options.policy_files
@options.threads
@options.as_json
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Save the schedule, which `smmubench replay --schedule FILE` follows; of several cells the "
    "table, as CSV.",
)
def prove(
    name: str, hardware: tuple[str, ...], client: tuple[str, ...], cpus: str | None, faults: int, banks: int,
    suspend: bool, breaks: str | None, full: bool, policy_files: tuple[Path, ...], threads: int,
    as_json: bool, out: Path | None,
) -> None:  # fmt: skip
    """Prove what no schedule of a few faults can do under policy NAME, or under all.

    Every order in which the hardware and the CPUs can take their turns is visited, with the rules that replay
    uses; time plays no part. For one cell, the shortest schedule that breaks the worst property is shown.
    """
    own = ask.users(policy_files)
    many = name == "all"
    chosen = ask.chosen((), own) if many else [ask.policy(name, "policies prove", own)]
    chips = [ask.preset(text) for text in _all(hardware, ALL_HARDWARE)] or (
        ask.presets(()) if many else [ask.preset("mmu500")]
    )
    callers = [
        ask.named("client", "--client", CLIENTS, word)
        for word in _all(client, tuple(CLIENTS)) or (ask.CLIENT,)
    ]
    word = cpus or ("both" if many else "split")
    from bench.progress import Progress, announce_compilation  # noqa: PLC0415
    from bench.prove import cells  # noqa: PLC0415

    placed = ("split", "same") if word == "both" else (word,)
    asked = list(cells.questions(chosen, callers, chips, placed, faults, banks, suspend))
    if not asked:
        expected = "hardware that it is about (`policies show` says which)"
        raise UsageError(
            "nothing to prove", f"policy {name}", expected, ", ".join(chip.name for chip in chips)
        )
    if len(asked) > 1 and breaks is not None:
        raise UsageError("a schedule of several cells", "--break", "one policy, client, hardware and --cpus",
                         f"{len(asked)} cells")  # fmt: skip
    announce_compilation()
    began = time.monotonic()
    try:
        if len(asked) == 1:
            _one(*asked[0], breaks, full, as_json, out)
            return
        with Progress("cells proved") as progress:
            rows = cells.prove_all(asked, threads, progress)
    except cells.TooManyStatesError as error:
        raise UsageError("too large", "--faults, --banks", "fewer", str(error)) from None
    seconds = time.monotonic() - began
    if out is not None:
        cells.write_csv(rows, out)
    if as_json:
        print_json({"manifest": manifest(rows), "rows": [row.to_json() for row in rows]})
        return
    from bench.prove.show import print_rows  # noqa: PLC0415

    print_rows(rows, seconds)
    if out is not None:
        click.echo(f"\ntable saved in {out}")


@click.command()
@click.option(
    "--hardware",
    multiple=True,
    metavar="H",
    help="Where a handler has to be safe; may be repeated.  [default: those of `compare`]",
)
@click.option(
    "--faults",
    type=click.IntRange(1, 4),
    default=3,
    show_default=True,
    metavar="N",
    help="Faults of a proof at most.",
)
@options.threads
@options.as_json
def search(hardware: tuple[str, ...], faults: int, threads: int, as_json: bool) -> None:
    """Prove every handler of a small grammar, and show those that are safe and that no other beats.

    The grammar: FSR or FAR is read first; SS is in the mask or not; REPORT, CLEAR (bits read, all, or after
    one more read) and RESUME in every order with REPORT before RESUME; CFIE is masked meanwhile or not; in a
    hard interrupt or a thread, with or without a worker. Takes a minute or two.
    """
    chips = [chip for chip in ask.presets(hardware) if not chip.events]
    if not chips:
        raise UsageError("nothing to prove", "--hardware", "hardware with context banks", ", ".join(hardware))
    from bench.progress import Progress, announce_compilation  # noqa: PLC0415
    from bench.prove.search import search as find  # noqa: PLC0415

    announce_compilation()
    began = time.monotonic()
    with Progress("handlers proved") as progress:
        made = find(chips, faults, threads, progress)
    if as_json:
        print_json({"hardware": [chip.name for chip in chips], "faults": faults, **made.to_json()})
        return
    from bench.prove.show import print_search  # noqa: PLC0415

    print_search(made, [chip.name for chip in chips], faults, time.monotonic() - began)


def _all(words: tuple[str, ...], every: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for word in words for name in (every if word == "all" else (word,))))


def manifest(rows: list[Row]) -> dict[str, object]:
    """Return what proofs rest on: no time, and nothing of this machine."""
    from bench.prove.cells import made_by  # noqa: PLC0415

    first = rows[0]
    return {
        "faults": first.faults,
        "banks": first.banks,
        "sleeps": first.sleeps,
        "cells": len(rows),
        "states": sum(row.states for row in rows),
        "moves": sum(row.moves for row in rows),
        **made_by(),
    }


def _one(
    asked: Question, alike: tuple[str, ...], breaks: str | None, full: bool, as_json: bool, out: Path | None
) -> None:
    from bench.progress import PATIENCE_S, say  # noqa: PLC0415
    from bench.prove import cells, schedules  # noqa: PLC0415
    from bench.prove.properties import PROPERTIES  # noqa: PLC0415

    if breaks is not None and breaks not in PROPERTIES:
        raise UsageError("unknown property", "--break", f"one of {', '.join(PROPERTIES)}", repr(breaks))
    began = time.monotonic()

    def tell(states: int) -> None:
        if time.monotonic() - began > PATIENCE_S:
            say(f"{states:,} states so far")

    proof = cells.prove_one(asked, progress=tell)
    seconds = time.monotonic() - began
    row = cells.row_of(proof, alike)
    worst = breaks or next(iter(proof.broken), None)
    if worst is not None and worst not in proof.broken:
        found = f"one that is broken: {', '.join(proof.broken) or 'none is'}"
        raise UsageError("nothing to show", "--break", found,
                         repr(worst))  # fmt: skip
    schedule = schedules.schedule_of(proof, worst) if worst else None
    if out is not None:
        if schedule is None:
            raise UsageError("no schedule to save", "--out", "a broken property", "that all hold")
        schedules.write(schedule, out)
    if as_json:
        print_json({
            "manifest": manifest([row]),
            "rows": [row.to_json()],
            "schedule": schedule.to_json() if schedule else None,
        })  # fmt: skip
        return
    from bench.prove.show import print_proof  # noqa: PLC0415

    print_proof(proof, row, schedule, seconds, full)
    if out is not None:
        click.echo(f"\nschedule saved in {out}\nnext:\n  smmubench replay --schedule {out}")
        click.echo(f"  smmubench explain --schedule {out}")
