"""The project's own replay, fed with the yardstick's accesses."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from bench.yardstick import traces
from smmucore.clients import CLIENTS
from smmucore.costs import profile
from smmucore.hardware import PRESETS
from smmucore.policies import POLICIES
from smmucore.sim import Events
from smmucore.simulate import Requester, Setup, simulate
from smmucore.spaces import linux
from smmucore.translate import Translator
from traces.events import MAP, PROT_READ, PROT_WRITE, READ

HARDWARE = PRESETS["reference-39bit"]
IAS = 39
#: Accesses handed to the kernel at once, as a trace's reader would.
BLOCK = 1 << 17


def block(op: int, iova: Any, t: Any | None = None) -> Events:
    """Return accesses or, with an op of MAP, 4K mappings whose PAs are yet to be set."""
    n = iova.size
    return Events(
        t=np.zeros(n, np.int64) if t is None else t,
        op=np.full(n, op, np.uint8),
        requester=np.zeros(n, np.int64),
        iova=iova,
        size=np.full(n, traces.PAGE, np.uint64),
        pa=np.zeros(n, np.uint64),
        prot=np.full(n, PROT_READ | PROT_WRITE if op == MAP else 0, np.int64),
    )


def mappings(addresses: Any) -> Events:
    """Return the MAPs of the pages from IOVA 0 on to these PAs."""
    iova = np.arange(addresses.size, dtype=np.uint64) * np.uint64(traces.PAGE)
    return block(MAP, iova).replaced(pa=addresses)


def translator(addresses: Any) -> Translator:
    """Return a translator of the yardstick's geometry, with the pages mapped and its caches empty."""
    made = Translator.empty(linux(IAS), caches=HARDWARE.caches)
    made.feed(mappings(addresses))
    return made


def counts(machine: Translator, iova: Any) -> dict[str, int]:
    """Translate all; return the counts under the C++ side's names."""
    machine.restart(HARDWARE.caches)
    checksum = 0
    for first in range(0, iova.size, BLOCK):
        answers = machine.feed(block(READ, iova[first : first + BLOCK]))
        checksum += int(answers.pa.sum(dtype=np.uint64))
    return {**machine.counts, "checksum": checksum % (1 << 64)}


def translate_only(machine: Translator, iova: Any) -> float:
    """Translate all from empty caches; return ns per access, of the kernel and its calls alone."""
    machine.restart(HARDWARE.caches)
    common = block(READ, np.zeros(BLOCK, np.uint64))
    took = 0
    for first in range(0, iova.size, BLOCK):
        piece = iova[first : first + BLOCK]
        events = common if piece.size == BLOCK else block(READ, piece)
        events = events.replaced(iova=piece)
        start = time.perf_counter_ns()
        machine.count(events)
        took += time.perf_counter_ns() - start
    return took / iova.size


def answering(machine: Translator, iova: Any) -> float:
    """As `translate_only`, with an answer for each access: address, fault, level, source, reads."""
    machine.restart(HARDWARE.caches)
    took = 0
    for first in range(0, iova.size, BLOCK):
        events = block(READ, iova[first : first + BLOCK])
        start = time.perf_counter_ns()
        machine.feed(events)
        took += time.perf_counter_ns() - start
    return took / iova.size


def timed(iova: Any, addresses: Any, pace: int) -> float:
    """Replay with time, an access every `pace` ns; return ns of wall time per access.

    The pages are mapped by the first block, whose time does not count, and neither does the making of the
    others.  It is a replay in full: queues, slots, walk slots, histograms from intended time and from issue.
    """
    setup = Setup(
        POLICIES["P8"], CLIENTS["none"], HARDWARE, profile(), [Requester(1, 0)], linux(IAS), orderly=True
    )
    marks: list[int] = []

    made = [mappings(addresses)]
    for first in range(0, iova.size, BLOCK):
        piece = iova[first : first + BLOCK]
        made.append(block(READ, piece, (np.arange(piece.size, dtype=np.int64) + first + 1) * pace))
    outcome = simulate(setup, made, lambda _done: marks.append(time.perf_counter_ns()))
    assert outcome.counters["faults_injected"] == 0, outcome.counters
    return (time.perf_counter_ns() - marks[0]) / iova.size
