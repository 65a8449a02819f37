"""What the commands do with `--schedule FILE`: follow what `policies prove -o FILE` has saved."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from bench import ask
from bench.errors import UsageError
from bench.output import print_json, print_pairs

if TYPE_CHECKING:
    from bench.prove.schedules import Schedule
    from bench.prove.walk import Walk

OPTION = click.option(
    "--schedule",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Instead of a trace: follow what `policies prove -o FILE` has saved.",
)
FULL = click.option("--full", is_flag=True, help="Of a schedule, show every step on a line of its own.")


def alone(what: str, *allowed: str) -> None:
    """Refuse the options of a run beside a schedule, which says policy, client, hardware and CPUs itself.

    Parameters
    ----------
    what : str
        What the command does ("replay").
    *allowed : str
        Names of the parameters that a schedule leaves free.

    Raises
    ------
    UsageError
    """
    context = click.get_current_context()
    given = [
        parameter
        for parameter in context.command.params
        if parameter.name not in ("schedule", *allowed)
        and context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    ]
    for parameter in given:
        if isinstance(parameter, click.Argument):
            found = f"a trace, {context.params[parameter.name or '']}"
            raise UsageError(f"two things to {what}", "--schedule", "a schedule or a trace", found)
    if given:
        names = ", ".join(parameter.opts[-1] for parameter in given)
        free = [p.opts[-1] for p in context.command.params if p.name in allowed]
        raise UsageError("a schedule says it itself", "--schedule", f"beside it {_any(free)}", names)


def _any(names: Collection[str]) -> str:
    return f"only {', '.join(names)}"


def read(path: Path, policy_files: tuple[Path, ...]) -> Schedule:
    """Read a schedule, and get ready to follow it.

    Raises
    ------
    UsageError
    """
    own = tuple(user.policy for user in ask.users(policy_files))
    from bench.progress import announce_compilation  # noqa: PLC0415
    from bench.prove import schedules  # noqa: PLC0415

    schedule = schedules.read(path, own)
    announce_compilation()
    return schedule


def parted(parts: str) -> None:
    """Say where a schedule parts from the model."""
    click.echo(f"\nsmmubench: the schedule parts from the model: {parts}", err=True)


def follow(path: Path, policy_files: tuple[Path, ...], full: bool, as_json: bool) -> int:
    """Follow a schedule's file and print what happens; return 1 if it leads elsewhere."""
    schedule = read(path, policy_files)
    from bench.prove import schedules  # noqa: PLC0415

    steps, parts = schedules.follow(schedule)
    if as_json:
        found = {**schedule.to_json(), "followed": len(steps), "parts": parts or None}
        print_json(found)
        return 1 if parts else 0
    from bench.prove.properties import PROPERTIES  # noqa: PLC0415
    from bench.prove.show import print_steps  # noqa: PLC0415

    asked = schedules.as_json(schedule.question)
    print_pairs([*((name, str(value)) for name, value in asked.items()),
                 ("breaks", f"{schedule.breaks}: {PROPERTIES[schedule.breaks]}")])  # fmt: skip
    click.echo()
    print_steps(steps, schedule.repeats_from, full)
    if parts:
        parted(parts)
        return 1
    click.echo(f"\nfollowed {len(steps)} steps to the same state:")
    print_pairs([("then", schedule.state)])
    return 0


def explain(
    path: Path, policy_files: tuple[Path, ...], fault: int | None, full: bool, as_json: bool
) -> int:  # fmt: skip
    """Tell a schedule step by step, of access `fault` alone if given; return 1 if it leads elsewhere."""
    made = _walked(path, policy_files)
    from bench.prove import explain as story  # noqa: PLC0415

    if fault is not None and fault > len(made.made):
        expected = f"1 to {len(made.made)}" if made.made else "a schedule with an access"
        raise UsageError("no such fault", f"--fault {fault}", expected, f"accesses {made.made or 'none'}")
    letter = made.made[fault - 1] if fault is not None else ""
    if as_json:
        print_json({"manifest": _manifest(), **story.to_json(made, letter)})
        return 1 if made.parts else 0
    story.print_walk(made, letter, full)
    if made.parts:
        parted(made.parts)
        return 1
    return 0


def timeline(path: Path, policy_files: tuple[Path, ...], out: Path) -> int:
    """Write a schedule as a timeline whose axis is order; return 1, and write none, if it leads elsewhere."""
    made = _walked(path, policy_files)
    if made.parts:
        parted(made.parts)
        return 1
    from bench.prove import timeline as drawn  # noqa: PLC0415
    from bench.timeline import perfetto  # noqa: PLC0415

    events = drawn.events(made)
    perfetto.write(events, {**drawn.about(made), **_manifest()}, out)
    click.echo(
        f"saved {out}: {len(made.steps)} steps in order, one each 1 us of the axis, which is not time; "
        f"{len(events):,} events, {out.stat().st_size:,} bytes"
    )
    click.echo("next: open it at https://ui.perfetto.dev, or in chrome://tracing")
    return 0


def _walked(path: Path, policy_files: tuple[Path, ...]) -> Walk:
    schedule = read(path, policy_files)
    from bench.prove.walk import walk  # noqa: PLC0415

    return walk(schedule)


def _manifest() -> dict[str, Any]:
    from bench.prove.cells import made_by  # noqa: PLC0415

    return made_by()
