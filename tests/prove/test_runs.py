"""A run may never show what a proof excludes, and a random schedule never leaves the graph."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.prove.cells import prove_one
from bench.prove.words import Teller
from smmucore import costs, hardware, policies
from smmucore.clients import CLIENTS
from smmucore.explore import explore
from smmucore.explored import Question
from smmucore.sim import Events
from smmucore.simulate import Requester, Setup, simulate
from smmucore.spaces import linux
from traces.events import MAP, PROT_READ, READ

CHIPS = ["mmu500", "qcom-smmu-v2", "ideal", "thunderx-smmuv2", "held-until-resume",
         "mmu500,fsr_frozen_while_stalled=no", "gem5-smmuv3", "gem5-smmuv3,events=1"]  # fmt: skip
PAIRS = [(p.id, c) for p in policies.POLICIES.values() for c in CHIPS if p.is_about(hardware.find(c))]
PAGE = 4096
#: As long as anything may take, so that any order can come about.
LONG = 30_000


def timed(times: list[int], pager: bool) -> Events:
    """Accesses to as many pages; the pager has them all."""
    count = len(times)
    iova = [PAGE * (k + 1) for k in range(count)]
    maps = count if pager else 0
    return Events(
        t=np.array([0] * maps + sorted(times)),
        op=np.array([MAP] * maps + [READ] * count),
        requester=np.zeros(maps + count),
        iova=np.array(iova[:maps] + iova),
        size=np.array([PAGE] * maps + [8] * count),
        pa=np.array(iova[:maps] + [0] * count),
        prot=np.array([PROT_READ] * maps + [0] * count),
    )


@settings(max_examples=200, deadline=None)
@given(
    pair=st.sampled_from(PAIRS),
    client=st.sampled_from(sorted(CLIENTS)),
    same=st.booleans(),
    times=st.lists(st.integers(0, 2 * LONG), min_size=1, max_size=3),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_run_shows_nothing_that_the_proof_excludes(
    pair: tuple[str, str], client: str, same: bool, times: list[int], seed: int
) -> None:
    policy, preset = pair[0], hardware.find(pair[1])
    asked = Question(policies.find(policy), CLIENTS[client], preset, same, len(times))
    drawn = random.Random(seed)
    submits = (
        any(s.text.startswith("MAY_STALL") for s in policies.find(policy).submit) or CLIENTS[client].cools
    )
    values = {name: int(drawn.choice((0, 1, 50, 2_000, drawn.randrange(LONG)))) for name in costs.NAMES}
    # Stall comes back at a frame; and a dump is kept for good where nothing waits for its end.
    values |= {"submit_every": 7_000, "dump_kept": drawn.randrange(1, LONG) if submits else 10**15}
    outcome = simulate(
        Setup(
            asked.policy,
            asked.client,
            preset,
            costs.profile().with_values(values),
            [Requester(1, 0)],
            linux(39),
            asked.cpus,
            demand=True,
        ),
        [timed(times, asked.client.pages)],
    )
    proof = prove_one(asked)
    assert outcome.verdict in proof.allowed
    found = outcome.counters
    assert proof.entries < 0 or found["irq_entries"] <= proof.entries
    assert proof.spurious < 0 or found["irq_spurious"] <= proof.spurious
    assert "stray" in proof.broken or found["resume_stray"] == 0
    assert "lost" in proof.broken or found["faults_lost"] == 0
    assert "folded" in proof.broken or found["faults_coalesced"] == 0


@settings(max_examples=60, deadline=None)
@given(
    pair=st.sampled_from(PAIRS),
    client=st.sampled_from(sorted(CLIENTS)),
    same=st.booleans(),
    banks=st.sampled_from([1, 1, 2]),
    sleeps=st.booleans(),
    data=st.data(),
)
def test_a_machine_that_just_goes_on_never_leaves_the_graph(
    pair: tuple[str, str], client: str, same: bool, banks: int, sleeps: bool, data: st.DataObject
) -> None:
    # Not unpacked in between: what packing leaves out would show.
    shared = ",shared_line=yes" if banks == 2 and "v3" not in pair[1] and data.draw(st.booleans()) else ""
    policy, preset = pair[0], hardware.find(pair[1] + shared)
    asked = Question(policies.find(policy), CLIENTS[client], preset, same, 2, banks, sleeps)
    graph = explore(asked)
    teller = Teller(asked)
    state = 0
    for _ in range(60):
        edges = range(graph.first[state], graph.first[state + 1])
        if not edges:
            break
        assert [m for m in range(teller.moves) if teller.can(m)] == [int(graph.move[e]) for e in edges]
        edge = data.draw(st.sampled_from(edges))
        move = int(graph.move[edge])
        teller.tell(move)
        while teller.goes_on(move):
            teller.tell(move)
        if graph.target[edge] == state and graph.flags[edge] & (1 << 12):
            break  # the machine is down
        state = int(graph.target[edge])
        assert teller.words == [int(word) for word in graph.words[state]]


@pytest.mark.nojit
def test_the_explorer_runs_as_plain_python() -> None:
    asked = Question(policies.find("P8"), CLIENTS["none"], hardware.find("mmu500"), False, 2)
    proof = prove_one(asked)
    assert (proof.graph.states, proof.entries, list(proof.broken)) == (36, 2, [])


@pytest.mark.nojit
def test_a_storm_is_found_as_plain_python() -> None:
    asked = Question(policies.find("P4"), CLIENTS["adreno-worker"], hardware.find("mmu500"), True, 1)
    assert prove_one(asked).verdict == "livelock"


@pytest.mark.nojit
def test_an_event_queue_is_explored_as_plain_python() -> None:
    asked = Question(
        policies.find("v3-iopf"), CLIENTS["none"], hardware.find("gem5-smmuv3,events=1"), False, 2
    )
    assert prove_one(asked).verdict == "safe"


@pytest.mark.nojit
def test_a_pager_is_explored_as_plain_python() -> None:
    asked = Question(policies.find("P14"), CLIENTS["pager"], hardware.find("mmu500"), False, 1)
    assert prove_one(asked).entries == 2
