"""`smmubench traces`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bench import options
from bench.commands import trace_tools
from bench.commands.trace_import import import_file
from bench.commands.trace_make import make
from bench.output import print_json, print_pairs, print_table

if TYPE_CHECKING:
    from traces.manifest import Space


@click.group()
def traces() -> None:
    """List, show, check, import, make, draw, cut and join traces."""


for command in (import_file, make, *trace_tools.COMMANDS):
    traces.add_command(command)


@traces.command("list")
@options.as_json
def list_them(as_json: bool) -> None:
    """List the bundled traces."""
    from traces.catalogue import list_traces  # noqa: PLC0415

    found = [(entry.name, entry.manifest) for entry in list_traces()]
    if as_json:
        entries = [
            {
                "name": name,
                "kind": m.kind,
                "device": m.device,
                "title": m.title,
                "events": sum(m.counts.values()),
            }
            for name, m in found
        ]
        print_json({"traces": entries})
        return
    print_table(
        ("name", "kind", "events", "title"),
        [(name, m.kind, f"{sum(m.counts.values()):,}", m.title) for name, m in found],
        right=("events",),
    )


@traces.command()
@click.argument("trace")
@options.as_json
def info(trace: str, as_json: bool) -> None:
    """Show where a trace comes from, what is in it, and what is not."""
    from traces.catalogue import find  # noqa: PLC0415
    from traces.reader import open_trace  # noqa: PLC0415

    opened = open_trace(find(trace))
    m = opened.manifest
    if as_json:
        print_json({"sha256": opened.sha256, "rows": opened.rows, **m.model_dump(exclude_none=True)})
        return
    print_pairs(
        [
            ("name", m.name),
            ("title", m.title),
            ("kind", m.kind),
            ("source", m.source),
            ("device", m.device),
            ("tool", f"{m.tool.name} {m.tool.version}"),
            *([("kernel", m.kernel)] if m.kernel else []),
            ("clock", m.clock + ("" if m.clock_is_real else " (not a real device's)")),
            ("events", f"{opened.rows:,}: " + ", ".join(f"{n:,} {op}" for op, n in m.counts.items() if n)),
            *[
                (f"stream {s.stream}", f"{s.name}, space {s.space}"
                 + (f", {s.accesses:,} accesses" if s.accesses is not None else ""))
                for s in m.streams
            ],
            *[(f"space {s.space}", f"{s.name}, {_tables(s)}") for s in m.spaces],
            ("licence", m.licence),
            ("sha256", opened.sha256),
            *[("not in it", line) for line in m.not_contained],
            *([("parameters", _pairs(m.parameters))] if m.parameters else []),
            *[("note", line) for line in m.notes],
        ]
    )  # fmt: skip


def _pairs(parameters: dict[str, int | str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in parameters.items())


def _tables(space: Space) -> str:
    """Say what tables a space has: format, granule, sizes, and what is unusual."""
    parts = [space.format, f"{space.granule // 1024}K granule", f"{space.ias} bits in"]
    if space.oas is not None:
        parts.append(f"{space.oas} bits out")
    if space.ttbr1 is not None:
        parts.append(f"TTBR1 {space.ttbr1.ias} bits, {space.ttbr1.granule // 1024}K granule")
    named = {"sign-extended from bit": space.sep, "start level": space.start_level,
             "over space": space.stage2, "ASID": space.asid, "VMID": space.vmid}  # fmt: skip
    parts += [f"{name} {value}" for name, value in named.items() if value is not None]
    return ", ".join(parts)


@traces.command()
@click.argument("trace")
@options.as_json
def validate(trace: str, as_json: bool) -> None:
    """Check every event of a trace against the format's rules."""
    from traces.catalogue import find  # noqa: PLC0415
    from traces.validate import validate as check  # noqa: PLC0415

    report = check(find(trace))
    if as_json:
        print_json({"trace": report.manifest.name, "rows": report.rows, "counts": report.counts,
                    "last_ns": report.last_ns})  # fmt: skip
        return
    click.echo(f"{report.manifest.name}: {report.rows:,} events, nothing wrong")
