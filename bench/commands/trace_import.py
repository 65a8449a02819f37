"""`smmubench traces import`: make a trace of what another tool recorded."""

from __future__ import annotations

from pathlib import Path

import click

from bench import options
from bench.errors import UsageError
from bench.output import print_json
from bench.progress import Progress
from bench.units import positive_count, positive_duration, size


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="The trace to write.")
@click.option("--format", "name", metavar="NAME", help="The file's format, where it is not to be guessed.")
@click.option("--salvage", is_flag=True, help="Keep what is whole, and say what is not.")
@click.option("--map", "mapped", multiple=True, metavar="COLUMN=FIELD",
              help="Of a table: which column is t_ns (or t_us, t_ms, t_s), op, stream, space, iova, size, "
                   "pa or prot; FIELD:hex for hexadecimal without 0x. May be repeated.")  # fmt: skip
@click.option("--real-clock", is_flag=True, help="The times are a real machine's: durations are evidence.")
@click.option("--accesses", type=click.Choice(["fetch", "pointers", "sweep"]),
              help="Of an Adreno's .rd or devcoredump: what its command processor fetches (the default), the "
                   "addresses in its packets, or modelled reads over its buffers.")  # fmt: skip
@click.option("--granule", type=click.Choice(["4K", "16K", "64K"]),
              help="Smallest pages of the tables that the file's MAPs are for.  [default: 4K]")  # fmt: skip
@click.option("--sms", metavar="N", help="Of Accel-Sim's: SMs that share the thread blocks.  [default: 16]")
@click.option(
    "--resident", metavar="N", help="Of Accel-Sim's: thread blocks an SM has at once.  [default: 2]"
)
@click.option("--pace", metavar="T", help="Of Accel-Sim's: time of a round of the SMs.  [default: 1ns]")
@click.option("--relocate", metavar="SIZE",
              help="Of Accel-Sim's: put each touched page so far from the next, such as 2M.")  # fmt: skip
@options.as_json
def import_file(
    file: Path,
    out: Path,
    name: str | None,
    salvage: bool,
    mapped: tuple[str, ...],
    real_clock: bool,
    accesses: str | None,
    granule: str | None,
    sms: str | None,
    resident: str | None,
    pace: str | None,
    relocate: str | None,
    as_json: bool,
) -> None:
    """Make a trace of what another tool recorded; gz, zst and xz are decompressed.

    FILE is a QEMU log, a kernel trace, a kernel log with faults, an Adreno's .rd or devcoredump, an Accel-Sim
    kernel or list of kernels, an NVIDIA UVM fault log, a CSV or a Parquet table.
    """
    from traces.events import OP_NAMES  # noqa: PLC0415
    from traces.importers.result import Options  # noqa: PLC0415
    from traces.importers.run import import_trace  # noqa: PLC0415

    columns: dict[str, str] = {}
    for text in mapped:
        column, equals, field = text.rpartition("=")
        if not equals or not column or not field or column in columns:
            expected = "COLUMN=FIELD, once for a column"
            raise UsageError("not a column and its field", "--map", expected, repr(text))
        columns[column] = field
    asked = Options(
        map=columns,
        real_clock=real_clock,
        accesses=accesses or "",
        granule=size(granule, "--granule") if granule else 0,
        sms=positive_count(sms, "--sms") if sms else 0,
        resident=positive_count(resident, "--resident") if resident else 0,
        pace=positive_duration(pace, "--pace") if pace else 0,
        relocate=size(relocate, "--relocate") if relocate else 0,
    )
    with Progress("bytes read") as reading, Progress("events written") as writing:
        made = import_trace(file, out, name, salvage, asked, reading, writing)
    if as_json:
        print_json({"trace": str(made.path), "format": made.format, "events": made.rows,
                    "counts": made.manifest.counts, "left_out": made.dropped})  # fmt: skip
        return
    counts = ", ".join(f"{n:,} {op}" for op, n in made.manifest.counts.items() if n)
    click.echo(f"saved {made.path}: {made.rows:,} events ({counts}), read as {made.format}")
    for line in made.dropped:
        click.echo(f"left out: {line}")
    for line in made.manifest.not_contained:
        click.echo(f"not in it: {line}")
    counts_by_op = made.manifest.counts
    # Where nothing is mapped every access faults, unless a pager maps.
    demand = "" if counts_by_op["MAP"] else " --scenario demand --client pager"
    replay = (
        f"\n  smmubench replay {made.path}{demand}" if any(counts_by_op[op] for op in OP_NAMES[:3]) else ""
    )
    click.echo(f"next:\n  smmubench traces info {made.path}{replay}")
