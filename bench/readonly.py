"""Scenario `readonly`: a buffer loses its write right in mid-run, and keeps its pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from bench.vanish import Vanish
from traces.events import ABRUPT, EVENT, EXEC, MAP, PROT_READ, PROT_WRITE, TLBI, TLBI_VA, UNMAP


def protect(parts: Iterable[tuple[Any, Any]], gone: Vanish) -> Iterator[tuple[Any, Any]]:
    """Map `gone` anew without WRITE, just before its access: UNMAP, TLBI and MAP, abruptly.

    Parameters
    ----------
    parts : iterable of (EVENT array, rows)
        Blocks with the number of each event in the trace.
    gone : Vanish

    Yields
    ------
    (EVENT array, rows)
    """
    seen = 0
    before = True
    for block, rows in parts:
        if before:
            ordinal = np.cumsum(block["op"] <= EXEC) + seen
            seen = int(ordinal[-1])
            cut = int(np.searchsorted(ordinal, gone.access, side="right"))
            if cut < block.size:
                before = False
                made = _events(gone, int(block["t_ns"][cut]))
                yield np.insert(block, cut, made), np.insert(rows, cut, [rows[cut]] * made.size)
                continue
        yield block, rows


def _events(gone: Vanish, t_ns: int) -> Any:
    made = np.zeros(3, EVENT)
    made["t_ns"], made["space"], made["iova"], made["size"] = t_ns, gone.space, gone.iova, gone.size
    made["op"] = UNMAP, TLBI, MAP
    # What could only be written could be read too in most formats, and would otherwise not be mapped at all.
    made["prot"] = ABRUPT, ABRUPT | TLBI_VA, gone.prot & ~PROT_WRITE | PROT_READ
    made["pa"][2] = gone.pa
    return made
