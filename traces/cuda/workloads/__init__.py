"""The programs that a capture can run: one module each, named in `NAMES`.

A workload's module has these names in it:

``WHAT``
    What it does and how it touches memory, in one sentence.
``FULL``, ``SMALL``
    Its sizes: for a GPU, and for the simulator and the tests.
``make(card, touch, seed, sizes)``
    Allocates its data on a `traces.cuda.card.Card` and returns a `traces.cuda.workloads.job.Job`. Its kernels
    tell ``touch(ring, address, kind)`` of each global load and store: `traces.cuda.recorder.note`, or
    `traces.cuda.recorder.plain` for a run to compare with.

Each result is checked whole, or on a stated sample, against the definition of the data and not against
another run. Data that only a check reads or writes is not noted.
"""

NAMES = ("gemm", "spmv", "bfs", "hash-join", "paged-attention", "raster", "radix-sort")
