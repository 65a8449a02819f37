"""The records that hold a run's state, field by field.

Every mutable thing of the model is a row of one of these dtypes, kept in a record array and handed
to the rules one row at a time: a rule sees a bank, a context, a counter set, and no more.  Integers
are int64 but for addresses, which are uint64, and what is small in the many rows of FAULT.  Times are ns.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

#: "Never", as a time.
NEVER = np.int64(1 << 62)
NOBODY = -1

BANK = np.dtype(
    [
        ("far", "u8"),
        ("fsr", "i8"),
        ("fsynr0", "i8"),
        ("sctlr", "i8"),
        ("format", "i8"),  # FSR.Format of its faults, in place
        ("records", "i8"),  # records made so far
        ("record", "i8"),  # which of them is current; 0: no syndrome bit is set
        ("record_fault", "i8"),  # its fault number; 0: latched ahead of the fault's turn
        ("seen", "i8"),  # the last record that a handler pass read
        ("head", "i8"),  # slot of the stalled transaction SS tells of, or NOBODY
        ("head_fault", "i8"),  # its fault number, or 0
        ("fifo_at", "i8"),  # FIFO of stalled transactions behind it: first, and how many
        ("fifo_len", "i8"),
        ("line_latched", "i8"),  # for `irq_held_until_resume`
        ("ss_since", "i8"),
        ("captured_since", "i8"),  # the client's `captured_ns` then
        ("book", "i8"),  # the driver's own note whether the bank stalls: NO_STALL, STALL_ON, STALL_OFF
        ("cool_until", "i8"),  # when the cool-down of STALL_OFF ends
        ("noted", "u8"),  # FAR of its last NOTE_FAR, if there was one
        ("has_noted", "i8"),
        ("lock", "i8"),  # context that holds the bank's lock, or NOBODY
        ("queued", "i8"),  # accesses of this bank that wait in a channel's queue
        ("spurious_run", "i8"),  # spurious passes since a new record was seen
        ("stormed", "i8"),
    ],
    align=True,
)

# BANK.book
NO_STALL = 0  # it never stalls, and a cool-down has nothing to turn off
STALL_ON = 1
STALL_OFF = 2

#: The context of a CPU that runs a driver's steps: hard IRQ of a line; thread, worker or submit of a bank.
CONTEXT = np.dtype(
    [
        ("kind", "i8"),
        ("bank", "i8"),  # a hard IRQ's: the one that its present pass is about
        ("cpu", "i8"),
        ("state", "i8"),
        ("pc", "i8"),
        ("t_next", "i8"),  # when the present step has its effect (while it holds the CPU)
        ("remaining", "i8"),  # what is left of it (while it does not)
        ("since", "i8"),  # when it got the CPU
        ("last_ran", "i8"),  # when it last lost it, having run
        ("runnable", "i8"),
        ("on_cpu", "i8"),
        ("irqs_off", "i8"),
        ("idle", "i8"),  # hard IRQ: it interrupted an idle CPU
        # this pass's copies of the registers, and what the client made of them
        ("far", "u8"),
        ("fsr", "i8"),
        ("fsynr0", "i8"),
        ("fsr_record", "i8"),  # the record that was current when FSR, when FAR was read
        ("far_record", "i8"),
        ("means", "i8"),  # fault number of the head this pass means to resume
        ("ret", "i8"),
        ("dumping", "i8"),
        ("mapped", "i8"),
        ("handled", "i8"),  # IRQ_HANDLED was returned
        ("fresh", "i8"),  # this pass saw a new record
        ("fault", "i8"),  # the fault number it told of, or 0
        ("far_is", "i8"),  # 0: no NOTE_FAR yet; else FAR_NEW or FAR_KNOWN
        ("may_stall", "i8"),  # MAY_STALL let it turn stall on
        ("user", "i8"),  # it keeps the SMMU awake
        ("slot", "i8"),  # transaction of the event it took (SMMUv3)
        ("joined", "i8"),  # that event has joined the worker's queue
        ("asks", "i8"),  # its NEXT_EVENT reads PROD
        ("sync_round", "i8"),  # of the TLBSYNC at hand, from 1; SYNC_ENDS: its last read; 0: none
        # a worker that is queued again: the copies of the pass that queued it
        ("pending", "i8"),
        ("pending_far", "u8"),
        ("pending_fsr", "i8"),
        ("pending_fsynr0", "i8"),
        ("pending_means", "i8"),
        ("t_irq", "i8"),
        ("t_start", "i8"),
    ],
    align=True,
)

# CONTEXT.far_is
FAR_NEW = 1
FAR_KNOWN = 2

#: An event of an SMMUv3, in the event queue or in the worker's.
EVENT = np.dtype(
    [
        ("far", "u8"),
        ("bits", "i8"),  # as of FSR: syndrome, Format, and SS if the transaction is stalled
        ("fsynr0", "i8"),
        ("bank", "i8"),
        ("slot", "i8"),
        ("number", "i8"),  # of its fault
    ],
    align=True,
)

#: The event queue, what is held for want of room, and the worker's queue: rings.
EVENTQ = np.dtype(
    [
        ("first", "i8"),
        ("length", "i8"),
        ("known", "i8"),  # events that the driver knows of: PROD as it last read it
        ("held_first", "i8"),
        ("held", "i8"),
        ("jobs_first", "i8"),
        ("jobs", "i8"),
        ("stalled", "i8"),  # transactions
        ("ss_since", "i8"),  # since when one is
        ("captured_since", "i8"),
    ],
    align=True,
)

LINE = np.dtype(
    [
        ("fresh", "i8"),  # a pass of this entry saw a new record
        ("handled", "i8"),  # one returned IRQ_HANDLED
        ("passes", "i8"),  # threads of this entry whose pass has not ended
        ("threads", "i8"),  # and those that have not unmasked
        ("masked", "i8"),  # ONESHOT, from the wake-up to the end of the thread; each DISABLE_IRQ besides
        ("disabled", "i8"),  # by the spurious-interrupt detector
        ("entries", "i8"),  # K5: entries counted towards the next judgement
        ("unhandled", "i8"),
        ("last_unhandled", "i8"),
    ],
    align=True,
)

#: A transaction, by the slot it holds.
SLOT = np.dtype(
    [
        ("iova", "u8"),
        ("need", "u8"),  # MAY_* rights
        ("intended", "i8"),
        ("issued", "i8"),
        ("requester", "i8"),
        ("access", "i8"),  # FSYNR0's WNR, PNU, IND
        ("deadline", "i8"),
        ("fault", "i8"),  # fault number; 0: it waits untranslated (HUPCF)
        ("bits", "i8"),  # syndrome bit of its fault
        ("level", "i8"),
        ("retries", "i8"),
        ("serial", "i8"),  # order of arrival
        ("stalled", "i8"),  # until CMD_RESUME (SMMUv3)
        ("channel", "i8"),  # the slot's, always the same
    ],
    align=True,
)

#: An access that waits in a channel's queue.
WAITING = np.dtype(
    [
        ("iova", "u8"),
        ("need", "u8"),
        ("intended", "i8"),
        ("requester", "i8"),
        ("access", "i8"),
        ("deadline", "i8"),
        ("serial", "i8"),  # order of arrival
    ],
    align=True,
)

CHANNEL = np.dtype(
    [
        ("first", "i8"),
        ("length", "i8"),
        ("ready", "i8"),  # the previous issue + `accept`
        ("try_at", "i8"),  # when the head may issue; NEVER while nothing is known to free it
        ("wants_slot", "i8"),  # no slot was free for the head at the last try
        ("missed", "i8"),  # WALKED `fills` when the head was found in no TLB; 0: it has not been looked for
        ("cursor", "i8"),  # where the search for a free slot begins
    ],
    align=True,
)

#: An arithmetic sequence of accesses that a scenario adds to the trace.
LANE = np.dtype(
    [
        ("next", "i8"),  # intended time of its next access
        ("gap", "i8"),
        ("left", "i8"),
        ("count", "i8"),  # accesses so far
        ("iova", "u8"),
        ("stride", "u8"),
        ("modulo", "i8"),  # IOVA repeats after so many; 0: never
        ("requester", "i8"),
        ("op", "i8"),
        ("deadline", "i8"),  # 0: none
    ],
    align=True,
)

REQUESTER = np.dtype(
    [
        ("stream", "i8"),
        ("stream_index", "i8"),
        ("bank", "i8"),  # its accesses belong to; -1: to none
        ("tbu", "i8"),
        ("space", "i8"),  # whose tables its MAPs, UNMAPs and TLBIs are for: the bank of that number
        ("route", "i8"),  # 0: to its bank; -1: bypass; else its global fault's bit of sGFSR (H1)
    ],
    align=True,
)

#: The registers that keep the first global fault (H1).
GLOBAL = np.dtype([("sgfar", "u8"), ("sgfsr", "i8"), ("sgfsynr0", "i8"), ("sgfsynr1", "i8")], align=True)

#: One injected fault's story.  A time that never came is -1.
FAULT = np.dtype(
    [
        ("iova", "u8"),
        ("stream", "u4"),
        ("fsr_bits", "u4"),
        ("fsynr0", "u4"),
        ("bank", "u1"),
        ("record", "u1"),
        ("outcome", "u1"),
        ("t_intended", "i8"),
        ("t_issued", "i8"),
        ("t_arrived", "i8"),
        ("t_recorded", "i8"),
        ("t_irq", "i8"),
        ("t_handler_start", "i8"),
        ("t_handler_end", "i8"),
        ("t_resumed", "i8"),
        ("t_retired", "i8"),
    ],
    align=True,
)

# FAULT.record: what became of the fault's record.
PENDING = 0
RECORDED = 1
COALESCED = 2
LOST = 3
RECORD_NAMES = ("pending", "recorded", "coalesced", "lost")

# FAULT.outcome: what became of the transaction.
OPEN = 0
TERMINATED = np.int64(1)  # typed: see engine.NO_DEADLINE
COMPLETED = np.int64(2)
FAULTED_AGAIN = 3
OUTCOME_NAMES = ("open", "terminated", "completed", "faulted-again")

#: Scalars of the run that outlive a call of the engine.
CLOCK = np.dtype(
    [
        ("now", "i8"),
        ("queued", "i8"),  # accesses in all channel queues
        ("faults", "i8"),  # fault numbers handed out
        ("arrivals", "i8"),  # faults on their way to a bank
        ("first_arrival", "i8"),  # where the earliest of them stands in `Sim.arrivals`; 0 while there is none
        ("open", "i8"),  # transactions whose end nobody knows
        ("last_end", "i8"),  # the latest end that is known
        ("serial", "i8"),  # translations that faulted, in order
        ("accesses", "i8"),  # accesses that have arrived at a channel
        ("fruitless", "i8"),  # passes begun since a record was seen or a RESUME accepted
        ("fruitless_since", "i8"),  # when the first of them began
        ("waited", "i8"),  # a pass younger than that has been waited for once
        ("fence", "i8"),  # an UNMAP or TLBI of lane 0 waits for the accesses up to this one; 0: none
        ("sync", "i8"),  # a TLBI_SYNC of lane 0 polls
        ("sync_since", "i8"),
        ("sync_done", "i8"),  # when the last of its accesses has ended, once that is known; else NEVER
        ("stop", "i8"),  # RUNNING, or why the run ends here
        ("pause", "i8"),  # the engine comes back when nothing is left to do up to then
        ("users", "i8"),  # passes that keep the SMMU awake
        ("last_put", "i8"),  # when one last ceased to
        ("captures", "i8"),  # crash dumps whose times are kept (`Host.captures`)
        ("in_blocks", "i8"),  # accesses that went through in blocks (`calm`)
        ("in_backlog", "i8"),  # events that came in turns of a lane's backlog (`backlog`)
        ("wakes", "i8"),  # wake-ups of threads and workers so far
        ("error", "i8"),  # MAP_* of the event that could not be carried out
    ],
    align=True,
)

# CLOCK.stop
RUNNING = 0
LIVELOCKED = 1
CRASHED = 2

#: One step of a program: see `steps`.
STEP = np.dtype(
    [
        ("op", "i8"),
        ("arg", "i8"),
        ("when", "i8"),
        ("more", "i8"),  # READ_OTHER: as many more follow that are taken whenever this one is
    ],
    align=True,
)

#: What does not change during a run, beside hardware and costs.
PLAN = np.dtype(
    [
        ("threaded", "i8"),  # the handler runs in a ONESHOT thread
        ("demand", "i8"),  # MAP only enters the shadow tables
        ("handler", "i8"),  # where its steps begin
        ("worker", "i8"),
        ("submit", "i8"),  # -1: nothing is done at a submit
        ("polls_all", "i8"),  # an entry looks at every bank
        ("gmu_waits", "i8"),  # deadlines begin anew after a crash dump
        ("sleeps_after", "i8"),  # idle time after which the SMMU sleeps; 0: never
        ("livelock_limit", "i8"),  # fruitless passes that end the run
        ("retry_limit", "i8"),  # retries of one transaction that end the run
        ("calm", "i8"),  # as many accesses at least go through in a block; 0: none do
        ("orderly", "i8"),  # one channel, one bank, nothing ABRUPT
        ("seed", "u8"),  # of what is drawn
    ],
    align=True,
)

#: What the GPU's driver keeps between faults, for the whole machine.
CLIENT = np.dtype(
    [
        ("dumped", "i8"),  # a crash dump was taken
        ("kept_until", "i8"),  # and exists before then
        ("capturing", "i8"),  # contexts that capture one
        ("capture_since", "i8"),  # since when one does
        ("captured_ns", "i8"),  # time in which one did
    ],
    align=True,
)

#: A fault on its way from the end of its walk to its bank.
ARRIVAL = np.dtype([("t", "i8"), ("serial", "i8"), ("slot", "i8")], align=True)

RATELIMIT = np.dtype([("begun", "i8"), ("printed", "i8"), ("missed", "i8"), ("open", "i8")], align=True)


def rows(dtype: np.dtype[Any], count: int) -> Any:
    """Return `count` zeroed records of `dtype` as a record array."""
    return np.zeros(count, _record(dtype)).view(np.recarray)


@cache
def _record(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return `dtype` with records for scalars, as a record array has: its view need not make it."""
    return np.dtype((np.record, dtype))


def one(dtype: np.dtype[Any], **values: int) -> Any:
    """Return an array of one record with the given fields set."""
    made = rows(dtype, 1)
    row = made[0]
    for name, value in values.items():
        row[name] = value
    return made
