"""`smmubench compare` and `smmubench replay`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import ask, options
from bench.commands import schedules
from bench.errors import UsageError
from bench.output import console, print_json, print_pairs, print_table
from bench.profiles import Asked
from bench.progress import say
from bench.units import show_ns
from smmucore.clients import CLIENTS

if TYPE_CHECKING:
    from bench.grid import Result
    from bench.policy_files import UserPolicy
    from bench.run import Row
    from smmucore.policies import Policy

STARVING = "burst:n=200,gap=500ns+heartbeat:every=20us"


@click.command()
@click.argument("trace", default=ask.TRACE)
@options.axes
@options.policy_files
@options.case
@options.threads
@options.output
def compare(
    trace: str, policy: tuple[str, ...], hardware: tuple[str, ...], policy_files: tuple[Path, ...],
    scenario: str | None, threads: int, as_json: bool, out: Path | None, **asked: Any,
) -> None:  # fmt: skip
    """Replay TRACE under each policy on each hardware, and print the headline table.

    Beside each verdict stands the worst one that any order of up to three faults can have: `policies prove`.

    TRACE is a file or the name of a bundled trace. Without options, a bundled capture is replayed with 40
    stray accesses of its GPU, 50 us apart (`--scenario burst:n=40,gap=50us`).
    """
    _check(out)
    own = ask.users(policy_files)
    chosen = ask.chosen(policy, own)
    made = _run(trace, chosen, hardware, scenario or ask.SCENARIO, threads, own, asked)
    from bench.prove.beside import with_proofs  # noqa: PLC0415

    client, cpus = CLIENTS[made.manifest["client"]], ask.placement(asked["cpus"])
    made = with_proofs(made, chosen, ask.presets(hardware), client, cpus)
    saved = _save(made, out, as_json)
    if as_json:
        print_json(made.to_json())
        return
    from bench.table import print_result  # noqa: PLC0415

    print_result(console(), made)
    files = dict(zip((user.policy.id for user in own), policy_files, strict=True))
    _next(trace, made, saved, files, asked)


@click.command()
@click.argument("trace", required=False)
@schedules.OPTION
@schedules.FULL
@click.option("--policy", metavar="P", help="Id or name  [default: P8, or that of --policy-file]")
@click.option(
    "--hardware",
    default="mmu500",
    show_default=True,
    metavar="H",
    help="Preset, perhaps changed: mmu500,tlb=256x8:random.",
)
@options.policy_files
@options.case
@options.output
def replay(
    trace: str | None, schedule: Path | None, full: bool, policy: str | None, hardware: str,
    policy_files: tuple[Path, ...], scenario: str | None,
    as_json: bool, out: Path | None, **asked: Any,
) -> int:  # fmt: skip
    """Replay TRACE in one cell, as captured unless a scenario is given, and print every counter."""
    if schedule is not None:
        schedules.alone("replay", "full", "policy_files", "as_json")
        return schedules.follow(schedule, policy_files, full, as_json)
    if trace is None:
        raise UsageError("nothing to replay", "replay", "a trace, or --schedule FILE", "neither")
    if out is not None:
        _check(out)
    own = ask.users(policy_files)
    if policy is None and len(own) > 1:
        found = f"{len(own)} files: {', '.join(user.policy.id for user in own)}"
        raise UsageError("no policy chosen", "--policy", "one of the policies' ids", found)
    chosen = [ask.policy(policy or (own[0].policy.id if own else "P8"), own=own)]
    made = _run(trace, chosen, (hardware,), scenario or "as-captured", 1, own, asked)
    if out is not None:
        _save(made, out, quiet=True)
    if as_json:
        print_json(made.to_json())
        return 0
    from bench.table import footer  # noqa: PLC0415

    (row,) = made.rows
    _counters(row)
    click.echo()
    print_pairs(footer(made))
    return 0


def _run(
    trace: str,
    policies: Sequence[Policy],
    hardware: Sequence[str],
    scenario: str,
    threads: int,
    own: Sequence[UserPolicy],
    asked: Any,
) -> Result:
    # What is cheap to refuse is refused before anything heavy is loaded.
    chips = ask.presets(hardware)
    case = ask.case(trace, scenario=scenario, **asked)
    from bench import grid  # noqa: PLC0415
    from bench.progress import Progress, announce_compilation  # noqa: PLC0415

    announce_compilation()
    with Progress("runs done") as progress:
        return grid.compare(case, policies, chips, threads, progress, own)


def _check(out: Path | None) -> None:
    from bench import rows  # noqa: PLC0415

    rows.check_target(out)


def _save(made: Result, out: Path | None, quiet: bool) -> Path:
    from bench import rows  # noqa: PLC0415

    path = rows.write(made, out)
    if quiet:
        say(f"rows saved in {path}")
    return path


def _next(trace: str, made: Result, saved: Path, files: Mapping[str, Path], asked: Any) -> None:
    m = made.manifest
    worst = next((row for row in made.rows if row.verdict not in ("safe", "spurious")), made.rows[0])
    same = f"{trace} --scenario {m['scenario']}"
    same += f" --streams {asked['streams']}" if asked["streams"] is not None else ""
    same += "".join(f" --tbu {word}" for word in asked["tbus"])
    same += f" --client {m['client']}" if m["client"] != ask.CLIENT else ""
    costs = Asked(*(asked[name] for name in ("costs", "console", "changes", "cpi", "clock")))
    same += "".join(f" {shlex.quote(word)}" for word in costs.words())
    file = f" --policy-file {files[worst.policy]}" if worst.policy in files else ""
    click.echo(f"\nrows saved in {saved}\nnext:")
    for command in (
        f"smmubench policies show {worst.policy} --client {worst.client}{file}",
        f"smmubench replay {same} --policy {worst.policy} --hardware {worst.hardware}{file}",
        # 200 stalled transactions are more than a TBU has slots: the storm starves an innocent stream.
        f"smmubench compare {trace} --policy P4 --policy P8 --scenario {STARVING}",
    ):
        click.echo(f"  {command}")


def _global_fault(found: dict[str, int]) -> None:
    from smmucore.registers import SGFSR, SGFSYNR0  # noqa: PLC0415

    click.echo()
    print_pairs(
        [
            ("sGFSR", f"{found['sgfsr']:#x} {SGFSR.decode(found['sgfsr'])}"),
            ("sGFAR", f"{found['sgfar']:#x}"),
            ("sGFSYNR0", f"{found['sgfsynr0']:#x} {SGFSYNR0.decode(found['sgfsynr0'])}".rstrip()),
            ("sGFSYNR1", f"stream {found['sgfsynr1']}"),
        ]
    )


def _counters(row: Row) -> None:
    from smmucore.counters import MEANINGS  # noqa: PLC0415

    print_pairs(
        [
            ("policy", row.policy), ("hardware", row.hardware), ("verdict", row.verdict),
        ]
    )  # fmt: skip
    click.echo()
    print_table(
        ("counter", "value", "meaning"),
        [(name, f"{row.counters[name]:,}", meaning) for name, meaning in MEANINGS.items()],
        right=("value",),
    )
    if row.global_fault["sgfsr"]:
        _global_fault(row.global_fault)
    click.echo()
    kinds = [("latency, from intended", row.latency_ns), ("latency, from issue", row.latency_issue_ns)]
    for stream, both in row.streams.items():
        kinds.append((f"  stream {stream}, from intended", both["latency_ns"]))
    kinds.append(("fault, record to resume", row.fault_ns))
    names = tuple(row.latency_ns)
    print_table(
        ("time", *names),
        [(what, *(show_ns(ns) for ns in found.values())) for what, found in kinds],
        right=names,
    )
