"""Scenarios `wild` and `readonly`: stray accesses at a rate, and a buffer that loses its write right."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.blocks import Recipe, Source, events, parts
from bench.errors import ScenarioError
from bench.inject import inject, plain
from bench.scenario import parse
from bench.wild import Wild, holes, mixed, own_accesses, stray
from tests.bench.conftest import BASE, RW, event, save, tiny_events
from traces.catalogue import find
from traces.events import (
    ABRUPT,
    EVENT,
    EXEC,
    MAP,
    PA_UNKNOWN,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    READ,
    TLBI,
    UNMAP,
    WRITE,
)  # fmt: skip
from traces.manifest import Space, Stream
from traces.reader import open_trace

PAGE = 4096


def source_of(path):
    return Source(open_trace(path))


def played(source, text, pace=10, seed=0):
    return inject(source, parse(text), pace, seed)


def joined(source, recipe):
    blocks, rows = zip(*parts(source, recipe), strict=True)
    return np.concatenate(blocks), np.concatenate(rows)


def strays_of(source, text, **more):
    every, rows = joined(source, played(source, text, **more).recipe)
    return every[(every["op"] <= EXEC) & ~own_accesses(every, rows)]


def small(tmp_path, made, **changes):
    return source_of(save(tmp_path / "t.parquet", np.array(made, EVENT), **changes))


def replayed(command, trace, scenario, *more):
    status, out, err = command("replay", trace, "--policy", "P8", "--scenario", scenario, "--json", *more)
    assert status == 0, err
    made = json.loads(out)
    return made["rows"][0]["counters"], made["manifest"]["scenario_notes"]


# --- wild ------------------------------------------------------------------------------------
def test_at_a_rate_of_all_every_access_is_followed_by_one_stray(tiny):
    source = source_of(tiny)
    every, rows = joined(source, played(source, "wild:rate=100%").recipe)
    access = np.flatnonzero(every["op"] <= EXEC)
    own, strays = access[::2], access[1::2]
    assert np.array_equal(strays, own + 1)
    assert np.array_equal(rows[strays], rows[own])
    before = source.trace.read()
    assert np.array_equal(every[own], before[before["op"] <= EXEC])
    for field in ("stream", "space", "op", "size", "t_ns", "prot"):
        assert np.array_equal(every[field][strays], every[field][own])
    assert np.all(every["pa"][strays] == PA_UNKNOWN)


def test_strays_go_to_pages_that_no_map_reaches(tiny):
    source = source_of(tiny)
    for stray_access in strays_of(source, "wild:rate=100%"):
        page = int(stray_access["iova"])
        assert page % PAGE == 0
        if stray_access["space"] == 0:
            assert not BASE <= page < BASE + 8 * PAGE
            assert page < 1 << 48
        else:
            assert page != 0x4000
            assert page < 1 << 32


def test_a_space_with_one_free_page_sends_every_stray_there(tmp_path):
    half = 1 << 31
    made = [
        event(0, MAP, 0, half, prot=RW, pa=0),
        event(0, MAP, half + PAGE, half - PAGE, prot=RW, pa=half + PAGE),
        *[event(k, READ, 64 * k, 64, stream=5) for k in range(20)],
    ]
    spaces, streams = [Space(space=0, name="gpu", ias=32)], [Stream(stream=5, name="gpu", space=0)]
    source = small(tmp_path, made, spaces=spaces, streams=streams)
    assert set(strays_of(source, "wild:rate=100%")["iova"].tolist()) == {half}
    made.insert(0, event(0, MAP, half, PAGE, prot=RW, pa=half))
    (tmp_path / "t.parquet").unlink()
    source = small(tmp_path, made, spaces=spaces, streams=streams)
    with pytest.raises(ScenarioError, match=r"no room for strays.*a free page in space 0"):
        played(source, "wild:rate=100%")


def test_holes_are_counted_between_maps_that_touch_overlap_and_end_in_a_page():
    made = [
        event(0, MAP, 0x1000, 0x1000), event(0, MAP, 0x2000, 0x1000), event(0, MAP, 0x1000, 0x3000),
        event(0, MAP, 0x8000, 0x1800), event(0, MAP, 0xF000, 0x1000), event(0, MAP, 0x5000, 0x1000, space=1),
    ]  # fmt: skip
    (found,) = holes([np.array(made[:3], EVENT), np.array(made[3:], EVENT)], {0: 16}, {}).values()
    assert found.pages == 1 + 4 + 5
    pages = found.page(np.arange(10, dtype=np.uint64)).tolist()
    assert pages == [k * PAGE for k in (0, 4, 5, 6, 7, 10, 11, 12, 13, 14)]


def test_the_hash_is_that_of_splitmix64():
    # Its outputs from state 0 are the mixes of the multiples of its constant (Steele, Lea, Flood 2014).
    from bench.wild import _scramble

    start = _scramble(0)
    numbers = (np.array([1, 2, 3], object) - start) % (1 << 64)
    found = mixed(numbers.astype(np.uint64), 0).tolist()
    assert found == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_a_rate_is_kept_to_within_its_chance(seed):
    for rate, share in ((1 << 60, 1 / 16), (1 << 54, 1 / 1024)):
        wild = Wild(rate, seed, None, None, {})
        expected = share * (1 << 20)
        assert abs(wild.count(1 << 20) - expected) < 5 * expected**0.5


def test_strays_of_two_seeds_and_of_two_parts_are_not_the_same(tiny):
    source = source_of(tiny)
    found = [strays_of(source, f"wild:rate=30%,seed={s}")["iova"].tolist() for s in range(3)]
    assert not set(found[0]) & set(found[1])
    assert strays_of(source, "wild:rate=30%", seed=2)["iova"].tolist() == found[2]
    twice = strays_of(source, "wild:rate=30%,seed=0+wild:rate=30%,seed=0")
    assert set(found[0]) < set(twice["iova"].tolist())
    assert len(set(twice["iova"].tolist())) == twice.size > len(found[0])


def test_op_and_stream_are_as_asked(tiny):
    strays = strays_of(source_of(tiny), "wild:rate=50%,op=exec,stream=9")
    assert set(strays["op"].tolist()) == {EXEC}
    assert set(zip(strays["stream"].tolist(), strays["space"].tolist(), strict=True)) == {(9, 1)}


def test_strays_do_not_stretch_the_trace(tiny):
    source = source_of(tiny)
    made = played(source, "wild:rate=100%", pace=10)
    block = [
        np.concatenate(both) for both in zip(*((e.t, e.op) for e in events(source, made.recipe)), strict=True)
    ]
    times = block[0][block[1] <= EXEC]
    assert times.tolist() == [10 * k for k in range(300) for _ in range(2)]
    before = np.concatenate([e.t for e in events(source, plain(source, 10).recipe)])
    assert block[0].max() == before.max()
    assert np.all(np.diff(block[0]) >= 0)


@given(
    cuts=st.lists(st.integers(1, 330), max_size=12),
    share=st.integers(1, 1 << 64),
    seed=st.integers(0, 1 << 40),
    second=st.booleans(),
)
def test_strays_do_not_depend_on_how_the_trace_is_cut(cuts, share, seed, second):
    whole = tiny_events()
    rows = np.arange(whole.size)
    free = holes([whole], {0: 48, 1: 32}, {})
    wilds = [Wild(share, seed + k, None, None, free) for k in range(1 + second)]

    def through(stream):
        for wild in wilds:
            stream = stray(stream, wild)
        blocks, numbers = zip(*stream, strict=True)
        return np.concatenate(blocks), np.concatenate(numbers)

    at = sorted({min(cut, whole.size) for cut in cuts} - {0, whole.size})
    cut_up = [pair for pair in zip(np.split(whole, at), np.split(rows, at), strict=True) if pair[0].size]
    one, many = through(iter([(whole, rows)])), through(iter(cut_up))
    assert np.array_equal(one[0], many[0])
    assert np.array_equal(one[1], many[1])
    strays = int(np.count_nonzero(one[0]["op"] <= EXEC)) - 300
    assert strays == sum(wild.count(300) for wild in wilds)


def test_every_stray_is_a_fault_and_the_note_counts_them(command, tiny):
    counters, notes = replayed(command, tiny, "wild:rate=100%", "--pace", "10us")
    assert counters["accesses"] == 600
    assert counters["faults_injected"] == 300
    assert notes == ["300 stray accesses of the trace's streams, to pages that no MAP reaches"]


@pytest.mark.parametrize(
    "scenario",
    [
        "wild:rate=10%",
        "wild:rate=10%+unmap",
        "readonly+wild:rate=10%",
        "wild:rate=10%+burst:n=4+heartbeat:n=3",
    ],
)
def test_faults_are_at_least_the_strays_beside_any_other_scenario(command, tiny, scenario):
    counters, notes = replayed(command, tiny, scenario, "--pace", "10us")
    strays = next(int(note.split()[0]) for note in notes if "to pages that no MAP" in note)
    assert 10 < strays < 60
    assert counters["faults_injected"] >= strays
    assert counters["faults_injected"] > strays or scenario == "wild:rate=10%"


def test_a_trace_too_short_for_its_rate_is_refused(tiny):
    with pytest.raises(ScenarioError, match=r"no stray access.*one of 300 accesses or more strays"):
        played(source_of(tiny), "wild:seed=1")
    with pytest.raises(ScenarioError, match="more than 0%"):
        parse("wild:rate=0%")
    with pytest.raises(ScenarioError, match="one of 5, 9, found 77"):
        played(source_of(tiny), "wild:stream=77")


@pytest.mark.parametrize("name", ["qemu-virtio-gpu", "qemu-dma-tiles"])
def test_strays_of_a_capture_miss_every_map(name):
    source = source_of(find(name))
    strays = strays_of(source, "wild:rate=1%")
    for block in source.blocks():
        for one in block[block["op"] == MAP]:
            mine = strays[strays["space"] == one["space"]]["iova"]
            assert not np.any((mine + np.uint64(PAGE) > one["iova"]) & (mine < one["iova"] + one["size"]))


# --- readonly --------------------------------------------------------------------------------
def test_readonly_unmaps_invalidates_and_maps_the_same_pages_without_write(tiny):
    source = source_of(tiny)
    made = played(source, "readonly:at=10%")
    explicit = Recipe(made.recipe.requesters, 10, False, (), made.recipe.protected)
    every, rows = joined(source, explicit)
    (at,) = np.flatnonzero((every["op"] == UNMAP) & (every["prot"] & ABRUPT != 0))
    three = every[at : at + 3]
    assert three["op"].tolist() == [UNMAP, TLBI, MAP]
    # Page 3: written twice a round, the others once.
    assert three["iova"].tolist() == [BASE + 3 * PAGE] * 3
    assert int(three["pa"][2]) == (1 << 20) + 3 * PAGE
    assert int(three["prot"][2]) == PROT_READ
    assert int(np.count_nonzero(every["op"][:at] <= EXEC)) == 30
    assert set(rows[at : at + 4].tolist()) == {int(rows[at + 3])}


def test_writes_fault_and_reads_do_not_until_it_is_mapped_again(command, tiny):
    # Page 3, written twice a round, from half of 30 rounds to the 22nd, whose end maps it again.
    counters, notes = replayed(command, tiny, "readonly:at=50%", "--pace", "10us")
    assert counters["faults_injected"] == 2 * (30 - 8 - 15 + 1)
    assert notes == ["MAP 3 (4 KiB at 0x103000) is read-only from access 150 on"]


def test_the_buffer_with_most_writes_is_taken_not_the_busiest(tmp_path, command):
    made = [
        event(0, MAP, BASE, prot=RW),
        event(0, MAP, BASE + PAGE, pa=PAGE, prot=RW),
        event(0, MAP, BASE + 2 * PAGE, pa=2 * PAGE, prot=PROT_READ),
        *[event(k, READ, BASE, 8, stream=5) for k in range(4)],
        *[event(4, READ, BASE, 8, stream=5) for _ in range(9)],
        event(5, READ, BASE + PAGE, 8, stream=5),
        event(5, WRITE, BASE + PAGE, 8, stream=5),
        event(6, WRITE, BASE + PAGE, 8, stream=5),
        event(6, WRITE, BASE, 8, stream=5),
    ]
    source = small(tmp_path, made)
    (lost,) = played(source, "readonly:at=20%").recipe.protected
    assert (lost.iova, lost.prot) == (BASE + PAGE, RW)
    counters, _ = replayed(command, tmp_path / "t.parquet", "readonly:at=20%", "--pace", "10us")
    assert counters["faults_injected"] == 2  # its two writes, and not its read
    with pytest.raises(ScenarioError, match="MAP 2 wholly mapped with the right to write"):
        played(source, "readonly:at=20%,buffer=2")
    with pytest.raises(ScenarioError, match=r"no buffer to make read-only.*written after access 17"):
        played(source, "readonly:at=100%")


def test_a_trace_without_a_write_has_no_buffer_to_make_read_only(tmp_path):
    made = [event(0, MAP, BASE, prot=RW), *[event(k, READ, BASE, 8, stream=5) for k in range(9)]]
    with pytest.raises(ScenarioError, match="found 1 mapped and none written again"):
        played(small(tmp_path, made), "readonly")


def test_what_could_only_be_written_can_only_be_read_then_and_other_rights_stay(tmp_path):
    made = [
        event(0, MAP, BASE, prot=PROT_WRITE),
        event(0, MAP, BASE + PAGE, pa=PAGE, prot=RW | PROT_EXEC),
        *[event(k, WRITE, BASE + PAGE * (k % 2), 8, stream=5) for k in range(10)],
    ]
    source = small(tmp_path, made)
    for buffer, prot in ((0, PROT_READ), (1, PROT_READ | PROT_EXEC)):
        every, _ = joined(source, played(source, f"readonly:buffer={buffer}").recipe)
        assert int(every[every["op"] == MAP]["prot"][2]) == prot


def test_a_buffer_that_has_vanished_or_is_read_only_already_is_not_taken(tiny):
    source = source_of(tiny)
    both = played(source, "unmap:at=50%+readonly:at=50%").recipe
    assert both.gone[0].iova == BASE + 3 * PAGE != both.protected[0].iova
    first, second = played(source, "readonly:at=50%+readonly:at=60%").recipe.protected
    assert first.iova == BASE + 3 * PAGE != second.iova


def test_a_random_buffer_is_one_that_is_written(tiny):
    source = source_of(tiny)
    chosen = {played(source, "readonly:buffer=random", seed=s).recipe.protected[0].number for s in range(20)}
    assert chosen <= {1, 3, 5, 7}
    assert len(chosen) > 1


def test_blocks_of_any_size_give_the_same_events_under_all_of_them(tiny, monkeypatch):
    text = "unmap:at=30%+readonly:at=60%+wild:rate=20%"
    source = source_of(tiny)
    whole = joined(source, played(source, text).recipe)
    for rows in (1, 7):
        cut = source_of(tiny)
        monkeypatch.setattr(Source, "blocks", lambda self, rows=rows: self.trace.blocks(rows))
        made = played(cut, text)
        found = joined(cut, made.recipe)
        times = np.concatenate([e.t for e in events(cut, made.recipe)])
        monkeypatch.undo()
        assert np.array_equal(found[0], whole[0])
        assert np.array_equal(found[1], whole[1])
        expected = np.concatenate([e.t for e in events(source, played(source, text).recipe)])
        assert np.array_equal(times, expected)
