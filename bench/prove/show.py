"""Proofs on the terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import click

from bench.output import console, print_pairs, print_table
from bench.prove.cells import Row
from bench.prove.properties import PROPERTIES, Proof
from bench.prove.schedules import Schedule
from bench.prove.search import Found, Search
from bench.prove.words import Told
from bench.table import shape_of
from bench.units import show_ns
from smmucore.hardware import find

#: Steps that change nothing outside their pass.
_QUIET = ("READ", "CHECK", "LOG", "SPEND", "enters the handler")
#: Columns of a schedule, and what stands before its cycle.
HEADINGS = ("step", "who", "what → what changed")
FOR_EVER = "and from here for ever:"


def print_rows(rows: Sequence[Row], seconds: float) -> None:
    """Print many cells, and what they took."""
    encoding = console().encoding
    clients = {row.client for row in rows}
    headings = ("policy", *(("client",) if len(clients) > 1 else ()), "CPUs", "proved", "IRQs", "broken")
    endless = "∞" if encoding.lower().startswith("utf") else "no end"
    by_chip: dict[str, list[tuple[str, ...]]] = {}
    for row in _both_together(rows):
        shape, _ = shape_of(row.verdict, encoding)
        by_chip.setdefault(row.hardware, []).append(
            (
                row.policy,
                *((row.client,) if len(clients) > 1 else ()),
                row.cpus,
                f"{shape} {row.verdict}",
                endless if row.entries is None else str(row.entries),
                ", ".join(row.broken) or "-",
            )
        )
    for chip, cells in by_chip.items():
        only = f", client {rows[0].client}" if len(clients) == 1 else ""
        click.echo(f"{chip}  {find(chip).title}{only}")
        print_table(headings, cells, ("IRQs",), whole=len(headings) - 1)
        click.echo()
    print_pairs(footer(rows, seconds))


def _both_together(rows: Sequence[Row]) -> list[Row]:
    """Put two rows of a policy and client into one, where the CPUs make no difference."""
    made: list[Row] = []
    for row in rows:
        if made:
            alike = replace(row, cpus=made[-1].cpus, states=made[-1].states, moves=made[-1].moves)
            if alike == made[-1]:
                made[-1] = replace(alike, cpus="either")
                continue
        made.append(row)
    return made


def footer(rows: Sequence[Row], seconds: float) -> list[tuple[str, str]]:
    """Return what a table of proofs rests on."""
    first = rows[0]
    seen = {name for row in rows for name in row.broken}
    states, moves = (sum(getattr(row, what) for row in rows) for what in ("states", "moves"))
    return [
        (
            "proved",
            f"every order of up to {first.faults} faults on {_banks(first)}; the worst that a run may show",
        ),
        ("CPUs", "interrupt and worker on a CPU each (split), on the same, or either"),
        ("IRQs", f"hard interrupts at most, for all {first.faults} faults; or there is no bound"),
        *((name, PROPERTIES[name]) for name in PROPERTIES if name in seen),
        ("took", f"{len(rows):,} cells, {states:,} states, {moves:,} moves, {seconds:.1f} s"),
    ]


def _banks(row: Row) -> str:
    banks = "one context bank" if row.banks == 1 else f"{row.banks} context banks"
    return banks + (", and the SMMU may sleep" if row.sleeps else "")


def print_proof(proof: Proof, row: Row, schedule: Schedule | None, seconds: float, full: bool) -> None:
    """Print one cell: its properties, and a schedule that breaks one."""
    asked = proof.graph.question
    shape, _ = shape_of(row.verdict, console().encoding)
    alike = f" (and {', '.join(row.alike)}: the same steps)" if row.alike else ""
    print_pairs(
        [
            ("policy", f"{asked.policy.id} {asked.policy.name}"),
            ("client", f"{row.client}{alike}"),
            ("hardware", f"{row.hardware}  {asked.hardware.title}"),
            ("CPUs", f"interrupt and worker on {'one CPU' if asked.same_cpu else 'a CPU each'}"),
            ("bounds", f"every order of up to {row.faults} faults, {_banks(row)}"),
            ("states", f"{row.states:,}, and {row.moves:,} moves between them, in {seconds:.2f} s"),
            (
                "proved",
                f"{shape} {row.verdict}" + (", until the line is disabled" if row.line_disabled else ""),
            ),
        ]
    )
    click.echo()
    print_table(("property", "holds", "broken means"), [_property(name, row) for name in PROPERTIES])
    most = "no bound" if row.entries is None else f"at most {row.entries} for {row.faults} faults"
    click.echo(f"\nhard interrupts: {most}")
    if schedule is not None:
        click.echo(f"\nshortest schedule that breaks {schedule.breaks}:")
        print_steps(schedule.steps, schedule.repeats_from, full)
        print_pairs([("then", schedule.state)])


def _property(name: str, row: Row) -> tuple[str, str, str]:
    return name, "no" if name in row.broken else "yes", PROPERTIES[name]


def print_steps(steps: Sequence[Told], repeats_from: int = -1, full: bool = False) -> None:
    """Print numbered steps; unless `full`, reads and prints in a row that change nothing share a line."""
    rows: list[tuple[str, str, str]] = []
    for first, end in stretches(steps, repeats_from, full):
        if first == repeats_from:
            rows.append(("", "", FOR_EVER))
        number, who, text = said(steps, first, end)
        then = steps[end - 1].then
        rows.append((number, who, text + (f" → {then}" if then else "")))
    print_table(HEADINGS, rows, right=HEADINGS[:1], whole=2)


def stretches(
    steps: Sequence[Told], repeats_from: int = -1, full: bool = False, apart: Collection[int] = ()
) -> Iterator[tuple[int, int]]:
    """Yield the steps that share a line, as (first, end); behind those in `apart` a line ends."""
    first = 0
    while first < len(steps):
        end = first + 1
        while not full and end < len(steps) and end != repeats_from and _joins(steps[end - 1], steps[end]):
            if end - 1 in apart:
                break
            end += 1
        yield first, end
        first = end


def said(steps: Sequence[Told], first: int, end: int) -> tuple[str, str, str]:
    """Return number, who and what of the steps of a line."""
    words = [step.what for step in steps[first:end]]
    text = ", ".join(words) if len(words) < 4 else f"{words[0]} .. {words[-1]}"
    return str(first + 1) if end == first + 1 else f"{first + 1}-{end}", steps[first].who, text


def _joins(before: Told, step: Told) -> bool:
    quiet = before.what.startswith(_QUIET) and step.what.startswith(_QUIET)
    return before.who == step.who and not before.then and quiet


def print_search(made: Search, chips: Sequence[str], faults: int, seconds: float) -> None:
    """Print what a search found."""
    headings = ("CPU a fault", "unreported", "alike", "handler")
    titles = {"hard": "in the hard interrupt, where a client cannot sleep", "threaded": "in a ONESHOT thread"}
    for context, found in made.front.items():
        click.echo(f"Nothing safe beats these {titles[context]}:")
        print_table(headings, [_found(one) for one in found], headings[:3], whole=3)
        click.echo()
    click.echo("Mainline in the same terms:")
    print_table(headings, [_found(one) for one in made.beside], headings[:3], whole=3)
    click.echo()
    out = ", ".join(f"{name} {count:,}" for name, count in made.ruled_out.items())
    print_pairs(
        [
            ("handlers", f"{made.candidates:,} in the grammar, {made.safe:,} safe on {', '.join(chips)}"),
            ("ruled out", f"by the first property found broken: {out}; up to {faults} faults, client none"),
            (
                "CPU a fault",
                "of 40 faults 200 us apart, summed over the parts; profile mobile-big, no console",
            ),
            ("unreported", "of 400 accesses 1 us apart: address never read, or ended by HUPCF=0; summed"),
            ("alike", "safe handlers with the same two figures"),
            ("took", f"{seconds:.1f} s"),
        ]
    )


def _found(one: Found) -> tuple[str, ...]:
    mark = "" if one.safe else "not safe: "
    return show_ns(one.cpu_ns), str(one.lost), str(one.alike), mark + one.name
