"""Curves of the fault path: distributions, storms, deadlines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.plots.style import GRID, SIZE, SOFT, dress, legend, look, mark, new, policy_looks, times, tip
from bench.units import show_count, show_ns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: K7: the GMU's out-of-band wait, and HFI's.
OOB, HFI = 10_000_000, 1_000_000_000
#: So many points of a distribution are marked and told.
_TOLD = 24
#: The least share of accesses that a distribution's axis resolves.
_RAREST = 1e-5


def latency_cdf(frame: pd.DataFrame) -> Figure:
    """Draw how many accesses took longer than a latency, a line a policy.

    Parameters
    ----------
    frame : DataFrame
        ``policy, latency_ns, cumulative``; of `bench.frames.merged`, or of question 1.

    Returns
    -------
    matplotlib.figure.Figure
        The complement of the distribution on logarithmic axes: tails are what policies differ in.
    """
    figure, axes = new(height=4.3)
    axis = axes[0, 0]
    for place, (policy, each) in enumerate(policy_looks(frame["policy"]).items()):
        mine = frame[frame["policy"] == policy].sort_values("latency_ns")
        x = np.maximum(mine["latency_ns"].to_numpy(float), 1)
        above = np.append(1.0, 1 - mine["cumulative"].to_numpy()[:-1])
        keep = np.append(above[:-1] >= _RAREST, True)
        x, above = x[keep], np.maximum(above[keep], _RAREST)
        axis.plot(x, above, drawstyle="steps-post", label=policy, **each.line(marker=None))
        at = np.unique(np.searchsorted(-above, -np.geomspace(1, above[-1], _TOLD)).clip(0, x.size - 1))
        (dots,) = axis.plot(
            x[at],
            above[at],
            linestyle="none",
            marker=each.marker,
            color=each.color,
            markersize=3.5,
            zorder=3 + place,
        )
        tip(
            dots,
            [
                f"{policy}: {100 * a:.3g} % of accesses took {show_ns(t)} or more"
                for t, a in zip(x[at], above[at], strict=True)
            ],
        )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_ylim(_RAREST, 1.4)
    times(axis)
    dress(axis, "latency from intended issue [simulated, log.]", "share of accesses that took longer [log.]")
    legend(axis, ncols=2)
    return figure


def storm_curve(frame: pd.DataFrame) -> Figure:
    """Draw CPU time in hard interrupts, and of all contexts, against the rate of faults.

    Parameters
    ----------
    frame : DataFrame
        ``policy, client, faults_per_s, irq_percent, cpu_percent, saturated`` of question 2.

    Returns
    -------
    matplotlib.figure.Figure
        A row of panels for each client; a ring marks the first rate that a policy cannot follow.
    """
    clients = list(dict.fromkeys(frame["client"]))
    figure, axes = new(len(clients), 2, height=3.4 * len(clients), sharex=True)
    looks = policy_looks(frame["policy"])
    kinds = (("irq_percent", "in hard interrupts"), ("cpu_percent", "in all contexts"))
    for row, client in zip(axes, clients, strict=True):
        for axis, (column, what) in zip(row, kinds, strict=True):
            for policy, each in looks.items():
                mine = frame[(frame["policy"] == policy) & (frame["client"] == client)]
                mine = mine.sort_values("faults_per_s")
                (line,) = axis.plot(mine["faults_per_s"], mine[column], label=policy, **each.line())
                tip(
                    line,
                    [
                        f"{policy}, {client}: {share:.3g} % at {show_count(round(rate))} faults/s"
                        for rate, share in zip(mine["faults_per_s"], mine[column], strict=True)
                    ],
                )
                late = mine[mine["saturated"]].head(1)
                axis.plot(
                    late["faults_per_s"],
                    late[column],
                    marker="o",
                    label=None,
                    markersize=11,
                    fillstyle="none",
                    color=each.color,
                    markeredgewidth=1.6,
                    linestyle="none",
                )
            axis.set_xscale("log")
            axis.set_ylim(bottom=0)
            dress(axis, "faults a second [log.]", "CPU time [% of one CPU]", f"{client}: {what}")
    _label_outer(axes)
    axes[0, 0].plot(
        [],
        [],
        marker="o",
        markersize=9,
        fillstyle="none",
        color=SOFT,
        linestyle="none",
        label="ring: from here on\nit cannot follow",
    )
    legend(axes[0, 0])
    return figure


def _label_outer(axes: Any) -> None:
    for axis in axes[:-1].flat:
        axis.set_xlabel("")
    for axis in axes[:, 1:].flat:
        axis.set_ylabel("")


def gmu_deadline(frame: pd.DataFrame) -> Figure:
    """Draw an innocent stream's 99th percentile and longest latency against the faults that may hold slots.

    Parameters
    ----------
    frame : DataFrame
        ``policy, faults, slots, beat_p99_ns, beat_max_ns, timeouts`` of question 3.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = new(1, 2, height=4.0, sharey=True)
    looks = policy_looks(frame["policy"])
    for axis, (column, what) in zip(
        axes[0], (("beat_p99_ns", "p99"), ("beat_max_ns", "longest")), strict=True
    ):
        for policy, each in looks.items():
            mine = frame[frame["policy"] == policy].sort_values("faults")
            (line,) = axis.plot(mine["faults"], mine[column].clip(lower=1), label=policy, **each.line())
            tip(
                line,
                [
                    f"{policy}, {n} faults: {what} {show_ns(t)}, {late} deadlines missed"
                    for n, t, late in zip(mine["faults"], mine[column], mine["timeouts"], strict=True)
                ],
            )
        axis.set_yscale("log")
        times(axis, "y")
        dress(axis, "faults in a row, 500 ns apart", "innocent stream's latency [log.]", what)
        mark(axis, OOB, "GMU deadline, 10 ms")
        slots = int(frame["slots"].iloc[0])
        mark(axis, slots, f"{slots} slots", "x")
        axis.set_ylim(top=1e8)
    axes[0, 1].set_ylabel("")
    legend(axes[0, 0], loc="center left")
    return figure


