"""A move in words: who, what, and what changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from smmucore import contexts as cpu
from smmucore import moves as m
from smmucore.explore import CAN, DO, GOES_ON, PACK, serve
from smmucore.explored import Question, explored
from smmucore.program import listing
from smmucore.registers import FSR, SCTLR_CFCFG, SCTLR_CFIE, SCTLR_HUPCF

#: Faults that a told machine has room for (`smmucore.build`); a schedule has a few.
FAULTS = 1000
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_KINDS = {
    cpu.HARD_IRQ: "hard interrupt",
    cpu.THREAD: "IRQ thread",
    cpu.WORKER: "worker",
    cpu.SUBMIT: "submit",
}
_NOTES = (
    (m.RESUMED | m.STRAY, m.STRAY, "not the fault it was meant for"),
    (m.IGNORED, m.IGNORED, "RESUME is ignored: FSR is not clear"),
    (m.SAW, m.SAW, "the record is seen"),
    (m.FOLDED, m.FOLDED, "only MULTI tells of it"),
    (m.LOST, m.LOST, "a record is lost"),
    (m.UNTOLD, m.UNTOLD, "MULTI is cleared, and nobody has read it"),
    (m.STALE, m.STALE, "with an address that was reported before"),
    (m.CRASH, m.CRASH, "bus error: the SMMU sleeps"),
)


@dataclass(frozen=True)
class Told:
    """One effect in words; `move` is its number (`smmucore.moves`)."""

    move: int
    who: str
    what: str
    then: str

    def __str__(self) -> str:
        return f"{self.who}: {self.what}" + (f"; {self.then}" if self.then else "")


class Teller:
    """A machine that makes one effect at a time and says what happened.

    It goes on from where it is, as replay does, and not from packed states.
    """

    def __init__(self, asked: Question) -> None:
        self.asked = asked
        self.machine = explored(asked)
        self.machine.bounds.single = True
        parts = listing(asked.policy, asked.client)
        self.steps = (*parts.handler, *parts.worker, *parts.submit)
        self.names: dict[int, str] = {}  # by slot
        self.made = 0
        self.flags = 0  # what the last effect did (`smmucore.moves`)
        self.faulted: set[str] = set()

    @property
    def has_room(self) -> bool:
        """Tell whether the machine can keep the story of one more fault: a file may retry without end."""
        return int(self.machine.sim.clock.faults) < FAULTS

    @property
    def words(self) -> list[int]:
        """The present state, packed."""
        serve(self.machine, PACK, 0)
        return [int(word) for word in self.machine.scratch]

    def can(self, move: int) -> bool:
        """Tell whether a move can come now."""
        return 0 <= move < self.moves and bool(serve(self.machine, CAN, move))

    def goes_on(self, move: int) -> bool:
        """Tell whether the next effect of this context belongs to the same move of the graph."""
        return move < self.contexts and bool(serve(self.machine, GOES_ON, move))

    @property
    def contexts(self) -> int:
        """How many contexts there are."""
        return int(self.machine.bounds.contexts)

    @property
    def moves(self) -> int:
        """How many moves there are to try."""
        kinds = 3 + (self.asked.faults if self.machine.bounds.uses_far else 1)
        return self.contexts + self.asked.banks * kinds + 2

    def tell(self, move: int) -> Told:
        """Make a move of one effect, and say it."""
        before = self._picture()
        who, what = self._context(move) if move < self.contexts else self._environment(move)
        self.flags = int(serve(self.machine, DO, move))
        return Told(move, who, what, "; ".join(self._changes(move, before, self.flags)))

    def state(self) -> str:
        """Return the present state in words."""
        picture = self._picture()
        out = []
        for b in range(self.asked.banks):
            of = f" of bank {b}" if self.asked.banks > 1 else ""
            fsr, sctlr, head, waiting, masked = picture[b]
            if self.machine.sim.hw.events:
                out += [f"stalled: {', '.join(waiting)}"] if waiting else []
                continue
            out.append(f"FSR{of} = {_fsr(fsr)}, SCTLR {_sctlr(sctlr)}")
            out += [f"{head} stalled"] if head else []
            out += [f"{', '.join(waiting)} waiting"] if waiting else []
            out += ["line masked"] if masked else []
        for c, ctx in enumerate(self.machine.sim.host.contexts):
            if ctx.state == cpu.STEP:
                out.append(f"{self.name(c)} before {self.steps[int(ctx.pc)].text}")
            elif ctx.state != cpu.IDLE:
                out.append(f"{self.name(c)} {_PHASES[int(ctx.state)]}{_off(ctx)}")
        return "; ".join(out)

    def _picture(self) -> list[tuple[int, int, str, tuple[str, ...], bool]]:
        sim = self.machine.sim
        made = []
        for b, bank in enumerate(sim.host.banks):
            fifo = sim.fifos[b]
            waiting = tuple(
                self.names.get(int(fifo[(bank.fifo_at + k) % len(fifo)]), "?") for k in range(bank.fifo_len)
            )
            head = self.names.get(int(bank.head), "?") if bank.head >= 0 else ""
            if sim.hw.events:
                held = np.flatnonzero((sim.slots.stalled != 0) & (sim.slot_free > 0))
                waiting = tuple(self.names.get(int(slot), "?") for slot in held)
            made.append((int(bank.fsr), int(bank.sctlr), head, waiting, bool(sim.host.lines[b].masked)))
        return made

    def name(self, c: int) -> str:
        """Return what context `c` is called."""
        ctx = self.machine.sim.host.contexts[c]
        whose = self.asked.banks > 1 and not (ctx.kind == cpu.HARD_IRQ and self.asked.hardware.shared_line)
        of = f" of bank {c % self.asked.banks}" if whose else ""
        return f"{_KINDS[int(ctx.kind)]}{of} (CPU {int(ctx.cpu)})"

    def _context(self, c: int) -> tuple[str, str]:
        host = self.machine.sim.host
        ctx = host.contexts[c]
        state = int(ctx.state)
        if state == cpu.STEP:
            step = self.steps[int(ctx.pc)]
            at = f" for bank {int(ctx.bank)}" if self.asked.banks > 1 and ctx.kind == cpu.HARD_IRQ else ""
            return self.name(c), step.text + at
        if state == cpu.ENTRY:
            return self.name(
                c
            ), "masks the line, wakes the thread" if host.plan.threaded else "enters the handler"
        return self.name(c), _DOES[state]

    def _environment(self, move: int) -> tuple[str, str]:
        sim, banks = self.machine.sim, self.asked.banks
        kinds = 3 + (self.asked.faults if self.machine.bounds.uses_far else 1)
        b, kind = (move - self.contexts) % banks, (move - self.contexts) // banks
        at = f" at bank {b}" if banks > 1 else ""
        if kind <= 1:
            slot = int(np.flatnonzero(sim.slot_free <= 0)[0])
            self.names[slot] = LETTERS[self.made]
            self.made += 1
            how = "is made, and held untranslated (HUPCF=0)" if kind == 1 else f"faults{at}"
            how = "is made" if self.asked.sleeps and kind == 0 else how
            return "GPU", f"access {self.names[slot]} {how}"
        if kind == 2:
            return "driver", "submits: stall may come back"
        if kind < kinds:
            slot = self._flying(b, kind - 2)
            name = self.names.get(slot, "?")
            again = " again" if name in self.faulted or not self.asked.sleeps else ""
            self.faulted.add(name)
            return "SMMU", f"access {name} faults{again}{at}"
        if move - self.contexts == banks * kinds:
            return "user space", "has read the crash dump"
        return "SMMU", "falls asleep"

    def _flying(self, b: int, page: int) -> int:
        sim = self.machine.sim
        for slot in on_their_way(sim):
            mine = sim.requesters[sim.slots[slot].requester].bank == b
            if mine and (not self.machine.bounds.uses_far or int(sim.slots[slot].iova) >> 12 == page):
                return slot
        return -1

    def _changes(self, move: int, before: Any, flags: int) -> list[str]:
        out = []
        after = self._picture()
        for b, ((fsr, sctlr, head, _, _), (fsr_now, sctlr_now, head_now, waiting, _)) in enumerate(
            zip(before, after, strict=True)
        ):
            of = f" of bank {b}" if self.asked.banks > 1 else ""
            if flags & m.RESUMED and head and head != head_now:
                out.append(f"{head} is {'retried' if flags & m.RETRIED else 'terminated'}")
            if _fsr(fsr) != _fsr(fsr_now):
                out.append(f"FSR{of} = {_fsr(fsr_now)}")
            if sctlr != sctlr_now:
                out.append(f"SCTLR{of} = {_sctlr(sctlr_now)}")
            if head_now and head_now != head:
                out.append(f"{head_now} is stalled")
            elif self.machine.sim.hw.events:
                out += [f"stalled: {', '.join(waiting) or 'none'}"] if waiting != before[b][3] else []
            elif waiting != before[b][3] and waiting:
                out.append(f"waiting behind {head_now or 'it'}: {', '.join(waiting)}")
        out += [text for _, bit, text in _NOTES if flags & bit]
        if move < self.contexts:
            ctx = self.machine.sim.host.contexts[move]
            if ctx.state == cpu.SPIN:
                out.append("it spins: the lock is taken")
            if flags & m.ENTERED:
                out.append("the interrupt is taken")
            if flags & m.UNHANDLED:
                out.append("IRQ_NONE")
            if flags & m.SPURIOUS:
                out.append("nothing new was seen: spurious")
        return out


_DOES = {
    cpu.DELIVERY: "the line is up, and its CPU told",
    cpu.WAKING: "wakes up",
    cpu.EXIT: "returns from the interrupt",
    cpu.UNMASK: "ends; the line is unmasked",
}
_PHASES = {
    cpu.DELIVERY: "on its way",
    cpu.PENDED: "pending",
    cpu.ENTRY: "entering",
    cpu.WAKING: "waking",
    cpu.SPIN: "spinning on the lock",
    cpu.EXIT: "leaving",
    cpu.UNMASK: "ending",
}


def on_their_way(sim: Any) -> list[int]:
    """Return the slots whose faults have not reached their bank, earliest first."""
    first = int(sim.clock.first_arrival)
    return [int(row.slot) for row in sim.arrivals[first : first + int(sim.clock.arrivals)]]


def _fsr(value: int) -> str:
    return FSR.decode(value & ~FSR["Format"].mask) or "0"


def _sctlr(value: int) -> str:
    bits = (("CFCFG", SCTLR_CFCFG), ("HUPCF", SCTLR_HUPCF), ("CFIE", SCTLR_CFIE))
    return " ".join(name for name, bit in bits if value & bit) or "no CFCFG, HUPCF, CFIE"


def _off(ctx: Any) -> str:
    return ", without a CPU" if ctx.runnable and not ctx.on_cpu else ""
