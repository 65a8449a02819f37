"""Figures: each function takes a tidy frame and returns a matplotlib Figure.

The frames are those of `bench.answers` (and `bench.latency`, for `latency_cdf` and `percentile_table`); each
function says which columns it reads.  `bench.pictures.save` writes a figure as PNG or SVG.
"""

from __future__ import annotations

from bench.plots.bars import change_bars, console_bars, detector_bars, tornado
from bench.plots.curves import (
    capture_cost,
    context_cdf,
    gmu_deadline,
    latency_cdf,
    multi_window,
    percentile_dots,
    storm_curve,
)
from bench.plots.maps import cooldown_map, percentile_table
from bench.plots.tlbs import paging_batch, reach_curve, unmap_cost, what_if

__all__ = [
    "capture_cost",
    "change_bars",
    "console_bars",
    "context_cdf",
    "cooldown_map",
    "detector_bars",
    "gmu_deadline",
    "latency_cdf",
    "multi_window",
    "paging_batch",
    "percentile_dots",
    "percentile_table",
    "reach_curve",
    "storm_curve",
    "tornado",
    "unmap_cost",
    "what_if",
]
