"""The one style of every figure: size, fonts, colours, dashes and markers, and what is told of each point.

Colours are Okabe and Ito's, which all kinds of colour vision tell apart; lines differ in dashes and markers
besides, and bars in hatching, so that no figure rests on colour alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLACK, BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = COLOURS = (
    "#000000",
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)
GRID, INK, SOFT = "#BBBBBB", "#222222", "#777777"

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 1.5, 1.5, 1.5)))
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "++++")

WIDTH = 7.2
SIZE = 10

#: The policies most drawn look the same in every figure.
_FIXED = {
    "P1": (BLACK, "solid", "o"),
    "P2": (SKY, DASHES[1], "D"),
    "P2b": (ORANGE, DASHES[2], "P"),
    "P4": (VERMILION, DASHES[1], "s"),
    "P7": (PURPLE, DASHES[3], "X"),
    "P8": (BLUE, "solid", "^"),
    "P9": (GREEN, DASHES[3], "v"),
    "P10": (PURPLE, DASHES[2], "D"),
    "P16": (ORANGE, DASHES[1], "P"),
}


@dataclass(frozen=True)
class Look:
    """How one line is drawn."""

    color: Any
    linestyle: Any
    marker: str

    def line(self, **more: Any) -> dict[str, Any]:
        """Return the keywords of a line."""
        return {
            "color": self.color,
            "linestyle": self.linestyle,
            "marker": self.marker,
            "markersize": 4,
            "linewidth": 1.7,
            **more,
        }


def look(place: int) -> Look:
    """Return the look of the line number `place`: colours, markers and dashes go round at different times."""
    return Look(COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)], MARKERS[place % len(MARKERS)])


def policy_looks(policies: Iterable[str]) -> dict[str, Look]:
    """Return a look for each policy; those of `_FIXED` keep theirs, the others take what is left."""
    wanted = list(dict.fromkeys(policies))
    made = {policy: Look(*_FIXED[policy]) for policy in wanted if policy in _FIXED}
    free = (look(k) for k in count())
    taken = {(each.color, each.linestyle) for each in made.values()}
    for policy in wanted:
        if policy not in made:
            made[policy] = next(each for each in free if (each.color, each.linestyle) not in taken)
    return made


def new(rows: int = 1, columns: int = 1, height: float = 4.0, width: float = WIDTH, **more: Any) -> Any:
    """Return a figure and its axes, an array of (rows, columns)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **more)


def dress(axis: Axes, x: str, y: str, title: str = "") -> None:
    """Put names, units and a grid on an axis."""
    axis.set_xlabel(x, fontsize=SIZE)
    axis.set_ylabel(y, fontsize=SIZE)
    if title:
        axis.set_title(title, fontsize=SIZE, loc="left", color=INK)
    axis.tick_params(labelsize=SIZE - 0.5)
    axis.grid(which="major", linewidth=0.4, color=GRID)
    axis.set_axisbelow(True)


def legend(axis: Axes, **more: Any) -> None:
    """Put a legend on an axis, if anything is named."""
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=SIZE - 1, framealpha=0.85, **more)


def tip(artist: Any, texts: str | Sequence[str]) -> None:
    """Say what an artist shows, or each of its points; `bench.report` makes tooltips of it."""
    figure = artist.get_figure()
    known: dict[str, Any] = tips(figure)
    gid = f"tip{len(known)}"
    artist.set_gid(gid)
    known[gid] = texts if isinstance(texts, str) else list(texts)


def tips(figure: Figure) -> dict[str, Any]:
    """Return what `tip` was told, by group id."""
    if not hasattr(figure, "_smmubench_tips"):
        figure._smmubench_tips = {}  # type: ignore[attr-defined]
    known: dict[str, Any] = figure._smmubench_tips  # type: ignore[attr-defined]
    return known


def times(axis: Axes, which: str = "x") -> None:
    """Write an axis of ns with the unit that suits each tick."""
    from matplotlib.ticker import FuncFormatter, NullFormatter  # noqa: PLC0415

    from bench.units import show_ns  # noqa: PLC0415

    side = axis.xaxis if which == "x" else axis.yaxis
    side.set_major_formatter(FuncFormatter(lambda ns, _: show_ns(ns) if ns >= 0 else f"-{show_ns(-ns)}"))
    side.set_minor_formatter(NullFormatter())


def sizes(axis: Axes) -> None:
    """Write a logarithmic x axis of bytes with binary units."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator  # noqa: PLC0415

    from bench.commands.reach import show_bytes  # noqa: PLC0415

    low, high = axis.get_xlim()
    every = [1 << k for k in range(10, 50, 2) if low <= 1 << k <= high]
    axis.xaxis.set_major_locator(FixedLocator(every[:: max(1, len(every) // 8)]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda n, _: show_bytes(int(n))))


def mark(axis: Axes, at: float, text: str, which: str = "y", place: float = 0.01) -> None:
    """Draw a limit as a dashed line with its name beside it."""
    if which == "y":
        axis.axhline(at, color=INK, linewidth=1.1, linestyle=(0, (4, 3)), zorder=1)
        axis.annotate(
            text,
            (place, at),
            xycoords=("axes fraction", "data"),
            xytext=(2, 3),
            textcoords="offset points",
            fontsize=SIZE - 1.5,
            color=INK,
        )
    else:
        axis.axvline(at, color=INK, linewidth=1.1, linestyle=(0, (4, 3)), zorder=1)
        axis.annotate(
            text,
            (at, 1 - place),
            xycoords=("data", "axes fraction"),
            xytext=(3, -9),
            textcoords="offset points",
            fontsize=SIZE - 1.5,
            color=INK,
        )
