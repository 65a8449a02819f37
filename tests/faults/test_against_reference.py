"""The compiled model and the plain-Python one, written apart from one page, print the same integers."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from smmucore.clients import CLIENTS
from smmucore.hardware import PRESETS, Hardware
from smmucore.policies import POLICIES
from smmucore.shapes import Shape
from smmucore.simulate import Lane, Requester
from traces import events as ev

from .twin import COSTS, Case, Event, differences, plainly_cached

#: Costs that are spans of time: they are drawn apart from the others.
LONG = ("capture", "cooldown", "dump_kept", "submit_every", "hangcheck")
WILD = 5 << 39  # nothing is ever mapped in its 512G
PLACEMENTS = ((0, 1, 2, 3), (0, 0, 1, 1), (0, 0, 0, 0), (0, 1, 0, 1), (0, 1, 1, 0))


def random_hardware(rng: random.Random) -> Hardware:
    """A preset with its rules and sizes shaken: small queues and few slots make the corners common."""
    return replace(
        plainly_cached(rng.choice(list(PRESETS.values()))),
        fsr_frozen_while_stalled=rng.random() < 0.7,
        irq_held_until_resume=rng.random() < 0.15,
        stalls=rng.random() < 0.95,
        sync_waits_for_stall=rng.random() < 0.7,
        shared_line=rng.random() < 0.3,
        stall_max=rng.choice([1, 3, 64]),
        tbus=rng.choice([1, 1, 2]),
        slots=rng.choice([2, 4, 128]),
        walk_slots=rng.choice([1, 2, 8]),
        fifo_depth=rng.choice([1, 3, 16]),
        accept=rng.choice([0, 1, 3]),
        utlb=rng.choice([Shape(1, 2), Shape(2, 2), Shape(8, 8)]),
        tlb=rng.choice([Shape(2, 2), Shape(16, 4)]),
        walk_cache=rng.choice([Shape(1, 2), Shape(4, 4)]),
    )


def random_events(rng: random.Random, requesters: tuple[Requester, ...]) -> tuple[Event, ...]:
    """MAPs, UNMAPs, TLBIs (some ABRUPT) and accesses, to what is mapped and to what is not."""
    events: list[Event] = []
    live: dict[tuple[int, int], int] = {}
    t = 0
    for _ in range(rng.randrange(60)):
        t += rng.choice([0, 1, 5, 50, 400, 3000])
        r = rng.randrange(len(requesters))
        bank = requesters[r].bank
        what = rng.random()
        if what < 0.2:
            shift = rng.choice([12, 12, 12, 21, 30])
            iova = (rng.randrange(6) << 30) + (rng.randrange(8) << shift if shift < 30 else 0)
            size = 1 << shift
            if any(b == bank and iova < i + s and i < iova + size for (b, i), s in live.items()):
                continue
            live[bank, iova] = size
            rights = ev.PROT_READ
            for bit, likely in ((ev.PROT_WRITE, 0.7), (ev.PROT_EXEC, 0.3), (ev.PROT_PRIV, 0.1)):
                rights |= bit if rng.random() < likely else 0
            events.append((t, ev.MAP, r, iova, size, rng.randrange(64) << 30, rights))
        elif what < 0.28 and live:
            b, iova = rng.choice(list(live))
            size = live.pop((b, iova))
            owner = next(k for k, q in enumerate(requesters) if q.bank == b)
            abrupt = ev.ABRUPT if rng.random() < 0.3 else 0
            events.append((t, ev.UNMAP, owner, iova, size, 0, abrupt))
            if rng.random() < 0.8:
                kind = rng.choice([ev.TLBI_VA, ev.TLBI_VA_LAST, ev.TLBI_ASID, ev.TLBI_ALL])
                events.append((t, ev.TLBI, owner, iova, size, 0, abrupt | kind))
            if rng.random() < 0.5:
                events.append((t, ev.TLBI, owner, 0, 0, 0, abrupt | ev.TLBI_SYNC))
        elif what < 0.32:
            events.append((t, ev.TLBI, r, 0, 0, 0, ev.TLBI_SYNC))
        else:
            mapped = [i for b, i in live if b == bank]
            iova = WILD + rng.randrange(20) * 4096
            if mapped and rng.random() < 0.75:
                iova = rng.choice(mapped) + rng.randrange(4096)
            op = rng.choice([ev.READ, ev.READ, ev.WRITE, ev.EXEC])
            events.append((t, op, r, iova, 64, 0, ev.PROT_PRIV if rng.random() < 0.1 else 0))
    return tuple(events)


def random_case(seed: int) -> Case:
    """Everything at random: policy, client, rules, banks, events, bursts, costs, placement."""
    rng = random.Random(seed)
    hw = random_hardware(rng)
    if hw.events:
        hw = replace(hw, events=rng.choice([1, 2, 16]))
    banks = rng.choice([1, 1, 2])
    requesters = tuple(
        Requester(7 + k, k % banks, rng.randrange(hw.tbus)) for k in range(rng.choice([banks, banks + 1]))
    )
    lanes = tuple(
        Lane(
            requester=rng.randrange(len(requesters)),
            count=rng.randrange(1, 25),
            first=rng.randrange(3000),
            gap=rng.choice([0, 1, 100, 700, 3000, 20_000]),
            op=rng.choice([ev.READ, ev.WRITE]),
            iova=WILD + (1 << 30),
            modulo=rng.choice([0, 0, 3]),
            deadline=rng.choice([0, 0, 5000]),
        )
        for _ in range(rng.choice([0, 1, 1, 2]))
    )
    cost = dict(COSTS)
    if rng.random() < 0.3:
        cost = {n: rng.randrange(400) if ns and n not in LONG else ns for n, ns in cost.items()}
    for name in LONG:
        cost[name] = rng.choice([1, cost[name] // 30, cost[name], 5 * cost[name]])
    return Case(
        policy=rng.choice([p.id for p in POLICIES.values() if (p.only_where == "events") is (hw.events > 0)]),
        client=rng.choice(list(CLIENTS)),
        hardware=hw,
        events=random_events(rng, requesters),
        lanes=lanes,
        requesters=requesters,
        demand=rng.random() < 0.3,
        costs=cost,
        cpus=rng.choice(PLACEMENTS),
        sleeps_after=rng.choice([0, 0, 0, 1, 500, 5000]),
    )


@pytest.mark.parametrize("first", range(0, 2000, 250))
def test_both_models_agree_on_random_runs(first: int) -> None:
    wrong = {}
    for seed in range(first, first + 250):
        found = differences(random_case(seed), block=1 + seed % 40)
        if found:
            wrong[seed] = found
    assert not wrong


BURSTS = ((0, (0, 0, 0, 0)), (40, (0, 0, 1, 1)), (900, (0, 0, 0, 0)), (50_000, (0, 0, 1, 1)))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("client", CLIENTS)
def test_both_models_agree_on_a_burst(policy: str, client: str) -> None:
    """Every preset, each with another of the bursts: all of them meet every policy and every client."""
    turn = list(POLICIES).index(policy) + list(CLIENTS).index(client)
    v3 = POLICIES[policy].only_where == "events"
    presets = [name for name, hw in PRESETS.items() if (hw.events > 0) is v3 and name != "reference-39bit"]
    for k, preset in enumerate(presets):
        gap, cpus = BURSTS[(turn + k) % len(BURSTS)]
        lane = Lane(requester=0, count=40, gap=gap, iova=WILD)
        case = Case(policy, client, plainly_cached(PRESETS[preset]), lanes=(lane,), cpus=cpus)
        assert not differences(case), (preset, gap, cpus)


@pytest.mark.nojit
def test_both_models_agree_with_the_compiler_off() -> None:
    for seed in range(40):
        assert not differences(random_case(seed)), seed
