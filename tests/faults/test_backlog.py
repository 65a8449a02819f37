"""What a lane's backlog does in turns of its own is what the reference's one event after the other does."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from smmucore.hardware import PRESETS
from smmucore.sim import Sim
from smmucore.simulate import Lane, Premapped, Requester
from traces import events as ev

from .test_against_reference import WILD, random_case
from .twin import Case, differences, plainly_cached, run

PAGE = 4096


def backlogged(seed: int) -> Case:
    """One to three lanes that are faster than their channels, among all that a random run has."""
    rng = random.Random(seed)
    case = random_case(seed)
    lanes = tuple(
        Lane(
            requester=rng.randrange(len(case.requesters)),
            count=rng.choice([30, 90, 150]),
            first=rng.choice([0, 0, rng.randrange(20_000)]),
            gap=rng.choice([0, 0, 1, 2, 30]),
            op=rng.choice([ev.READ, ev.READ, ev.WRITE, ev.EXEC]),
            iova=rng.choice([WILD + (1 << 30), WILD, 0x40_0000]),
            modulo=rng.choice([0, 0, 5]),
            deadline=rng.choice([0, 0, 5000]),
        )
        for _ in range(rng.choice([1, 1, 2, 3]))
    )
    return replace(
        case,
        lanes=lanes,
        events=case.events if rng.random() < 0.5 else (),
        sleeps_after=rng.choice([0, 0, 0, 0, 500]),
    )


@pytest.mark.parametrize("first", range(0, 1000, 250))
def test_a_backlog_ends_as_the_reference_says(first: int) -> None:
    wrong = {}
    turns = 0
    for seed in range(first, first + 250):
        case = backlogged(seed)
        found = differences(case, block=1 + seed % 40)
        turns += run(case).in_backlog > 0
        if found:
            wrong[seed] = found
    assert not wrong
    assert turns > 100


@pytest.mark.nojit
def test_a_few_backlogs_end_as_the_reference_says_with_the_compiler_off() -> None:
    for seed in range(12):
        assert not differences(backlogged(seed)), seed


def burst(policy: str, preset: str, count: int, **more: int) -> Case:
    return Case(policy, hardware=plainly_cached(PRESETS[preset]), lanes=(Lane(0, count, iova=WILD, **more),))


def test_nearly_all_that_a_burst_does_in_terminate_mode_comes_in_turns() -> None:
    outcome = run(burst("P1", "thunderx-smmuv2", 1000))
    # Each access arrives, issues after waiting for a walk slot, and faults.
    assert outcome.counters["faults_coalesced"] > 900
    assert outcome.in_backlog > 3 * 900


def test_a_burst_that_waits_behind_a_stall_is_not_hurried() -> None:
    case = burst("P8", "mmu500", 300)
    assert not differences(case)
    assert run(case).counters["resume_written"] == 300


def test_a_fault_that_wakes_the_handler_ends_the_turns() -> None:
    case = burst("P1", "thunderx-smmuv2", 400)
    outcome = run(case)
    assert not differences(case)
    assert outcome.counters["irq_entries"] > 1


def test_another_lane_of_the_same_channel_has_its_turn() -> None:
    case = replace(
        burst("P1", "thunderx-smmuv2", 400),
        lanes=(
            Lane(0, 400, iova=WILD),
            Lane(0, 50, first=900, gap=40, iova=0, modulo=1, deadline=50),
        ),
        premapped=(Premapped(0, 0, PAGE, 0, ev.PROT_READ),),
    )
    assert not differences(case)


def test_faults_of_another_bank_have_theirs() -> None:
    case = replace(
        burst("P1", "thunderx-smmuv2", 400),
        requesters=(Requester(7, 0), Requester(8, 1)),
        lanes=(Lane(0, 400, iova=WILD), Lane(1, 50, first=300, gap=700, iova=WILD, op=ev.WRITE)),
    )
    assert not differences(case)


def test_rows_for_faults_are_added_in_the_middle_of_a_backlog() -> None:
    # P0 on a part that stalls retries: a fault has many rows, far more than the lanes' accesses.
    case = replace(burst("P0", "mmu500", 200, modulo=2), retry_limit=40)
    outcome = run(case)
    assert not differences(case)
    assert outcome.faults.size == outcome.counters["faults_injected"]


class Looks:
    """Pauses a run every so often, and notes when it was looked at and when its last event was."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.pause = 0
        self.seen: list[tuple[int, int]] = []

    def __call__(self, sim: Sim) -> int:
        self.seen.append((self.pause, int(sim.clock.now)))
        self.pause = max(self.pause, int(sim.clock.now)) + self.every
        return self.pause


def test_looking_at_a_backlog_changes_nothing_and_nothing_happens_past_a_pause() -> None:
    turns = 0
    for seed in range(100):
        case = backlogged(seed)
        alone = run(case)
        looks = Looks(every=random.Random(seed).choice([370, 5000, 90_000]))
        looked_at = run(case, watch=looks)
        assert looked_at.counters == alone.counters, seed
        assert np.array_equal(looked_at.faults, alone.faults), seed
        assert np.array_equal(looked_at.histogram, alone.histogram), seed
        assert all(now <= pause for pause, now in looks.seen[1:-1]), seed
        turns += looked_at.in_backlog > 0 and len(looks.seen) > 10
    assert turns > 30
