"""A schedule followed, with the whole machine looked at between its steps."""

from __future__ import annotations

from dataclasses import dataclass

from bench.prove.changes import access_of, besides, rules
from bench.prove.looks import Look, look
from bench.prove.schedules import Schedule, follow
from bench.prove.words import LETTERS, Teller, Told
from bench.timeline.moments import Placed, placed
from smmucore import moves as m

#: What the step did that breaks a property, as flags of a move; the others are broken by a state or a cycle.
_BREAKS = {
    "crash": m.CRASH,
    "stray": m.STRAY,
    "unrepaired": m.IGNORED,
    "lost": m.LOST | m.UNTOLD,
    "stale": m.STALE,
    "ignored": m.IGNORED,
    "folded": m.FOLDED,
    "spurious": m.SPURIOUS,
}


@dataclass(frozen=True)
class Step:
    """A step of a schedule, as `Told`, with what it changed besides, its rules, and whom it concerns.

    Attributes
    ----------
    n : int
        From 1.
    besides : tuple of str
        What changed that the step's own words leave out.
    rules : tuple of str
        Numbers of rules (docs/model.md).
    accesses : tuple of str
        The letters of the accesses that it concerns: it makes, moves, sees or resumes them; or, of one that
        is open, it changes what comes of it (FSR, SCTLR, a line).
    """

    n: int
    told: Told
    besides: tuple[str, ...]
    rules: tuple[str, ...]
    accesses: tuple[str, ...]

    @property
    def then(self) -> str:
        """All that changed, in words."""
        return "; ".join((*((self.told.then,) if self.told.then else ()), *self.besides))


@dataclass(frozen=True)
class Walk:
    """A schedule that was followed.

    Attributes
    ----------
    steps : tuple of Step
        As far as it could be followed.
    looks : tuple of Look
        The machine before the first step, and after each.
    contexts : tuple of Placed
        Moves below their number are theirs.
    names : tuple of str
        What they are called.
    parts : str
        Where the schedule parts from the model, or "".
    """

    schedule: Schedule
    steps: tuple[Step, ...]
    looks: tuple[Look, ...]
    contexts: tuple[Placed, ...]
    names: tuple[str, ...]
    parts: str

    @property
    def breaks_at(self) -> int:
        """The number of the step that breaks the property; 0: the end does, or the cycle."""
        bits = _BREAKS.get(self.schedule.breaks, 0)
        did = [n for n, seen in enumerate(self.looks) if n and seen.flags & bits]
        if not did:
            return 0
        if self.schedule.breaks == "unrepaired":
            acted = [n for n, seen in enumerate(self.looks) if seen.flags & m.RESUMED]
            return next((n for n in did if n > max(acted, default=0)), did[-1])
        return did[-1]

    @property
    def made(self) -> str:
        """The letters of the accesses, in order."""
        return "".join(access.name for access in self.looks[-1].accesses)


def walk(schedule: Schedule) -> Walk:
    """Follow a schedule on a fresh machine, and look at the machine between its steps."""
    looks: list[Look] = []
    tellers: list[Teller] = []

    def note(teller: Teller) -> None:
        tellers[:] = [teller]
        looks.append(look(teller, looks[-1] if looks else None))

    told, parts = follow(schedule, note)
    teller = tellers[0]
    # A step that came otherwise than the file says is the last that is told, and nobody has looked behind it.
    known = told[: len(looks) - 1]
    steps = [
        Step(
            n + 1,
            step,
            besides(teller, step, looks[n], looks[n + 1]),
            rules(teller, step, looks[n], looks[n + 1]),
            _concerns(step, looks[n], looks[n + 1]),
        )
        for n, step in enumerate(known)
    ]
    contexts = placed(teller.machine.sim)
    names = tuple(teller.name(c) for c in range(len(contexts)))
    return Walk(schedule, tuple(steps), tuple(looks), contexts, names, parts)


def _concerns(told: Told, before: Look, after: Look) -> tuple[str, ...]:
    made = set()
    was = {access.name: access for access in before.accesses}
    shared = before.moment.banks != after.moment.banks or before.moment.lines != after.moment.lines
    shared |= before.masked != after.masked
    for access in after.accesses:
        old = was.get(access.name)
        if old != access or (shared and not access.ended):
            made.add(access.name)
    for k, fault in enumerate(after.faults):
        if before.faults[k : k + 1] != (fault,):
            made.add(fault.access)
    for seen in (before, after):
        if told.move < len(seen.means):
            for number in (seen.means[told.move], seen.moment.contexts[told.move].fault):
                made.add(access_of(after, number))
    return tuple(letter for letter in LETTERS if letter in made)
