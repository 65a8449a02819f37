"""Scenarios played on a trace: what is inserted, what is dropped, and that it stays legal."""

import numpy as np
import pytest

from bench.blocks import Recipe, Source, events, parts, row_of
from bench.errors import ScenarioError
from bench.inject import inject, plain
from bench.scenario import parse
from tests.bench.conftest import BASE, PAGES, RW, event, save, tiny_events
from traces.catalogue import find
from traces.events import ABRUPT, EVENT, EXEC, MAP, READ, TLBI, TLBI_VA, UNMAP
from traces.reader import open_trace

CAPTURES = ("qemu-dma-tiles", "qemu-virtio-gpu")


def source_of(path):
    return Source(open_trace(path))


def played(source, text, pace=10, seed=0):
    return inject(source, parse(text), pace, seed)


def all_events(source, recipe):
    return np.concatenate([block for block, _ in parts(source, recipe)])


def legal(stream):
    """Follow MAPs page by page: none may be mapped already, and no UNMAP may split a MAP's leaf.

    An UNMAP must take each MAP whole or in pages: here the size of a leaf is that of the event, at most.
    """
    live = {}
    for block in stream:
        control = block[(block["op"] == MAP) | (block["op"] == UNMAP)]
        for op, space, iova, size in control[["op", "space", "iova", "size"]].tolist():
            pages = {(space, page) for page in range(iova >> 12, (iova + size) >> 12)}
            if op == UNMAP:
                for page in pages & live.keys():
                    leaf = live[page]
                    assert leaf <= pages or len(leaf) == 1
                for page in pages & live.keys():
                    del live[page]
            else:
                assert not pages & live.keys()
                # A leaf is a whole block only where the event could hold one.
                whole = frozenset(pages) if size % (1 << 21) == 0 else None
                live.update({page: whole or frozenset([page]) for page in pages})


@pytest.mark.parametrize("name", CAPTURES)
@pytest.mark.parametrize("text", ["unmap", "unmap:at=10%,buffer=random", "unmap:at=90%+unmap:at=20%"])
def test_unmap_keeps_the_mappings_of_a_capture_legal(name, text):
    source = source_of(find(name))
    made = played(source, text, seed=3)
    # A 1 GiB leaf has too many pages to follow one by one; none of these vanishes.
    legal(b[b["size"] < 1 << 30] for b, _ in parts(source, made.recipe))


@pytest.mark.parametrize("name", CAPTURES)
def test_unmap_inserts_one_abrupt_unmap_and_its_invalidation(name):
    source = source_of(find(name))
    before = all_events(source, plain(source, 10).recipe)
    made = played(source, "unmap:at=50%")
    (gone,) = made.recipe.gone
    after = all_events(source, made.recipe)
    abrupt = np.flatnonzero(after["prot"] & ABRUPT)
    assert after["op"][abrupt].tolist() == [UNMAP, TLBI]
    assert np.all(after["iova"][abrupt] == gone.iova)
    assert np.all(after["size"][abrupt] == gone.size)
    assert int(np.count_nonzero(after["op"][: abrupt[0]] <= EXEC)) == source.summary.accesses // 2
    accesses = [e[e["op"] <= EXEC] for e in (before, after)]
    assert np.array_equal(*accesses)


def test_unmap_takes_the_buffer_with_most_accesses_to_come(tiny):
    (gone,) = played(source_of(tiny), "unmap:at=10%").recipe.gone
    assert (gone.space, gone.iova, gone.size) == (0, BASE + 3 * 4096, 4096)


def test_unmap_by_number_takes_that_map_event(tiny):
    (gone,) = played(source_of(tiny), "unmap:buffer=6").recipe.gone
    assert gone.iova == BASE + 6 * 4096


def test_unmap_of_a_buffer_that_is_not_mapped_is_refused(tiny):
    with pytest.raises(ScenarioError, match="MAP 3 wholly mapped"):
        played(source_of(tiny), "unmap:at=90%,buffer=3")


