# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Regressions
#
# The kept simulated results (`results/golden/`) beside what this code gives: compared for equality, since
# equal inputs give equal bytes on any machine. `smmubench regress` does all of them.

# %%
import pandas as pd

from bench.golden.difference import differences
from bench.golden.matrix import FOLDER, read_matrix, run_block
from bench.golden.store import read_rows

block = next(block for block in read_matrix(FOLDER) if block.name == "gpu-burst")
kept, made = read_rows(FOLDER, block), run_block(block, threads=1)
moved = differences(block.name, kept, made.rows)
f"{len(kept)} rows kept, {len(moved)} numbers differ"

# %%
pd.DataFrame(moved)

# %% [markdown]
# What is kept: the verdicts of a burst, a row a policy.

# %%
pd.DataFrame(kept.values()).pivot_table(index="policy", columns="hardware", values="verdict", aggfunc="first")
