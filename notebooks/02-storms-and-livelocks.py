# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Storms and livelocks
#
# At what rate each policy can no longer follow (question 2), what an innocent stream waits meanwhile
# (question 3), and whether the kernel's spurious-interrupt detector ends it (question 9).

# %%
# %matplotlib inline
from bench.answers import QUESTIONS, Asking

asking = Asking(quick=True)
storm = QUESTIONS[2].answer(asking)
storm.figure()

# %%
QUESTIONS[3].answer(asking).figure()

# %% [markdown]
# The detector counts handler passes that return IRQ_NONE. A storm whose handler claims each interrupt goes on.

# %%
detector = QUESTIONS[9].answer(asking)
detector.frame

# %%
QUESTIONS[7].answer(asking).figure()
