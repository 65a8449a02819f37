"""The properties of a policy, as conditions on the graph of its states (decision 0010)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from smmucore import graphs
from smmucore import moves as m
from smmucore.explore import Graph

#: A property, and what it means that it is broken.
PROPERTIES = {
    "livelock": "interrupts are taken for ever and nothing resolves, whoever else gets to run",
    "retry": "transactions are retried for ever, and fault each time",
    "hang": "a transaction is stalled, or waits, and nobody is left to end it",
    "crash": "a register is accessed while the SMMU sleeps",
    "stray": "a RESUME hits another fault than the one that was meant",
    "unrepaired": "a RESUME is ignored, and what it was meant for may never end",
    "lost": "a fault's record is lost, and nothing tells of it",
    "masked": "everything is quiet, and the line or CFIE is still off",
    "unbounded": "interrupts are taken for as long as another CPU takes",
    "stale": "MULTI alone is reported, with the FAR of a fault that was told before",
    "ignored": "a RESUME is ignored (and repaired, unless that is said above)",
    "folded": "a fault's own address is lost: MULTI alone tells of it",
    "spurious": "an interrupt is taken for which there is nothing new to see",
}

#: Of an observed run's verdicts, those that broken properties allow; `safe` always is (smmucore.verdict).
_ALLOWS = {
    "livelock": ("livelock",),
    "retry": ("livelock",),
    "hang": ("hang",),
    "crash": ("crash",),
    "stray": ("stray",),
    "lost": ("lossy",),
    "unbounded": ("storm", "spurious"),
    "spurious": ("spurious",),
}
#: More spurious passes than this for one record are a storm (design 9).
STORM_ENTRIES = 8


@dataclass(frozen=True)
class Breach:
    """Where a property is broken: at an edge, in a state, or in a cycle.

    Attributes
    ----------
    edge : int
        An edge that breaks it, as near the start as any; or -1.
    state : int
        A state that does; or -1.
    inside : ndarray of bool, shape (states,), or None
        The component that a cycle lies in.
    """

    edge: int = -1
    state: int = -1
    inside: Any = None


@dataclass(frozen=True)
class Proof:
    """What holds of a question, and where not.

    Attributes
    ----------
    broken : dict of str to Breach
        By property, in the order of `PROPERTIES`.
    entries, spurious : int
        Hard interrupts, and spurious entries, at most; -1: there is no bound.
    disables : bool
        Every entry of a livelock is unhandled: the detector turns the line off (K5).
    may_disable : bool
        Unhandled entries may go on without a bound.
    """

    graph: Graph
    broken: dict[str, Breach]
    entries: int
    spurious: int
    disables: bool
    may_disable: bool

    @property
    def verdict(self) -> str:
        """The worst verdict that a run may have."""
        from smmucore.verdict import VERDICTS  # noqa: PLC0415

        allowed = self.allowed
        return next(name for name in VERDICTS if name in allowed)

    @property
    def allowed(self) -> set[str]:
        """The verdicts that a run of as many faults at most may have."""
        made = {"safe"} | {verdict for name in self.broken for verdict in _ALLOWS.get(name, ())}
        if self.spurious < 0 or self.spurious > STORM_ENTRIES:
            made.add("storm")
        if self.may_disable:
            made.add("line-disabled")
        return made


def prove(graph: Graph) -> Proof:
    """Check every property of a graph."""
    source, target, flags, about = graph.source, graph.target, graph.flags, graph.about
    actor = actors(graph)
    every = flags & m.CRASH == 0  # after a crash nothing goes on
    whole, count = graphs.components(graph.first, target, every)
    resolves = flags & m.RESUMED != 0
    idle = every & ~resolves
    busy, many = graphs.components(graph.first, target, idle)

    loops = fair_components(busy, many, source, target, idle, about, actor)
    retries = fair_components(whole, count, source, target, every, about, actor)
    retries &= has_edge(whole, count, source, target, flags & m.RETRIED != 0)
    quiet = about & m.ACTORS == 0
    stuck = quiet & (about & (m.STALLED | m.WAITING | m.BUSY) != 0)
    livelocked = loops[busy]

    found: dict[str, Breach] = {}
    if loops.any():
        state = int(np.flatnonzero(livelocked)[0])
        found["livelock"] = Breach(state=state, inside=busy == busy[state])
    if retries.any():
        state = int(np.flatnonzero(retries[whole])[0])
        found["retry"] = Breach(state=state, inside=whole == whole[state])
    if stuck.any():
        found["hang"] = Breach(state=int(np.flatnonzero(stuck)[0]))
    for name, bits in (("crash", m.CRASH), ("stray", m.STRAY)):
        _note_edge(found, name, flags & bits != 0)
    ignored = flags & m.IGNORED != 0
    never = graphs.reaching(source, target, ~resolves, livelocked | (stuck & (about & m.STALLED != 0)))
    _note_edge(found, "unrepaired", ignored & never[target])
    _note_edge(found, "lost", flags & (m.LOST | m.UNTOLD) != 0)
    left = quiet & ~stuck & (about & (m.MASKED | m.NO_CFIE) != 0)
    if left.any():
        found["masked"] = Breach(state=int(np.flatnonzero(left)[0]))
    entered = (flags & m.ENTERED != 0).astype(np.int64)
    entries = graphs.longest(source, target, whole, count, entered)
    if entries < 0:
        storm = (entered > 0) & (whole[source] == whole[target])
        edge = int(np.flatnonzero(storm)[0])
        found["unbounded"] = Breach(edge=edge, inside=whole == whole[source[edge]])
    _note_edge(found, "stale", flags & m.STALE != 0)
    _note_edge(found, "ignored", ignored)
    _note_edge(found, "folded", flags & m.FOLDED != 0)
    spurious = flags & m.SPURIOUS != 0
    _note_edge(found, "spurious", spurious)
    unhandled, handled = (
        has_edge(busy, many, source, target, flags & f != 0) for f in (m.UNHANDLED, m.HANDLED)
    )
    endless = has_edge(whole, count, source, target, flags & m.UNHANDLED != 0)
    return Proof(
        graph,
        {name: found[name] for name in PROPERTIES if name in found},
        entries,
        graphs.longest(source, target, whole, count, spurious.astype(np.int64)),
        bool(loops.any()) and bool((unhandled & ~handled)[loops].all()),
        bool(endless.any()),
    )


def _note_edge(found: dict[str, Breach], name: str, mask: Any) -> None:
    """Note the first edge of a mask: edges stand in the order in which their states were found."""
    if mask.any():
        found[name] = Breach(edge=int(np.flatnonzero(mask)[0]))


def actors(graph: Graph) -> Any:
    """Return each edge's actor as a bit of `moves.ACTORS`; 0: the environment, which need not act."""
    contexts = graph.contexts
    by_context = np.left_shift(1, np.minimum(graph.move, contexts)).astype(np.int64)
    optional = graph.flags & m.OPTIONAL != 0
    return np.where(graph.move < contexts, by_context, np.where(optional, 0, m.FLYING))


def has_edge(component: Any, count: int, source: Any, target: Any, mask: Any) -> Any:
    """Return for each component whether an edge of the mask lies in it."""
    made = np.zeros(count, bool)
    inside = mask & (component[source] == component[target])
    made[component[source[inside]]] = True
    return made


def fair_components(
    component: Any, count: int, source: Any, target: Any, keep: Any, about: Any, actor: Any
) -> Any:
    """Return for each component whether a run can stay in it for ever without starving anyone.

    Whoever can act in every state of it must act in it: then a way through all its edges is such a run, and
    otherwise none is.
    """
    inside = keep & (component[source] == component[target])
    always = np.full(count, -1, np.int64)
    np.bitwise_and.at(always, component, about.astype(np.int64) & m.ACTORS)
    acting = np.zeros(count, np.int64)
    np.bitwise_or.at(acting, component[source[inside]], actor[inside])
    has = np.zeros(count, bool)
    has[component[source[inside]]] = True
    return has & (always & ~acting == 0)
