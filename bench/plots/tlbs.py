"""Figures of translation: reach, what-ifs, unmapping, demand paging."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from bench.commands.reach import show_bytes
from bench.plots.style import BLACK, BLUE, GREEN, VERMILION, dress, legend, look, new, sizes, times, tip
from bench.units import show_ns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAGES = {"4K": (VERMILION, "o"), "64K": (BLUE, "s"), "2M": (GREEN, "^")}


def reach_curve(frame: pd.DataFrame) -> Figure:
    """Draw hit ratio and time an access against a TLB's entries, a row of panels a trace, a line a page size.

    Parameters
    ----------
    frame : DataFrame
        ``trace, kind, page, entries, reach_bytes, hit_ratio, ns_per_access`` of question 10.

    Returns
    -------
    matplotlib.figure.Figure
    """
    traces = list(dict.fromkeys(frame["trace"]))
    figure, axes = new(len(traces), 2, height=0.5 + 2.7 * len(traces), sharex="col")
    for row, trace in zip(axes, traces, strict=True):
        part = frame[frame["trace"] == trace]
        for k, (page, mine) in enumerate(part.groupby("page", sort=False)):
            color, marker = _PAGES.get(str(page), (BLACK, "D"))
            style = {**look(k).line(), "color": color, "marker": marker}
            name = "64K (16 x 4K, contiguous)" if page == "64K" else str(page)
            for axis, x, y in ((row[0], "entries", "hit_ratio"), (row[1], "reach_bytes", "ns_per_access")):
                (line,) = axis.plot(mine[x], mine[y], label=name, **style)
                tip(
                    line,
                    [
                        f"{trace}, {page}: {n} entries reach {show_bytes(int(r))}, {100 * h:.2f} % hits, "
                        f"{ns:.0f} ns"
                        for n, r, h, ns in zip(
                            mine["entries"],
                            mine["reach_bytes"],
                            mine["hit_ratio"],
                            mine["ns_per_access"],
                            strict=True,
                        )
                    ],
                )
        kind = part["kind"].iloc[0]
        row[0].set_xscale("log", base=2)
        row[1].set_xscale("log", base=2)
        row[0].set_ylim(0, 1.04)
        row[1].set_ylim(bottom=0)
        dress(row[0], "TLB entries [log.]", "hit ratio", f"{trace} ({kind})")
        dress(row[1], "reach = entries x page [log.]", "time of an access [ns]")
        ticks = [1, 16, 256, 4096, 65536]
        row[0].set_xticks(ticks, [str(n) if n < 1024 else f"{n // 1024}k" for n in ticks])
    sizes(axes[-1, 1])
    axes[-1, 1].tick_params(axis="x", rotation=45)
    for axis in axes[:-1].flat:
        axis.set_xlabel("")
    legend(axes[0, 0], loc="lower right")
    return figure


def what_if(frame: pd.DataFrame) -> Figure:
    """Draw hits and tail latency against the size of each structure, a panel a knob.

    Parameters
    ----------
    frame : DataFrame
        ``knob, value, hit_percent, p99_ns, p50_ns, reads_per_walk`` of question 11.

    Returns
    -------
    matplotlib.figure.Figure
    """
    knobs = list(dict.fromkeys(frame["knob"]))
    figure, axes = new(2, len(knobs), height=5.0, width=1.95 * len(knobs) + 0.6, sharex="col", sharey="row")
    for place, knob in enumerate(knobs):
        mine = frame[frame["knob"] == knob].sort_values("value")
        top, bottom = axes[:, place]
        told = [
            f"{knob} {n}: {hits:.2f} % hits, {reads:.2f} reads/walk, p50 {show_ns(a)}, p99 {show_ns(b)}"
            for n, hits, reads, a, b in zip(
                mine["value"],
                mine["hit_percent"],
                mine["reads_per_walk"],
                mine["p50_ns"],
                mine["p99_ns"],
                strict=True,
            )
        ]
        (line,) = top.plot(mine["value"], mine["hit_percent"], **look(1).line(linestyle="solid"))
        tip(line, told)
        for k, column in enumerate(("p50_ns", "p99_ns")):
            (line,) = bottom.plot(
                mine["value"], mine[column], label=column.removesuffix("_ns"), **look(k + 1).line()
            )
            tip(line, told)
        top.set_ylim(0, 100)
        for axis in (top, bottom):
            axis.set_xscale("log", base=2)
            axis.xaxis.set_major_formatter(lambda n, _: f"{n:g}")
            axis.tick_params(axis="x", rotation=60)
        bottom.set_yscale("log")
        times(bottom, "y")
        dress(top, "", "hits [%]" if not place else "")
        dress(bottom, f"{knob}\n[log.]", "latency [log.]" if not place else "")
    legend(axes[1, 0])
    return figure


def unmap_cost(frame: pd.DataFrame) -> Figure:
    """Draw what an unmap's invalidation costs against its size, and the walks that follow it.

    Parameters
    ----------
    frame : DataFrame
        ``strategy, bytes, unmap_ns, refill_walks, refill_ns`` of question 12.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = new(1, 2, height=4.0, width_ratios=[1.5, 1])
    left, right = axes[0]
    for place, (strategy, mine) in enumerate(frame.groupby("strategy", sort=False)):
        cited = mine["refill_walks"].isna().all()
        style = look(place + 1).line(linestyle="none" if cited else "solid", markersize=6 if cited else 4)
        if cited:
            style |= {"marker": "X", "color": BLACK}
        (line,) = left.plot(mine["bytes"], mine["unmap_ns"], label=strategy, **style)
        tip(
            line,
            [
                f"{strategy}, {show_bytes(int(n))}: {show_ns(ns)}"
                for n, ns in zip(mine["bytes"], mine["unmap_ns"], strict=True)
            ],
        )
        if not cited:
            walks = mine["refill_walks"].astype(float)
            (line,) = right.plot(mine["bytes"], walks, label=strategy, **style)
            tip(
                line,
                [
                    f"{strategy}, {show_bytes(int(n))}: {int(w)} walks afterwards"
                    for n, w in zip(mine["bytes"], walks, strict=True)
                ],
            )
    for axis in (left, right):
        axis.set_xscale("log", base=2)
        sizes(axis)
        axis.tick_params(axis="x", rotation=45)
    left.set_yscale("log")
    right.set_ylim(bottom=0)
    times(left, "y")
    dress(left, "size of what is unmapped [bytes, log.]", "CPU time of the unmap [log.]")
    dress(right, "size [bytes, log.]", "walks of 256 other pages afterwards")
    legend(left)
    return figure


