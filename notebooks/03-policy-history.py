# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Policy history, 2013 to today
#
# What each change of Linux's order bought: the mainline orders one after another, each with the GPU driver
# of its time, on an MMU-500 with 200 faults in a row beside a stream with the GMU's deadline.

# %%
# %matplotlib inline
import pandas as pd

import bench
from smmucore.policies import POLICIES

STORM = "burst:n=200,gap=500ns+heartbeat:every=20us,n=1500"
LINE = {"P0": "none", "P1": "none", "P4": "adreno-worker", "P8": "adreno-inline", "P9": "adreno-cooldown",
        "P10": "gmu-wait"}

frames = [
    bench.compare(policies=[policy], hardware=["mmu500"], client=client, scenario=STORM)
    for policy, client in LINE.items()
]
runs = pd.concat(frames, ignore_index=True)
runs.insert(1, "kernel", [POLICIES[p].kernel for p in runs["policy"]])
runs.insert(2, "why", [POLICIES[p].why for p in runs["policy"]])
runs[["policy", "kernel", "client", "verdict", "counters.irq_entries", "counters.watchdogs", "latency_ns.p99"]]

# %%
runs[["policy", "why"]].style.hide(axis="index").set_uuid("why")

# %%
from bench import plots

plots.percentile_dots(runs)
