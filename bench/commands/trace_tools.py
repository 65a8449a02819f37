"""`smmubench traces head`, `cat`, `stats`, `slice`, `merge` and `plot`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import options, pictures
from bench.errors import UsageError, unknown
from bench.output import print_json, print_pairs, print_table
from bench.units import count, duration, fraction, show_count, show_ns

if TYPE_CHECKING:
    from bench.trace_stats import Stats
    from traces.cut import Span
    from traces.reader import Trace

#: As in `bench.event_text`, which loads numpy.
FORMATS = ("table", "csv", "jsonl")
HEAD = "10"

_out = click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The trace to write."
)
_name = click.option("--name", metavar="NAME", help="The new trace's name, in its manifest.")


def _open(trace: str) -> Trace:
    from traces.catalogue import find  # noqa: PLC0415
    from traces.reader import open_trace  # noqa: PLC0415

    return open_trace(find(trace))


def _format(default: str) -> Any:
    text = f"{', '.join(FORMATS)}."
    return click.option("--format", "form", default=default, show_default=True, metavar="F", help=text)


def _show(trace: str, number: str | None, form: str) -> None:
    if form not in FORMATS:
        raise unknown("format", "--format", FORMATS, form)
    most = None if number is None else count(number, "-n")
    from bench.event_text import FORMATS as WRITERS  # noqa: PLC0415

    opened = _open(trace)
    lines: list[str] = []
    # Line by line would take three times as long.
    for line in WRITERS[form](opened.blocks(), most):
        lines.append(line)
        if len(lines) == 4096:
            click.echo("\n".join(lines))
            lines.clear()
    if lines:
        click.echo("\n".join(lines))


@click.command()
@click.argument("trace")
@click.option("-n", "number", default=HEAD, show_default=True, metavar="N", help="How many events.")
@_format("table")
def head(trace: str, number: str, form: str) -> None:
    """Print the first events of TRACE."""
    _show(trace, number, form)


@click.command()
@click.argument("trace")
@click.option("-n", "number", metavar="N", help="At most so many events.")
@_format("csv")
def cat(trace: str, number: str | None, form: str) -> None:
    """Print the events of TRACE, all of them unless told otherwise."""
    _show(trace, number, form)


@click.command()
@click.argument("trace")
@options.as_json
def stats(trace: str, as_json: bool) -> None:
    """Count what is in TRACE: events, sizes, strides, footprint, reuse and rates."""
    from bench import trace_stats  # noqa: PLC0415
    from bench.progress import Progress, announce_compilation  # noqa: PLC0415

    opened = _open(trace)
    announce_compilation()
    with Progress("events read, in two passes,") as progress:
        made = trace_stats.stats(opened, progress)
    if as_json:
        print_json(made.to_json())
        return
    _print(made)


def _share(part: int, whole: int) -> str:
    from bench.commands.reach import percent  # noqa: PLC0415

    return percent(part, whole) if whole else "-"


def _bytes(size: int | None) -> str:
    from bench.commands.reach import show_bytes  # noqa: PLC0415

    return show_bytes(size)


def _rate(value: int | None) -> str:
    return "-" if value is None else f"{show_count(value)}/s"


def _byte_rate(value: int | None) -> str:
    text = _bytes(value)
    return text if value is None else f"{text} B/s" if value < 1024 else f"{text}iB/s"


def _print(made: Stats) -> None:
    s = made.to_json()
    ops = ", ".join(f"{n:,} {name}" for name, n in s["ops"].items() if n)
    clock = "" if s["clock_is_real"] else " of a clock that is not a real device's"
    print_pairs(
        [
            ("trace", f"{s['trace']}, {s['kind']}, SHA-256 {s['sha256'][:12]}"),
            ("events", f"{s['events']:,}: {ops}"),
            ("duration", f"{show_ns(s['duration_ns'])}{clock}"),
            ("accesses", f"{s['accesses']:,}, {_rate(s['accesses_per_s'])}"),
            ("bytes", f"{_bytes(s['bytes'])}, {_byte_rate(s['bytes_per_s'])}"),
            ("mapped", f"{_bytes(s['mapped_bytes'])} by MAPs, {_bytes(s['unmapped_bytes'])} by UNMAPs"),
        ]
    )
    click.echo()
    of_streams = ("stream", "name", "accesses", "READ", "WRITE", "EXEC", "bytes", "rate")
    print_table(of_streams, [_stream(row) for row in s["streams"]], right=(of_streams[0], *of_streams[2:]))
    click.echo()
    names = [name for name in s["ops"] if name != "MARK"]
    print_table(("space", "name", *names),
                [(str(r["space"]), r["name"], *(f"{r[n]:,}" for n in names)) for r in s["spaces"]],
                right=("space", *names))  # fmt: skip
    total = s["accesses"]
    click.echo()
    headings = ("size of an access", "accesses", "share")
    lines = [(_size(row), f"{row['accesses']:,}", _share(row["accesses"], total)) for row in s["sizes"]]
    print_table(headings, lines, right=headings)
    click.echo()
    followed = sum(row["accesses"] for row in s["strides"])
    headings = ("stride in a stream [bytes]", "accesses", "share")
    lines = [
        (_stride(row), f"{row['accesses']:,}", _share(row["accesses"], followed)) for row in s["strides"]
    ]
    print_table(headings, lines, right=headings)
    click.echo()
    _print_pages(s)


def _print_pages(s: dict[str, Any]) -> None:
    pages, whole = s["pages"], s["accesses"]
    sampled = ["" if row["sample_rate"] == 1 else "~" for row in pages]
    lines = [
        ("pages touched", *(f"{mark}{row['pages']:,}" for mark, row in zip(sampled, pages, strict=True))),
        ("bytes of them", *(_bytes(row["bytes"]) for row in pages)),
        ("first uses", *(_share(row["cold"], whole) for row in pages)),
    ]
    for n in pages[0]["reuse_within"]:
        shares = [_share(row["reuse_within"][n], whole) for row in pages]
        lines.append((f"reuse within {int(n):,} page{'s' * (n != '1')}", *shares))
    for percent in ("90", "99"):
        knees = [row[f"knee{percent}"] for row in pages]
        lines.append((f"{percent} % of all reuse within", *("-" if k is None else f"{k:,}" for k in knees)))
    names = [row["page"] for row in pages]
    print_table(("page", *names), lines, right=names)
    click.echo()
    notes = [
        ("pages", "of an access's first byte" + ("; ~: estimated from a sample" if any(sampled) else "")),
        ("within N", "at most N distinct pages since that page's last use, itself included"),
    ]
    print_pairs(notes)


def _stream(row: dict[str, Any]) -> tuple[str, ...]:
    counts = [f"{row[name]:,}" for name in ("accesses", "READ", "WRITE", "EXEC")]
    return str(row["stream"]), row["name"], *counts, _bytes(row["bytes"]), _rate(row["accesses_per_s"])


def _size(row: dict[str, int]) -> str:
    most = row["most"]
    if row["exactly"] == row["accesses"]:
        return _bytes(most)
    return f"{_bytes(most // 2 + 1) if most < 1024 else 'over ' + _bytes(most // 2)} to {_bytes(most)}"


def _stride(row: dict[str, Any]) -> str:
    low, high = row["from"], row["to"]
    if low == high:
        return f"{low:+,}" if low else "0"
    other = "others, " if row.get("other") else ""
    sign = "-" if low < 0 else "+"
    near, far = sorted((abs(low), abs(high)))
    return f"{other}{sign}{_bytes(near)} to {sign}{_bytes(far)}"


@click.command("slice")
@click.argument("trace")
@_out
@click.option("--from", "begin", default="0", show_default=True, metavar="P", help="The first event.")
@click.option("--to", "end", default="100%", show_default=True, metavar="P", help="The first event after it.")
@_name
def cut(trace: str, out: Path, begin: str, end: str, name: str | None) -> None:
    """Cut a piece out of TRACE, and put the mappings that are live at its start before it.

    A place P is an event's number (1000, 10k), a time of the trace (5ms), or a share of its events (25%).
    """
    from bench import rows  # noqa: PLC0415
    from traces.cut import cut as work  # noqa: PLC0415

    opened = _open(trace)
    span = _span(begin, end, opened.rows)
    rows.check_target(out)
    _saved(out, work(opened, out, span, _named(name)))


def _span(begin: str, end: str, events: int) -> Span:
    from traces.cut import Span  # noqa: PLC0415

    place: dict[str, int] = {}
    for option, text, number, ns in (("--from", begin, "first", "from_ns"), ("--to", end, "last", "to_ns")):
        if text.endswith("%"):
            place[number] = fraction(text, option).of(events)
        elif text.endswith("s"):
            place[ns] = duration(text, option)
        else:
            place[number] = count(text, option)
    return Span(**place, text=f"--from {begin} --to {end}")


def _named(name: str | None) -> str | None:
    import re  # noqa: PLC0415

    if name is not None and re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name) is None:
        expected = "lower-case letters, digits, '.', '_' and '-'"
        raise UsageError("not a trace's name", "--name", expected, repr(name))
    return name


def _saved(out: Path, manifest: Any) -> None:
    events = sum(manifest.counts.values())
    click.echo(f"saved {out}: {events:,} events, {manifest.kind}\nnext:\n  smmubench traces stats {out}")


@click.command()
@click.argument("traces", nargs=-1, required=True)
@_out
@_name
def merge(traces: tuple[str, ...], out: Path, name: str | None) -> None:
    """Join two or more TRACES by time, each with streams and spaces of its own."""
    from bench import rows  # noqa: PLC0415
    from traces.join import join  # noqa: PLC0415

    if len(traces) < 2:
        raise UsageError("too few traces", "traces merge", "two or more", str(len(traces)))
    opened = [_open(trace) for trace in traces]
    rows.check_target(out)
    _saved(out, join(opened, out, _named(name)))


@click.command()
@click.argument("trace")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), metavar="FILE",
              help="The .png or .svg file to draw.")  # fmt: skip
def plot(trace: str, out: Path) -> None:
    """Draw TRACE: pages by time, footprint over time, reuse distances."""
    pictures.check_target(out)
    from bench import trace_map, trace_picture  # noqa: PLC0415
    from bench.progress import Progress, announce_compilation  # noqa: PLC0415

    opened = _open(trace)
    announce_compilation()
    with Progress("events read, in three passes,") as progress:
        made = trace_map.trace_map(opened, progress)
    trace_picture.draw(made, out)
    click.echo(f"saved {out}")


COMMANDS = (head, cat, stats, cut, merge, plot)
