"""`smmubench faults`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from bench import options
from bench.output import print_json, print_pairs, print_table
from bench.units import exact_ns, positive_duration, show_ns

if TYPE_CHECKING:
    from bench.fault_log import Burst, FaultLog, Row

#: Bursts that are listed; the others are counted.
LISTED = 5
#: Lines that are not as they should be, of each kind.
SHOWN = 20
#: Compared with whatever can have printed the burst: mainline as it is now.
TODAY = "P8"
HARDWARE = "mmu500"
ASSUMED = (
    ("assumed", "the addresses were unmapped, and are one page apart; every distance is the middle one"),
    ("", "the device, its costs and the accesses around the faults are those of the bundled capture"),
    ("left out", "what the ratelimit kept back: the real burst was at least as long"),
)


@click.command()
@click.argument("file")
@click.option(
    "--gap",
    default="50ms",
    show_default=True,
    metavar="G",
    help="Faults of one device at most this far apart are one burst.",
)
@click.option("--replay", is_flag=True, help="Replay the longest burst: print the command, and run it.")
@options.as_json
@click.pass_context
def faults(ctx: click.Context, file: str, gap: str, replay: bool, as_json: bool) -> None:
    """Decode the SMMU and GPU faults of a kernel log (dmesg, journalctl, a serial console); - is stdin.

    Prints a table of faults, and below it counts, what was suppressed, distances and bursts, which kernels
    and policies can have printed the lines, and what such a log cannot tell. With --json, --replay only
    names the command.
    """
    from bench import fault_log  # noqa: PLC0415

    made = fault_log.read(fault_log.open_log(file), positive_duration(gap, "--gap"))
    burst = made.longest if replay else None
    if as_json:
        data = {"file": file, **fault_log.to_json(made)}
        if replay:
            data["replay"] = None if burst is None else _command(burst)
        print_json(data)
        return
    _print(made)
    if replay:
        _replay(ctx, made, burst)


def _print(made: FaultLog) -> None:
    if made.rows:
        names = (
            "line",
            "time",
            "device",
            "cause",
            "PLVL",
            "access",
            "SS",
            "MULTI",
            "IOVA",
            "cb",
            "stream",
            "layout",
        )
        print_table(
            names, [_row(row) for row in made.rows], right=("line", "time", "IOVA", "cb", "stream"), whole=2
        )
        click.echo()
    else:
        click.echo(f"no fault line of a known layout in {made.log.lines:,} lines")
    print_pairs([*_counts(made), *_times(made), *_eras(made), *_wrong(made), *_unknown(made)])


def _row(row: Row) -> tuple[str, ...]:
    f, d = row.fault, row.decoded

    def told(value: bool | None, yes: str, no: str = "no") -> str:
        return "?" if value is None else yes if value else no

    return (
        str(f.lines[0]), f.stamp or "-", f.device or "-", d.cause or "?",
        "?" if d.level is None else str(d.level), told(d.write, "write", "read"), told(d.stall, "yes"),
        told(d.multi, "yes"), "?" if f.iova is None else f"{f.iova:#x}", "-" if f.cb is None else str(f.cb),
        "-" if f.sid is None else f"{f.sid:#x}", f.layout,
    )  # fmt: skip


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _counts(made: FaultLog) -> list[tuple[str, str]]:
    log = made.log
    pairs = []
    if made.rows:
        counts = made.counts()
        pairs = [("faults", f"{len(made.rows):,} in {log.lines:,} lines: {_listed(counts['cause'])}"),
                 ("by device", _listed(counts["device"]))]  # fmt: skip
    if log.suppressed:
        total = sum(s.count for s in log.suppressed)
        windows = ", ".join(f"{s.count:,} {s.function} (line {s.line})" for s in log.suppressed[:LISTED])
        more = f", and {len(log.suppressed) - LISTED} windows more" if len(log.suppressed) > LISTED else ""
        pairs.append(("suppressed", f"{total:,} prints more, by window: {windows}{more}"))
    elif made.rows:
        pairs.append(("suppressed", "no such line: a window that is still open says nothing"))
    for note in log.notes[: 2 * LISTED]:
        pairs.append((note.kind, f"line {note.line}: {f'{note.device}: ' if note.device else ''}{note.text}"))
    if len(log.notes) > 2 * LISTED:
        pairs.append(("notes", f"{len(log.notes) - 2 * LISTED} more"))
    return pairs


def _times(made: FaultLog) -> list[tuple[str, str]]:
    from bench.fault_log import median  # noqa: PLC0415

    if not made.rows:
        return []
    untimed = sum(not row.timed for row in made.rows)
    pairs = []
    if made.gaps:
        ends = f"min {show_ns(made.gaps[0])}, p50 {show_ns(median(made.gaps))}, max {show_ns(made.gaps[-1])}"
        pairs.append(("distances", f"{ends}; {len(made.gaps)} between prints of one device in one boot"))
    if untimed:
        pairs.append(("untimed", f"{untimed} faults have no time, or one to the second: no distance"))
    within = f"at most {show_ns(made.gap_ns)} apart (--gap)"
    for k, burst in enumerate(made.bursts[:LISTED]):
        first = burst.rows[0].fault
        text = (f"line {first.lines[0]}: {first.device or 'no device'}, {len(burst.rows)} faults in "
                f"{show_ns(sum(burst.gaps))}, p50 {show_ns(burst.gap_ns)}")  # fmt: skip
        pairs.append(("bursts" if k == 0 else "", f"{text}; {within}" if k == 0 else text))
    if len(made.bursts) > LISTED:
        pairs.append(("", f"{len(made.bursts) - LISTED} more"))
    if not made.bursts:
        pairs.append(("bursts", f"none: no two timed faults of a device {within}"))
    return pairs


def _eras(made: FaultLog) -> list[tuple[str, str]]:
    from bench.fault_eras import ERAS  # noqa: PLC0415
    from traces.kernel_log.layouts import LAYOUTS  # noqa: PLC0415

    pairs = []
    for layout, count in made.counts()["layout"].items():
        era = ERAS[layout]
        could = dict.fromkeys(key for row in made.rows if row.fault.layout == layout for key in row.policies)
        left = [key for key in era.policies if key not in could]
        text = f"{count:,}, {LAYOUTS[layout].kernels}"
        text += f": {', '.join(could)}" if could else ": no policy of the catalogue" if not left else ""
        text += f"; {era.why}"
        text += f"; not {', '.join(left)}: SS is set" if left else ""
        pairs.append((layout, text))
    return pairs


def _wrong(made: FaultLog) -> list[tuple[str, str]]:
    kinds: dict[str, list[str]] = {}
    for bad in made.log.malformed:
        text = f"line {bad.line}: {bad.what}: expected {bad.expected}, found {bad.found}"
        kinds.setdefault("malformed", []).append(text)
    for row in made.rows:
        line, flags = f"line {row.fault.lines[0]}", row.fault.flags
        for text in row.decoded.disagrees:
            kinds.setdefault("disagrees", []).append(f"{line}: {text}")
        if "base" in flags:
            kinds.setdefault("open", []).append(f"{line}: FSR 0x{row.fault.said['fsr_text']} may be decimal")
        if "cut" in flags:
            kinds.setdefault("cut", []).append(f"{line}: lines that belong to it are missing")
    pairs = []
    for kind, texts in kinds.items():
        pairs += [(kind, text) for text in texts[:SHOWN]]
        if len(texts) > SHOWN:
            pairs.append((kind, f"{len(texts) - SHOWN} more (--json has all)"))
    return pairs


def _unknown(made: FaultLog) -> list[tuple[str, str]]:
    from bench.fault_log import UNKNOWABLE  # noqa: PLC0415

    return [("not in it" if k == 0 else "", text) for k, text in enumerate(UNKNOWABLE)] if made.rows else []


def _policies(burst: Burst) -> list[str]:
    return list(dict.fromkeys((*burst.policies, TODAY)))


def _command(burst: Burst) -> str:
    words = ["smmubench", "compare", "--scenario", burst.scenario, "--hardware", HARDWARE]
    for key in _policies(burst):
        words += ["--policy", key]
    return shlex.join(words)


def _replay(ctx: click.Context, made: FaultLog, burst: Burst | None) -> None:
    click.echo()
    if burst is None:
        apart = exact_ns(made.gap_ns)
        print_pairs([("replay", f"no burst: no two timed faults of one device are at most {apart} apart")])
        return
    from bench.commands.compare import compare  # noqa: PLC0415

    click.echo(f"replay:\n  {_command(burst)}")  # one line, so that it can be copied
    print_pairs(ASSUMED)
    click.echo()
    ctx.invoke(compare, policy=tuple(_policies(burst)), hardware=(HARDWARE,), scenario=burst.scenario)
