"""The headline table: what each policy cost on each hardware, and what the numbers rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.grid import Result
from bench.output import print_pairs
from bench.run import Row
from bench.units import duration, show_count, show_ns, three_digits
from smmucore.hardware import find
from smmucore.policies import POLICIES

if TYPE_CHECKING:
    from rich.console import Console

#: Shape, the same in ASCII, and colour of each verdict: none of them rests on colour alone.
SHAPES = {
    "line-disabled": ("✖", "X", "bold red"),
    "crash": ("▼", "%", "bold red"),
    "livelock": ("↻", "@", "bold red"),
    "hang": ("■", "#", "bold red"),
    "stray": ("◆", "!", "red"),
    "lossy": ("◇", "-", "magenta"),
    "storm": ("▲", "^", "yellow"),
    "spurious": ("△", "+", "yellow"),
    "safe": ("●", "o", "green"),
}

#: Columns that a table with policy names needs.
WIDE = 120


#: The longest word, where there is little room.
SHORT = {"line-disabled": "disabled"}

#: What goes first where even the narrow table does not fit.
DISPENSABLE = ("proved", "p50", "ign", "p99", "spur", "lost", "CPU%")


def print_result(console: Console, result: Result) -> None:
    """Print the headline table and what it rests on."""
    from rich.text import Text  # noqa: PLC0415

    wide = console.width >= WIDE
    called = {p.id: p.name for p in POLICIES.values()}
    called |= {key: own["name"] for key, own in result.manifest.get("own_policies", {}).items()}
    cells = [_cells(row, called[row.policy], wide) for row in result.rows]
    verdicts = [shape_of(row.verdict, console.encoding) for row in result.rows]
    names = list(cells[0])
    widths = {name: max(len(name), *(len(cell[name]) for cell in cells)) for name in names}
    last = max(
        len(shape) + 1 + len(row.verdict) for (shape, _), row in zip(verdicts, result.rows, strict=True)
    )
    proofs = [_proved(row, wide) for row in result.rows]
    if any(row.proved is not None for row in result.rows):
        names.append("proved")
        widths["proved"] = max(len("proved"), *map(len, proofs))
    dropped = []
    for name in DISPENSABLE:
        if sum(widths[n] + 1 for n in names) + last > console.width and name in names:
            names.remove(name)
            dropped.append(name)
    told = "proved" in names
    names = [name for name in names if name != "proved"]
    header = " ".join(_pad(name, name, widths) for name in names)
    header += f" {'verdict':<{last}} proved" if told else " verdict"
    console.print(Text(header, style="bold"), overflow="ignore", no_wrap=True, crop=False)
    chip = ""
    for row, cell, (shape, style), proof in zip(result.rows, cells, verdicts, proofs, strict=True):
        if row.hardware != chip:
            chip = row.hardware
            console.print(Text.assemble((chip, "bold cyan"), (f"  {find(chip).title}", "cyan")))
        line = " ".join(_pad(name, cell[name], widths) for name in names)
        word = f"{shape} {row.verdict}"
        text = Text.assemble(f"{line} ", (word, style))
        if told:
            text.append(" " * (last - len(word) + 1))
            text.append(proof, SHAPES[row.proved][2] if row.proved else "dim")
        console.print(text, overflow="ignore", no_wrap=True, crop=False)
    console.print()
    if not wide:
        left_out = f"  Left out: {', '.join(dropped)}." if dropped else ""
        hint = f"ign: RESUMEs the hardware ignored.  {WIDE} columns show policy names.{left_out}"
        console.print(Text(hint, style="dim"))
    print_pairs(footer(result))
    _legend(console, result.rows)


def _proved(row: Row, wide: bool) -> str:
    """Write what was proved; a dash where nothing was."""
    word = row.proved or "-"
    return word if wide else SHORT.get(word, word)


def _pad(name: str, text: str, widths: Mapping[str, int]) -> str:
    return text.ljust(widths[name]) if name in ("policy", "name") else text.rjust(widths[name])


def _cells(row: Row, called: str, wide: bool) -> dict[str, str]:
    counters, latency = row.counters, row.latency_ns
    return {
        "policy": f" {row.policy}",
        **({"name": called} if wide else {}),
        **({"faults": show_count(counters["faults_injected"])} if wide else {}),
        "irq/fault" if wide else "irq/f": irqs_per_fault(counters),
        "spurious" if wide else "spur": show_count(counters["irq_spurious"]),
        "RESUME ignored" if wide else "ign": show_count(counters["resume_ignored"]),
        "lost": show_count(counters["faults_lost"]),
        **{name: show_ns(latency[name], " " if wide else "") for name in ("p50", "p99", "p99.9")},
        "CPU %" if wide else "CPU%": cpu_percent(row),
        "span": makespan(row),
        **_beat(row, wide),
    }


def _beat(row: Row, wide: bool) -> dict[str, str]:
    if row.heartbeat_ns is None:
        return {}
    worst = show_ns(row.heartbeat_ns["max"], " " if wide else "")
    return {"beat": worst, "late": show_count(row.counters["watchdogs"])}


def shape_of(verdict: str, encoding: str) -> tuple[str, str]:
    """Return a verdict's shape, in what the terminal can show, and its style."""
    shape, ascii_shape, style = SHAPES[verdict]
    return (shape if encoding.lower().startswith("utf") else ascii_shape), style


def irqs_per_fault(counters: Mapping[str, int]) -> str:
    """Write interrupts per recorded fault; without faults, a dash."""
    if not counters["faults_injected"]:
        return "-"
    ratio = counters["irq_entries"] / max(counters["faults_recorded"], 1)
    return three_digits(ratio) if ratio < 1000 else show_count(round(ratio))


