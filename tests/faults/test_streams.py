"""Streams that belong to no bank, with time: bypasses and global faults (H1, H12)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smmucore import clients, costs, hardware, policies
from smmucore import registers as reg
from smmucore.histogram import FROM_ISSUE
from smmucore.simulate import Lane, Outcome, Premapped, Requester, Setup, simulate
from smmucore.spaces import linux
from smmucore.streams import Group, StreamTable
from traces import events as ev

from .twin import COSTS, Event, columns

IOVA = 0x5000
EVERY = 100_000


def run(
    table: StreamTable | None,
    *events: Event,
    requesters: tuple[Requester, ...] = (Requester(5, 0), Requester(9, 1)),
    policy: str = "P1",
    lanes: tuple[Lane, ...] = (),
    premapped: tuple[Premapped, ...] = (),
    slots: int = 128,
) -> Outcome:
    setup = Setup(
        policies.find(policy),
        clients.find("none"),
        replace(hardware.find("mmu500"), slots=slots),
        costs.profile().with_values(COSTS),
        requesters,
        linux(48, 48),
        lanes=lanes,
        premapped=premapped,
        streams=table,
    )
    return simulate(setup, [columns(events)] if events else [])


def access(n: int, op: int = ev.READ, requester: int = 0, prot: int = 0) -> Event:
    return (n * EVERY, op, requester, IOVA + n, 4, 0, prot)


def mapped(requester: int) -> Event:
    return (0, ev.MAP, requester, 0x5000, 0x1000, 1 << 30, ev.PROT_READ | ev.PROT_WRITE)


def test_a_bypassed_access_needs_no_map_and_ends_after_a_micro_tlb_hit() -> None:
    outcome = run(StreamTable((Group(5, type="bypass"),)), *[access(n) for n in range(4)])
    c = outcome.counters
    assert (c["bypassed"], c["completed"], c["accesses"]) == (4, 4, 4)
    assert (c["translations"], c["walks"], c["faults_injected"], c["irq_entries"]) == (0, 0, 0, 0)
    assert int(outcome.highest[0, FROM_ISSUE]) == COSTS["utlb_hit"]
    assert outcome.global_fault == dict.fromkeys(outcome.global_fault, 0)


def test_without_usfcfg_an_unidentified_stream_is_bypassed_and_with_it_faults() -> None:
    free, strict = (run(StreamTable(usfcfg=usfcfg), access(0)) for usfcfg in (False, True))
    assert (free.counters["bypassed"], free.counters["global_faults"]) == (1, 0)
    assert (strict.counters["bypassed"], strict.counters["global_faults"]) == (0, 1)
    assert strict.global_fault["sgfsr"] == reg.SGFSR_USF


@pytest.mark.parametrize(
    ("groups", "bit"),
    [
        ((Group(5, type="fault"),), reg.SGFSR_ICF),
        ((Group(5), Group(4, mask=1)), reg.SGFSR_SMCF),
        ((Group(5, bank=2),), reg.SGFSR_UCBF),
    ],
)
def test_a_global_fault_terminates_at_once_even_where_the_policy_stalls(
    groups: tuple[Group, ...], bit: int
) -> None:
    outcome = run(StreamTable(groups), mapped(0), access(1), policy="P8")
    c = outcome.counters
    assert (c["global_faults"], c["terminated"], c["faults_injected"], c["irq_entries"]) == (1, 1, 0, 0)
    assert int(outcome.highest[0, FROM_ISSUE]) == 0
    assert outcome.global_fault["sgfsr"] == bit
    assert outcome.verdict == "safe"


def test_the_first_global_fault_is_kept_and_later_ones_only_set_multi() -> None:
    table = StreamTable((Group(9, type="fault"),))
    first = access(1, ev.WRITE, prot=ev.PROT_PRIV)
    outcome = run(table, first, access(2, ev.EXEC, requester=1), access(3))
    assert outcome.global_fault == {
        "sgfsr": reg.SGFSR_USF | reg.SGFSR_MULTI,
        "sgfar": IOVA + 1,
        "sgfsynr0": reg.SGFSYNR0_WNR | reg.SGFSYNR0_PNU,
        "sgfsynr1": 5,
    }
    assert outcome.counters["global_faults"] == 3


def test_a_stream_that_is_moved_to_another_bank_uses_that_banks_tables() -> None:
    table = StreamTable((Group(5, bank=1), Group(9, bank=1)))
    # Each MAP is of its own space: bank 1 has the page of requester 1's alone.
    outcome = run(table, mapped(1), access(1), access(2, requester=1))
    assert (outcome.counters["completed"], outcome.counters["faults_injected"]) == (2, 0)
    outcome = run(table, mapped(0), access(1))
    assert [int(f.bank) for f in outcome.faults] == [1]


def test_hupcf_does_not_hold_what_belongs_to_no_bank() -> None:
    # P7 without a client never resumes; bank 0 stays stalled, and stream 9 goes on.
    table = StreamTable((Group(5, bank=0),), usfcfg=False)
    outcome = run(table, access(0), access(1, requester=1), access(2, requester=1), policy="P7")
    assert outcome.verdict == "hang"
    assert (outcome.counters["bypassed"], outcome.counters["collateral"]) == (2, 0)


def test_a_fence_of_a_space_does_not_wait_for_a_stream_that_left_its_bank() -> None:
    unmap: Event = (10, ev.UNMAP, 0, 0x5000, 0x1000, 0, 0)
    # The read before it walks for 10 + 5 + 400 ns in its bank, and is over after 1 ns where it bypasses.
    ends = []
    for table in (StreamTable((Group(5),)), StreamTable((Group(5, type="bypass"),))):
        after: Event = (20, ev.READ, 1, IOVA, 4, 0, 0)
        made = run(table, mapped(0), mapped(1), (0, ev.READ, 0, IOVA, 4, 0, 0), unmap, after)
        ends.append(int(made.highest[1, 0]))
    assert ends[0] > ends[1]


def test_a_bypass_takes_a_slot_and_waits_for_one() -> None:
    table = StreamTable((Group(5), Group(9, type="bypass")))
    stalled = Lane(requester=0, count=2, gap=1, iova=1 << 40)
    late = Lane(requester=1, count=1, first=1000, iova=0)
    outcome = run(table, lanes=(stalled, late), slots=2, policy="P7")
    assert outcome.verdict == "hang"
    assert outcome.counters["bypassed"] == 0


def test_a_heartbeat_keeps_its_bank_whatever_the_table_says() -> None:
    beat = Lane(requester=1, count=3, gap=1000, iova=0x1000, modulo=1)
    outcome = run(
        StreamTable(),
        requesters=(Requester(5, 0), Requester(9, 1, fixed=True)),
        lanes=(beat,),
        premapped=(Premapped(1, 0x1000, 0x1000, 0x1000, 3),),
    )
    assert (outcome.counters["completed"], outcome.counters["global_faults"]) == (3, 0)


@pytest.mark.nojit
def test_a_mixed_run_accounts_for_every_access() -> None:
    table = StreamTable((Group(5), Group(8, mask=3, type="bypass"), Group(9, type="fault")), usfcfg=True)
    requesters = (Requester(5, 0), Requester(8, 1), Requester(9, 1), Requester(77, 1))
    events = [access(n, requester=n % 4) for n in range(12)]
    c = run(table, *events, requesters=requesters).counters
    assert (c["faults_injected"], c["bypassed"], c["global_faults"]) == (3, 3, 6)
    assert c["accesses"] == c["completed"] + c["terminated"] == 12


def test_a_long_run_of_accesses_ends_so_too() -> None:
    # Enough of them to go through in blocks, which know of banks alone.
    events = [(1000 + 50 * n, ev.READ, 0, 0x5000 + n % 64, 4, 0, 0) for n in range(500)]
    moved = run(StreamTable((Group(5, bank=1),)), mapped(1), *events)
    assert (moved.counters["completed"], moved.counters["walks"], moved.counters["bypassed"]) == (500, 1, 0)
    free = run(StreamTable((Group(5, type="bypass"),)), mapped(1), *events)
    assert (free.counters["completed"], free.counters["walks"], free.counters["bypassed"]) == (500, 0, 500)
    assert free.in_blocks == 0
