"""The picture of a trace: pages by time, footprint over time, reuse distances, and where it all is from."""

from __future__ import annotations

import textwrap
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bench.commands.reach import show_bytes
from bench.pictures import save
from bench.trace_map import COLUMNS, Region, TraceMap
from bench.units import UNITS, show_ns
from smmucore.missratio import LIMIT

_INCHES = (9.5, 10.0)
_BLUE, _ORANGE, _GREY = "#0072B2", "#E69F00", "#BBBBBB"
#: Labels of the map's rows; no two nearer than this part of it.
_LABELS, _APART = 12, 1 / 16
#: With more regions their borders would hide what is in them.
_MOST_BORDERS = 40


def draw(made: TraceMap, target: Path) -> Path:
    """Draw a trace into a PNG or SVG file that appears whole or not at all; return its path.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots(3, 1, height_ratios=[3.2, 1.3, 1.4])
    m = made.trace.manifest
    figure.suptitle(_folded(f"{m.name} ({m.kind}): {m.title}", 95, 2), fontsize=11)
    scale, unit = _time(made)
    _heat(figure, axes, made, scale)
    _footprint(axes[1], made, scale, unit)
    _reuse(axes[2], made)
    figure.supxlabel(_provenance(made), fontsize=7.5, color="#333333")
    return save(figure, target)


def _time(made: TraceMap) -> tuple[int, str]:
    whole = made.column_ns * COLUMNS
    unit = next((u for u in reversed(UNITS) if whole >= UNITS[u]), "ns")
    return UNITS[unit], unit


def _heat(figure: Any, axes: Any, made: TraceMap, scale: int) -> None:
    from matplotlib.colors import LogNorm  # noqa: PLC0415

    axis = axes[0]
    rows = made.heat.shape[0]
    shown = np.ma.masked_equal(made.heat, 0)
    image = axis.imshow(shown, aspect="auto", origin="lower", interpolation="nearest", cmap="viridis",
                        norm=LogNorm(1, max(int(made.heat.max()), 2)),
                        extent=(0, made.column_ns * COLUMNS / scale, 0, rows))  # fmt: skip
    bar = figure.colorbar(image, ax=list(axes[:2]), pad=0.01, aspect=40)
    bar.set_label("accesses in a cell [logarithmic]", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    if len(made.regions) <= _MOST_BORDERS:
        for region in made.regions[1:]:
            axis.axhline(region.row, color=_GREY, linewidth=0.4)
    labels = _labels(made.regions, rows)
    several = len(made.trace.manifest.spaces) > 1
    texts = [f"{f'space {r.space}: ' if several else ''}{r.iova:#x}" for r in labels]
    axis.set_yticks([r.row for r in labels], texts, fontsize=7.5)
    axis.set_ylabel("touched pages, in the order of their IOVAs", fontsize=9)
    page = show_bytes(1 << made.page_bits)
    cell = f"a column is {show_ns(made.column_ns)}"
    axis.set_title(f"Accesses by page and time (pages of {page}; what is never touched is left out; {cell})",
                   fontsize=9.5, loc="left")  # fmt: skip
    axis.tick_params(axis="x", labelsize=8)


def _labels(regions: list[Region], rows: int) -> list[Region]:
    """Choose the regions that are named: the large ones, none too near to another."""
    chosen: list[Region] = []
    for region in sorted(regions, key=lambda r: (-r.rows, r.row)):
        if all(abs(region.row - other.row) >= _APART * rows for other in chosen):
            chosen.append(region)
        if len(chosen) == _LABELS:
            break
    return sorted(chosen, key=lambda r: r.row)


def _footprint(axis: Any, made: TraceMap, scale: int, unit: str) -> None:
    edges = np.arange(COLUMNS + 1) * (made.column_ns / scale)
    page = (1 << made.page_bits) / (1 << 20)
    axis.stairs(np.cumsum(made.fresh) * page, edges, color=_BLUE, linewidth=1.6, baseline=None,
                label="touched so far")  # fmt: skip
    axis.stairs(made.touched * page, edges, baseline=page / 2, color=_ORANGE, fill=True, alpha=0.7,
                label="touched in a column's time")  # fmt: skip
    axis.set_yscale("log")
    axis.set_ylim(page / 2, 4 * page * int(made.fresh.sum()))
    axis.set_xlim(0, edges[-1])
    axis.set_ylabel("footprint [MiB, log.]", fontsize=9)
    clock = "" if made.trace.manifest.clock_is_real else "; not a real device's clock"
    axis.set_xlabel(f"time from the first access [{unit}{clock}]", fontsize=9)
    axis.set_title("Footprint over time", fontsize=9.5, loc="left")
    axis.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1, 0.99), ncols=2, frameon=False)
    axis.tick_params(axis="x", labelsize=8)
    _plain(axis)


def _reuse(axis: Any, made: TraceMap) -> None:
    curve = made.reuse.curve
    sizes = [1 << k for k in range(LIMIT.bit_length())]
    hits = [int(curve.hits[n]) for n in sizes]
    counts = [hits[0], *(after - before for before, after in pairwise(hits))]
    counts += [max(curve.attainable - hits[-1], 0), curve.cold]
    names = ["1", "2", *(f"≤{show_bytes(n)}" for n in sizes[2:]), "more", "first\nuse"]
    whole = max(curve.accesses, 1)
    shares = [100 * n / whole for n in counts]
    colours = [_BLUE] * (len(counts) - 1) + [_ORANGE]
    axis.bar(range(len(counts)), shares, color=colours, width=0.8)
    for k, share in enumerate(shares):
        if share:
            text = f"{share:.1f}" if share >= 0.1 else "<0.1"
            axis.annotate(text, (k, share), ha="center", va="bottom", fontsize=7, xytext=(0, 1),
                          textcoords="offset points")  # fmt: skip
    axis.set_xticks(range(len(counts)), names, fontsize=7)
    axis.set_xlim(-0.7, len(counts) - 0.3)
    axis.set_ylim(0, 1.15 * max(*shares, 1e-9))
    axis.set_ylabel("accesses [%]", fontsize=9)
    axis.set_xlabel("distinct pages since the page's last use, itself included", fontsize=9)
    sampled = "" if curve.weight == 1 else f"; estimated from one page in {curve.weight}"
    axis.set_title(f"Reuse distance (pages of 4K{sampled})", fontsize=9.5, loc="left")
    _plain(axis)


def _plain(axis: Any) -> None:
    axis.tick_params(axis="y", labelsize=8)
    axis.grid(axis="y", linewidth=0.4, color=_GREY)
    axis.set_axisbelow(True)


def _provenance(made: TraceMap) -> str:
    from importlib.metadata import version  # noqa: PLC0415

    m, trace = made.trace.manifest, made.trace
    text = (
        f"{m.kind} trace {m.name}, {trace.rows:,} events, SHA-256 {trace.sha256[:16]}; device: {m.device}; "
        f"clock: {m.clock}; made by {m.tool.name} {m.tool.version}; drawn by smmubench {version('smmubench')}"
    )
    return _folded(text, 150, 4)


def _folded(text: str, width: int, most: int) -> str:
    """Fold a text, at most so many lines of it: a merged trace may say a lot."""
    lines = textwrap.wrap(text, width, break_on_hyphens=False, max_lines=most, placeholder=" ...")
    return "\n".join(lines)
