"""Every interleaving of a few faults, breadth first, over the rules that replay uses (decision 0010)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from smmucore.explored import Explored, Question, explored
from smmucore.kernel import kernel
from smmucore.moves import CRASH, can, do, goes_on, moves, state_flags
from smmucore.packing import pack
from smmucore.packing_queue import pack_events, unpack_events
from smmucore.unpacking import unpack

# What `serve` is asked, and why `EXPAND` came back.
BEGIN = 0
EXPAND = 1
REHASH = 2
UNPACK = 3  # make state `which` the one at hand
PACK = 4
DO = 5  # move `which`; returns what it did
CAN = 6
GOES_ON = 7

DONE = 0
NEED_ROOM = 1

#: States at most, unless asked for more.
MOST_STATES = 4_000_000
FIRST_ROOM = 1 << 12
#: Room is made for so many more at most.
MOST_GROWTH = 1 << 19
#: Edges for each state there is room for.
EDGES = 5

# FNV-1a of 32 bits, in 64 so that nothing overflows.
OFFSET = 0x811C9DC5
PRIME = 0x01000193
LOW = 0xFFFF_FFFF


class TooManyStatesError(ValueError):
    """The graph is larger than asked for."""


@dataclass(frozen=True)
class Graph:
    """The states of a question and the moves between them; state 0 is the start.

    Attributes
    ----------
    question : Question
    machine : Explored
        To go to a state, and on from there (`serve`).
    about : ndarray of int32, shape (states,)
        Flags of each state (`smmucore.moves`).
    came_from : ndarray of int32, shape (states,)
        The edge by which a state was found first: on a shortest way from the start.  -1 for the start.
    first : ndarray of int64, shape (states + 1,)
        The edges from state k are ``first[k]`` to ``first[k + 1]``.
    source, target, move, flags : ndarrays, shape (edges,)
    words : ndarray of uint16, shape (states, words)
    """

    question: Question
    machine: Explored
    about: Any
    came_from: Any
    first: Any
    source: Any
    target: Any
    move: Any
    flags: Any
    words: Any

    @property
    def contexts(self) -> int:
        """How many contexts there are: the moves below are theirs."""
        return self.machine.bounds.contexts.item()

    @property
    def states(self) -> int:
        """How many states there are."""
        return len(self.about)


@kernel
def mixed(words):
    """Return a hash of a state's words."""
    made = np.int64(OFFSET)
    for k in range(words.size):
        made = ((made ^ np.int64(words[k])) * PRIME) & LOW
    return made ^ (made >> 15)


@kernel
def same(one, other):
    """Tell whether two states are equal."""
    for k in range(one.size):
        if one[k] != other[k]:
            return False
    return True


@kernel
def intern(ex, edge):
    """Return the number of the state in ``ex.scratch``; a new one was reached by `edge`."""
    progress, words, table = ex.progress, ex.words, ex.table
    mask = table.size - 1
    at = mixed(ex.scratch) & mask
    while table[at] >= 0:
        if same(words[table[at]], ex.scratch):
            return np.int64(table[at])
        at = (at + 1) & mask
    s = np.int64(progress.states)
    table[at] = s
    for k in range(ex.scratch.size):
        words[s, k] = ex.scratch[k]
    ex.came_from[s] = edge
    progress.states += 1
    return s


@kernel
def rehash(ex):
    """Enter all states into an empty table."""
    table = ex.table
    mask = table.size - 1
    for s in range(ex.progress.states):
        at = mixed(ex.words[s]) & mask
        while table[at] >= 0:
            at = (at + 1) & mask
        table[at] = s


@kernel
def store(ex):
    """Write the state at hand into ``ex.scratch``."""
    pack(ex)
    if ex.bounds.events:
        pack_events(ex)


@kernel
def load(ex, s):
    """Make state `s` the one at hand."""
    unpack(ex, s)
    if ex.bounds.events:
        unpack_events(ex, ex.words[s])


@kernel
def begin(ex):
    """Enter the state at hand as the start."""
    store(ex)
    intern(ex, -1)


@kernel
def serve(ex, what, which):
    """Do one thing to the exploration: the only entry, so that all is compiled once (decision 0007)."""
    if what == BEGIN:
        begin(ex)
    elif what == EXPAND:
        return expand(ex)
    elif what == REHASH:
        rehash(ex)
    elif what == UNPACK:
        load(ex, which)
    elif what == PACK:
        store(ex)
    elif what == DO:
        return np.int64(do(ex, which))
    elif what == CAN:
        return np.int64(can(ex, which, state_flags(ex)))
    else:
        return np.int64(goes_on(ex, which))
    return np.int64(DONE)


@kernel
def expand(ex):
    """Make every move of every state, until none is left or room is needed; return DONE or NEED_ROOM."""
    progress = ex.progress
    count = moves(ex)
    room = ex.came_from.size - count
    while progress.expanded < progress.states:
        s = progress.expanded
        if progress.states > room or progress.edges + count > ex.source.size:
            return np.int64(NEED_ROOM)
        load(ex, s)
        about = state_flags(ex)
        ex.about[s] = about
        ex.first[s] = progress.edges
        at_hand = True
        for m in range(count):
            if not at_hand:
                load(ex, s)
                at_hand = True
            if not can(ex, m, about):
                continue
            flags = do(ex, m)
            at_hand = False
            edge = progress.edges
            ex.source[edge] = s
            ex.move[edge] = m
            ex.flags[edge] = flags
            if flags & CRASH:
                ex.target[edge] = s  # the machine is down: there is no further state
            else:
                store(ex)
                ex.target[edge] = intern(ex, edge)
            progress.edges += 1
        progress.expanded += 1
    ex.first[progress.expanded] = progress.edges
    return np.int64(DONE)


def explore(asked: Question, most: int = MOST_STATES, progress: Callable[[int], None] | None = None) -> Graph:
    """Visit every state that a question can reach.

    `progress` is called with the number of states known, now and then where there are many.

    Raises
    ------
    TooManyStatesError
        There are more than `most`.
    """
    ex = with_room(explored(asked), FIRST_ROOM)
    serve(ex, BEGIN, 0)
    while serve(ex, EXPAND, 0) == NEED_ROOM:
        if ex.progress.states > most:
            raise TooManyStatesError(f"expected at most {most:,} states; found more")
        if progress is not None:
            progress(int(ex.progress.states))
        ex = with_room(ex, min(4 * len(ex.came_from), len(ex.came_from) + MOST_GROWTH))
    states, edges = int(ex.progress.states), int(ex.progress.edges)
    if states > most:
        raise TooManyStatesError(f"expected at most {most:,} states; found {states:,}")
    return Graph(
        asked,
        ex,
        ex.about[:states],
        ex.came_from[:states],
        ex.first[: states + 1],
        ex.source[:edges],
        ex.target[:edges],
        ex.move[:edges],
        ex.flags[:edges],
        ex.words[:states],
    )


def with_room(ex: Explored, room: int) -> Explored:
    """Return the same exploration with room for so many states."""

    def grown(before: Any, count: int) -> Any:
        made = np.zeros((count, *before.shape[1:]), before.dtype)
        made[: len(before)] = before
        return made

    changed = {name: grown(getattr(ex, name), room) for name in ("words", "came_from", "about")}
    changed |= {
        name: grown(getattr(ex, name), EDGES * room) for name in ("source", "target", "move", "flags")
    }
    made: Explored = ex.replaced(
        first=grown(ex.first, room + 1),
        table=np.full(1 << (2 * room - 1).bit_length(), -1, np.int32),
        **changed,
    )
    serve(made, REHASH, 0)
    return made
