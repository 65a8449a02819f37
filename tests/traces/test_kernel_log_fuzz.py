"""Logs that are damaged: never a traceback, never a hang, and never a fault that the log does not tell."""

from __future__ import annotations

import json
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from bench.fault_log import read, to_json
from tests.bench.fault_samples import LINES

PIECES = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["\n", "\x00", "\x1b[31m", "> ", "[    1.000000] ", "=", ", ", "0x", "fsr=0x", "cb="]),
    st.integers(min_value=0, max_value=10**40).map(str),
    st.integers(min_value=1, max_value=3000).map(lambda n: "9" * n),
    st.integers(min_value=1, max_value=3000).map(lambda n: " " * n),
)


@st.composite
def damaged(draw):
    """Return some lines of the samples with bits flipped, pieces cut out and put in."""
    start = draw(st.integers(min_value=0, max_value=len(LINES) - 1))
    text = bytearray("\n".join(LINES[start : start + draw(st.integers(1, 14))]).encode())
    for _ in range(draw(st.integers(min_value=1, max_value=5))):
        at = draw(st.integers(min_value=0, max_value=len(text)))
        match draw(st.sampled_from(["flip", "cut", "end", "put"])):
            case "flip" if at < len(text):
                text[at] ^= 1 << draw(st.integers(min_value=0, max_value=7))
            case "cut":
                del text[at : at + draw(st.integers(min_value=1, max_value=80))]
            case "end":
                del text[at:]
            case _:
                text[at:at] = draw(PIECES).encode("utf-8", "surrogatepass")
    return bytes(text)


def decoded(data):
    lines = data.decode("utf-8", "replace").splitlines()
    began = time.monotonic()
    made = read(enumerate(lines, start=1))
    assert time.monotonic() - began < 10
    json.dumps(to_json(made))
    return made, lines


@settings(max_examples=300, deadline=None, derandomize=True)
@given(damaged())
def test_a_damaged_log_is_read_without_a_traceback_or_a_hang(data):
    made, lines = decoded(data)
    for row in made.rows:
        assert all(1 <= number <= len(lines) for number in row.fault.lines)
        assert row.fault.iova is None or 0 <= row.fault.iova < 1 << 64
        assert row.fault.cb is None or 0 <= row.fault.cb < 128
    for bad in made.log.malformed:
        assert 1 <= bad.line <= len(lines)
        assert bad.what
        assert bad.expected
        assert bad.found


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.binary(max_size=4000))
def test_garbage_is_read_without_a_traceback_or_a_hang(data):
    decoded(data)


def test_a_line_of_a_megabyte_and_one_of_ten_thousand_stamps_are_quick():
    lines = (
        "Unhandled context fault: " + "fsr=0x402, " * 100_000,
        "[    1.000000] " * 10_000 + "x",
        "a " * 500_000 + ": Unhandled Page fault in AS",
        "(XEN) " * 100_000,
        "0" * 1_000_000,
    )
    for line in lines:
        decoded(line.encode())
