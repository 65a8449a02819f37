"""`smmubench reach`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench import pictures
from bench.errors import unknown
from bench.output import print_json, print_pairs, print_table
from bench.progress import say
from bench.sampling import sampling
from bench.units import show_count, three_digits

if TYPE_CHECKING:
    from bench.reach import Column, Reach

#: As in `bench.reach`, which loads numba.
PAGES = ("4K", "16K", "64K", "2M", "1G", "mapped")

#: Page sizes and TLB sizes that are shown where several traces are beside one another.
BESIDE = ("4K", "64K", "2M")
BESIDE_ENTRIES = (16, 64, 512, 4096)

IGNORED = "invalidations are ignored (--invalidations honours them)"


@click.command()
@click.argument("traces", nargs=-1, required=True, metavar="TRACE...")
@click.option("--space", type=click.IntRange(0), metavar="N", help="Only accesses of this space.")
@click.option("--stream", type=click.IntRange(0), metavar="N", help="Only accesses of this stream.")
@click.option(
    "--page",
    "pages",
    multiple=True,
    metavar="SIZE",
    help="4K, 16K, 64K, 2M, 1G, or mapped: the leaf that the trace's MAPs give; may be repeated.",
)
@click.option(
    "--sample",
    metavar="RATE",
    help="A rate such as 1/64; a number of pages such as 64k, beyond which pages are sampled; or 1: "
    "exact, whatever memory it takes.  [default: 262144 pages of a size]",
)
@click.option("--invalidations", is_flag=True, help="A TLBI empties the entries it meets.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the curves: a .png or .svg picture, or Parquet.",
)
def reach(
    traces: tuple[str, ...], space: int | None, stream: int | None, pages: tuple[str, ...],
    sample: str | None, invalidations: bool, as_json: bool, out: Path | None,
) -> None:  # fmt: skip
    """Print how often each size of a fully associative LRU TLB would hit on TRACE, by page size.

    One pass over the trace gives every size. 16K to 1G are what the trace would do if all of it were mapped
    by pages of that size (16K and 64K: contiguous runs of 4K pages); mapped is what its own MAPs allow.
    Several traces are shown beside one another. docs/reach.md explains the sampling, and the names in the
    JSON and Parquet output.
    """
    for page in pages:
        if page not in PAGES:
            raise unknown("page size", "--page", PAGES, page)
    sampled = sampling(sample)
    from bench import reach as question  # noqa: PLC0415
    from bench import rows  # noqa: PLC0415
    from bench.progress import Progress, announce_compilation  # noqa: PLC0415
    from traces.catalogue import find  # noqa: PLC0415
    from traces.reader import open_trace  # noqa: PLC0415

    picture = out is not None and out.suffix.lower() in pictures.SUFFIXES
    if out is not None:
        rows.check_target(out)
    opened = [open_trace(find(trace)) for trace in traces]
    announce_compilation()
    chosen = tuple(dict.fromkeys(pages)) or (PAGES if len(opened) == 1 else BESIDE)
    made = []
    for trace in opened:
        with Progress("events read") as progress:
            made.append(
                question.reach(trace, chosen, space=space, stream=stream, sample=sampled,
                               invalidations=invalidations, progress=progress)
            )  # fmt: skip
    if out is not None and picture:
        from bench.reach_picture import draw  # noqa: PLC0415

        draw(made, out)
    elif out is not None:
        flat = [{"trace": each.manifest["trace"], **row} for each in made for row in each.flat()]
        manifest = made[0].manifest if len(made) == 1 else {"traces": [each.manifest for each in made]}
        rows.save(flat, manifest, out)
    if out is not None:
        say(f"{'picture' if picture else 'curves'} saved in {out}")
    if as_json:
        print_json(made[0].to_json() if len(made) == 1 else {"traces": [each.to_json() for each in made]})
    elif len(made) == 1:
        _print(made[0])
    else:
        _print_beside(made)


def _print(made: Reach) -> None:
    from bench.reach import ENTRIES  # noqa: PLC0415

    names = [column.page for column in made.columns]
    click.echo("hit ratio of a fully associative LRU TLB, by entries and page size\n")
    cells = [(str(n), *(_ratio(column, n) for column in made.columns)) for n in ENTRIES]
    cells.append(("endless", *(_endless(column) for column in made.columns)))
    print_table(("entries", *names), cells, right=("entries", *names))
    click.echo("\nworking set, and the fewest entries with 90 and 99 % of the endless TLB's hits\n")
    headings = ("page", "pages", "bytes", "90%", "reach", "99%", "reach ", "sample", "error")
    print_table(headings, [_row(column) for column in made.columns], right=headings[1:])
    click.echo()
    print_pairs(_footer(made))


def _print_beside(made: list[Reach]) -> None:
    """Print a table for each page size, a row for each trace."""
    for number, first in enumerate(made[0].columns):
        click.echo(f"{first.page}: hit ratio of a fully associative LRU TLB, by trace and entries\n")
        cells = []
        for each in made:
            column = each.columns[number]
            shown = [_short(_ratio(column, n)) for n in BESIDE_ENTRIES]
            cells.append((each.manifest["trace"], each.manifest["kind"], *shown, _short(_endless(column)),
                          show_count(column.curve.distinct)))  # fmt: skip
        headings = ("trace", "kind", *map(str, BESIDE_ENTRIES), "endless", "pages")
        print_table(headings, cells, right=headings[2:])
        click.echo()
    print_pairs(
        [
            ("endless", "a TLB in which only first uses miss; pages: the working set"),
            ("TLBI", _tlbi(made[0])),
            ("next", "smmubench reach TRACE shows one trace in every size; traces info TRACE what it is"),
        ]
    )  # fmt: skip


def _short(ratio: str) -> str:
    """Drop the second digit: there are columns for one."""
    return f"{ratio[:-2]}%" if ratio.endswith("%") else ratio


def _tlbi(made: Reach) -> str:
    return "invalidations empty entries" if made.manifest["invalidations"] == "honoured" else IGNORED


def _ratio(column: Column, entries: int) -> str:
    from bench.reach import TOLERABLE  # noqa: PLC0415

    c = column.curve
    if not c.accesses or c.error[entries] > TOLERABLE:
        return "-"
    return percent(int(c.hits[entries]), c.accesses)


def _endless(column: Column) -> str:
    c = column.curve
    return percent(c.attainable, c.accesses) if c.accesses and (c.weight == 1 or c.error.max() < 1) else "-"


def percent(part: int, whole: int) -> str:
    """Write a share in percent, cut after two digits: 100% is all of it and nothing less.

    Examples
    --------
    >>> percent(9_999_999, 10_000_000), percent(7, 7), percent(0, 7)
    ('99.99%', '100.00%', '0.00%')
    """
    hundredths = part * 10_000 // whole
    return f"{hundredths // 100}.{hundredths % 100:02}%"


def show_bytes(size: int | None) -> str:
    """Write a size with three digits and a binary unit; a dash for one that is not known.

    Examples
    --------
    >>> [show_bytes(n) for n in (0, 4096, 5 << 20, 3 << 29)]
    ['0', '4K', '5M', '1.5G']
    """
    if size is None:
        return "-"
    unit = min(max(size.bit_length() - 1, 0) // 10, 6)
    text = three_digits(size / (1 << 10 * unit))
    return (text.rstrip("0").rstrip(".") if "." in text else text) + ("", "K", "M", "G", "T", "P", "E")[unit]


def _row(column: Column) -> tuple[str, ...]:
    from bench.reach import ENTRIES, TOLERABLE  # noqa: PLC0415

    c, size = column.curve, column.page_bytes
    knees: list[str] = []
    for knee in (c.knee(90), c.knee(99)):
        if not c.attainable:
            knees += ["-", "-"]
        elif knee is None:
            knees += [f">{ENTRIES[-1]}", "-"]
        elif c.error[knee] > TOLERABLE:
            knees += ["?", "-"]
        else:
            knees += [str(knee), show_bytes(None if size is None else knee * size)]
    shown = [float(c.error[n]) for n in ENTRIES if c.error[n] <= TOLERABLE]
    error = "exact" if c.weight == 1 else f"{100 * max(shown):.2f}%" if shown else "-"
    rate = "all" if c.weight == 1 else f"1/{c.weight}"
    return (column.page, show_count(c.distinct), show_bytes(column.distinct_bytes), *knees, rate, error)


def _footer(made: Reach) -> list[tuple[str, str]]:
    from bench.table import not_contained  # noqa: PLC0415

    m = made.manifest
    trace = m["trace_manifest"]
    only = [f"{name} {m[name]}" for name in ("space", "stream") if m[name] is not None]
    counted = f"{max(column.curve.accesses for column in made.columns):,} accesses"
    beyond = m["beyond_input_size"]
    pairs = [
        ("trace", f"{m['trace']} ({m['kind']}): {trace['title']}"),
        ("source", f"{trace['device']}; sha256 {m['sha256'][:16]}"),
        ("not in it", not_contained(trace)),
        ("counted", ", ".join([counted, *only])
         + (f"; {beyond:,} beyond the input size are faults" if beyond else "")),
        ("TLBI", _tlbi(made)),
        ("reach", "entries x page; 16K and 64K take every aligned run of 4K pages for contiguous (assumed)"),
    ]  # fmt: skip
    for column in made.columns:
        if column.page == "mapped":
            text = "the leaves of the trace's own MAPs; reach by their mean size"
            pairs.append(("mapped", f"{text}; {column.faults:,} accesses to unmapped pages not counted"))
    if any(column.curve.weight > 1 for column in made.columns):
        text = "pages by hash; error: 99 %, the largest shown; -: off by more than 5 points"
        pairs.append(("sample", f"{m['sample']}; {text}"))
    return pairs
