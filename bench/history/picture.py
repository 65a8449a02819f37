"""A history as a picture: a panel a series, its steps marked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import pictures
from bench.history.series import Series, short
from bench.history.store import WALL

#: More panels than that nobody reads.
MOST = 24


def draw(series: Sequence[Series], path: Path) -> None:
    """Draw the series into a .png or .svg file.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9.0, 1.9 * len(series) + 0.3), layout="constrained")
    FigureCanvasAgg(figure)
    panels: Any = figure.subplots(len(series), 1, squeeze=False)[:, 0]
    for panel, one in zip(panels, series, strict=True):
        _panel(panel, one)
    pictures.save(figure, path)


def _panel(axes: Any, one: Series) -> None:
    scale, unit = _scale(one)
    values = [value * scale for value in one.values]
    axes.plot(range(len(values)), values, "o-", markersize=3, linewidth=0.8, color="0.35")
    found = one.steps()
    for step in found:
        axes.axvline(step.at - 0.5, color="tab:red", linewidth=1.0, linestyle="--")
    ends = [0, *(step.at for step in found), len(values)]
    levels = [found[0].before, *(step.after for step in found)] if found else []
    for level, start, end in zip(levels, ends, ends[1:], strict=False):
        axes.hlines(level * scale, start - 0.5, end - 0.5, color="tab:red", linewidth=1.2)
    axes.set_title(f"{one.title}: {one.clock} clock", fontsize=8, loc="left")
    axes.set_ylabel(unit, fontsize=7)
    axes.tick_params(labelsize=6)
    every = max(1, len(values) // 12)
    ticks = list(range(0, len(values), every))
    axes.set_xticks(ticks, [short(one.commits[k])[:7] for k in ticks])
    axes.margins(y=0.2)


def _scale(one: Series) -> tuple[float, str]:
    if one.clock != WALL:
        return 1.0, "ns" if "_ns" in one.name else "count"
    largest = max(one.values)
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if largest * factor >= 1:
            return factor, unit
    return 1e9, "ns"
