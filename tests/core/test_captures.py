"""The bundled captures, translated whole: the output addresses and faults are the machine's own."""

from __future__ import annotations

import numpy as np
import pytest

from bench.spaces import model_space
from smmucore.registers import FSR_PF, FSR_TF
from smmucore.sim import Events
from smmucore.translate import Translator
from traces import catalogue
from traces.events import EXEC, PA_UNKNOWN
from traces.reader import Trace, open_trace

from .tools import shapes


def block_events(block: np.ndarray) -> Events:
    """A block of a trace as the core takes it: a requester is a space."""
    return Events(
        t=block["t_ns"].astype(np.int64),
        op=np.ascontiguousarray(block["op"]),
        requester=block["space"].astype(np.int64),
        iova=np.ascontiguousarray(block["iova"]),
        size=np.ascontiguousarray(block["size"]),
        pa=np.ascontiguousarray(block["pa"]),
        prot=block["prot"].astype(np.int64),
    )


def translator_of(trace: Trace) -> Translator:
    return Translator.empty([model_space(space) for space in trace.manifest.spaces])


@pytest.mark.parametrize(
    ("name", "accesses", "faults"), [("qemu-virtio-gpu", 123_052, 0), ("qemu-dma-tiles", 208_505, 5)]
)
def test_every_access_of_a_capture_ends_where_it_ended_in_the_machine(
    name: str, accesses: int, faults: int
) -> None:
    trace = open_trace(catalogue.find(name))
    translator = translator_of(trace)
    for block in trace.blocks():
        answers = translator.feed(block_events(block))
        made = block["op"] <= EXEC
        faulted = block["pa"] == PA_UNKNOWN
        assert np.array_equal(answers.fault[made] != 0, faulted[made])
        ended = made & ~faulted
        assert np.array_equal(answers.pa[ended], block["pa"][ended])
        assert set(answers.fault[made & faulted].tolist()) <= {FSR_TF, FSR_PF}
    counts = translator.counts
    assert (counts["accesses"], counts["faults"]) == (accesses, faults)
    assert counts["utlb_hits"] + counts["tlb_hits"] + counts["walks"] == accesses
    assert counts["walks"] <= counts["walk_reads"] <= 4 * counts["walks"]


def test_a_capture_fed_in_small_blocks_gives_the_same_counts() -> None:
    trace = open_trace(catalogue.find("qemu-dma-tiles"))
    whole, parts = translator_of(trace), translator_of(trace)
    for block in trace.blocks():
        whole.feed(block_events(block))
    for block in trace.blocks(rows=997):
        parts.feed(block_events(block))
    assert whole.counts == parts.counts


@pytest.mark.parametrize("name", ["qemu-virtio-gpu", "qemu-dma-tiles"])
def test_with_one_entry_everywhere_a_capture_still_ends_where_it_ended(name: str) -> None:
    # No TLB to speak of: nearly every access walks, so the tables alone must give the answers.
    trace = open_trace(catalogue.find(name))
    spaces = [model_space(space) for space in trace.manifest.spaces]
    translator = Translator.empty(spaces, caches=shapes((1, 1), (1, 1), (1, 1)))
    for block in trace.blocks():
        answers = translator.feed(block_events(block))
        ended = (block["op"] <= EXEC) & (block["pa"] != PA_UNKNOWN)
        assert np.array_equal(answers.pa[ended], block["pa"][ended])
    counts = translator.counts
    assert counts["utlb_hits"] + counts["tlb_hits"] + counts["walks"] == counts["accesses"]
    assert counts["walks"] > counts["accesses"] // 20