def multi_window(frame: pd.DataFrame) -> Figure:
    """Draw ignored RESUMEs and ghosts against the time between faults, a panel a setting.

    Parameters
    ----------
    frame : DataFrame
        ``panel, title, hardware, counter, policy, gap_ns, faults, value`` of question 7.

    Returns
    -------
    matplotlib.figure.Figure
    """
    panels = list(dict.fromkeys(frame["panel"]))
    highest = {name: int(frame.loc[frame["panel"] == name, "value"].max()) for name in panels}
    ratios = [3.0 if highest[name] else 1.1 for name in panels]
    figure, axes = new(len(panels), height=0.9 + 0.95 * sum(ratios), sharex=True, height_ratios=ratios)
    looks = policy_looks(frame["policy"])
    for axis, name in zip(axes[:, 0], panels, strict=True):
        part = frame[frame["panel"] == name]
        for k, policy in enumerate(dict.fromkeys(part["policy"])):
            mine = part[part["policy"] == policy].sort_values("gap_ns")
            (line,) = axis.plot(
                mine["gap_ns"], mine["value"], label=policy, **looks[policy].line(linewidth=2.4 - 0.4 * k)
            )
            tip(
                line,
                [
                    f"{policy}: {n} of {of} at a gap of {show_ns(gap)}"
                    for gap, n, of in zip(mine["gap_ns"], mine["value"], mine["faults"], strict=True)
                ],
            )
        first = part.iloc[0]
        # Linear up to one, so that none and one can be told apart and zero is on it.
        axis.set_yscale("symlog", linthresh=1, linscale=0.5)
        most = max(highest[name], 1)
        axis.set_ylim(-0.3, 2 * most)
        ticks = [0, *(10**k for k in range(len(str(most))))]
        axis.set_yticks(ticks, [str(n) for n in ticks])
        dress(
            axis,
            "",
            f"of {first['faults']} [log. from 1]",
            f"{first['hardware'].partition(',')[0]}: {first['title']}\n{first['counter']}",
        )
        legend(axis, ncols=2)
    axes[-1, 0].set_xscale("log")
    times(axes[-1, 0])
    axes[-1, 0].set_xlabel("time from one fault of the burst to the next [log.]", fontsize=SIZE)
    return figure


