"""The picture of `bench.window`: a panel for each setting, the gap on a logarithmic axis.

Colours are Okabe and Ito's, which all kinds of colour vision tell apart; lines differ in dashes besides, and
those that lie on one another are drawn ever thinner.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.pictures import save
from bench.units import show_count
from bench.window import Curves, Window

#: By policy: colour, dashes, width.
STYLES = {
    "P1": ("black", "solid", 1.4),
    "P8": ("#0072B2", "solid", 2.6),
    "reread-clear": ("#E69F00", (0, (5, 2)), 1.9),
    "clear-all": ("#009E73", (0, (1.5, 1.5)), 1.5),
}
_INCHES = (8.5, 8.2)
#: A panel in which every value is 0 needs little room.
_TALL, _FLAT = 3.0, 1.0
#: So few points are marked: a line alone may be too short to see.
_FEW = 12


def draw(made: Window, target: Path) -> Path:
    """Draw every panel into a PNG or SVG file that appears whole or not at all; return its path.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    heights = [_TALL if curves.highest else _FLAT for curves in made.curves]
    axes: Any = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights, sharex=True)
    for axis, curves in zip(axes[:, 0], made.curves, strict=True):
        _panel(axis, made, curves)
    last = axes[-1, 0]
    last.set_xscale("log")
    last.set_xlabel("time from one fault of the burst to the next [ns, logarithmic]", fontsize=9)
    m = made.manifest
    figure.suptitle(
        f"The MULTI window, simulated: a burst of {show_count(made.faults)} strays in {m['trace']} "
        f"({m['kind']})\nclient {m['client']}, costs {m['costs']}, console {m['console']}",
        fontsize=10,
    )
    return save(figure, target)


def _panel(axis: Any, made: Window, curves: Curves) -> None:
    panel = curves.panel
    for policy in panel.policies:
        colour, dashes, width = STYLES[policy]
        axis.plot(made.gaps, curves.values(policy), label=policy, color=colour, linestyle=dashes,
                  linewidth=width, marker=None if len(made.gaps) > _FEW else "o")  # fmt: skip
    part = panel.hardware.split(",", maxsplit=1)[0]
    axis.set_title(f"{part}: {panel.title}", fontsize=9.5, loc="left")
    axis.tick_params(labelsize=8.5)
    axis.grid(which="major", linewidth=0.4, color="#BBBBBB")
    axis.set_axisbelow(True)
    if not curves.highest:
        axis.set_ylim(-0.5, 1.2)
        axis.set_yticks([0])
        axis.set_ylabel(panel.what.replace(" ", "\n"), fontsize=9)
        axis.text(0.5, 0.62, f"{', '.join(panel.policies)}: 0 at every gap", transform=axis.transAxes,
                  ha="center", va="center", fontsize=9)  # fmt: skip
        return
    # Linear up to one, so that none and one can be told apart and zero is on it.
    axis.set_yscale("symlog", linthresh=1, linscale=0.5)
    axis.set_ylim(-0.15, 1.6 * curves.highest)
    axis.set_yticks(ticks := [0, *(10**k for k in range(len(str(curves.highest))))], [str(n) for n in ticks])
    axis.set_ylabel(f"{panel.what}\n[of {show_count(made.faults)} faults, log. from 1]", fontsize=9)
    axis.legend(fontsize=8.5, loc="upper left")
