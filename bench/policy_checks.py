"""What no policy may do: every way through its steps is followed, and the first that goes wrong is told.

A pass knows only what it has read or been told (`words.CONDITIONS`), so there are few ways: with SS and
without, dumping or not, and each code that a client may return.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import get_type_hints

from bench.words import CODES, CONDITIONS, spell_step
from smmucore import steps
from smmucore.policy import Policy
from smmucore.steps import Step

#: The parts of a policy that are steps: its own fields, whatever they are.
PARTS = tuple(f.name for f in fields(Policy) if get_type_hints(Policy)[f.name] == tuple[Step, ...])
HANDLER, WORK = "handler", "work"
#: Those that run inside REPORT, and the one that runs in the client's worker.
TOLD = ("at_fault", "client_resume", "client_defers")
TOLD_LATER = ("worker_resume",)
SUBMIT = "submit"

_CODE = "returned"
#: What a step must know of its pass.
_NEEDS = {
    steps.CHECK: "SS",
    steps.WRITE_FSR_READ: "SS",
    steps.QUEUE_EVENT: "SS",
    steps.CMD_RESUME: "SS",
}
_WAKES = (steps.WAKE, steps.QUEUE_EVENT)
_RESUMES = (steps.WRITE_RESUME, steps.CMD_RESUME)
_TELLS = {
    "SS": "READ FSR or NEXT_EVENT",
    "dumping": "REPORT",
    _CODE: "REPORT",
    "may stall": "MAY_STALL",
    "FAR is known": "NOTE_FAR",
}


class RefusedError(ValueError):
    """A step that cannot be: part and index, what is wrong, what was expected, and what was found."""

    def __init__(self, part: str, index: int, what: str, expected: str, found: str) -> None:
        super().__init__(part, index, what, expected, found)
        self.part, self.index, self.what, self.expected, self.found = part, index, what, expected, found


@dataclass(frozen=True)
class _Way:
    """One way to a step: what its pass knows, and whether it holds the bank's lock."""

    knows: frozenset[tuple[str, int]] = frozenset()
    locked: bool = False

    def fact(self, name: str) -> int | None:
        """Return what is known of a fact, or None."""
        return next((value for known, value in self.knows if known == name), None)

    def told(self, name: str, values: Iterable[int]) -> set[_Way]:
        """Return one way for each value that a fact may have from here on."""
        rest = frozenset(pair for pair in self.knows if pair[0] != name)
        return {_Way(rest | {(name, value)}, self.locked) for value in values}


_Ways = set[_Way]


def check(policy: Policy) -> None:
    """Refuse what cannot be meant.

    Raises
    ------
    RefusedError
        A step that cannot be reached, a handler without an end, two REPORTs, a lock that is kept, a
        decision on what was never read, RESUME without stall, or a worker that nobody wakes.
    """
    parts = {part: getattr(policy, part) for part in PARTS}
    _resumes_what_stalls(policy, parts)
    _reports_once(parts)
    _wakes_somebody(parts)
    _ends(parts[HANDLER])
    walk = _Walk(parts)
    walk.handler()
    for part in PARTS:
        walk.other(part)


def _resumes_what_stalls(policy: Policy, parts: dict[str, tuple[Step, ...]]) -> None:
    every = [(part, k, step) for part, sequence in parts.items() for k, step in enumerate(sequence)]
    if policy.cfcfg or any(_stalls(spell_step(step)) for _, _, step in every):
        return
    for part, k, step in every:
        if step.op in _RESUMES:
            expected = "cfcfg = true: without it nothing ever stalls"
            raise RefusedError(
                part, k, "RESUME without stall", expected, f"{spell_step(step)!r} and cfcfg = false"
            )


def _stalls(line: str) -> bool:
    return line.startswith("WRITE SCTLR set") and "CFCFG" in line


def _reports_once(parts: dict[str, tuple[Step, ...]]) -> None:
    seen = ""
    for part, sequence in parts.items():
        for k, step in enumerate(sequence):
            if step.op != steps.REPORT:
                continue
            if part not in (HANDLER, WORK):
                raise RefusedError(
                    part, k, "REPORT by a client", f"REPORT in {HANDLER} alone", f"REPORT in {part}"
                )
            if seen:
                raise RefusedError(
                    part, k, "REPORT twice", f"REPORT once in {HANDLER}", f"{seen}, and again here"
                )
            seen = f"REPORT as step {k + 1} of {part}"


def _wakes_somebody(parts: dict[str, tuple[Step, ...]]) -> None:
    for part, sequence in parts.items():
        for k, step in enumerate(sequence):
            if step.op in _WAKES and (not parts.get(WORK) or part not in (HANDLER, WORK)):
                expected = (
                    f"WAKE in the {HANDLER} of a policy with steps.{WORK} (clients wake their own worker)"
                )
                raise RefusedError(part, k, "nobody to wake", expected, f"{spell_step(step)} in {part}")


def _ends(sequence: tuple[Step, ...]) -> None:
    last = len(sequence) - 1
    if last < 0 or sequence[last].op != steps.RETURN or sequence[last].when:
        found = repr(spell_step(sequence[last])) if sequence else "no step"
        expected = "RETURN HANDLED or RETURN NONE, without a condition, as its last step"
        raise RefusedError(HANDLER, max(last, 0), "a handler that may not end", expected, found)


