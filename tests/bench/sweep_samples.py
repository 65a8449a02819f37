"""A small sweep: 24 cells of the tiny trace."""

from pathlib import Path

import pyarrow.dataset as ds

from bench.sweeps.dataset import ROWS

SPEC = """
name = "small"

[axes]
trace = "tiny.parquet"
policy = ["P4", "P8"]
hardware = ["mmu500", "ideal"]
scenario = {each = "burst:n=3,gap={}us", from = 10, to = 40, factor = 2}
seed = {from = 0, to = 1}
"""


def rows_of(folder):
    return ds.dataset(Path(folder) / ROWS, format="parquet").to_table().to_pylist()