def test_unmap_after_the_last_access_is_refused(tiny):
    with pytest.raises(ScenarioError, match="no buffer to unmap"):
        played(source_of(tiny), "unmap:at=100%")


def test_a_random_buffer_depends_on_the_seed_alone(tiny):
    source = source_of(tiny)
    chosen = [played(source, "unmap:buffer=random", seed=s).recipe.gone[0].number for s in range(20)]
    again = [
        played(source, f"unmap:buffer=random,seed={s}", seed=99).recipe.gone[0].number for s in range(20)
    ]
    assert chosen == again
    assert len(set(chosen)) > 1


def test_the_traces_own_unmap_is_dropped_until_the_next_map(tiny):
    source = source_of(tiny)
    made = played(source, "unmap:at=10%")
    explicit = Recipe(made.recipe.requesters, 10, False, made.recipe.gone)
    after = all_events(source, explicit)
    unmaps = after[after["op"] == UNMAP]
    # Ours, and the trace's second: its first fell to the range that was gone already.
    assert (unmaps["prot"] & ABRUPT).tolist() == [ABRUPT, 0]


def test_a_mapping_partly_unmapped_is_no_candidate(tmp_path):
    made = [
        event(0, MAP, BASE, 2 * 4096, prot=RW),
        event(0, MAP, BASE + 0x10000, prot=RW),
        event(0, UNMAP, BASE + 4096),
        *[event(k, READ, BASE, 8, stream=5) for k in range(20)],
        event(20, READ, BASE + 0x10000, 8, stream=5),
    ]
    source = source_of(save(tmp_path / "t.parquet", np.array(made, EVENT)))
    assert played(source, "unmap").recipe.gone[0].iova == BASE + 0x10000


def test_accesses_after_the_traces_own_unmap_do_not_make_a_buffer_busy(tmp_path):
    reads = [event(k, READ, BASE, 8, stream=5) for k in range(10)]
    made = [
        event(0, MAP, BASE, prot=RW),
        event(0, MAP, BASE + 4096, prot=RW),
        *reads[:2],
        event(2, READ, BASE + 4096, 8, stream=5),
        event(2, READ, BASE + 4096, 8, stream=5),
        event(3, READ, BASE, 8, stream=5),
        event(3, UNMAP, BASE),
        event(3, MAP, BASE, prot=RW),
        *[event(9, READ, BASE, 8, stream=5) for _ in range(3)],
    ]
    source = source_of(save(tmp_path / "t.parquet", np.array(made, EVENT)))
    assert played(source, "unmap:at=25%").recipe.gone[0].iova == BASE + 4096


@pytest.mark.parametrize("name", CAPTURES)
def test_burst_addresses_are_above_everything_the_trace_uses(name):
    source = source_of(find(name))
    made = played(source, "burst:n=1k")
    (lane,) = made.lanes
    requester = made.requesters[lane.requester]
    every = all_events(source, made.recipe)
    mine = every[(every["space"] == requester.bank) & (every["op"] <= UNMAP)]
    assert int((mine["iova"] + mine["size"]).max()) <= lane.iova
    assert lane.iova % (1 << 30) == 0
    assert lane.iova + lane.count * lane.stride <= 1 << made.spaces[requester.bank].ias
    assert (requester.stream, requester.bank) == source.summary.busiest()


def test_two_bursts_of_one_stream_do_not_share_pages(tiny):
    first, second = played(source_of(tiny), "burst:n=5+burst:n=7").lanes
    assert first.iova + first.count * first.stride <= second.iova


def test_a_burst_that_does_not_fit_below_the_input_address_size_is_refused(tiny):
    with pytest.raises(ScenarioError, match="no room"):
        played(source_of(tiny), "burst:stream=9,n=1M")


