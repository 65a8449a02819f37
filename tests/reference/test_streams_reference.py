"""Stream matching and the polls of a sync, counted by hand (H1, section 6 of docs/translation.md)."""

from __future__ import annotations

import pytest

from .streams import BYPASS, FAULT, TRANSLATE, Group, Match, Streams
from .sync import Sync, sync


def streams(*groups: Group, usfcfg: bool = True) -> Streams:
    return Streams(groups, banks=4, usfcfg=usfcfg)


# Which bank


@pytest.mark.parametrize(
    ("group", "match"),
    [
        (Group(5, bank=3), Match(TRANSLATE, bank=3)),
        (Group(5, bank=4), Match(FAULT, fault="UCBF")),
        (Group(5, type=BYPASS), Match(BYPASS)),
        (Group(5, type=BYPASS, bank=4), Match(BYPASS)),
        (Group(5, type=FAULT), Match(FAULT, fault="ICF")),
        (Group(5, valid=False), Match(FAULT, fault="USF")),
        (Group(6), Match(FAULT, fault="USF")),
        (Group(6, mask=1), Match(FAULT, fault="USF")),  # 5 and 6 differ in bits 0 and 1
        (Group(6, mask=3, bank=1), Match(TRANSLATE, bank=1)),
        (Group(0, mask=0x7FFF, bank=2), Match(TRANSLATE, bank=2)),
    ],
)
def test_stream_5_comes_to_what_its_one_group_says(group: Group, match: Match):
    assert streams(group).match(5) == match


def test_an_unidentified_stream_is_bypassed_without_usfcfg():
    assert streams(Group(6), usfcfg=False).match(5) == Match(BYPASS)


@pytest.mark.parametrize("second", [Group(5), Group(4, mask=1, type=BYPASS), Group(5, type=FAULT)])
def test_several_matching_groups_are_a_conflict_whatever_they_say(second: Group):
    for usfcfg in (True, False):
        assert streams(Group(5, bank=1), second, usfcfg=usfcfg).match(5) == Match(FAULT, fault="SMCF")


def test_an_invalid_group_conflicts_with_nothing():
    assert streams(Group(5, bank=1), Group(5, bank=2, valid=False)).match(5) == Match(TRANSLATE, bank=1)


# What is recorded


@pytest.mark.parametrize(
    ("groups", "sgfsr"),
    [
        ([Group(5, type=FAULT)], 1 << 0),  # ICF
        ([], 1 << 1),  # USF
        ([Group(5), Group(5)], 1 << 2),  # SMCF
        ([Group(5, bank=4)], 1 << 3),  # UCBF
    ],
)
def test_each_global_fault_has_a_bit_of_sgfsr(groups: list[Group], sgfsr: int):
    part = streams(*groups)
    part.access(5, 0x1234, write=True)
    assert (part.sgfsr, part.sgfar, part.sgfsynr0, part.sgfsynr1) == (sgfsr, 0x1234, 0b0010, 5)


def test_the_first_global_fault_is_kept_and_a_later_one_sets_multi():
    part = streams(Group(5, type=FAULT))
    part.access(5, 0x1000, privileged=True, instruction=True)
    part.access(6, 0x2000, write=True)
    assert part.sgfsr == 1 << 31 | 1 << 0
    assert (part.sgfar, part.sgfsynr0, part.sgfsynr1) == (0x1000, 0b1100, 5)
    assert (part.global_faults, part.bypassed) == (2, 0)


def test_writing_sgfsr_clears_the_bits_written_as_one():
    part = streams(Group(5, type=FAULT))
    part.access(5, 0x1000)
    part.access(6, 0x2000)
    part.write_sgfsr(1 << 0 | 1 << 1)
    assert part.sgfsr == 1 << 31
    part.access(6, 0x3000)  # not zero yet: nothing else is kept
    assert (part.sgfsr, part.sgfar) == (1 << 31, 0x1000)
    part.write_sgfsr(1 << 31)
    assert (part.sgfsr, part.sgfar, part.sgfsynr1) == (0, 0x1000, 5)
    part.access(6, 0x4000)
    assert (part.sgfsr, part.sgfar, part.sgfsynr1) == (1 << 1, 0x4000, 6)


def test_bypassed_accesses_are_counted_and_record_nothing():
    part = streams(Group(5, type=BYPASS), usfcfg=False)
    assert part.access(5, 0x1000) == part.access(6, 0x1000) == Match(BYPASS)
    assert (part.bypassed, part.global_faults, part.sgfsr) == (2, 0, 0)


# The polls of a sync: a write of 50 ns, reads of 100 ns


@pytest.mark.parametrize(
    ("wait_ns", "reads", "total_ns"),
    [
        (0, 1, 150),
        (100, 1, 150),  # done as the read ends: seen
        (101, 2, 250),
        (1000, 10, 1050),  # the last read of the first round
        (1001, 11, 50 + 1000 + 1000 + 100),  # the first after a delay of 1 us
        (2100, 11, 2150),
        (2101, 12, 2250),
        (3000, 20, 3050),
        (3001, 21, 50 + 2 * 1000 + 1000 + 2000 + 100),
        (7000, 31, 50 + 3 * 1000 + (1 + 2 + 4) * 1000 + 100),
    ],
)
def test_a_sync_polls_until_a_read_ends_after_it_is_done(wait_ns: int, reads: int, total_ns: int):
    assert sync(wait_ns, mmio_read_ns=100, mmio_write_ns=50) == Sync(reads, total_ns, timed_out=False)


def test_a_sync_that_is_never_done_is_given_up_after_twenty_rounds():
    total_ns = 50 + 200 * 100 + 1_048_575_000
    assert sync(None, mmio_read_ns=100, mmio_write_ns=50) == Sync(200, total_ns, timed_out=True)


def test_nobody_looks_again_after_the_last_delay():
    # The 200th read ends 19 delays after the first began: 2^19 - 1 us, and 200 reads.
    last_look = 200 * 100 + 524_287_000
    assert sync(last_look, 100, 50) == Sync(200, 50 + last_look, timed_out=False)
    assert sync(last_look + 1, 100, 50).timed_out
