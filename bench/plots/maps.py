"""Tables drawn as pictures: the cool-down map, percentiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.plots.style import INK, SIZE, VERMILION, dress, new, tip
from bench.stats import PERCENTILES
from bench.units import show_ns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Linux b13044092c1e.
LINUX = 500_000_000


def cooldown_map(frame: pd.DataFrame) -> Figure:
    """Draw time stalled by cool-down and gap, as a heat map; numbers are deadlines missed.

    Parameters
    ----------
    frame : DataFrame
        ``cooldown_ns, gap_ns, stalled, stalled_percent, timeouts`` of question 4.

    Returns
    -------
    matplotlib.figure.Figure
        Linux's 500 ms is framed; cividis looks the same to every kind of colour vision.
    """
    cooldowns, gaps = sorted(frame["cooldown_ns"].unique()), sorted(frame["gap_ns"].unique())
    table = frame.pivot(index="cooldown_ns", columns="gap_ns")
    share = table["stalled_percent"].loc[cooldowns, gaps].to_numpy(float)
    figure, axes = new(height=1.5 + 0.42 * len(cooldowns))
    axis = axes[0, 0]
    mesh = axis.pcolormesh(share, cmap="cividis", vmin=0, vmax=100, edgecolors="#FFFFFE", linewidth=1)
    for y, cooldown in enumerate(cooldowns):
        for x, gap in enumerate(gaps):
            cell = frame[(frame["cooldown_ns"] == cooldown) & (frame["gap_ns"] == gap)].iloc[0]
            text = axis.text(
                x + 0.5,
                y + 0.5,
                f"{int(cell['stalled'])} / {int(cell['timeouts'])}",
                ha="center",
                va="center",
                fontsize=SIZE - 2.5,
                color="#FFFFFE" if share[y, x] < 50 else "#000001",
            )
            tip(
                text,
                f"cool-down {show_ns(cooldown)}, gap {show_ns(gap)}: {int(cell['stalled'])} faults stalled, "
                f"{int(cell['timeouts'])} deadlines missed, stalled {share[y, x]:.3g} % of the run",
            )
    if LINUX in cooldowns:
        from matplotlib.patches import Rectangle  # noqa: PLC0415

        y = cooldowns.index(LINUX)
        axis.add_patch(
            Rectangle((0, y), len(gaps), 1, fill=False, edgecolor=VERMILION, linewidth=2.5, clip_on=False)
        )
        axis.annotate(
            " Linux", (len(gaps), y + 0.5), va="center", fontsize=SIZE - 1, color=INK, annotation_clip=False
        )
    axis.set_xticks(np.arange(len(gaps)) + 0.5, [show_ns(g) for g in gaps], rotation=40, ha="right")
    axis.set_yticks(np.arange(len(cooldowns)) + 0.5, [show_ns(c) for c in cooldowns])
    dress(axis, "time from one fault to the next", "cool-down")
    axis.grid(False)
    bar = figure.colorbar(mesh, ax=axis, pad=0.09)
    bar.set_label("time with SS set [% of the run]", fontsize=SIZE - 1)
    bar.ax.tick_params(labelsize=SIZE - 1)
    return figure


def percentile_table(frame: pd.DataFrame) -> Figure:
    """Draw percentiles as a table, a row a policy.

    Parameters
    ----------
    frame : DataFrame
        ``policy, latency_ns, cumulative``, as `bench.plots.latency_cdf`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    made = percentiles(frame)
    figure, axes = new(height=0.5 + 0.3 * (len(made) + 1))
    axis = axes[0, 0]
    axis.axis("off")
    cells = [[show_ns(int(ns)) for ns in row] for row in made.to_numpy()]
    drawn = axis.table(cells, rowLabels=list(made.index), colLabels=list(made.columns), loc="center")
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(SIZE)
    drawn.scale(1, 1.4)
    for cell in drawn.get_celld().values():
        cell.set_facecolor("none")
        cell.set_linewidth(0.4)
    return figure


def percentiles(frame: pd.DataFrame) -> pd.DataFrame:
    """Read percentiles off distributions, by the nearest rank.

    Parameters
    ----------
    frame : DataFrame
        ``policy, latency_ns, cumulative``.

    Returns
    -------
    DataFrame
        A row a policy, a column a percentile and the maximum, ns.

    Examples
    --------
    >>> one = pd.DataFrame({"policy": "P8", "latency_ns": [5, 9], "cumulative": [0.98, 1.0]})
    >>> percentiles(one).loc["P8", ["p50", "p99", "max"]].tolist()
    [5, 9, 9]
    """
    made = {}
    for policy, mine in frame.groupby("policy", sort=False):
        mine = mine.sort_values("latency_ns")
        ns, share = mine["latency_ns"].to_numpy(), mine["cumulative"].to_numpy()
        at = {
            name: ns[min(int(np.searchsorted(share, p / 100 - 1e-9)), ns.size - 1)]
            for name, p in PERCENTILES.items()
        }
        made[policy] = {**at, "max": ns[-1]}
    return pd.DataFrame(made).T