def test_a_burst_of_a_stream_that_accesses_nothing_is_refused(tiny):
    with pytest.raises(ScenarioError, match="one of 5, 9, found 77"):
        played(source_of(tiny), "burst:stream=77")


def test_a_burst_starts_at_its_share_of_the_paced_trace(tiny):
    source = source_of(tiny)
    (lane,) = played(source, "burst:at=50%", pace=100).lanes
    assert lane.first == source.summary.accesses * 50


def test_a_heartbeat_has_a_stream_a_bank_and_a_page_of_its_own(tiny):
    source = source_of(tiny)
    made = played(source, "burst:n=11,gap=1ms+heartbeat")
    lane = made.lanes[-1]
    requester = made.requesters[lane.requester]
    assert requester.stream not in {5, 9}
    assert requester.bank == 2
    assert requester.tbu == 0
    assert [m.bank for m in made.premapped] == [2]
    assert lane.count == 10_000_000 // 100_000 + 1
    assert made.heartbeats == (requester.stream,)


def test_pace_gives_access_k_its_time_and_other_events_that_of_the_next_access(tiny):
    source = source_of(tiny)
    recipe = plain(source, 10).recipe
    (block,) = events(source, recipe)
    access = block.op <= EXEC
    assert block.t[access].tolist() == [10 * k for k in range(source.summary.accesses)]
    following = np.searchsorted(np.flatnonzero(access), np.flatnonzero(~access))
    assert block.t[~access].tolist() == (10 * following).tolist()


def test_captured_pace_keeps_the_times(tiny):
    source = source_of(tiny)
    recipe = Recipe(plain(source, None).recipe.requesters, None)
    (block,) = events(source, recipe)
    assert block.t.tolist() == tiny_events()["t_ns"].tolist()


def test_an_unmap_invalidates_its_range_where_the_manifest_says_so(tiny):
    source = source_of(tiny)
    after = all_events(source, plain(source, 10).recipe)
    unmaps = np.flatnonzero(after["op"] == UNMAP)
    assert unmaps.size == 2
    for at in unmaps:
        assert after["op"][at + 1] == TLBI
        assert after["prot"][at + 1] == TLBI_VA
        assert after["iova"][at + 1] == after["iova"][at]


def test_every_event_has_a_requester_of_its_space(tiny):
    source = source_of(tiny)
    made = plain(source, 10)
    (block,) = events(source, made.recipe)
    raw = all_events(source, made.recipe)
    banks = np.array([r.bank for r in made.requesters])
    streams = np.array([r.stream for r in made.requesters])
    assert np.array_equal(banks[block.requester], raw["space"])
    access = raw["op"] <= EXEC
    assert np.array_equal(streams[block.requester][access], raw["stream"][access])


def test_blocks_of_any_size_give_the_same_events(tiny, monkeypatch):
    source = source_of(tiny)
    whole = all_events(source, played(source, "unmap:at=30%").recipe)
    for rows in (1, 7):
        cut = source_of(tiny)
        monkeypatch.setattr(Source, "blocks", lambda self, rows=rows: self.trace.blocks(rows))
        made = played(cut, "unmap:at=30%")
        assert np.array_equal(all_events(cut, made.recipe), whole)
        assert sum(e.t.size for e in events(cut, made.recipe)) == whole.size
        monkeypatch.undo()


def test_an_events_number_in_a_run_leads_back_to_its_row(tiny):
    source = source_of(tiny)
    made = played(source, "unmap:at=30%")
    raw, after = source.trace.read(), all_events(source, made.recipe)
    for index in (0, 50, after.size - 1):
        row = row_of(source, made.recipe, index)
        assert raw["iova"][row] == after["iova"][index]


def test_the_summary_counts_by_stream_and_space(tiny):
    summary = source_of(tiny).summary
    assert summary.by_requester == {(5, 0): 30 * (PAGES + 1), (9, 1): 30}
    assert summary.top == {0: BASE + PAGES * 4096, 1: 0x5000}
    assert summary.maps == PAGES + 3