def paging_batch(frame: pd.DataFrame) -> Figure:
    """Draw throughput, time to answer a fault, and lost accesses against the faults in flight.

    Parameters
    ----------
    frame : DataFrame
        ``policy, hardware, batch, map_ns, accesses_per_us, fault_p50_ns, fault_p99_ns, terminated`` of
        question 13.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = new(1, 3, height=4.2, width=8.6, sharex=True)
    swept = frame[frame["policy"] == "v3-iopf"]
    others = frame[frame["policy"] != "v3-iopf"]
    panels = (
        ("accesses_per_us", "accesses served a us"),
        ("fault_p99_ns", "fault to answer, p99 [log.]"),
        ("terminated", "accesses terminated"),
    )
    for axis, (column, what) in zip(axes[0], panels, strict=True):
        for place, (ns, mine) in enumerate(swept.groupby("map_ns")):
            mine = mine.sort_values("batch")
            label = f"v3-iopf, {show_ns(float(str(ns)))} to map"
            (line,) = axis.plot(mine["batch"], mine[column], label=label, **look(place + 1).line())
            tip(
                line,
                [
                    f"{label}, {r['batch']} in flight: {r['accesses_per_us']:.2f} accesses/us, p99 "
                    f"{show_ns(r['fault_p99_ns'])}, {r['terminated']} terminated"
                    for r in mine.to_dict("records")
                ],
            )
        for place, row in enumerate(others.to_dict("records")):
            if column == "fault_p99_ns" and not row[column]:
                continue
            axis.axhline(
                row[column],
                color=look(place + 4).color,
                linestyle=look(place + 1).linestyle,
                linewidth=1.4,
                label=f"{row['policy']} on {row['hardware'].partition(',')[0]}",
            )
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(lambda n, _: f"{n:g}")
        dress(axis, "faults in flight [log.]", what)
    axes[0, 0].set_ylim(bottom=0)
    axes[0, 1].set_yscale("log")
    times(axes[0, 1], "y")
    axes[0, 2].set_ylim(bottom=0)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8.5)
    return figure
