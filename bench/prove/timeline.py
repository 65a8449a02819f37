"""A schedule as a timeline for Perfetto, whose axis is order and not time.

Step n is drawn from n - 1 to n ticks, and what holds after it from n ticks on.  So at the end of each step
stands what the machine was then, and at the end of the file the state that the schedule leads to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

from bench.prove.changes import access_of
from bench.prove.properties import PROPERTIES
from bench.prove.schedules import as_json
from bench.prove.walk import Step, Walk
from bench.timeline import perfetto
from bench.timeline.moments import Seen
from bench.timeline.perfetto import Tracks, complete
from bench.timeline.spans import Span, activity, of_hardware, runs, steps_of, track_of
from smmucore import contexts as cpu
from smmucore import moves as m

#: Of the axis for each step, as if it were ns.
TICK = 1000
#: The first group, and the words beside the name of every group.
TITLE, LABEL = "ORDER, NOT TIME: 1 us is one step", "order, not time"


def events(walk: Walk) -> list[dict[str, Any]]:
    """Return the events of a schedule's timeline.

    Parameters
    ----------
    walk : Walk
        One that was followed to its end.

    Returns
    -------
    list of dict
        The names of the tracks first, then everything in order.
    """
    tracks = Tracks(LABEL)
    for group in (TITLE, perfetto.FAULTS):
        tracks.pids[group] = len(tracks.pids) + 1
    seen = as_seen(walk)
    made = [complete(tracks, span) for span in _title(walk)]
    made += [*_accesses(walk, tracks)]
    for spans in (_contexts(walk, seen), of_hardware(seen), _held(walk, seen)):
        made += [complete(tracks, span) for span in spans]
    made += [*_resumes(walk, tracks)]
    # Nothing queues where time stands still, and how much is printed is a question of time (K4).
    without = ("queued", "log lines", *(("stalled",) if walk.schedule.question.hardware.events else ()))
    made += [*perfetto.counters(seen, tracks, without)]
    return perfetto.in_order(tracks, made)


def about(walk: Walk) -> dict[str, Any]:
    """Return what goes into the metadata of the file.

    Parameters
    ----------
    walk : Walk

    Returns
    -------
    dict
    """
    schedule = walk.schedule
    return {
        "axis": "order, not time: step n lies from n - 1 to n us, and what holds after it begins at n us",
        "times": "none: a schedule says in which order things happen, and not when",
        "schedule": as_json(schedule.question),
        "source": schedule.question.policy.source,
        "steps": len(walk.steps),
        "breaks": schedule.breaks,
        "meaning": PROPERTIES[schedule.breaks],
        "breaks_at": walk.breaks_at or None,
        "repeats_from": schedule.repeats_from + 1 if schedule.repeats_from >= 0 else None,
        "end": schedule.state,
    }


def as_seen(walk: Walk) -> Seen:
    """Return a walk as a run is seen: what the machine was after n steps is its moment at n ticks."""
    moments = [replace(look.moment, t=n * TICK) for n, look in enumerate(walk.looks)]
    channels = len(walk.looks[0].moment.open)
    return Seen(0, len(moments) * TICK, moments, walk.contexts, channels)


def _tick(step: Step) -> tuple[int, int]:
    return (step.n - 1) * TICK, step.n * TICK


def _facts(walk: Walk, step: Step) -> dict[str, Any]:
    facts = {
        "step": step.n, "who": step.told.who, "what changed": step.then, "rules": " ".join(step.rules),
        "accesses": " ".join(step.accesses), "state after it": walk.looks[step.n].state,
    }  # fmt: skip
    return {name: value for name, value in facts.items() if value != ""}


def _title(walk: Walk) -> Iterator[Span]:
    """Yield every step, the cycle, and where the property breaks."""
    breaks, first = walk.schedule.breaks, walk.schedule.repeats_from
    for step in walk.steps:
        text = f"{step.n}. {step.told.who}: {step.told.what}"
        yield Span((TITLE, "steps"), text, *_tick(step), _facts(walk, step))
    end = len(walk.steps) * TICK
    facts = {"property": breaks, "meaning": PROPERTIES[breaks]}
    if first >= 0:
        name = f"cycle: repeats for ever (steps {first + 1} to {len(walk.steps)})"
        yield Span((TITLE, "cycle"), name, first * TICK, end, facts)
    track = (TITLE, "what breaks")
    if walk.breaks_at:
        yield Span(track, f"{breaks} is broken", *_tick(walk.steps[walk.breaks_at - 1]), facts)
    elif first >= 0:
        yield Span(track, f"{breaks} is broken: by the cycle", first * TICK, end, facts)
    else:
        yield Span(track, f"{breaks} is broken: by the state at the end", end, end + TICK, facts)


def _accesses(walk: Walk, tracks: Tracks) -> Iterator[dict[str, Any]]:
    """Draw each access as a bar from the step that makes it to the one that ends it; inside, where it is."""
    for number, letter in enumerate(walk.made, 1):
        states = [next((a for a in look.accesses if a.name == letter), None) for look in walk.looks]
        last = states[-1]
        assert last is not None
        made = next(n for n, state in enumerate(states) if state is not None)
        ended = next((n for n, state in enumerate(states) if state is not None and state.ended), len(states))
        fault = walk.looks[-1].faults[last.fault - 1] if last.fault else None
        fate = f"{fault.record}, {last.at}" if fault else last.at
        name = f"access {letter}: {fate}"
        ids = {"id": number, "cat": "fault", **tracks.of((perfetto.FAULTS, f"stream {last.bank}"))}
        facts = {"access": letter, "bank": last.bank, "made by step": made, "what became of it": fate}
        if last.ended:
            facts["ended by step"] = ended
        yield {"ph": "b", "name": name, "ts": perfetto.us((made - 1) * TICK), **ids, "args": facts}
        changes = [n for n in range(made, ended) if n == made or _where(states[n]) != _where(states[n - 1])]
        for begin, end in pairwise([*changes, ended]):
            inside = {"name": _where(states[begin]), **ids}
            yield {"ph": "b", "ts": perfetto.us(begin * TICK), **inside}
            yield {"ph": "e", "ts": perfetto.us(end * TICK), **inside}
        yield {"ph": "e", "name": name, "ts": perfetto.us(ended * TICK), **ids}


def _where(access: Any) -> str:
    return access.at if access is not None else ""


def _contexts(walk: Walk, seen: Seen) -> Iterator[Span]:
    """Yield each context's steps, and what it is before while others move."""
    asked = walk.schedule.question
    words = steps_of(asked.policy, asked.client)
    for c, context in enumerate(walk.contexts):
        own = {step.n: step for step in walk.steps if step.told.move == c}

        def at(moment: Any, c: int = c, own: dict[int, Step] = own) -> tuple[str, int]:
            following = moment.t // TICK + 1  # the step that comes next
            if following in own:
                return own[following].told.what, following
            name = activity(moment.contexts[c], words)[0]
            stands = moment.contexts[c].state == cpu.STEP and moment.contexts[c].on_cpu
            return (f"before {name}" if stands else name), 0

        for begin, end, (name, n) in runs(seen, at):
            if not name:
                continue
            look = walk.looks[begin // TICK]
            bank = look.moment.contexts[c].bank
            facts = _facts(walk, own[n]) if n else {"now": "others move"}
            told = access_of(look, look.moment.contexts[c].fault or look.means[c])
            yield Span(track_of(context), name, begin, end,
                       {**facts, "bank": bank, **({"its pass is about": told} if told else {})})  # fmt: skip


def _held(walk: Walk, seen: Seen) -> Iterator[Span]:
    """Yield by name what is stalled at each bank, and what waits; of an SMMUv3 its queues."""

    def names(bank: int, n: int) -> str:
        parts = []
        for at in ("stalled", "waiting"):
            who = [access.name for access in walk.looks[n].accesses if (access.bank, access.at) == (bank, at)]
            parts += [f"{at}: {', '.join(who)}"] if who else []
        return "; ".join(parts)

    for bank in range(walk.schedule.question.banks):
        track = (f"context bank {bank}", "stalled and waiting")
        for begin, end, text in runs(seen, lambda moment, bank=bank: names(bank, moment.t // TICK)):  # type: ignore[misc]
            if text:
                yield Span(track, text, begin, end)
    for begin, end, queue in runs(seen, lambda moment: walk.looks[moment.t // TICK].queue):
        held = [
            f"{count} {what}" for count, what in zip(queue, ("events", "held", "jobs"), strict=True) if count
        ]
        if held:
            yield Span(("event queue", "events, held, and the worker's jobs"), ", ".join(held), begin, end)


def _resumes(walk: Walk, tracks: Tracks) -> Iterator[dict[str, Any]]:
    """Draw the record and the RESUME of each fault, with an arrow; and the RESUMEs that are ignored."""
    banks = {access.name: access.bank for access in walk.looks[-1].accesses}
    for number, fault in enumerate(walk.looks[-1].faults, 1):
        ends = {}
        for name, word, line in (
            ("t_recorded", "record of", "record"),
            ("t_resumed", "RESUME ends the stall of", "RESUME"),
        ):
            n = _passed(walk, number, name)
            if n:
                step = walk.steps[n - 1]
                facts = {"fault": number, "access": fault.access, **_facts(walk, step)}
                track = (f"context bank {banks[fault.access]}", line)
                ends[name] = Span(track, f"{word} {fault.access}", *_tick(step), facts)
                yield complete(tracks, ends[name])
        if len(ends) == 2:
            yield from perfetto.arrow(tracks, number, ends["t_recorded"], ends["t_resumed"])
    for step in walk.steps:
        if walk.looks[step.n].flags & m.IGNORED and step.told.move < len(walk.contexts):
            bank = walk.looks[step.n - 1].moment.contexts[step.told.move].bank
            track = (f"context bank {bank}", "RESUME")
            yield complete(tracks, Span(track, "RESUME is ignored", *_tick(step), _facts(walk, step)))


def _passed(walk: Walk, number: int, name: str) -> int:
    """Return the step by which one of a fault's times has come; 0: it never does."""
    return next(
        (
            n
            for n, look in enumerate(walk.looks)
            if len(look.faults) >= number and name in look.faults[number - 1].passed
        ),
        0,
    )
