"""Stack distances against a list kept in order of use, and against the reference TLB."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smmucore.missratio import LIMIT, Reuse
from smmucore.recency import bits_in, page_hash
from smmucore.reuse import COLD, DROP, USE
from tests.reference.tlb import Tlb

#: What happens, as (kind, page).
Story = list[tuple[int, int]]

STORIES = st.lists(
    st.tuples(st.sampled_from([USE, USE, USE, USE, DROP]), st.integers(0, 12)), min_size=1, max_size=150
)
BLOCK = 37


def fed(story: Story, invalidations: bool = False, **how: Any) -> Reuse:
    reuse = Reuse(invalidations=invalidations, **how)
    kind = np.array([k for k, _ in story], np.uint8)
    page = np.array([p for _, p in story], np.uint64)
    for at in range(0, page.size, BLOCK):
        reuse.feed(kind[at : at + BLOCK], page[at : at + BLOCK], page[at : at + BLOCK])
    return reuse


def distances(story: Story) -> dict[int, int]:
    """How often each distance occurs, by a list in the order of use: O(n^2)."""
    order: list[int] = []
    found: dict[int, int] = {}
    for _, page in story:
        distance = COLD
        if page in order:
            distance = order.index(page) + 1
            order.remove(page)
        order.insert(0, page)
        found[distance] = found.get(distance, 0) + 1
    return found


def simulated_hits(story: Story, entries: int) -> int:
    tlb = Tlb(sets=1, ways=entries)
    for kind, page in story:
        if kind == DROP:
            tlb.invalidate_range(page * 4096, 4096)
        elif tlb.lookup(0, page * 4096) is None:
            tlb.insert(0, page * 4096, 4096, None)
    return tlb.hits


@pytest.mark.nojit
@settings(max_examples=60, deadline=None)
@given(STORIES)
def test_distances_are_those_of_a_list_in_the_order_of_use(story: Story) -> None:
    uses = [(USE, page) for _, page in story]
    bins = fed(uses, room=64).bins[0]
    assert {int(k): int(bins[k]) for k in np.flatnonzero(bins)} == distances(uses)


@pytest.mark.nojit
@settings(max_examples=60, deadline=None)
@given(STORIES, st.integers(1, 14))
def test_hits_are_those_of_a_tlb_with_one_set_invalidations_too(story: Story, entries: int) -> None:
    assert fed(story, invalidations=True, room=64).curve().hits[entries] == simulated_hits(story, entries)


def test_a_long_story_gives_the_hits_of_a_tlb_at_every_size() -> None:
    rng = np.random.default_rng(3)
    n = 6000
    story = list(
        zip(
            (rng.random(n) < 0.05).astype(int).tolist(), (rng.zipf(1.3, n) % 400).astype(int).tolist(),
            strict=True,
        )
    )  # fmt: skip
    hits = fed(story, invalidations=True, room=64).curve().hits
    for entries in (1, 2, 3, 7, 16, 61, 128, 400):
        assert hits[entries] == simulated_hits(story, entries)


@pytest.mark.nojit
def test_a_range_drops_what_lies_in_it_however_long_it_is() -> None:
    for last in (7, 1 << 40):
        reuse = Reuse(invalidations=True, room=64)
        kind = np.array([USE] * 10 + [DROP] + [USE] * 10, np.uint8)
        page = np.array([*range(10), 5, *range(10)], np.uint64)
        reuse.feed(kind, page, np.where(kind == DROP, np.uint64(last), page))
        assert reuse.curve().invalidated == len([p for p in range(10) if 5 <= p <= last])


@pytest.mark.nojit
def test_how_often_it_is_rebuilt_and_how_it_is_cut_changes_nothing() -> None:
    rng = np.random.default_rng(5)
    page = rng.integers(0, 90, 1500).astype(np.uint64)
    kind = (rng.random(1500) < 0.1).astype(np.uint8)
    often = fed(list(zip(kind.tolist(), page.tolist(), strict=True)), invalidations=True, room=64)
    once = Reuse(invalidations=True, room=4096)
    once.feed(kind, page, page)
    assert np.array_equal(often.bins, once.bins)


@pytest.mark.nojit
def test_hits_rise_with_the_size_and_all_uses_are_accounted_for() -> None:
    rng = np.random.default_rng(7)
    for how in ({}, {"halvings": 2}, {"most": 64}):
        reuse = fed([(USE, int(p)) for p in rng.integers(0, 500, 2000)], room=64, **how)
        curve = reuse.curve()
        assert np.all(np.diff(curve.hits) >= 0)
        assert curve.hits[0] == 0
        assert curve.hits[LIMIT] <= curve.attainable <= curve.accesses == 2000
    exact = fed([(USE, int(p)) for p in rng.integers(0, 500, 2000)]).curve()
    assert exact.hits[LIMIT] == exact.attainable == 2000 - exact.distinct
    assert not exact.error.any()


@pytest.mark.nojit
def test_the_knee_is_the_smallest_size_that_reaches_its_share() -> None:
    # Twelve pages in turn: nothing hits below 12 entries, everything from there on.
    curve = fed([(USE, k % 12) for k in range(240)]).curve()
    assert (curve.hits[11], curve.hits[12], curve.attainable) == (0, 228, 228)
    assert curve.knee(90) == curve.knee(99) == 12


STREAMS = {
    "zipf 1.1": lambda rng, n: rng.permutation(1 << 16)[rng.zipf(1.1, n) % (1 << 16)],
    "zipf 1.5": lambda rng, n: rng.permutation(1 << 16)[rng.zipf(1.5, n) % (1 << 16)],
    "uniform": lambda rng, n: rng.integers(0, 20_000, n),
    "in turn": lambda _, n: np.arange(n) % 5000,
    "every 512th": lambda rng, n: rng.integers(0, 6000, n) * 512,
}


@pytest.mark.parametrize("how", [{"halvings": 4}, {"most": 1024}], ids=["rate", "pages"])
@pytest.mark.parametrize("name", STREAMS)
def test_a_sample_is_within_the_error_that_it_reports(name: str, how: dict[str, int]) -> None:
    page = STREAMS[name](np.random.default_rng(11), 300_000).astype(np.uint64)
    kind = np.zeros(page.size, np.uint8)
    exact, sample = Reuse(), Reuse(**how)
    exact.feed(kind, page, page)
    sample.feed(kind, page, page)
    truth, guess = exact.curve(), sample.curve()
    assert guess.weight > 1
    off = np.abs(truth.hits - guess.hits) / page.size
    assert np.all(off <= guess.error)
    # And the error is worth something where TLBs are as large as the sample can see.
    assert np.median(guess.error[1 << 12 :]) < 0.1


def test_a_bound_on_pages_bounds_what_is_kept() -> None:
    reuse = Reuse(most=256, room=64)
    for start in range(0, 300_000, 10_000):
        page = np.arange(start, start + 10_000, dtype=np.uint64)
        reuse.feed(np.zeros(page.size, np.uint8), page, page)
        assert reuse.curve().sampled <= 256
        assert sum(array.size for array in reuse._stack) < 16_000
    assert reuse.curve().distinct == pytest.approx(300_000, rel=0.3)


@pytest.mark.nojit
def test_few_sampled_pages_claim_nothing() -> None:
    curve = fed([(USE, k % 100) for k in range(500)], halvings=3).curve()
    assert curve.sampled < 64
    assert np.all(curve.error == 1)


@pytest.mark.nojit
def test_bits_are_counted() -> None:
    for word in (0, 1, 0x8000_0000_0000_0001, (1 << 64) - 1, 0x0123_4567_89AB_CDEF):
        assert bits_in(np.uint64(word)) == word.bit_count()


@pytest.mark.nojit
@pytest.mark.parametrize("stride", [1, 512, 1 << 18])
def test_a_sample_by_hash_takes_its_share_of_any_stride(stride: int) -> None:
    mixed = [int(page_hash(np.uint64(k * stride))) for k in range(4096)]
    for bits in (1, 3, 5):
        share = 4096 >> bits
        taken = sum(1 for h in mixed if h & ((1 << bits) - 1) == 0)
        assert abs(taken - share) < 5 * share**0.5
    assert len(set(mixed)) == 4096


def test_a_rate_that_the_hash_has_no_bits_for_is_refused() -> None:
    with pytest.raises(ValueError, match="0 to 20 halvings"):
        Reuse(21)
