"""What a step changed beside what its own words say, and by which rules (docs/model.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.prove.looks import ON_ITS_WAY, STALLED, WAITING, Look
from smmucore import contexts as cpu
from smmucore import moves as m
from smmucore import steps as op

if TYPE_CHECKING:
    from bench.prove.words import Teller, Told
    from bench.timeline.moments import ContextAt

#: The rules that a step of a schedule may show, each in a line.
RULES = {
    "H5": "FSR's fault bits go when ones are written to them; a fault before that sets MULTI; while SS is "
    "set FSR is frozen (fsr_frozen_while_stalled: not settled)",
    "H6": "CFCFG=0: a fault terminates its transaction; CFCFG=1: it stalls, and SS is set",
    "H7": "CFCFG and HUPCF are sampled at each fault; HUPCF=0 holds up the bank's other accesses",
    "H8": "what faults during a stall waits behind it, or is terminated, as the part has it",
    "H9": "RESUME acts on whatever is stalled now; then what waits is resolved afresh",
    "H10": "the part ignores RESUME while FSR has a bit beside SS",
    "H11": "the line is up while CFIE is set and FSR has a fault bit (or SS, where the part has it so)",
    "H13": "SMMUv3: an event queue, and CMD_RESUME for each stalled transaction",
    "K1": "a line that still is up when its interrupt returns is taken again at once; ONESHOT masks it",
    "K2": "on a CPU the highest runs: hard interrupt, thread, worker, submit",
    "K3": "a worker or thread that is woken waits for its wake-up, and for its CPU",
    "K4": "prints are ratelimited (time plays no part here)",
    "K5": "an interrupt that nobody handled counts towards the line's being disabled",
    "K6": "each register access is an instant of its own: what is written back is what was read",
}

_OF_STATE = {
    cpu.DELIVERY: "K1", cpu.ENTRY: "K1", cpu.EXIT: "K1", cpu.UNMASK: "K1", cpu.WAKING: "K3",
}  # fmt: skip
_OF_STEP = {
    op.LOG: ("K4",),
    op.WRITE_FSR_READ: ("H5", "K6"),
    op.WRITE_FSR_ALL: ("H5",),
    op.WRITE_RESUME: ("H9",),
    op.SCTLR_CLEAR: ("H7",),
    op.SCTLR_SET: ("H7",),
    op.WAKE: ("K3",),
    op.NEXT_EVENT: ("H13",),
    op.QUEUE_EVENT: ("H13",),
    op.CMD_RESUME: ("H13",),
}
_LINE = {
    (0, 1): "comes up", (0, 2): "comes up, masked", (1, 0): "goes down", (2, 0): "goes down",
    (1, 2): "is masked", (2, 1): "is unmasked",
}  # fmt: skip


def besides(teller: Teller, told: Told, before: Look, after: Look) -> tuple[str, ...]:
    """Return what a step changed that its own words leave out, in words."""
    out = [*_accesses(told, before, after), *_lines(before, after), *_contexts(teller, told, before, after)]
    if after.dumped != before.dumped:
        out.append("a crash dump exists" if after.dumped else "no crash dump exists any more")
    return tuple(
        text for text in out if not any(text.endswith(end) and own in f"{told}" for own, end in _OWN)
    )


#: Own words of a step that say a change already, by how the change would end.
_OWN = (
    ("masks the line", " is masked"),
    ("the line is unmasked", " is unmasked"),
    ("the interrupt is taken", " is taken"),
    ("ends; the line", "it is idle"),
    ("wakes the thread", " is woken"),
)


def _accesses(told: Told, before: Look, after: Look) -> Iterator[str]:
    was = {access.name: access.at for access in before.accesses}
    for access in after.accesses:
        if access.at == was.get(access.name):
            continue
        text = f"{access.name} is {access.at}"
        if access.ended and text not in told.then:
            yield text
        elif access.at == ON_ITS_WAY and access.name in was:
            yield f"{access.name} faults again, and is on its way"
    for number, fault in enumerate(after.faults):
        if number < len(before.faults) and before.faults[number].record != fault.record == "lost":
            yield f"it was that of {fault.access}"
    meant = _meant(told, before, after)
    if meant:
        yield f"it was meant for {meant}"


def _meant(told: Told, before: Look, after: Look) -> str:
    """Return the access that a RESUME which went wrong was meant for, or ""."""
    if not after.flags & (m.STRAY | m.IGNORED) or told.move >= len(before.means):
        return ""
    return access_of(after, before.means[told.move])


def access_of(look: Look, fault: int) -> str:
    """Return the letter of the access that had a fault, by its number (0: none), or ""."""
    return look.faults[fault - 1].access if fault else ""


def _lines(before: Look, after: Look) -> Iterator[str]:
    up = list(zip(before.moment.lines, after.moment.lines, strict=True))
    for n, change in enumerate(up):
        which = "the line" if len(up) == 1 else f"line {n}"
        if change in _LINE:
            yield f"{which} {_LINE[change]}"
        elif before.masked[n] != after.masked[n]:
            yield f"{which} is {'masked' if after.masked[n] else 'unmasked'}"


def _contexts(teller: Teller, told: Told, before: Look, after: Look) -> Iterator[str]:
    """Say what became of contexts, of the one that moved only what its own words cannot say."""
    for c, (was, now) in enumerate(zip(before.moment.contexts, after.moment.contexts, strict=True)):
        name = f"the {teller.name(c)}"
        if c == told.move:
            if now.state == cpu.IDLE:
                yield "it is idle"
            elif was.state == cpu.EXIT:
                yield "the line still is up"
            continue
        if was.state == cpu.IDLE and now.state != cpu.IDLE:
            waits = " and waits for its CPU" if now.runnable and not now.on_cpu else ""
            yield f"{name} {_BEGINS.get(now.state, 'begins')}{waits}"
        elif now.state == cpu.PENDED and was.state != cpu.PENDED:
            yield f"{name} pends"
        elif was.state == cpu.SPIN and now.state != cpu.SPIN:
            yield f"{name} gets the lock"
        elif was.on_cpu and not now.on_cpu and now.state != cpu.IDLE:
            yield f"{name} loses its CPU"
        elif now.on_cpu and not was.on_cpu and was.runnable:
            yield f"{name} gets its CPU"
        elif after.pending[c] and not before.pending[c]:
            yield f"{name} is queued again"


_BEGINS = {
    cpu.DELIVERY: "is on its way",
    cpu.PENDED: "pends",
    cpu.ENTRY: "is taken",
    cpu.WAKING: "is woken",
}


def rules(teller: Teller, told: Told, before: Look, after: Look) -> tuple[str, ...]:
    """Return the numbers of the rules that a step shows, in the order of `RULES`."""
    made = set(_of_hardware(teller, before, after))
    if [up > 0 for up in before.moment.lines] != [up > 0 for up in after.moment.lines]:
        made.add("H13" if _has_events(teller) else "H11")
    if before.masked != after.masked:
        made.add("K1")
    if after.flags & m.UNHANDLED:
        made.add("K5")
    if told.move < len(before.moment.contexts):
        made |= set(_of_context(teller, before.moment.contexts[told.move], after))
    for was, now in zip(before.moment.contexts, after.moment.contexts, strict=True):
        if (was.runnable and now.runnable and now.on_cpu != was.on_cpu) or (
            now.runnable and not was.runnable and not now.on_cpu
        ):
            made.add("K2")
    return tuple(name for name in RULES if name in made)


def _has_events(teller: Teller) -> bool:
    return bool(teller.machine.sim.hw.events)


def _of_context(teller: Teller, was: ContextAt, after: Look) -> Iterator[str]:
    if was.state != cpu.STEP:
        if was.state in _OF_STATE:
            yield _OF_STATE[was.state]
        if was.state == cpu.EXIT and after.flags & m.ENTERED and not _has_events(teller):
            yield "H11"  # it still is up
        return
    code = teller.steps[was.pc].op
    if code == op.WRITE_RESUME and after.flags & m.IGNORED:
        yield "H10"
        return
    yield from _OF_STEP.get(code, ())


def _of_hardware(teller: Teller, before: Look, after: Look) -> Iterator[str]:
    """Yield the rules by which faults were recorded, stalled, held or lost."""
    was = {access.name: access for access in before.accesses}
    for access in after.accesses:
        old = was.get(access.name)
        if old is not None and (old.at, old.fault) == (access.at, access.fault):
            continue
        if access.fault and (old is None or old.fault != access.fault):
            if _has_events(teller):
                yield "H13"
                continue
            yield "H8" if access.at == WAITING or _behind_a_stall(before, access.bank) else "H6"
            yield "H5"
        elif access.at == WAITING:
            yield "H7"
        elif access.at == STALLED and old is not None and old.at == WAITING:
            yield "H9"


def _behind_a_stall(look: Look, bank: int) -> bool:
    return look.moment.banks[bank].stalled > 0