def context_cdf(frame: pd.DataFrame) -> Figure:
    """Draw from record to RESUME by the context that resumes, as a distribution over faults.

    Parameters
    ----------
    frame : DataFrame
        ``context, load, policy, to_resume_ns, cumulative`` of question 6.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = new(height=4.0)
    axis = axes[0, 0]
    looks = policy_looks(frame["policy"])
    for key, mine in frame.groupby(["context", "load", "policy"], sort=False):
        context, load, policy = map(str, key)
        loaded = load == "loaded"
        line = looks[policy].line(linestyle=(0, (2, 1.5)) if loaded else "solid", marker=None)
        x, y = mine["to_resume_ns"].to_numpy(float), mine["cumulative"].to_numpy()
        axis.plot(x, y, drawstyle="steps-post", label=f"{context} ({policy}), {load}", **line)
        at = np.unique((np.linspace(0, 1, _TOLD) * (x.size - 1)).astype(int))
        (dots,) = axis.plot(
            x[at],
            y[at],
            linestyle="none",
            marker=looks[policy].marker,
            markersize=4,
            color=looks[policy].color,
            fillstyle="none" if loaded else "full",
        )
        tip(
            dots,
            [
                f"{context}, {load}: {100 * share:.3g} % of faults within {show_ns(t)}"
                for t, share in zip(x[at], y[at], strict=True)
            ],
        )
    axis.set_xscale("log")
    axis.set_ylim(0, 1.03)
    times(axis)
    dress(axis, "from the fault's record to RESUME [simulated, log.]", "share of faults")
    legend(axis, loc="lower right")
    return figure


def capture_cost(frame: pd.DataFrame) -> Figure:
    """Draw another stream's longest latency, and its missed deadlines, against the time of a capture.

    Parameters
    ----------
    frame : DataFrame
        ``policy, client, capture_ns, beat_max_ns, oob_timeouts`` of question 8.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = new(1, 2, height=4.0, sharex=True)
    left, right = axes[0]
    for policy, each in policy_looks(frame["policy"]).items():
        mine = frame[frame["policy"] == policy].sort_values("capture_ns")
        label = f"{policy} ({mine['client'].iloc[0]})"
        for axis, column in ((left, "beat_max_ns"), (right, "oob_timeouts")):
            (line,) = axis.plot(mine["capture_ns"], mine[column], label=label, **each.line())
            tip(
                line,
                [
                    f"{label}, capture {show_ns(c)}: longest {show_ns(t)}, {n} deadlines missed"
                    for c, t, n in zip(
                        mine["capture_ns"], mine["beat_max_ns"], mine["oob_timeouts"], strict=True
                    )
                ],
            )
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_ylim(top=4 * HFI)
    for axis in (left, right):
        times(axis)
    times(left, "y")
    right.set_ylim(bottom=0)
    dress(left, "time of one capture [log.]", "other stream's longest latency [log.]")
    dress(right, "time of one capture [log.]", "deadlines of 10 ms missed")
    mark(left, OOB, "GMU out-of-band, 10 ms")
    mark(left, HFI, "HFI, 1 s")
    legend(right, loc="best")
    return figure


def percentile_dots(frame: pd.DataFrame) -> Figure:
    """Draw percentiles of latency as dots on a line, a row a run.

    Parameters
    ----------
    frame : DataFrame
        ``policy, hardware, scenario, latency_ns.p50`` and the other percentiles, of `bench.load_runs`.

    Returns
    -------
    matplotlib.figure.Figure
        At most 40 rows: the ones that wait longest at p99.
    """
    names = ("p50", "p90", "p99", "p99.9", "max")
    shown = frame.sort_values("latency_ns.p99").tail(40)
    figure, axes = new(height=1.3 + 0.24 * len(shown))
    axis = axes[0, 0]
    y = np.arange(len(shown))
    spread = shown[[f"latency_ns.{name}" for name in names]].clip(lower=1).to_numpy(float)
    axis.hlines(y, spread[:, 0], spread[:, -1], color=GRID, linewidth=2, zorder=1)
    for k, name in enumerate(names):
        (dots,) = axis.plot(spread[:, k], y, label=name, **look(k + 1).line(linestyle="none", markersize=5.5))
        labels = zip(shown["policy"], shown["hardware"], shown["scenario"], spread[:, k], strict=True)
        tip(dots, [f"{p} on {h}, {s}: {name} {show_ns(ns)}" for p, h, s, ns in labels])
    axis.set_yticks(y, [f"{p}, {h}" for p, h in zip(shown["policy"], shown["hardware"], strict=True)])
    axis.set_xscale("log")
    times(axis)
    dress(axis, "latency from intended issue [simulated, log.]", "")
    legend(axis, loc="lower right", ncols=5)
    return figure
