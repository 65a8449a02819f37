"""What of a pass's copies its steps still need, and which steps are nobody else's business.

Both make the explorer's graph smaller, and neither changes what can happen (decision 0010): two states that
differ in a copy that nothing reads any more are one, and a step that neither reads nor writes what another
context writes or reads is taken together with the one before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from smmucore.steps import (
    BY_MAPPED,
    BY_RETURN,
    CAPTURE,
    CHECK,
    CMD_RESUME,
    IF_DUMP,
    IF_KNOWN,
    IF_MAY_STALL,
    IF_NEW,
    IF_NO_DUMP,
    IF_NO_SS,
    IF_NOT_DUMPED,
    IF_SS,
    IF_STALL_ON,
    LOCK,
    LOG,
    MAP_PAGE,
    NEXT_EVENT,
    NOTE_FAR,
    QUEUE_EVENT,
    READ_FAR,
    READ_FSR,
    READ_FSYNR0,
    READ_OTHER,
    REPORT,
    REPORT_NEEDS_SS,
    RET_MASK,
    RETURN,
    SPEND,
    SYNC_TLB,
    WAKE,
    WRITE_FSR_READ,
    WRITE_RESUME,
)

# Copies of a pass, as bits.
FSR = 1
FAR = 2
MEANS = 4  # the fault it means to resume
RET = 8
DUMPING = 16
MAPPED = 32
FAR_IS = 64
MAY = 128
FSR_RECORD = 256
FAR_RECORD = 512

_QUIET = frozenset({READ_FSYNR0, READ_OTHER, CHECK, LOG, SPEND})
_REGISTERS = frozenset({READ_FSYNR0, READ_OTHER})
#: Steps that do something when they begin (`dispatch.begin`).
_BEGINS = frozenset({LOCK, CAPTURE, SYNC_TLB, NEXT_EVENT})

_USED_BY_CONDITION = (
    (IF_SS | IF_NO_SS, FSR),
    (IF_DUMP | IF_NO_DUMP, DUMPING),
    (IF_MAY_STALL, MAY),
    (IF_NEW | IF_KNOWN, FAR_IS),
    (RET_MASK, RET),
)


def _uses(op: int, arg: int, when: int, worker: int) -> int:
    """Return the copies that a step reads, its condition included."""
    used = sum(copy for mask, copy in _USED_BY_CONDITION if when & mask)
    if op in (CHECK, WRITE_FSR_READ, QUEUE_EVENT, REPORT) or (op == LOG and arg >> 8 == 0):
        used |= FSR  # REPORT and LOG: for the stale report (`moves`), and for a dump that needs SS
    if op == REPORT and arg & REPORT_NEEDS_SS:
        used |= FSR
    if op in (NOTE_FAR, MAP_PAGE):
        used |= FAR
    if op in (WRITE_RESUME, CMD_RESUME):
        used |= MEANS
        used |= RET if arg & 0xFF == BY_RETURN else MAPPED if arg & 0xFF == BY_MAPPED else 0
    if op == READ_FSR:
        used |= FAR_RECORD
    if op == READ_FAR:
        used |= FSR_RECORD
    if op == WAKE:
        used |= worker
    if op == QUEUE_EVENT:
        used |= FSR | FAR | MEANS
    return used


_MADE = {
    READ_FSR: FSR | MEANS | FSR_RECORD,
    READ_FAR: FAR | FAR_RECORD,
    REPORT: RET | DUMPING,
    MAP_PAGE: RET | MAPPED,
    NOTE_FAR: FAR_IS,
    NEXT_EVENT: FSR | FAR | MEANS,
}


def liveness(steps: Any, worker: int) -> tuple[Any, int]:
    """Return what is live before each step, and what the worker's pass needs when it begins.

    Parameters
    ----------
    steps : STEP records
    worker : int
        Where its steps begin, or -1.

    Returns
    -------
    live : ndarray of int64, shape (steps,)
    wanted : int
    """
    live = _backwards(steps, 0)
    wanted = int(live[worker]) & (FSR | FAR | MEANS) if worker >= 0 else 0
    return _backwards(steps, wanted), wanted


def _backwards(steps: Any, worker: int) -> Any:
    live = np.zeros(len(steps), np.int64)
    after = 0
    for k in range(len(steps) - 1, -1, -1):
        op, arg, when = int(steps[k].op), int(steps[k].arg), int(steps[k].when)
        if when == 0:
            after = 0 if op == RETURN else after & ~_MADE.get(op, 0)
        after |= _uses(op, arg, when, worker)
        live[k] = after
    return live


def locals_of(steps: Any, sleeps: bool) -> Any:
    """Return 1 for each step that can be taken together with the one before it.

    It must be quiet, and so must the beginning of what follows: a LOCK takes interrupts away when it begins,
    and a condition may ask what others change.  Where the SMMU may sleep, reading a register is not quiet.
    """
    quiet = _QUIET - _REGISTERS if sleeps else _QUIET
    made = np.zeros(len(steps), np.uint8)
    for k in range(len(steps)):
        made[k] = int(steps[k].op) in quiet and _begins_quietly(steps, k + 1)
    return made


def _begins_quietly(steps: Any, k: int) -> bool:
    while k < len(steps):
        if int(steps[k].op) in _BEGINS or int(steps[k].when) & (IF_NOT_DUMPED | IF_STALL_ON):
            return False
        if int(steps[k].when) == 0:
            return True
        k += 1
    return True


def needs_far(steps: Any) -> bool:
    """Tell whether any step decides by FAR."""
    return any(int(step.op) in (NOTE_FAR, MAP_PAGE) for step in steps)