def cpu_percent(row: Row) -> str:
    """Write the time that all contexts were on a CPU, as a share of one CPU over the run."""
    busy = sum(row.counters[name] for name in ("cpu_irq_ns", "cpu_thread_ns", "cpu_work_ns"))
    return three_digits(100 * busy / row.end_ns) if row.end_ns and busy else "0"


def makespan(row: Row) -> str:
    """Write the makespan, as a multiple of the fault-free one; a dash where something never ended."""
    if row.counters["transactions_pending"] or row.verdict in ("hang", "livelock"):
        return "never"
    free = row.counters["faultfree_makespan_ns"]
    return f"{three_digits(row.counters['makespan_ns'] / free)}x" if free else "-"


def _legend(console: Console, rows: Sequence[Row]) -> None:
    from rich.text import Text  # noqa: PLC0415

    from smmucore.verdict import VERDICTS  # noqa: PLC0415

    seen = {verdict for row in rows for verdict in (row.verdict, row.proved)}
    for verdict, meaning in VERDICTS.items():
        if verdict in seen:
            shape, style = shape_of(verdict, console.encoding)
            console.print(Text.assemble((f"{shape} {verdict:<13}", style), f" {meaning}"))


def footer(result: Result) -> list[tuple[str, str]]:
    """Return what a result rests on, as names and values."""
    free = next((row.counters["faultfree_makespan_ns"] for row in result.rows), 0)
    beat = "the heartbeat's worst latency; late: how many missed their deadline (K7)"
    return [
        *case_footer(result.manifest),
        ("span", f"last access's end, as a multiple of the fault-free {show_ns(free)}"),
        ("p50 ..", "latencies from intended issue, the trace's streams together"),
        *_proof_note(result),
        *([("beat", beat)] if any(row.heartbeat_ns for row in result.rows) else []),
    ]


def _proof_note(result: Result) -> list[tuple[str, str]]:
    if "proved_faults" not in result.manifest:
        return []
    faults = result.manifest["proved_faults"]
    text = f"the worst verdict of any order of up to {faults} faults on one bank (`smmubench policies prove`)"
    return [("proved", text)]


def case_footer(m: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a case is made of, from its manifest, as names and values."""
    trace = m["trace_manifest"]
    cpus = ", ".join(f"{name} on CPU {cpu}" for name, cpu in m["cpus"].items())
    return [
        ("trace", f"{m['trace']} ({m['kind']}): {trace['title']}"),
        ("source", f"{trace['device']}; sha256 {m['sha256'][:16]}"),
        ("not in it", not_contained(trace)),
        ("pace", _pace(m)),
        ("scenario", "; ".join([m["scenario"], *m["scenario_notes"]])),
        *([("streams", _streams(m["streams"]))] if "streams" in m else []),
        *([("TBUs", _tbus(m["tbus"]))] if "tbus" in m else []),
        *(("own policy", _own(key, own)) for key, own in m.get("own_policies", {}).items()),
        ("client", f"{m['client']}; {cpus}; seed {m['seed']}"),
        ("costs", _costs(m)),
    ]


def _tbus(placed: Mapping[str, int]) -> str:
    through = [
        f"{name if name == 'heartbeat' else f'stream {name}'} through TBU {n}" for name, n in placed.items()
    ]
    return ", ".join([*through, "the rest through TBU 0"])


def _own(key: str, policy: Mapping[str, Any]) -> str:
    return f"{key}: {policy['why']} (file of SHA-256 {policy['sha256'][:12]}...)"


def _costs(m: Mapping[str, Any]) -> str:
    values = {name: f"{ns}ns" for name, ns in m["costs_set"].items()} | m.get("costs_drawn", {})
    changed = "".join(f", {name}={value} set by you" for name, value in values.items())
    cpu = m["cpu"]
    if cpu["cpi_is"] == cpu["ghz_is"]:
        speed = f"{cpu['cpi']:g} cycles an instruction at {cpu['ghz']:g} GHz ({cpu['cpi_is']})"
    else:
        speed = f"{cpu['cpi']:g} cycles an instruction ({cpu['cpi_is']}) "
        speed += f"at {cpu['ghz']:g} GHz ({cpu['ghz_is']})"
    return f"{m['costs']}: {speed}, console {m['console']}{changed}"


def _streams(table: Mapping[str, Any]) -> str:
    rest = "fault (USFCFG 1)" if table["usfcfg"] else "bypass (USFCFG 0)"
    groups = []
    for group in table["groups"]:
        to = f"bank {group['bank']}" if group["type"] == "translate" else group["type"]
        mask = f" but for {group['mask']:#x}" if group["mask"] else ""
        groups.append(f"{group['id']:#x}{mask}: {to}")
    return "; ".join([*groups, f"the rest: {rest}"])


def _pace(m: Mapping[str, Any]) -> str:
    if m["pace"] == "captured":
        real = m["trace_manifest"]["clock_is_real"]
        return "the capture's own times" + ("" if real else ", which are not a real device's")
    return f"one access every {show_ns(duration(m['pace']))} ({m['pace_is']})"


def not_contained(trace: Mapping[str, Any]) -> str:
    """Return what a trace does not contain, in a few words: the head of each line of its manifest."""
    heads = [line.partition(":")[0].partition(".")[0] for line in trace["not_contained"]]
    return "; ".join(head[:1].lower() + head[1:] for head in heads) or "nothing is named"
