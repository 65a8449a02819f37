"""What the whole machine is at, between two steps of a schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.prove.words import Teller, on_their_way
from bench.timeline.moments import Moment, moment
from smmucore.records import FAULT, OUTCOME_NAMES, RECORD_NAMES

#: Simulated ns of the machine: time stands still, so what stands for it is the number of steps.
STILL = 0
#: FAULT's times that say "this has come to pass" (all at 0 ns): which have, is what a schedule knows.
_PASSED = tuple(name for name in FAULT.names or () if name.startswith("t_"))

ON_ITS_WAY, STALLED, WAITING, OPEN = "on its way", "stalled", "waiting", "open"


@dataclass(frozen=True)
class AccessAt:
    """An access: letter, slot, bank, the number of its latest fault (0: none yet), and where it is.

    `at` is "on its way" to its bank, "stalled", "waiting" behind a stall, or "open"; it has ended where it
    says how: "terminated" or "completed".
    """

    name: str
    slot: int
    bank: int
    fault: int
    at: str

    @property
    def ended(self) -> bool:
        """It has no slot any more."""
        return self.at not in (ON_ITS_WAY, STALLED, WAITING, OPEN)


@dataclass(frozen=True)
class FaultAt:
    """A fault: the letter of its access, what became of record and transaction, and which times have come."""

    access: str
    record: str
    outcome: str
    passed: frozenset[str]


@dataclass(frozen=True)
class Look:
    """The machine after a number of steps.

    Attributes
    ----------
    moment : Moment
        As of a run; its time is 0.
    accesses : tuple of AccessAt
        By letter: every one that was made, ended ones too.
    faults : tuple of FaultAt
        By number, from 1.
    masked : tuple of bool
        By line: masked, or closed at the interrupt controller.
    means : tuple of int
        By context: the fault its pass means to resume, or 0.
    pending : tuple of bool
        By context: it will run once more.
    dumped : bool
        A crash dump exists.
    completed : int
        Transactions that have translated so far.
    queue : tuple of int
        Events, held ones, and jobs of an SMMUv3.
    state : str
        In words.
    words : tuple of int
        Packed.
    flags : int
        What the last step did (`smmucore.moves`).
    """

    moment: Moment
    accesses: tuple[AccessAt, ...]
    faults: tuple[FaultAt, ...]
    masked: tuple[bool, ...]
    means: tuple[int, ...]
    pending: tuple[bool, ...]
    dumped: bool
    completed: int
    queue: tuple[int, int, int]
    state: str
    words: tuple[int, ...]
    flags: int


def look(teller: Teller, before: Look | None) -> Look:
    """Look at a teller's machine; `before` is what it was one step ago."""
    sim = teller.machine.sim
    host = sim.host
    accesses = _accesses(teller, before)
    now = moment(sim, STILL)
    letters = [fault.access for fault in before.faults] if before is not None else []
    for number in range(len(letters) + 1, int(sim.clock.faults) + 1):
        letters.append(next(access.name for access in accesses if access.fault == number))
    return Look(
        now,
        accesses,
        tuple(_fault(letter, row) for letter, row in zip(letters, sim.faults, strict=False)),
        tuple(bool(line.masked or line.disabled) for line in host.lines[: len(now.lines)]),
        tuple(int(ctx.means) for ctx in host.contexts),
        tuple(bool(ctx.pending) for ctx in host.contexts),
        bool(host.client.dumped),
        int(sim.counters.completed),
        (int(host.queue.length), int(host.queue.held), int(host.queue.jobs)),
        teller.state(),
        tuple(teller.words),
        teller.flags,
    )


def _fault(access: str, row: Any) -> FaultAt:
    passed = frozenset(name for name in _PASSED if row[name] >= 0)
    return FaultAt(access, RECORD_NAMES[int(row["record"])], OUTCOME_NAMES[int(row["outcome"])], passed)


def _accesses(teller: Teller, before: Look | None) -> tuple[AccessAt, ...]:
    """Return every access: a slot that is taken anew belongs to the newest letter."""
    sim = teller.machine.sim
    known = {} if before is None else {access.name: access for access in before.accesses}
    # What ends without ever having faulted, HUPCF=0 having held it, has no fault that tells how.
    translated = before is not None and int(sim.counters.completed) > before.completed
    how = "completed" if translated else "terminated"
    for slot, name in teller.names.items():
        if name not in known:
            bank = int(sim.requesters[sim.slots[slot].requester].bank)
            known[name] = AccessAt(name, slot, bank, 0, OPEN)
    made = []
    for name in sorted(known):
        was = known[name]
        if was.ended:
            made.append(was)
            continue
        fault = int(sim.slots[was.slot].fault)
        made.append(AccessAt(name, was.slot, was.bank, fault, _at(teller, was.slot, fault) or how))
    return tuple(made)


def _at(teller: Teller, slot: int, fault: int) -> str:
    sim = teller.machine.sim
    if sim.slot_free[slot] <= STILL:
        return OUTCOME_NAMES[int(sim.faults[fault - 1].outcome)] if fault else ""
    if slot in on_their_way(sim):
        return ON_ITS_WAY
    if sim.slots[slot].stalled or any(int(bank.head) == slot for bank in sim.host.banks):
        return STALLED
    for bank, fifo in zip(sim.host.banks, sim.fifos, strict=True):
        if slot in (int(fifo[(bank.fifo_at + k) % len(fifo)]) for k in range(int(bank.fifo_len))):
            return WAITING
    return OPEN
