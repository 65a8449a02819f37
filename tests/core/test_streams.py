"""Stream matching and global faults, held against the independent reference (H1)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smmucore import bank as rules
from smmucore import registers as reg
from smmucore.records import GLOBAL, one
from smmucore.streams import BYPASS, IN_BANK, NO_BANK, Group, StreamTable
from tests.reference import streams as reference

pytestmark = pytest.mark.nojit

BITS = {"ICF": reg.SGFSR_ICF, "USF": reg.SGFSR_USF, "SMCF": reg.SGFSR_SMCF, "UCBF": reg.SGFSR_UCBF}

# Few bits differ, so that groups meet.
ids = st.one_of(st.integers(0, 15), st.integers(0, 0x7FFF))
groups = st.builds(
    dict,
    id=ids,
    mask=st.one_of(st.integers(0, 15), st.sampled_from([0x7FFF, 0x7FF0])),
    type=st.sampled_from(["translate", "translate", "bypass", "fault"]),
    bank=st.integers(0, 5),
    valid=st.sampled_from([True, True, True, False]),
)
wide = st.one_of(ids, st.integers(0, 0xFFFF))
tables = st.lists(groups, max_size=6)


def both(listed: list[dict[str, Any]], usfcfg: bool) -> tuple[StreamTable, reference.Streams]:
    ours = StreamTable(tuple(Group(**words) for words in listed), usfcfg)
    return ours, reference.Streams([reference.Group(**words) for words in listed], banks=4, usfcfg=usfcfg)


def as_route(match: reference.Match) -> tuple[int, int]:
    if match.fault is not None:
        return BITS[match.fault], NO_BANK
    return (BYPASS, NO_BANK) if match.bank is None else (IN_BANK, match.bank)


@settings(max_examples=500, deadline=None)
@given(
    listed=tables, usfcfg=st.booleans(), wanted=st.lists(st.one_of(ids, st.integers(0, 0xFFFF)), max_size=20)
)
def test_every_stream_comes_to_what_the_reference_says(
    listed: list[dict[str, Any]], usfcfg: bool, wanted: list[int]
) -> None:
    ours, theirs = both(listed, usfcfg)
    for stream in wanted:
        assert ours.route(stream, banks=4) == as_route(theirs.match(stream)), stream


accesses = st.tuples(ids, st.integers(0, (1 << 48) - 1), st.booleans(), st.booleans(), st.booleans())
writes = st.sampled_from([1, 2, 4, 8, 15, 1 << 31, (1 << 31) | 15])


@settings(max_examples=200, deadline=None)
@given(listed=tables, script=st.lists(st.one_of(accesses, writes), max_size=30))
def test_the_registers_hold_what_the_reference_says(listed: list[dict[str, Any]], script: list[Any]) -> None:
    ours, theirs = both(listed, usfcfg=True)
    held = one(GLOBAL)[0]
    for step in script:
        if isinstance(step, int):
            theirs.write_sgfsr(step)
            rules.write_sgfsr(held, step)
        else:
            stream, iova, write, privileged, instruction = step
            theirs.access(stream, iova, write=write, privileged=privileged, instruction=instruction)
            flags = reg.FSYNR0_WNR * write | reg.FSYNR0_PNU * privileged | reg.FSYNR0_IND * instruction
            route, _ = ours.route(stream, banks=4)
            if route > 0:
                rules.global_fault(held, route, iova, flags, stream)
        assert (held.sgfsr, held.sgfar, held.sgfsynr0, held.sgfsynr1) == (
            theirs.sgfsr,
            theirs.sgfar,
            theirs.sgfsynr0,
            theirs.sgfsynr1,
        )
