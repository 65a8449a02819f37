"""Joins sorted streams of events by time, a block at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

#: Most rows of a block that comes out.
MOST_ROWS = 1 << 17


def interleave(sources: Iterable[Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
    """Merge streams of blocks whose times never decrease; equal times keep the order of the sources.

    Parameters
    ----------
    sources : iterable of iterators of numpy.ndarray
        Blocks of dtype `traces.events.EVENT`.

    Yields
    ------
    numpy.ndarray
        At most `MOST_ROWS` long; never empty.
    """
    # In the sources' order, each with the block that is being used up.
    waiting = [(source, block) for source in sources if (block := _next(source)) is not None]
    while waiting:
        # What comes behind a block is not before its last event: up to there all is known.
        lasts = [int(block["t_ns"][-1]) for _, block in waiting]
        horizon = min(lasts)
        first = lasts.index(horizon)
        taken, left = [], []
        for k, (source, block) in enumerate(waiting):
            # Of later sources, events at the horizon wait: the first may have more of them.
            side = "right" if k <= first else "left"
            upto = int(np.searchsorted(block["t_ns"], np.uint64(horizon), side=side))  # type: ignore[call-overload]
            taken.append(block[:upto])
            rest: np.ndarray | None = block[upto:]
            if upto == block.size:
                rest = _next(source)
            if rest is not None:
                left.append((source, rest))
        waiting = left
        ready = np.concatenate(taken)
        ready = ready[np.argsort(ready["t_ns"], kind="stable")]
        for start in range(0, ready.size, MOST_ROWS):
            yield ready[start : start + MOST_ROWS]


def _next(source: Iterator[np.ndarray]) -> np.ndarray | None:
    return next((block for block in source if block.size), None)
