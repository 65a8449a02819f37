"""Scenarios as text: what can be written, and how what cannot is refused."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import ScenarioError, UsageError
from bench.scenario import KINDS, RANDOM, parse
from bench.units import count, duration, exact_ns, show_count, show_ns

_DURATIONS = st.builds(
    lambda n, unit: f"{n}{unit}", st.integers(1, 9999), st.sampled_from(["ns", "us", "ms"])
)
_COUNTS = st.builds(lambda n, k: f"{n}{k}", st.integers(1, 999), st.sampled_from(["", "k", "M"]))
_PERCENTS = st.integers(0, 100).map(lambda n: f"{n}%")
_VALUES = {
    ("unmap", "at"): _PERCENTS,
    ("unmap", "buffer"): st.one_of(st.sampled_from(["busiest", "random"]), _COUNTS),
    ("unmap", "seed"): _COUNTS,
    ("readonly", "at"): _PERCENTS,
    ("readonly", "buffer"): st.one_of(st.sampled_from(["busiest", "random"]), _COUNTS),
    ("readonly", "seed"): _COUNTS,
    ("wild", "rate"): st.integers(1, 1000).map(lambda n: f"{n / 10:g}%"),
    ("wild", "op"): st.sampled_from(["read", "write", "exec"]),
    ("wild", "stream"): st.integers(0, 65535).map(str),
    ("wild", "seed"): _COUNTS,
    ("burst", "n"): _COUNTS,
    ("burst", "gap"): _DURATIONS,
    ("burst", "at"): st.one_of(_PERCENTS, _DURATIONS),
    ("burst", "op"): st.sampled_from(["read", "write", "exec"]),
    ("burst", "stream"): st.integers(0, 65535).map(str),
    ("suspend", "after"): _DURATIONS,
    ("heartbeat", "every"): _DURATIONS,
    ("heartbeat", "deadline"): _DURATIONS,
    ("heartbeat", "n"): _COUNTS,
}


@st.composite
def _parts(draw):
    name = draw(st.sampled_from(sorted(KINDS)))
    keys = draw(st.permutations(sorted(KINDS[name].keys)).map(tuple)) if KINDS[name].keys else ()
    keys = keys[: draw(st.integers(0, len(keys)))]
    pairs = ",".join(f"{key}={draw(_VALUES[name, key])}" for key in keys)
    return f"{name}:{pairs}" if pairs else name


def test_every_key_of_every_scenario_is_drawn():
    assert set(_VALUES) == {(name, key) for name, kind in KINDS.items() for key in kind.keys}


@given(st.lists(_parts(), min_size=1, max_size=4))
def test_a_scenario_reads_back_as_it_was_written(parts):
    text = "+".join(parts)
    scenario = parse(text)
    assert scenario.text == text
    assert "+".join(str(part) for part in scenario.parts) == text
    assert parse("+".join(str(part) for part in scenario.parts)) == scenario


def test_values_are_read_with_their_units():
    burst, beat = parse("burst:n=2k,gap=1.5us,at=12.5%,op=write+heartbeat").parts
    assert burst.values["n"] == 2000
    assert burst.values["gap"] == 1500
    assert burst.values["at"].fraction == Fraction(1, 8)
    assert burst.values["op"] == 1
    assert burst.values["stream"] is None
    assert beat.values["every"] == 100_000
    assert beat.values["deadline"] == 10_000_000  # K7: the GMU's out-of-band watchdog


def test_a_buffer_is_a_word_or_a_number():
    assert parse("unmap:buffer=random").parts[0].values["buffer"] == RANDOM
    assert parse("unmap:buffer=17").parts[0].values["buffer"] == 17


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "unknown scenario"),
        ("storm", "as-captured, unmap, readonly, burst, wild, demand, suspend, heartbeat"),
        ("burst+", "unknown scenario"),
        ("burst:", "unknown scenario key"),
        ("burst:m=3", "expected one of n, gap, at, op, stream, found 'm'"),
        ("demand:n=3", "takes no keys"),
        ("burst:n", "expected n=VALUE"),
        ("burst:n=", "expected n=VALUE"),
        ("burst:n=1,n=2", "given twice"),
        ("burst:n=0", "1 or more"),
        ("burst:n=-1", "not a count"),
        ("burst:gap=1", "ns, us, ms or s"),
        ("burst:gap=1 ms", "not a duration"),
        ("burst:gap=1e3ns", "not a duration"),
        ("burst:gap=0.5ns", "whole number of ns"),
        ("burst:gap=9999999s", "too long"),
        ("burst:at=101%", "0% to 100%"),
        ("burst:op=map", "read, write, exec"),
        ("burst:stream=65536", "0 to 65535"),
        ("unmap:at=50", "0% to 100%"),
        ("unmap:buffer=most", "busiest, random"),
        ("heartbeat:every=0", "more than 0"),
        ("heartbeat:every=\u0661us", "not a duration"),
    ],
)
def test_a_bad_scenario_is_refused_with_what_was_expected(text, says):
    with pytest.raises(ScenarioError) as caught:
        parse(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.integers(0, 1 << 50))
def test_an_exact_duration_reads_back(ns):
    assert duration(exact_ns(ns)) == ns


@given(st.integers(0, 10**14))
def test_figures_fit_their_columns(number):
    assert len(show_count(number)) <= 5
    assert len(show_ns(number, "")) <= 7


@given(st.text(max_size=12))
def test_no_text_breaks_the_readers(text):
    for read in (duration, count):
        try:
            assert read(text) >= 0
        except UsageError as error:
            assert error.expected
