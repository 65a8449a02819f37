"""Accesses that go through in blocks end as one by one, and as the reference says (design 11, H2, H12)."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from smmucore.simulate import Lane, Premapped, Requester
from traces import events as ev

from .test_against_reference import WILD, random_hardware
from .twin import Case, Event, differences, run

PAGE = 4096
RW = ev.PROT_READ | ev.PROT_WRITE


def random_case(seed: int, accesses: int = 300) -> Case:
    """Mostly pages that are mapped, in one channel or in two, now and then a fault, a beat, an UNMAP.

    In some cases many accesses are alike one after the other.
    """
    rng = random.Random(seed)
    hw = replace(random_hardware(rng), tbus=1)
    banks = rng.choice([1, 1, 2])
    requesters = tuple(Requester(7 + k, k % banks) for k in range(rng.choice([banks, banks + 1])))
    one_channel = rng.random() < 0.4
    premapped = []
    for bank in range(banks):
        for n in range(rng.choice([3, 20, 80])):
            rights = RW if rng.random() < 0.95 else ev.PROT_READ
            iova = (n % 3 << 21) + n * PAGE * rng.choice([1, 1, 3])
            if all(p.bank != bank or p.iova != iova for p in premapped):
                premapped.append(Premapped(bank, iova, PAGE, rng.randrange(1 << 20) * PAGE, rights))
    strays = rng.choice([0, 0, 0.003, 0.03])
    gaps = rng.choice([(0,), (1, 2), (20,), (0, 0, 200), (400, 900)])
    events: list[Event] = []
    t = 0
    page = premapped[0]
    change = rng.choice([0.4, 0.04])
    op = ev.READ
    for _ in range(accesses):
        t += rng.choice(gaps)
        if rng.random() < change:
            page = rng.choice(premapped)
        if not one_channel and rng.random() < change:
            op = rng.choice([ev.READ, ev.WRITE, ev.EXEC])
        r = next(k for k, who in enumerate(requesters) if who.bank == page.bank)
        iova = page.iova + rng.randrange(PAGE)
        if rng.random() < strays:
            iova = WILD + rng.randrange(4) * PAGE
        events.append((t, op, r, iova, 64, 0, 0))
        if rng.random() < 0.01:
            abrupt = ev.ABRUPT if not one_channel and rng.random() < 0.5 else 0
            events.append((t, ev.TLBI, r, page.iova, PAGE, 0, abrupt | ev.TLBI_VA))
    beats = Lane(
        requester=0, count=20, gap=rng.choice([7, 500]), op=ev.WRITE, iova=premapped[0].iova, deadline=90
    )
    return Case(
        policy=rng.choice(["v3-iopf", "v3-terminate"] if hw.events else ["P1", "P8", "P4"]),
        client=rng.choice(["none", "adreno-worker"]),
        hardware=hw,
        events=tuple(events),
        requesters=requesters,
        premapped=tuple(premapped),
        lanes=(beats,) if rng.random() < 0.3 else (),
        orderly=one_channel,
        calm=rng.choice([1, 1, 8]),
    )


@pytest.mark.parametrize("first", range(0, 300, 100))
def test_blocks_end_as_the_reference_says(first: int) -> None:
    wrong = {}
    for seed in range(first, first + 100):
        found = differences(random_case(seed), block=1 + seed * 7 % 300)
        if found:
            wrong[seed] = found
    assert not wrong


def test_blocks_end_as_accesses_one_by_one_do() -> None:
    through = 0
    for seed in range(1000, 1200):
        case = random_case(seed, accesses=1500)
        whole, single = run(case), run(replace(case, calm=0))
        assert whole.counters == single.counters, seed
        assert np.array_equal(whole.histogram, single.histogram), seed
        assert np.array_equal(whole.highest, single.highest), seed
        assert np.array_equal(whole.faults, single.faults), seed
        assert whole.end_ns == single.end_ns, seed
        through += whole.in_blocks > 0
        assert single.in_blocks == 0
    assert through > 50


@pytest.mark.nojit
@pytest.mark.parametrize("hits", [4, 5, 12])
def test_an_unmap_waits_for_a_walk_that_many_hits_of_another_bank_overtook(hits: int) -> None:
    theirs, walked = 0x1000, 0x20_0000
    events: list[Event] = [(t, ev.READ, 0, theirs, 64, 0, 0) for t in (0, 3000, 6000)]
    t = 9000
    events.append((t, ev.READ, 1, walked, 64, 0, 0))
    for _ in range(hits):
        t += 4
        events.append((t, ev.READ, 0, theirs, 64, 0, 0))
    events.append((t, ev.UNMAP, 1, walked, PAGE, 0, 0))
    events.append((t, ev.READ, 0, theirs, 64, 0, 0))
    case = Case(
        policy="P8",
        client="none",
        hardware=replace(
            random_hardware(random.Random(1)), tbus=1, slots=2, walk_slots=2, accept=1, events=0
        ),
        events=tuple(events),
        requesters=(Requester(7, 0), Requester(8, 1)),
        premapped=(Premapped(0, theirs, PAGE, 0x5000, RW), Premapped(1, walked, PAGE, 0x6000, RW)),
    )
    assert not differences(case)


@pytest.mark.nojit
def test_a_few_blocks_end_as_the_reference_says_with_the_compiler_off() -> None:
    for seed in range(6):
        assert not differences(random_case(seed, accesses=60)), seed
