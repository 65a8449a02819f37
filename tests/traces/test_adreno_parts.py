"""What the readers of Adreno captures are made of, against plain models."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.traces.adreno_files import ascii85, odd, op0, op3, op4, op7
from traces.adreno.ascii85 import Ascii85
from traces.adreno.buffers import Buffers
from traces.adreno.contents import Contents
from traces.adreno.pm4 import FILLER, REGISTERS, split_new, split_old

_BUFFER = st.tuples(st.integers(0, 60_000), st.integers(1, 20_000)).map(lambda t: (t[0], t[0] + t[1]))


@given(st.lists(st.lists(_BUFFER, max_size=6), min_size=1, max_size=6))
def test_mapped_are_the_pages_that_a_list_touches_each_once(lists):
    buffers, mapped = Buffers(), set()
    for listed in lists:
        gone, new = buffers.change(listed)
        for first, end in gone:
            pages = set(range(first >> 12, end >> 12))
            assert first & 4095 == end & 4095 == 0
            assert pages <= mapped
            mapped -= pages
        for first, end in new:
            pages = set(range(first >> 12, end >> 12))
            assert pages
            assert not pages & mapped
            mapped |= pages
        assert mapped == {page for first, end in listed for page in range(first >> 12, (end - 1 >> 12) + 1)}
        for address in (0, 4095, 4096, 30_000, *(first for first, _ in listed), *(end for _, end in listed)):
            assert buffers.holds(address) == any(first <= address < end for first, end in listed)


@given(st.lists(st.integers(0, 0xFFFFFFFF), max_size=40), st.data())
def test_ascii85_is_read_in_any_pieces(words, data):
    text = ascii85([*words, 1]).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    decoder, out = Ascii85(), b""
    for first, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        out += decoder.feed(text[first:end])
    assert decoder.ends()
    assert out == struct.pack(f"<{len(words) + 1}I", *words, 1)


@pytest.mark.parametrize("text", [b"!!z", b's8W-"', b"v!!!!", b"!!!! ", b"\xff"])
def test_what_is_no_ascii85_is_told(text):
    decoder = Ascii85()
    assert decoder.feed(text) is None or not decoder.ends()


@given(st.integers(0, 0x7F), st.integers(0, 0x3FFF))
def test_headers_with_parity_are_read_and_no_bit_may_be_wrong(opcode, count):
    header = op7(opcode)[0] & ~0xBFFF | count | odd(count) << 15
    assert split_new(header) == (opcode, count)
    for bit in range(28):
        found = split_new(header ^ 1 << bit)
        assert found is None, bit


@given(st.integers(0, 0x3FFFF), st.integers(0, 0x7F))
def test_register_writes_with_parity_are_read(register, count):
    header = op4(register)[0] & ~0xFF | count | odd(count) << 7
    assert split_new(header) == (REGISTERS, count)
    for bit in range(28):
        assert split_new(header ^ 1 << bit) is None


def test_older_headers_are_read():
    assert split_old(op3(0x3F, 1, 2)[0]) == (0x3F, 2)
    assert split_old(op0(0x2000, *range(200))[0]) == (REGISTERS, 200)
    assert split_old(2 << 30) == (FILLER, 0)
    assert split_old(1 << 30) is None


def test_contents_are_found_by_address_and_end_where_they_do():
    with Contents() as contents:
        contents.begin(0x1000)
        contents.write(b"abcd")
        contents.write(b"efgh")
        contents.begin(0x2000)
        contents.write(b"12")
        contents.pad(6)
        assert contents.read(0x1002, 4) == b"cdef"
        assert contents.read(0x1004, 5) is None
        assert contents.read(0x0FFF, 1) is None
        assert contents.read(0x2000, 6) == b"12\0\0\0\0"
        assert contents.read(0x2003, 3) == b"\0\0\0"
        assert contents.read(0x2000, 7) is None
        contents.begin(0x1000)
        contents.write(b"new!")
        assert contents.read(0x1000, 4) == b"new!"
        contents.drop()
        assert contents.read(0x1000, 4) is None
        contents.clear()
        assert contents.read(0x2000, 2) is None
