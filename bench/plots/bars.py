"""Bars: what a fault's time went to, the detector, tornadoes, changes."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.plots.style import (
    BLUE,
    COLOURS,
    HATCHES,
    INK,
    ORANGE,
    SIZE,
    SOFT,
    VERMILION,
    dress,
    legend,
    new,
    times,
    tip,
)
from bench.units import UNITS, show_ns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Beyond this ratio of the widest to the third widest bar a linear axis hides all others.
WIDE = 20
_MOST = 24


def console_bars(frame: pd.DataFrame) -> Figure:
    """Draw a stacked bar for each console, printed and suppressed, a column of panels for each policy.

    Parameters
    ----------
    frame : DataFrame
        ``policy, console, report, part, ns, total_ns`` of question 5.

    Returns
    -------
    matplotlib.figure.Figure
        Linear axes from zero, as stacks need; the panels on the left leave serial consoles out, which would
        hide all others, and those on the right show them alone.
    """
    policies = list(dict.fromkeys(frame["policy"]))
    slow = frame["total_ns"] > WIDE * frame["total_ns"].median()
    groups = [part for part in (frame[~slow], frame[slow]) if len(part)]
    bars = [len(part[part["policy"] == policies[0]].groupby(["console", "report"])) for part in groups]
    figure, axes = new(
        len(policies),
        len(groups),
        height=1.2 + len(policies) * (0.8 + 0.24 * max(bars)),
        width_ratios=[1.35, 1][: len(groups)],
    )
    parts = list(dict.fromkeys(frame["part"]))
    for row, policy in zip(axes, policies, strict=True):
        for axis, group in zip(row, groups, strict=True):
            mine = group[group["policy"] == policy]
            keys = list(dict.fromkeys(zip(mine["console"], mine["report"], strict=True)))
            left = np.zeros(len(keys))
            scale, unit = _unit(float(mine["total_ns"].max()))
            for k, part in enumerate(parts):
                found = mine[mine["part"] == part].set_index(["console", "report"])["ns"]
                ns = np.array([float(found[key]) for key in keys])
                drawn = axis.barh(
                    range(len(keys)),
                    ns / scale,
                    left=left / scale,
                    height=0.72,
                    label=part,
                    color=COLOURS[(1, 6, 5, 4)[k % 4]],
                    hatch=HATCHES[k],
                    edgecolor=INK,
                    linewidth=0.5,
                )
                for bar, key, each in zip(drawn, keys, ns, strict=True):
                    tip(bar, f"{policy}, {key[0]}, {key[1]}: {part} {show_ns(each)}")
                left += ns
            for y, total in enumerate(left):
                axis.annotate(f" {show_ns(total)}", (total / scale, y), va="center", fontsize=SIZE - 2)
            axis.set_yticks(range(len(keys)), [f"{console}, {report}" for console, report in keys])
            axis.set_xlim(0, 1.22 * left.max() / scale)
            axis.invert_yaxis()
            dress(axis, f"record to RESUME [{unit}]", "", policy)
    axes[0, 0].figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=SIZE - 1
    )
    return figure


def detector_bars(frame: pd.DataFrame) -> Figure:
    """Draw the time of a CPU in hard interrupts, and how it ended, for the runs that took most.

    Parameters
    ----------
    frame : DataFrame
        ``policy, hardware, verdict, cpu_irq_ns, disabled, irq_none`` of question 9.

    Returns
    -------
    matplotlib.figure.Figure
    """
    shown = frame[frame["verdict"].isin(["storm", "livelock", "line-disabled"])]
    shown = (shown if len(shown) else frame).sort_values("cpu_irq_ns").tail(_MOST)
    figure, axes = new(height=1.3 + 0.27 * len(shown))
    axis = axes[0, 0]
    for y, row in enumerate(shown.to_dict("records")):
        off = bool(row["disabled"])
        (bar,) = axis.barh(
            y,
            max(row["cpu_irq_ns"], 1),
            height=0.7,
            color=BLUE if off else VERMILION,
            hatch="" if off else "////",
            edgecolor=INK,
            linewidth=0.5,
        )
        end = (
            "the detector turned the line off"
            if off
            else f"{row['verdict']}: the detector saw {row['irq_none']} unhandled"
        )
        tip(bar, f"{row['policy']} on {row['hardware']}: {show_ns(row['cpu_irq_ns'])} in interrupts; {end}")
        text = f" {show_ns(row['cpu_irq_ns'])}, {'line off' if off else row['verdict'] + ', never disabled'}"
        axis.annotate(text, (max(row["cpu_irq_ns"], 1), y), va="center", fontsize=SIZE - 2)
    axis.set_yticks(
        range(len(shown)), [f"{p} on {h}" for p, h in zip(shown["policy"], shown["hardware"], strict=True)]
    )
    axis.set_xscale("log")
    axis.set_xlim(right=60 * max(float(shown["cpu_irq_ns"].max()), 1))
    times(axis)
    dress(axis, "CPU time in hard interrupts over the run [simulated, log.]", "")
    return figure


def tornado(frame: pd.DataFrame) -> Figure:
    """Draw a tornado for each ordering: the difference with each cost at the ends of its range.

    Parameters
    ----------
    frame : DataFrame
        ``ordering, claim, formula, metric, unit, cost, tag, low, high, at_low, at_default, at_high, swing,
        holds, everywhere`` of question 14.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.patches import Patch  # noqa: PLC0415

    names = list(dict.fromkeys(frame["ordering"]))
    moving = {
        name: frame[(frame["ordering"] == name) & (frame["swing"].fillna(1) > 0)].head(8) for name in names
    }
    heights = [0.34 * max(len(part), 1) + 1.15 for part in moving.values()]
    figure, axes = new(len(names), height=sum(heights) + 0.4, height_ratios=heights)
    for axis, (name, part) in zip(axes[:, 0], moving.items(), strict=True):
        first = frame[frame["ordering"] == name].iloc[0]
        ends = part[["at_low", "at_default", "at_high"]].to_numpy(float)
        most = float(np.nanmax(np.abs(ends))) if ends.size else 1.0
        scale, unit = _unit(most) if first["unit"] == "ns" else (1.0, str(first["unit"]))
        for y, row in enumerate(part.to_dict("records")):
            for end, value, color, hatch in (
                ("low", row["at_low"], BLUE, ""),
                ("high", row["at_high"], ORANGE, "////"),
            ):
                if value is None or np.isnan(value):
                    continue
                base = row["at_default"] if row["at_default"] == row["at_default"] else value
                (bar,) = axis.barh(
                    y,
                    (value - base) / scale,
                    left=base / scale,
                    height=0.62,
                    color=color,
                    hatch=hatch,
                    edgecolor=INK,
                    linewidth=0.5,
                )
                tip(
                    bar,
                    f"{first['formula']}, {row['cost']} at {row[end]}: difference {value / scale:.3g} "
                    f"{unit}; "
                    f"holds: {row['holds']}",
                )
        labels = [
            f"{r['cost']} ({r['tag']})" + ("" if r["everywhere"] else " *") for r in part.to_dict("records")
        ]
        axis.set_yticks(range(len(part)), labels)
        axis.invert_yaxis()
        axis.axvline(0, color=INK, linewidth=1.3)
        finite = [x / scale for x in ends.ravel().tolist() if not np.isnan(x)]
        moved = sorted(part["swing"].dropna(), reverse=True)
        low, high = (min([*finite, 0.0]), max([*finite, 0.0]))
        if len(moved) > 2 and moved[0] > WIDE * moved[2] > 0:
            # Linear about zero only: one bar would hide all others.
            nearest = min(abs(x) for x in finite if x)
            axis.set_xscale("symlog", linthresh=nearest)
            axis.set_xlim(1.6 * low, max(1.6 * high, 0.3 * nearest))
        elif finite:
            room = 0.06 * (high - low) or 1.0
            axis.set_xlim(low - room, high + room)
        log = ", log." if axis.get_xscale() == "symlog" else ""
        if not len(part):
            axis.text(0.5, 0.5, "no cost changes it", transform=axis.transAxes, ha="center", fontsize=SIZE)
        dress(
            axis,
            f"{first['metric']}: first less second [{unit}{log}]",
            "",
            fill(f"{first['formula']}: {first['claim']}", 72),
        )
        axis.xaxis.label.set_fontsize(SIZE - 1)
    handles = [
        Patch(facecolor=BLUE, edgecolor=INK, label="cost at the low end"),
        Patch(facecolor=ORANGE, edgecolor=INK, hatch="////", label="at the high end"),
        Patch(facecolor="none", edgecolor="none", label="*: flips the claim"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=SIZE - 1)
    return figure


def change_bars(frame: pd.DataFrame) -> Figure:
    """Draw the changes of simulated results that are largest, in percent.

    Parameters
    ----------
    frame : DataFrame
        ``policy, hardware, counter, before, after, percent`` of question 15.

    Returns
    -------
    matplotlib.figure.Figure
    """
    known = frame.dropna(subset=["percent"])
    shown = known.assign(size=known["percent"].astype(float).abs()).sort_values("size").tail(_MOST)
    figure, axes = new(height=1.3 + 0.27 * max(len(shown), 2))
    axis = axes[0, 0]
    for y, row in enumerate(shown.to_dict("records")):
        (bar,) = axis.barh(
            y,
            row["percent"],
            height=0.7,
            color=ORANGE if row["percent"] > 0 else BLUE,
            hatch="////" if row["percent"] > 0 else "",
            edgecolor=INK,
            linewidth=0.5,
        )
        tip(bar, f"{row['policy']} on {row['hardware']}, {row['counter']}: {row['before']} to {row['after']}")
    if shown.empty:
        axis.text(
            0.5, 0.5, "nothing differs", transform=axis.transAxes, ha="center", color=SOFT, fontsize=SIZE
        )
    labels = [f"{r['policy']}, {r['hardware']}: {r['counter']}" for r in shown.to_dict("records")]
    axis.set_yticks(range(len(shown)), labels)
    axis.axvline(0, color=INK, linewidth=1.2)
    dress(axis, "change [% of the value before]", "")
    legend(axis)
    return figure


def _unit(highest: float) -> tuple[float, str]:
    best = next((u for u in reversed(UNITS) if highest >= UNITS[u]), "ns")
    return float(UNITS[best]), best
