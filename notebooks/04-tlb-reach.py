# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # TLB reach
#
# Hits of every TLB size by page size (question 10), what larger structures buy (question 11), and what an
# unmap's invalidation costs (question 12).

# %%
# %matplotlib inline
from bench.answers import QUESTIONS, Asking

reach = QUESTIONS[10].answer(Asking())
reach.figure()

# %%
import pandas as pd

pd.DataFrame(reach.table, columns=reach.headings)

# %%
QUESTIONS[11].answer(Asking()).figure()

# %%
QUESTIONS[12].answer(Asking()).figure()
