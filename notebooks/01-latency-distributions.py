# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Latency distributions
#
# What an access has to wait under each way of handling a fault, and where a fault's own time goes.
# A burst of 40 stray accesses, 50 us apart, in a capture of virtio-gpu. Times are simulated.

# %%
# %matplotlib inline
import bench
from bench import plots
from bench.answers import QUESTIONS, Asking
from bench.frames import merged

found = bench.latency("qemu-virtio-gpu", policies=["P1", "P2", "P2b", "P4", "P8", "P9"])
intended = merged(found).query("clock == 'intended'")
plots.latency_cdf(intended)

# %% [markdown]
# The same as percentiles, ns. P4 waits for its worker's crash dump: every access behind the stall does.

# %%
plots.maps.percentiles(intended)

# %% [markdown]
# From a fault's record to its RESUME, by the context that writes it (question 6).

# %%
contexts = QUESTIONS[6].answer(Asking())
contexts.figure()

# %%
told = bench.faults("qemu-virtio-gpu", policies=["P8"], scenario="burst:n=12,gap=50us")
told[["fault", "record", "outcome", "t_recorded_ns", "t_irq_ns", "t_handler_start_ns", "t_resumed_ns"]]
