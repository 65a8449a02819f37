"""Checks that the tables which a trace's MAPs build explain its accesses.

Every captured access carries the address that the SMMU gave for it, or that it faulted.  Walking tables
built from the MAP and UNMAP events alone must give the same.  A plain dictionary of entries: it shares
no code with the model, nor with what joined the logs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from traces.events import EXEC, MAP, PA_UNKNOWN, PROT_WRITE, UNMAP, WRITE

#: Entry sizes of a table with 4 KiB granules, largest first.
_SIZES = (1 << 30, 1 << 21, 1 << 12)


@dataclass
class CheckResult:
    """What the check found.

    Attributes
    ----------
    accesses : int
        Captured accesses, faults included.
    translated, faulted : int
        Those whose walk gives the captured address, and the captured fault.
    problems : list of str
        The first few that do not agree; empty in a sound capture.
    wrong : int
        How many do not agree, in all.
    leaves : collections.Counter of int
        Accesses by size of the table entry that they used.
    """

    accesses: int = 0
    translated: int = 0
    faulted: int = 0
    problems: list[str] = field(default_factory=list)
    wrong: int = 0
    leaves: Counter[int] = field(default_factory=Counter)


def check_events(blocks: Iterable[np.ndarray]) -> CheckResult:
    """Walk every access of a trace.

    Parameters
    ----------
    blocks : iterable of numpy.ndarray
        1-D, dtype `traces.events.EVENT`, in order.

    Returns
    -------
    CheckResult
    """
    tables: dict[int, dict[int, dict[int, tuple[int, int]]]] = defaultdict(
        lambda: {size: {} for size in _SIZES}
    )
    result = CheckResult()
    row = -1

    def wrong(text: str) -> None:
        result.wrong += 1
        if len(result.problems) < 20:
            result.problems.append(f"row {row}: {text}")

    def walk(space: int, iova: int) -> tuple[int, int, int] | None:
        for size in _SIZES:
            entry = tables[space][size].get(iova & -size)
            if entry is not None:
                return entry[0] + iova % size, entry[1], size
        return None

    for block in blocks:
        for _, op, _, space, iova, size, pa, prot in block.tolist():
            row += 1
            if op == MAP:
                at = 0
                while at < size:
                    # The largest entry that fits, as the kernel chooses.
                    leaf = next(s for s in _SIZES if (iova + at | pa + at) % s == 0 and size - at >= s)
                    if walk(space, iova + at) is not None:
                        wrong(f"MAP of {iova + at:#x}, which is mapped")
                    tables[space][leaf][iova + at] = (pa + at, prot)
                    at += leaf
            elif op == UNMAP:
                removed = 0
                for leaf in _SIZES:
                    entries = tables[space][leaf]
                    for start in [s for s in range(iova, iova + size, leaf) if s in entries]:
                        del entries[start]
                        removed += leaf
                if removed != size:
                    wrong(f"UNMAP of {size:#x} bytes at {iova:#x} removes {removed:#x}")
            elif op <= EXEC:
                result.accesses += 1
                found = walk(space, iova)
                allowed = found is not None and (op != WRITE or bool(found[1] & PROT_WRITE))
                if pa == int(PA_UNKNOWN):
                    if allowed:
                        wrong(f"{iova:#x} faulted, the walk gives {found[0] if found else 0:#x}")
                    else:
                        result.faulted += 1
                elif found is None or not allowed or found[0] != pa:
                    wrong(f"{iova:#x} went to {pa:#x}, the walk gives {found and hex(found[0])}")
                elif walk(space, iova + size - 1) is None:
                    wrong(f"{iova:#x} of {size} bytes ends on a page that is not mapped")
                else:
                    result.translated += 1
                    result.leaves[found[2]] += 1
    return result
