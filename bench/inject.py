"""What a scenario does to a given trace: lanes, mappings, requesters, and buffers that vanish.

A pure function of the trace, the pace and the seed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.blocks import Recipe, Source, duration_ns, parts
from bench.errors import ScenarioError
from bench.scenario import Part, Scenario
from bench.spaces import model_space
from bench.summary import Summary
from bench.vanish import TO_PROTECT, choose
from bench.wild import Wild, holes
from smmucore.memory import SHORT_TABLE_BASE, TABLE_BASE
from smmucore.simulate import Lane, Premapped, Requester
from smmucore.spaces import Space
from traces.events import PROT_READ, PROT_WRITE, READ

if TYPE_CHECKING:
    from traces.manifest import Manifest

PAGE = 4096
GIB = 1 << 30
_BEAT_IOVA = 0x1000
#: Where a stage 2 maps the tables of the stage 1 above it (docs/model.md, section 3).
_TABLE_WINDOWS = (int(TABLE_BASE), int(SHORT_TABLE_BASE))


@dataclass(frozen=True)
class Injection:
    """A trace and a scenario, as parts of a `smmucore.simulate.Setup`.

    Attributes
    ----------
    recipe : Recipe
    requesters, spaces, lanes, premapped, demand, sleeps_after
        As in `Setup`.  A bank for each space of the trace, then one for each heartbeat.
    heartbeats : tuple of int
        Their stream IDs.
    notes : tuple of str
        What was chosen, for people.
    """

    recipe: Recipe
    requesters: tuple[Requester, ...]
    spaces: tuple[Space, ...]
    lanes: tuple[Lane, ...] = ()
    premapped: tuple[Premapped, ...] = ()
    demand: bool = False
    sleeps_after: int = 0
    heartbeats: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def plain(source: Source, pace: int | None) -> Injection:
    """Return the trace alone."""
    manifest, summary = source.trace.manifest, source.summary
    keys = tuple(summary.by_requester)
    spaces = {space for _, space in keys}
    idle = tuple(
        (_someone(manifest, summary, s.space), s.space) for s in manifest.spaces if s.space not in spaces
    )
    keys = (*keys, *idle)
    if not keys:
        raise ScenarioError("nothing to replay", source.trace.path, "a trace with a space", "none")
    return Injection(
        Recipe(keys, pace, manifest.invalidation == "with-unmap"),
        tuple(Requester(stream, space) for stream, space in keys),
        tuple(model_space(space) for space in manifest.spaces),
    )


def _someone(manifest: Manifest, summary: Summary, space: int) -> int:
    """Return a stream for a space that nothing accesses: its MAPs need one."""
    named = [s.stream for s in manifest.streams if s.space == space]
    return min(named or summary.streams or {0})


def inject(source: Source, scenario: Scenario, pace: int | None, seed: int) -> Injection:
    """Play `scenario` on the trace.

    Raises
    ------
    ScenarioError
        The trace has no such stream, buffer, or room for what the scenario asks.
    """
    made = plain(source, pace)
    for part in scenario.of("unmap"):
        made = _unmap(source, made, part, seed)
    for part in scenario.of("readonly"):
        made = _readonly(source, made, part, seed)
    for part in scenario.of("wild"):
        made = _wild(source, made, part, seed)
    for part in scenario.of("burst"):
        made = _burst(source, made, part, pace)
    if scenario.of("demand"):
        made = _demand(source, made)
    for part in scenario.of("suspend"):
        made = replace(made, sleeps_after=part.values["after"])
    # Last, because a heartbeat goes on for as long as the other lanes do.
    whole = duration_ns(source.summary, pace)
    ends = [lane.first + (lane.count - 1) * lane.gap for lane in made.lanes]
    for part in scenario.of("heartbeat"):
        made = _heartbeat(source, made, part, max([whole, *ends]))
    return made


def _unmap(source: Source, made: Injection, part: Part, seed: int) -> Injection:
    access = part.values["at"].of(source.summary.accesses)
    own = part.values["seed"]
    gone = choose(
        source.blocks(), access, part.values["buffer"], seed if own is None else own, f"scenario {part}"
    )
    note = f"MAP {gone.number} ({gone.size // 1024} KiB at {gone.iova:#x}) vanishes at access {access}"
    return replace(
        made,
        recipe=replace(made.recipe, gone=(*made.recipe.gone, gone)),
        notes=(*made.notes, note),
    )


def _readonly(source: Source, made: Injection, part: Part, seed: int) -> Injection:
    access = part.values["at"].of(source.summary.accesses)
    own, where = part.values["seed"], f"scenario {part}"
    # What has vanished by then, or is read-only already, cannot lose its write right.
    stream = (block for block, _ in parts(source, Recipe((), None, gone=made.recipe.gone)))
    wanted = replace(TO_PROTECT, but=frozenset(one.number for one in made.recipe.protected))
    lost = choose(stream, access, part.values["buffer"], seed if own is None else own, where, wanted)
    note = (
        f"MAP {lost.number} ({lost.size // 1024} KiB at {lost.iova:#x}) is read-only from access {access} on"
    )
    return replace(
        made,
        recipe=replace(made.recipe, protected=(*made.recipe.protected, lost)),
        notes=(*made.notes, note),
    )


def _wild(source: Source, made: Injection, part: Part, seed: int) -> Injection:
    values, where, summary = part.values, f"scenario {part}", source.summary
    key = None
    if values["stream"] is not None:
        key = _requester(summary, values["stream"], where)
    wanted = {key[1]} if key is not None else {space for _, space in summary.by_requester}
    # The hypervisor's own mappings, of which a trace says nothing.
    beneath = {space.stage2 for space in made.spaces}
    taken = {s: [(base, base + GIB) for base in _TABLE_WINDOWS] for s in wanted & beneath}
    free = holes(source.blocks(), {s: made.spaces[s].ias for s in wanted}, taken)
    for space, its in free.items():
        if not its.pages:
            bits = made.spaces[space].ias
            raise ScenarioError(
                "no room for strays", where, f"a free page in space {space}", f"none of {bits} bits"
            )
    own = seed if values["seed"] is None else values["seed"]
    # A second part with the same seed has strays of its own.
    wild = Wild(int(values["rate"] * (1 << 64)), own + (len(made.recipe.wild) << 40), values["op"], key, free)
    strays = wild.count(summary.accesses)
    if not strays:
        expected = f"a rate at which one of {summary.accesses} accesses or more strays"
        raise ScenarioError("no stray access", where, expected, f"{float(100 * values['rate']):g}%")
    whose = "the trace's streams" if key is None else f"stream {key[0]}"
    return replace(
        made,
        recipe=replace(made.recipe, wild=(*made.recipe.wild, wild)),
        notes=(*made.notes, f"{strays} stray accesses of {whose}, to pages that no MAP reaches"),
    )


def _requester(summary: Summary, stream: int | None, where: str) -> tuple[int, int]:
    """Return the (stream, space) with most accesses, or refuse a stream that has none."""
    key = summary.busiest(stream)
    if key is None:
        streams = ", ".join(str(s) for s in sorted(summary.streams)) or "none"
        raise ScenarioError("no such stream", where, f"one of {streams}", str(stream))
    return key


def _burst(source: Source, made: Injection, part: Part, pace: int | None) -> Injection:
    values, where = part.values, f"scenario {part}"
    summary = source.summary
    key = _requester(summary, values["stream"], where)
    _, space = key
    bits = made.spaces[space].ias
    # Bursts of one space follow one another, so that each access faults on a page of its own.
    mine = [a for a in made.lanes if made.requesters[a.requester].bank == space]
    top = max([summary.top.get(space, 0), *(lane.iova + lane.count * PAGE for lane in mine)])
    base = -(-top // GIB) * GIB
    if base + values["n"] * PAGE > 1 << bits:
        room = f"{values['n']} free pages between {base:#x} and the end of {bits} address bits"
        raise ScenarioError("no room for the burst", where, room, str(max((1 << bits) - base, 0) // PAGE))
    lane = Lane(
        requester=made.recipe.requesters.index(key),
        count=values["n"],
        first=values["at"].of(duration_ns(summary, pace)),
        gap=values["gap"],
        op=values["op"],
        iova=base,
        stride=PAGE,
    )
    note = f"{lane.count} stray accesses of stream {key[0]} from {base:#x}"
    return replace(made, lanes=(*made.lanes, lane), notes=(*made.notes, note))


def _demand(source: Source, made: Injection) -> Injection:
    nested = [str(k) for k, space in enumerate(made.spaces) if space.stage2 is not None]
    if nested:
        # The pager maps pages of a stage 1; who would map those of the stage 2 beneath it?
        found = f"nested: space {', '.join(nested)}"
        raise ScenarioError(
            "no demand paging over a stage 2", source.trace.path, "spaces of one stage", found
        )
    return replace(made, demand=True)


def _heartbeat(source: Source, made: Injection, part: Part, whole: int) -> Injection:
    values = part.values
    taken = {r.stream for r in made.requesters} | {s.stream for s in source.trace.manifest.streams}
    stream = next(s for s in range(max(taken) + 1, max(taken) + 2 + len(taken)) if s not in taken)
    bank = len(made.spaces)
    lane = Lane(
        requester=len(made.requesters),
        count=values["n"] or whole // values["every"] + 1,
        gap=values["every"],
        op=READ,
        iova=_BEAT_IOVA,
        modulo=1,
        deadline=values["deadline"],
    )
    page = Premapped(bank, _BEAT_IOVA, PAGE, _BEAT_IOVA, PROT_READ | PROT_WRITE)
    return replace(
        made,
        requesters=(*made.requesters, Requester(stream, bank, fixed=True)),
        spaces=(*made.spaces, Space()),
        lanes=(*made.lanes, lane),
        premapped=(*made.premapped, page),
        heartbeats=(*made.heartbeats, stream),
        notes=(*made.notes, f"{lane.count} heartbeats of stream {stream}"),
    )
