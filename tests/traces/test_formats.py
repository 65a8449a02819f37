"""What a manifest may say of its spaces' tables, and what events fit them (H3)."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from tests.bench.conftest import manifest
from traces.checks import BlockChecker
from traces.errors import TraceError
from traces.events import EVENT, MAP, TLBI, TLBI_IPAS2, TLBI_SYNC, TLBI_VA, TLBI_VMID, UNMAP
from traces.manifest import Space, parse_manifest

K = 1024


def made(*spaces):
    listed = [Space(space=n, name=f"s{n}", **words) for n, words in enumerate(spaces)]
    return manifest(spaces=listed, streams=[])


def refused(*spaces):
    """The error of a manifest with these spaces, as a reader gives it."""
    whole = manifest(streams=[]).to_json().decode()
    data = json.loads(whole)
    data["spaces"] = [{"space": n, "name": f"s{n}", **words} for n, words in enumerate(spaces)]
    with pytest.raises(TraceError) as caught:
        parse_manifest(json.dumps(data).encode(), "x.parquet")
    return str(caught.value)


def test_the_text_of_older_traces_names_linux_tables():
    old = made({"format": "AArch64 LPAE stage 1"})
    assert old.spaces[0].format == "aarch64-s1"
    assert parse_manifest(old.to_json(), "x") == old


def test_every_field_of_a_space_comes_back():
    whole = made(
        {"format": "aarch64-s2", "ias": 42, "granule": 16384, "oas": 44, "vmid": 3, "start_level": 1},
        {"format": "nested", "ttbr1": {"ias": 48}, "sep": 48, "asid": 4, "stage2": 0},
    )
    assert parse_manifest(whole.to_json(), "x") == whole


S2 = {"format": "aarch64-s2", "ias": 40}


@pytest.mark.parametrize(
    ("spaces", "message"),
    [
        ([{"format": "aarch65"}], "manifest field spaces.0.format: expected Input should be 'aarch64-s1'"),
        ([{"ias": 49}], "spaces.0.ias: expected 25 to 48 input bits with a granule of 4096, found 49"),
        (
            [{"ias": 53, "granule": 65536}],
            "spaces.0.ias: expected 25 to 52 input bits with a granule of",
        ),
        ([{"format": "aarch32-lpae", "ias": 33}], "spaces.0.ias: expected 25 to 32 input bits, found 33"),
        ([{"format": "aarch32-short", "ias": 32, "granule": 16384}], "spaces.0.granule: expected 4096 with"),
        ([{"format": "aarch32-short", "ias": 32, "oas": 32}], "spaces.0.oas: expected one of 40 output bits"),
        ([{"oas": 52}], "spaces.0.oas: expected one of 32, 36, 40, 42, 44, 48 output bits, found 52"),
        ([{**S2, "ttbr1": {"ias": 39}}], "spaces.0.ttbr1: expected nothing with aarch64-s2, found 39 bits"),
        (
            [{"format": "aarch32-short", "ias": 31, "ttbr1": {"ias": 31}}],
            "spaces.0.ttbr1.ias: expected 32 with aarch32-short",
        ),
        (
            [{"format": "aarch32-lpae", "ias": 32, "ttbr1": {"ias": 32}}],
            "spaces.0.ias: expected 31 or less beside a ttbr1 of 32 input bits, found 32",
        ),
        (
            [{"ias": 52, "granule": 65536, "ttbr1": {"ias": 48}}],
            "spaces.0.ttbr1.granule: expected a granule of 65536 in both halves",
        ),
        ([{"sep": 50}], "spaces.0.sep: expected one of 31, 35, 39, 41, 43, 47, 48, found 50"),
        ([{**S2, "sep": 48}], "spaces.0.sep: expected nothing with aarch64-s2, found 48"),
        ([{"start_level": 1}], "spaces.0.start_level: expected nothing with aarch64-s1, found 1"),
        ([{**S2, "start_level": 2}], "spaces.0.start_level: expected 0 or 1 with 40 input bits, found 2"),
        ([{**S2, "stage2": 0}], "spaces.0.stage2: expected nothing with aarch64-s2, found 0"),
        ([{"format": "nested"}], "spaces.0.stage2: expected the number of the space that is its stage 2"),
        (
            [{}, {"format": "nested", "stage2": 0}],
            "spaces.1.stage2: expected the number of a space of format aarch64-s2, found 0, a aarch64-s1",
        ),
        ([{"format": "nested", "stage2": 4}], "found 4, of which there is none"),
        ([{**S2, "ias": 31}, {"format": "nested", "stage2": 0}], "spaces.0.ias: expected 32 or more"),
        (
            [{**S2, "vmid": 1}, {"format": "nested", "stage2": 0, "vmid": 2}],
            "spaces.1.vmid: expected that of space 0, its stage 2, found 2",
        ),
        ([{"ttbr1": {"ias": 39, "granul": 4096}}], "manifest field spaces.0.ttbr1.granul"),
    ],
)
def test_what_does_not_go_together_is_refused_with_its_field(spaces, message):
    text = refused(*spaces)
    assert text.startswith("x.parquet: manifest field ")
    assert message in text


def test_a_space_made_in_python_is_checked_too():
    with pytest.raises(ValidationError, match="25 to 48 input bits with a granule of 4096, found 64"):
        Space(space=0, name="x", ias=64)


def row(op, iova, size, prot=0, space=0):
    return (0, op, 0, space, iova, size, 0, prot)


def check(spaces, one):
    BlockChecker(made(*spaces), "x", thorough=True).check(np.array([one], EVENT))


HALVES = ({"granule": 16384, "ias": 47, "ttbr1": {"ias": 39}, "sep": 48},)
TOP = 1 << 64
BUS = 1 << 49
LONG = ({"format": "aarch32-lpae", "ias": 31, "ttbr1": {"ias": 31}},)
LONG_REST = ({"format": "aarch32-lpae", "ias": 30, "ttbr1": {"ias": 32}},)
BOTH_CLAIM = ({"format": "aarch32-lpae", "ias": 32, "ttbr1": {"ias": 30}},)
NESTED = ({"format": "aarch64-s2", "granule": 65536, "ias": 40}, {"format": "nested", "stage2": 0})


@pytest.mark.parametrize(
    ("spaces", "event"),
    [
        (HALVES, row(MAP, 0x8000, 16 * K)),
        (HALVES, row(MAP, TOP - 4 * K, 4 * K)),  # the last page, as a 64-bit address and as the bus has it
        (HALVES, row(MAP, BUS - 4 * K, 4 * K)),
        (HALVES, row(UNMAP, BUS - (1 << 39), 1 << 39)),
        (HALVES, row(TLBI, BUS - 4 * K, 4 * K, TLBI_VA)),
        (LONG, row(MAP, 1 << 31, 1 << 31)),
        (LONG_REST, row(MAP, 1 << 30, 3 << 30)),
        (BOTH_CLAIM, row(MAP, 0, 3 << 30)),
        (BOTH_CLAIM, row(MAP, 3 << 30, 1 << 30)),
        (NESTED, row(TLBI, 64 * K, 64 * K, TLBI_IPAS2, 1)),
        (NESTED, row(TLBI, 4 * K, 4 * K, TLBI_VA, 1)),
        (NESTED, row(TLBI, 0, 0, TLBI_VMID, 1)),
        (NESTED, row(TLBI, 0, 0, TLBI_SYNC, 1)),
    ],
)
def test_events_that_fit_their_half_pass(spaces, event):
    check(spaces, event)


@pytest.mark.parametrize(
    ("spaces", "event", "message"),
    [
        (HALVES, row(MAP, 0x9000, 16 * K), "an aligned iova"),
        (HALVES, row(TLBI, 0x9000, 16 * K, TLBI_VA), "an aligned iova"),
        (HALVES, row(UNMAP, 0x8000, 4 * K), "an aligned size"),
        (HALVES, row(MAP, 1 << 47, 16 * K), "beyond the space's input"),  # between the halves
        (HALVES, row(MAP, BUS - (1 << 40), 16 * K), "beyond the space's input"),
        (HALVES, row(MAP, TOP - 4 * K, 8 * K), "beyond the space's input"),  # around the end
        (LONG, row(MAP, (1 << 31) - 4 * K, 8 * K), "beyond the space's input"),  # from half to half
        (BOTH_CLAIM, row(MAP, 2 << 30, 2 << 30), "beyond the space's input"),
        (LONG, row(MAP, 1 << 32, 4 * K), "beyond the space's input"),
        (NESTED, row(TLBI, 4 * K, 4 * K, TLBI_IPAS2, 1), "an aligned iova"),
    ],
)
def test_events_that_do_not_fit_their_half_are_refused(spaces, event, message):
    with pytest.raises(TraceError, match=message):
        check(spaces, event)
