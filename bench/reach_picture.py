"""The picture of `bench.reach`: miss ratio by entries, a panel for each page size, a line for each trace.

Captured traces are solid, derived and synthetic ones dashed; colours are Okabe and Ito's, which all kinds of
colour vision tell apart, and markers tell apart the lines that share one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.pictures import save
from bench.reach import ENTRIES, TOLERABLE, Column, Reach

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D")
DASHES = {"captured": "solid", "derived": (0, (5, 2)), "synthetic": (0, (1.5, 1.5))}
#: A ratio below this is drawn at the bottom: an endless TLB misses first uses only, and few of those.
LEAST = 1e-4


def figure(made: Sequence[Reach]) -> Figure:
    """Draw curves beside one another.

    Parameters
    ----------
    made : sequence of Reach
        With the same page sizes; at least one.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    panels = [column.page for column in made[0].columns]
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    drawn = Figure(figsize=(3.6 * across + 0.4, 3.4 * down + 1.2), layout="constrained")
    FigureCanvasAgg(drawn)
    axes: Any = drawn.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for number, page in enumerate(panels):
        axis = axes.flat[number]
        for place, each in enumerate(made):
            _line(axis, each, each.columns[number], place)
        _dress(axis, page)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("miss ratio [of accesses, log.]", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("TLB entries [log.]", fontsize=9)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=min(3, len(made)), fontsize=8.5)
    drawn.suptitle("Fully associative LRU TLB, all streams, invalidations " + _treated(made[0]), fontsize=10)
    return drawn


def draw(made: Sequence[Reach], target: Path) -> Path:
    """Draw into a PNG or SVG file that appears whole or not at all; return its path.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    return save(figure(made), target)


def _treated(each: Reach) -> str:
    return str(each.manifest["invalidations"])


def _line(axis: Any, each: Reach, column: Column, place: int) -> None:
    c = column.curve
    shown = [n for n in ENTRIES if c.accesses and c.error[n] <= TOLERABLE]
    ratio = [max(LEAST, 1 - int(c.hits[n]) / c.accesses) for n in shown]
    kind = each.manifest["kind"]
    axis.plot(
        shown, np.array(ratio), label=f"{each.manifest['trace']} ({kind})",
        color=COLOURS[place % len(COLOURS)], linestyle=DASHES[kind], linewidth=1.5,
        marker=MARKERS[place // len(COLOURS) % len(MARKERS)] if len(COLOURS) <= place else None, markersize=3,
    )  # fmt: skip


def _dress(axis: Any, page: str) -> None:
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_ylim(LEAST * 0.8, 1.3)
    axis.set_title(
        "the trace's own MAPs" if page == "mapped" else f"pages of {page}", fontsize=9.5, loc="left"
    )
    ticks = [1, 16, 256, 4096, 65536]
    axis.set_xticks(ticks, [str(n) if n < 1024 else f"{n // 1024}k" for n in ticks])
    axis.tick_params(labelsize=8.5)
    axis.grid(which="major", linewidth=0.4, color="#BBBBBB")
    axis.set_axisbelow(True)