class _Walk:
    """The ways through a policy's parts; those at REPORT and at WAKE begin the clients' and the worker's."""

    def __init__(self, parts: dict[str, tuple[Step, ...]]) -> None:
        self.parts = parts
        self.told: _Ways = set()
        self.woken: _Ways = set()

    def handler(self) -> None:
        """Follow the handler, and the core's worker where it has one."""
        self.part(HANDLER, {_Way()})
        if self.parts.get(WORK):
            if not self.woken:
                self.unreached(WORK, 0, f"WAKE in the {HANDLER}")
            self.part(WORK, {_Way(way.knows) for way in self.woken})

    def other(self, part: str) -> None:
        """Follow a part that the handler does not begin."""
        if part in (HANDLER, WORK):
            return
        if part in TOLD:
            if self.parts[part] and not self.told:
                self.unreached(part, 0, "REPORT, where the client is told")
        elif part in TOLD_LATER:
            ways = {_Way(way.knows) for way in self.told}
            if self.parts[part] and not ways:
                self.unreached(part, 0, "REPORT, where the client is told")
            self.part(part, ways)
        elif part == SUBMIT:
            self.part(part, {_Way()})
        else:
            self.part(part, _anything())

    def unreached(self, part: str, k: int, expected: str) -> None:
        """Refuse a step that no way leads to."""
        found = repr(spell_step(self.parts[part][k]))
        raise RefusedError(part, k, "a step that is never reached", expected, found)

    def part(self, part: str, ways: _Ways) -> _Ways:
        """Follow one part from `ways`; return the ways out of its end."""
        lock = 0
        for k, step in enumerate(self.parts[part]):
            if not ways:
                self.unreached(part, k, "a way to it: all end before, in a RETURN")
            went, passed_by = self._split(part, k, ways)
            if not went:
                self.unreached(part, k, "a condition that can hold there")
            lock = k if step.op == steps.LOCK else lock
            ways = passed_by | self._after(part, k, lock, went)
        if any(way.locked for way in ways):
            raise RefusedError(
                part, lock, "LOCK without UNLOCK", "UNLOCK on every way to the end", "the lock held there"
            )
        return ways

    def _split(self, part: str, k: int, ways: _Ways) -> tuple[_Ways, _Ways]:
        """Return the ways on which the step is taken, and those that pass it by."""
        step = self.parts[part][k]
        went, passed_by = set(ways), set()
        for condition in CONDITIONS:
            if not step.when & condition.bit:
                continue
            if not condition.told_by:
                passed_by |= ways  # it may hold, or not, whatever is known
                continue
            self._known(part, k, condition.fact, ways)
            went &= {way for way in ways if bool(way.fact(condition.fact)) == condition.wanted}
        codes = step.when & steps.RET_MASK
        if codes:
            self._known(part, k, _CODE, ways)
            went = {way for way in went if codes >> (way.fact(_CODE) or 0) & 1}
        return went, passed_by | (ways - went)

    def _known(self, part: str, k: int, fact: str, ways: _Ways) -> None:
        if any(way.fact(fact) is None for way in ways):
            line = spell_step(self.parts[part][k])
            expected = f"{_TELLS.get(fact, fact)} before it on every way"
            raise RefusedError(part, k, "a decision on what was never read", expected, repr(line))

    def _after(self, part: str, k: int, lock: int, ways: _Ways) -> _Ways:
        """Return the ways behind a step that is taken."""
        step = self.parts[part][k]
        if step.op in _NEEDS:
            self._known(part, k, _NEEDS[step.op], ways)
        if step.op in _RESUMES and step.arg & 0xFF == steps.BY_RETURN:
            self._known(part, k, _CODE, ways)
        if step.op == steps.LOCK and any(way.locked for way in ways):
            raise RefusedError(
                part, k, "LOCK twice", "UNLOCK before it: who holds the lock waits for ever", "LOCK again"
            )
        if step.op == steps.UNLOCK and not all(way.locked for way in ways):
            raise RefusedError(part, k, "UNLOCK without LOCK", "LOCK before it on every way", "a way without")
        if step.op in (steps.RETURN, steps.CHECK, steps.PM_GET_IF_ACTIVE):
            if any(way.locked for way in ways):
                end = f"{spell_step(step)!r} with the lock held"
                raise RefusedError(part, lock, "LOCK without UNLOCK", "UNLOCK before the pass may end", end)
            if step.op == steps.RETURN and part in (*TOLD, *TOLD_LATER):
                raise RefusedError(
                    part, k, "RETURN by a client", f"RETURN in {HANDLER} alone", f"RETURN in {part}"
                )
        if step.op == steps.RETURN:
            return set()
        if step.op in _WAKES:
            self.woken |= ways
        ways = _told(step, ways)
        if step.op in (steps.LOCK, steps.UNLOCK):
            ways = {_Way(way.knows, step.op == steps.LOCK) for way in ways}
        if step.op == steps.REPORT:
            self.told |= ways
            for client in TOLD:
                if self.parts.get(client):
                    ways = ways | self.part(client, ways)
        return ways


def _told(step: Step, ways: _Ways) -> _Ways:
    """Return the ways once more for everything that the step may have told the pass."""
    for fact in {c.fact for c in CONDITIONS if step.op in c.told_by}:
        ways = {after for way in ways for after in way.told(fact, (0, 1))}
    if step.op in (steps.REPORT, steps.MAP_PAGE):
        codes = CODES.values() if step.op == steps.REPORT else (step.arg >> 8, step.arg & 0xFF)
        ways = {after for way in ways for after in way.told(_CODE, codes)}
    return ways


def _anything() -> _Ways:
    """Return a way for everything that a pass may know."""
    ways = {_Way()}
    for fact in {c.fact for c in CONDITIONS if c.told_by}:
        ways = {after for way in ways for after in way.told(fact, (0, 1))}
    return {after for way in ways for after in way.told(_CODE, CODES.values())}
