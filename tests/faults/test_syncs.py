"""TLBI_SYNC with time: what it waits for, and what it and the TLBIs before it cost (section 6)."""

from __future__ import annotations

from typing import Any

import pytest

from smmucore.simulate import Lane, Requester
from traces import events as ev

from .twin import COSTS, Case, Event, differences, run

READ, WRITE = COSTS["mmio_read"], COSTS["mmio_write"]
GIVEN_UP = 200 * READ + WRITE + 1000 * ((1 << 20) - 1)
#: The walk of a 4K page from the top: micro-TLB, TLB, walk cache, four reads.
WALK = 1 + 10 + 5 + 4 * 100
WILD = 1 << 40


def mapped(r: int = 0) -> Event:
    return (0, ev.MAP, r, 0x5000, 0x1000, 1 << 30, ev.PROT_READ)


def tlbi(t: int, kind: int, iova: int = 0, size: int = 0, r: int = 0) -> Event:
    return (t, ev.TLBI, r, iova, size, 0, kind)


def read(t: int, r: int = 0, iova: int = 0x5000) -> Event:
    return (t, ev.READ, r, iova, 4, 0, 0)


def counted(*events: Event, **words: Any) -> dict[str, int]:
    """The counters of a run, on which both models agree."""
    case = Case(words.pop("policy", "P1"), events=events, **words)
    assert not differences(case)
    return run(case).counters


def test_a_sync_with_nothing_to_wait_for_takes_one_write_and_one_read() -> None:
    c = counted(mapped(), tlbi(0, ev.TLBI_SYNC))
    assert (c["tlb_syncs"], c["tlb_sync_reads"], c["tlb_sync_timeouts"]) == (1, 1, 0)
    assert c["cpu_tlbi_ns"] == WRITE + READ


def test_a_sync_polls_until_the_accesses_before_it_have_ended() -> None:
    # The walk ends at 416, the write of TLBSYNC at 50: the fourth read, at 450, sees it.
    c = counted(mapped(), read(0), tlbi(0, ev.TLBI_SYNC))
    assert (WALK, c["tlb_sync_reads"]) == (416, 4)
    assert c["cpu_tlbi_ns"] == WRITE + 4 * READ


def test_the_lane_goes_on_when_the_sync_has_been_seen() -> None:
    c = counted(mapped(), read(0), tlbi(0, ev.TLBI_SYNC), read(0))
    # The last read arrives at 450, though meant for 0, and hits the micro-TLB.
    assert c["makespan_ns"] == WRITE + 4 * READ + COSTS["utlb_hit"]


def test_a_sync_does_not_wait_for_another_bank_or_for_what_comes_after() -> None:
    banks = (Requester(7, 0), Requester(8, 1))
    c = counted(mapped(1), read(0, 1), tlbi(0, ev.TLBI_SYNC), read(0, 1), requesters=banks)
    assert c["tlb_sync_reads"] == 1


def test_a_sync_behind_a_stall_that_nobody_resumes_is_given_up_after_a_second_and_the_lane_goes_on() -> None:
    c = counted(mapped(), read(0, 0, WILD), tlbi(0, ev.TLBI_SYNC), read(0), policy="P7")
    assert (c["tlb_sync_reads"], c["tlb_sync_timeouts"]) == (200, 1)
    assert c["cpu_tlbi_ns"] == GIVEN_UP
    # The access after it is late by as much; P7 lets others pass a stalled one.
    assert c["completed"] == 1
    assert c["makespan_ns"] > GIVEN_UP


def test_a_sync_that_is_abrupt_waits_all_the_same() -> None:
    events = (mapped(), read(0), tlbi(0, ev.ABRUPT | ev.TLBI_SYNC))
    assert counted(*events)["tlb_sync_reads"] == 4


def test_a_tlbi_costs_a_write_for_each_granule_and_does_not_hold_the_lane() -> None:
    c = counted(mapped(), tlbi(0, ev.TLBI_VA, 0x5000, 0x3000), tlbi(0, ev.TLBI_ASID), read(0))
    assert (c["tlbi_writes"], c["cpu_tlbi_ns"]) == (4, 4 * WRITE)
    assert c["makespan_ns"] == WALK


def test_a_sync_empties_nothing() -> None:
    c = counted(mapped(), read(0), tlbi(0, ev.TLBI_SYNC, 0x5000, 0x1000), read(1000))
    assert (c["walks"], c["utlb_hits"], c["tlbi_writes"]) == (1, 1, 0)


@pytest.mark.parametrize("policy", ["P1", "P4", "P8"])
def test_both_models_agree_on_syncs_among_faults_that_are_resumed(policy: str) -> None:
    storm = Lane(requester=0, count=12, gap=700, iova=WILD)
    events = [mapped()]
    for n in range(12):
        events += [
            read(n * 900),
            tlbi(n * 900 + 1, ev.TLBI_VA, 0x5000, 0x1000),
            tlbi(n * 900 + 1, ev.TLBI_SYNC),
        ]
    for client in ("none", "adreno-inline", "adreno-worker"):
        counted(*events, policy=policy, client=client, lanes=(storm,))
