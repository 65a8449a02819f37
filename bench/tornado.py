"""The picture of `bench.sensitivity`: one tornado a claim, the widest bar on top.

Blue and orange are Okabe and Ito's, which all kinds of colour vision tell apart; the orange bars are hatched
besides.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from bench.orderings import METRICS
from bench.pictures import save
from bench.sensitivity import Bar, Sensitivity, Tornado
from bench.units import UNITS

LOW, HIGH, EDGE = "#0072B2", "#E69F00", "#333333"
FAILS = "#EBEBEB"
#: Beyond this ratio of the widest to the third widest bar a linear axis hides all others.
WIDE = 20

_INCHES = 9.0
_BAR, _AROUND = 0.3, 1.35


def draw(made: Sensitivity, target: Path) -> Path:
    """Draw every tornado into a PNG or SVG file that appears whole or not at all; return its path.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.lines import Line2D  # noqa: PLC0415
    from matplotlib.patches import Patch  # noqa: PLC0415

    heights = [_BAR * max(len(_moving(t)), 1) + _AROUND for t in made.tornadoes]
    figure = Figure(figsize=(_INCHES, sum(heights) + 0.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)
    for axis, tornado in zip(axes[:, 0], made.tornadoes, strict=True):
        _panel(axis, tornado)
    m = made.manifest
    figure.suptitle(f"{m['trace']} ({m['kind']}), {m['scenario']}\n"
                    f"client {m['client']}, costs {m['costs']}, console {m['console']}; one cost varied",
                    fontsize=9)  # fmt: skip
    figure.legend(
        handles=[
            Patch(facecolor=LOW, edgecolor=EDGE, label="cost at the low end of its range"),
            Patch(facecolor=HIGH, edgecolor=EDGE, hatch="////", label="at the high end"),
            Patch(facecolor=FAILS, edgecolor=EDGE, label="the claim fails"),
            Line2D([], [], color=EDGE, linewidth=1, linestyle="--", label="default costs"),
        ],
        fontsize=8,
        ncols=4,
        loc="outside lower center",
    )
    return save(figure, target)


def _moving(tornado: Tornado) -> list[Bar]:
    return [bar for bar in tornado.bars if bar.swing]


def _panel(axis: Any, tornado: Tornado) -> None:
    o, metric = tornado.ordering, METRICS[tornado.ordering.metric]
    bars = _moving(tornado)
    centre = tornado.default.difference
    ends = [p.difference for bar in bars for p in (bar.low, bar.high) if math.isfinite(p.difference)]
    finite = [x for x in (*ends, centre) if math.isfinite(x)] or [0.0]
    scale, unit = _scale(metric.unit, max(abs(x) for x in finite))
    axis.axvspan(0, 1e30, color=FAILS, zorder=0)
    for row, bar in enumerate(reversed(bars)):
        for point, colour, hatch in ((bar.low, LOW, ""), (bar.high, HIGH, "////")):
            if math.isfinite(point.difference) and math.isfinite(centre):
                axis.barh(row, (point.difference - centre) / scale, left=centre / scale, height=0.62,
                          color=colour, hatch=hatch, edgecolor=EDGE, linewidth=0.6, zorder=2)  # fmt: skip
            else:
                axis.text(0, row, " never ends", va="center", fontsize=7)
    if not bars:
        axis.text(0.5, 0.5, "no cost changes it", transform=axis.transAxes, ha="center", fontsize=8)
    axis.set_yticks(range(len(bars)), [_label(bar) for bar in reversed(bars)], fontsize=7.5)
    axis.set_ylim(-0.6, max(len(bars), 1) - 0.4)
    _limits(axis, [x / scale for x in finite], [bar.swing / scale for bar in bars])
    axis.axvline(0, color="black", linewidth=1.4, zorder=3)
    if math.isfinite(centre):
        axis.axvline(centre / scale, color=EDGE, linewidth=1, linestyle="--", zorder=3)
    axis.set_title(f"{o.formula} on {tornado.hardware}: {o.claim}", fontsize=9, loc="left")
    log = ", logarithmic" if axis.get_xscale() == "symlog" else ""
    axis.set_xlabel(f"{o.less} less {o.more}: {metric.title} [{unit}{log}]", fontsize=8)
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="x", linewidth=0.4, color="#BBBBBB", zorder=1)
    axis.set_axisbelow(True)


def _label(bar: Bar) -> str:
    k = bar.knob
    text = f"{k.name} ({k.tag})\n{k.show(k.low)} to {k.show(k.high)}"
    return text if bar.everywhere else f"{text}; holds: {bar.where}"


def _scale(unit: str, highest: float) -> tuple[float, str]:
    """Return what a difference is divided by, and the unit of the axis."""
    if unit != "ns":
        return 1, unit
    best = next((u for u in reversed(UNITS) if highest >= UNITS[u]), "ns")
    return UNITS[best], best


def _limits(axis: Any, finite: list[float], swings: list[float]) -> None:
    """Show every bar and zero; where few bars dwarf all others, on an axis that is linear about zero only."""
    low, high = min(*finite, 0.0), max(*finite, 0.0)
    if len(swings) > 2 and swings[2] > 0 and swings[0] / swings[2] > WIDE:
        nearest = min((abs(x) for x in finite if x), default=1.0)
        axis.set_xscale("symlog", linthresh=nearest)
        low, high = 1.6 * low, max(1.6 * high, 0.3 * nearest)
    else:
        room = 0.06 * (high - low) or 1.0
        low, high = low - room, high + room
    axis.set_xlim(low, high)
