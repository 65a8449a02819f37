"""`smmubench timeline` and `smmubench explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import ask, options
from bench.commands import schedules
from bench.errors import UsageError
from bench.output import print_json, print_pairs, print_table
from bench.units import exact_ns, positive_duration, show_ns

if TYPE_CHECKING:
    from bench.run import Runner
    from smmucore.hardware import Hardware
    from smmucore.policy import Policy

_POLICY = click.option("--policy", metavar="P", help="Id or name  [default: P8, or that of --policy-file]")
_HARDWARE = click.option("--hardware", metavar="H", help="Preset, perhaps changed  [default: mmu500]")
_TRACE = click.option(
    "--trace", "place", type=click.Path(path_type=Path, exists=True), metavar="FILE",
    help="Where the trace of a saved RUN lies, if it is none of the bundled ones.",
)  # fmt: skip


@click.command()
@click.argument("run", default=ask.TRACE, metavar="[TRACE|RUN]")
@schedules.OPTION
@_POLICY
@_HARDWARE
@_TRACE
@options.policy_files
@options.case
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The timeline: .json, or .json.gz.",
)
@click.option("--fault", type=click.IntRange(1), metavar="N", help="Only while fault N lasts.")
@click.option(
    "--from", "begin", metavar="T", help="Where it begins, such as 1ms  [default: at the first fault]"
)
@click.option(
    "--for", "length", metavar="T", help="How long it is, such as 200us  [default: to the run's end]"
)
def timeline(
    run: str, schedule: Path | None, policy: str | None, hardware: str | None, place: Path | None,
    policy_files: tuple[Path, ...], scenario: str | None, out: Path, fault: int | None, begin: str | None,
    length: str | None, **asked: Any,
) -> int:  # fmt: skip
    """Write what each CPU, bank, line and fault of a run did as a timeline for Perfetto.

    Of a TRACE, the run is that of `smmubench replay` with the same options (without a scenario, that of
    `compare`). A RUN is a file of rows that `compare` or `replay` saved: the run is made again, and the other
    options are not heeded. Open FILE at ui.perfetto.dev or in chrome://tracing. A timeline holds 50,000
    moments and 5,000 faults at most; what is left out is said.

    With --schedule the timeline is of a schedule that `policies prove` saved, step after step: its axis is
    order, 1 us a step, and not time.
    """
    if not out.name.endswith((".json", ".json.gz")):
        raise UsageError("not a timeline", f"--out {out}", "a name in .json or .json.gz", out.name)
    from bench import rows  # noqa: PLC0415

    rows.check_target(out)
    if schedule is not None:
        schedules.alone("draw", "policy_files", "out")
        return schedules.timeline(schedule, policy_files, out)
    start = None if begin is None else positive_duration(begin, "--from")
    lasts = None if length is None else positive_duration(length, "--for")
    runner, made_policy, chip = _cell(run, policy, hardware, place, policy_files, scenario, asked)
    from bench import grid  # noqa: PLC0415
    from bench.timeline import perfetto, watch  # noqa: PLC0415

    watched = watch.watch(runner, made_policy, chip, fault=fault, begin=start, length=lasts)
    made = perfetto.events(watched, made_policy, runner.case.client)
    about = grid.describe(runner.case, runner, [made_policy.id], [chip.name])
    perfetto.write(made, {**about, "window_ns": [watched.begin, watched.end], "times": "simulated"}, out)
    click.echo(
        f"saved {out}: {show_ns(watched.end - watched.begin)} from {show_ns(watched.begin)} on, "
        f"{len(watched.moments):,} moments, {len(made):,} events, {out.stat().st_size:,} bytes"
    )
    if watched.cut:
        click.echo(f"left out: what came after {watch.MOST:,} moments; --from and --for choose another part")
    faults = watched.outcome.faults.size
    if faults > perfetto.MOST_FAULTS:
        click.echo(f"left out: bars of faults beyond {perfetto.MOST_FAULTS:,} of {faults:,}")
    click.echo("next: open it at https://ui.perfetto.dev, or in chrome://tracing")
    return 0


@click.command()
@click.argument("run", default=ask.TRACE, metavar="[TRACE|RUN]")
@click.option(
    "--fault",
    type=click.IntRange(1),
    metavar="N",
    help="Which one; of a schedule, only what concerns access N.  [default: 1; of a schedule, all]",
)
@schedules.OPTION
@schedules.FULL
@_POLICY
@_HARDWARE
@_TRACE
@options.policy_files
@options.case
@options.as_json
def explain(
    run: str, fault: int | None, schedule: Path | None, full: bool, policy: str | None, hardware: str | None,
    place: Path | None, policy_files: tuple[Path, ...], scenario: str | None, as_json: bool, **asked: Any,
) -> int:  # fmt: skip
    """Tell one fault's story, step by step with times; or with --schedule a schedule's, in order.

    Of a TRACE, the run is that of `smmubench replay` with the same options (without a scenario, that of
    `compare`). A RUN is a file of rows that `compare` or `replay` saved: the run is made again, and the other
    options are not heeded. A schedule is what `policies prove -o FILE` saved: every step, who makes it, what
    it changes and by which rule, where it breaks the property, and where a cycle begins and ends.
    """
    if schedule is not None:
        schedules.alone("explain", "fault", "full", "policy_files", "as_json")
        return schedules.explain(schedule, policy_files, fault, full, as_json)
    fault = fault or 1
    runner, made_policy, chip = _cell(run, policy, hardware, place, policy_files, scenario, asked)
    from bench import grid  # noqa: PLC0415
    from bench.timeline import story, watch  # noqa: PLC0415
    from bench.timeline.spans import fate  # noqa: PLC0415

    watched = watch.watch(runner, made_policy, chip, fault=fault)
    lines = story.story(watched, fault, made_policy, runner.case.client)
    row = watched.outcome.faults[fault - 1]
    begin = int(row["t_issued"]) if row["t_issued"] >= 0 else watched.begin
    if as_json:
        print_json({
            "manifest": grid.describe(runner.case, runner, [made_policy.id], [chip.name]),
            "fault": {name: int(row[name]) for name in row.dtype.names}, "fate": fate(row),
            "story": [{"t_ns": line.t, "lasts_ns": line.lasts if line.lasts >= 0 else None, "who": line.who,
                       "what": line.what} for line in lines],
        })  # fmt: skip
        return 0
    case = runner.case
    click.echo(f"fault {fault} of {watched.outcome.faults.size:,}: {fate(row)}\n")
    lines = story.shortened(lines)
    shown = lines[: story.MOST]
    print_table(
        ("from issue", "lasts", "who", "what"),
        [
            (f"{line.t - begin:+,}", f"{line.lasts:,}" if line.lasts >= 0 else "", line.who, line.what)
            for line in shown
        ],
        right=("from issue", "lasts"),
    )
    if len(lines) > len(shown):
        click.echo(f"... and {len(lines) - len(shown):,} lines more: --json, or smmubench timeline")
    if watched.cut:
        click.echo(f"... and what came between {watch.MOST:,} moments and the fault's own last ones")
    click.echo()
    print_pairs(
        [
            ("run", f"{made_policy.id} on {chip.name}, client {case.client.name}, {case.scenario.text}"),
            ("trace", f"{case.source.trace.manifest.name} ({case.source.trace.manifest.kind})"),
            ("issue", f"at {exact_ns(begin)} of simulated time; times are ns"),
            ("costs", f"{case.costs.name}: simulated, from costs with ranges (smmubench costs show)"),
        ]
    )  # fmt: skip
    return 0


def _cell(
    run: str, policy: str | None, hardware: str | None, place: Path | None, files: tuple[Path, ...],
    scenario: str | None, asked: Any,
) -> tuple[Runner, Policy, Hardware]:  # fmt: skip
    """Return what runs the cell that was asked for."""
    own = ask.users(files)
    from bench import again  # noqa: PLC0415

    saved = again.read(Path(run)) if Path(run).is_file() else None
    if saved is not None:
        row = again.row(saved, policy, hardware)
        made_policy, chip = ask.policy(row["policy"], own=own), ask.preset(row["hardware"])
        case = again.case(saved, place)
    else:
        if place is not None:
            raise UsageError("two traces", f"--trace {place}", "--trace with a saved RUN only", run)
        if policy is None and len(own) > 1:
            found = ", ".join(user.policy.id for user in own)
            raise UsageError("no policy chosen", "--policy", "one of the policies' ids", found)
        made_policy = ask.policy(policy or (own[0].policy.id if own else "P8"), own=own)
        chip = ask.preset(hardware or "mmu500")
        if not made_policy.is_about(chip):
            raise UsageError("nothing to run", f"policy {made_policy.id}", "hardware it is about", chip.name)
        case = ask.case(run, scenario=scenario or ask.SCENARIO, **asked)
    from bench.progress import announce_compilation  # noqa: PLC0415
    from bench.run import Runner  # noqa: PLC0415

    announce_compilation()
    return Runner(case), made_policy, chip
