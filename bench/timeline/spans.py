"""What a watched run shows as spans: something, on some track, from when to when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.timeline.moments import ContextAt, Moment, Placed, Seen
from smmucore import contexts as cpu
from smmucore.program import listing
from smmucore.records import OUTCOME_NAMES, RECORD_NAMES
from smmucore.registers import FSR, FSR_MULTI, FSR_SS, SCTLR_CFCFG, SCTLR_CFIE, SCTLR_HUPCF

if TYPE_CHECKING:
    from smmucore.clients import Client
    from smmucore.policy import Policy

#: What a context does that is no step of its policy.
STATES = {
    cpu.DELIVERY: "interrupt on its way (line to CPU)",
    cpu.PENDED: "interrupt pends: the CPU cannot take it",
    cpu.ENTRY: "entry (vector to handler)",
    cpu.WAKING: "wake-up",
    cpu.SPIN: "waits for the bank's lock",
    cpu.EXIT: "exit (handler to eret)",
    cpu.UNMASK: "end of ONESHOT: unmask",
}
KINDS = {cpu.HARD_IRQ: "hard IRQ", cpu.THREAD: "IRQ thread", cpu.WORKER: "worker", cpu.SUBMIT: "submit"}
LINES = ("down", "up", "up, masked")
#: FAULT's times, in the order in which they come, and what happens then.
TIMES = {
    "t_intended": "the access is due",
    "t_issued": "it is issued: it has a slot, and is looked up",
    "t_arrived": "its walk ends in a fault",
    "t_recorded": "the bank records it",
    "t_irq": "the interrupt that tells of it is taken",
    "t_handler_start": "the pass that reads it begins",
    "t_handler_end": "that pass has returned",
    "t_resumed": "RESUME ends its stall",
    "t_retired": "the transaction ends",
}


@dataclass(frozen=True)
class Span:
    """Something that lasts.

    Attributes
    ----------
    track : tuple of str
        Group, and line in the group.
    name : str
    begin, end : int
        ns; not equal.
    facts : dict
        What to show of it.
    """

    track: tuple[str, str]
    name: str
    begin: int
    end: int
    facts: dict[str, Any] = field(default_factory=dict)


def steps_of(policy: Policy, client: Client) -> tuple[str, ...]:
    """Return the words of every step of a program, by `pc`."""
    parts = listing(policy, client)
    return tuple(step.text for step in (*parts.handler, *parts.worker, *parts.submit))


def spans(watched: Seen, policy: Policy, client: Client) -> Iterator[Span]:
    """Return every span of contexts, lines and banks that is longer than nothing.

    Parameters
    ----------
    watched : Seen
    policy, client : Policy, Client
        Those of the run: they say what the steps are called.

    Yields
    ------
    Span
        In the order of their tracks, and of time on each.
    """
    words = steps_of(policy, client)
    for number, placed in enumerate(watched.contexts):
        of_context = runs(watched, partial(_context, number, words))
        track = track_of(placed)
        for begin, end, (name, facts) in of_context:
            if name:
                yield Span(track, name, begin, end, facts)
    yield from of_hardware(watched)


def track_of(placed: Placed) -> tuple[str, str]:
    """Return the track of a context."""
    what = "line" if placed.kind == cpu.HARD_IRQ else "bank"
    return f"CPU {placed.cpu}", f"{KINDS[placed.kind]}, {what} {placed.number}"


def of_hardware(watched: Seen) -> Iterator[Span]:
    """Yield the spans of banks and lines, in the order of their tracks, and of time on each."""
    if not watched.moments:
        return
    for bank in range(len(watched.moments[0].banks)):
        group = f"context bank {bank}"
        for begin, end, value in runs(watched, partial(_fsr, bank)):
            if FSR.decode(value):
                yield Span((group, "FSR"), FSR.decode(value), begin, end, {"FSR": f"{value:#010x}"})
        for bit, name in ((FSR_SS, "SS"), (FSR_MULTI, "MULTI")):
            for begin, end, up in runs(watched, partial(_bit, bank, bit)):
                if up:
                    yield Span((group, name), name, begin, end)
        for begin, end, value in runs(watched, partial(_sctlr_of, bank)):
            yield Span((group, "SCTLR"), _sctlr(value), begin, end)
    for n in range(len(watched.moments[0].lines)):
        for begin, end, state in runs(watched, partial(_line, n)):
            if state:
                yield Span(("interrupt lines", f"line {n}"), LINES[state], begin, end)


def _context(number: int, words: tuple[str, ...], moment: Moment) -> tuple[str, dict[str, Any]]:
    return activity(moment.contexts[number], words)


def _fsr(bank: int, moment: Moment) -> int:
    return moment.banks[bank].fsr


def _bit(bank: int, bit: int, moment: Moment) -> bool:
    return bool(moment.banks[bank].fsr & bit)


def _sctlr_of(bank: int, moment: Moment) -> int:
    return moment.banks[bank].sctlr


def _line(number: int, moment: Moment) -> int:
    return moment.lines[number]


def runs(watched: Seen, of: Callable[[Moment], Any]) -> Iterator[tuple[int, int, Any]]:
    """Return (begin, end, value) of each stretch of moments with one value."""
    begin, value = watched.begin, None
    started = False
    for moment in watched.moments:
        now = of(moment)
        if started and now == value:
            continue
        if started and moment.t > begin:
            yield begin, moment.t, value
        begin, value, started = moment.t, now, True
    if started and watched.end > begin:
        yield begin, watched.end, value


def activity(context: ContextAt, words: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """Name what a context is about, and say which fault it is about if it knows."""
    if context.state == cpu.IDLE:
        return "", {}
    name = words[context.pc] if context.state == cpu.STEP else STATES[context.state]
    waits = context.runnable and not context.on_cpu
    facts: dict[str, Any] = {"bank": context.bank}
    if context.state == cpu.STEP:
        facts["step"] = context.pc + 1
    if context.fault:
        facts["fault"] = context.fault
    return (f"waits for its CPU, before {name}" if waits else name), facts


def _sctlr(value: int) -> str:
    bits = (("CFIE", SCTLR_CFIE), ("CFCFG", SCTLR_CFCFG), ("HUPCF", SCTLR_HUPCF))
    return " ".join(f"{name}={1 if value & bit else 0}" for name, bit in bits)


def fate(row: Any) -> str:
    """Say what became of a fault's record, and of its transaction.

    Parameters
    ----------
    row : FAULT record

    Returns
    -------
    str
        Such as ``"recorded, completed"``.
    """
    return f"{RECORD_NAMES[int(row['record'])]}, {OUTCOME_NAMES[int(row['outcome'])]}"
