"""Cutting and joining traces: what is live at a cut, and that a join keeps every event once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.traces.test_trace_format import MAPPED, READ_OF_IT, events, manifest, write
from traces import catalogue
from traces.cut import Span, cut
from traces.errors import TraceError
from traces.events import EVENT, EXEC, MAP, MARK, PROT_EXEC, PROT_READ, READ, TLBI, TLBI_VA, UNMAP, WRITE
from traces.interleave import MOST_ROWS, interleave
from traces.join import join
from traces.live import Live
from traces.manifest import Space, Stream
from traces.reader import open_trace
from traces.validate import validate

PAGE = 4096


# --- what is live ---------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.booleans(), st.integers(0, 1), st.integers(0, 30), st.integers(1, 12)), max_size=40
    )
)
def test_live_maps_are_the_pages_that_a_page_by_page_count_has(changes):
    want = {}
    rows = []
    for number, (mapped, space, first, pages) in enumerate(changes):
        pa = (1 << 30) + number * (1 << 20)
        rows.append((0, MAP if mapped else UNMAP, 0, space, first * PAGE, pages * PAGE, pa if mapped else 0,
                     PROT_READ if mapped else 0))  # fmt: skip
        for k in range(pages):
            if mapped:
                want[space, first + k] = pa + k * PAGE
            else:
                want.pop((space, first + k), None)
    live = Live(manifest().spaces)
    cut_at = len(rows) // 2
    for part in (rows[:cut_at], rows[cut_at:]):
        live.feed(events(*part))
    got = {}
    for row in live.maps():
        for k in range(int(row["size"]) // PAGE):
            key = int(row["space"]), int(row["iova"]) // PAGE + k
            assert key not in got
            got[key] = int(row["pa"]) + k * PAGE
    assert got == want


def test_live_maps_come_in_the_order_in_which_they_were_made_and_rightless_ones_do_not():
    live = Live(manifest().spaces)
    live.feed(
        events(
            (0, MAP, 0, 0, 5 * PAGE, PAGE, 0x8000_0000, PROT_READ),
            (1, MAP, 0, 1, 2 * PAGE, PAGE, 0x9000_0000, PROT_READ),
            (2, MAP, 0, 0, 1 * PAGE, 3 * PAGE, 0xA000_0000, PROT_READ),
            (3, MAP, 0, 0, 9 * PAGE, PAGE, 0xB000_0000, PROT_EXEC),
            (4, UNMAP, 0, 0, 2 * PAGE, PAGE, 0, 0),
        )
    )
    got = [(int(m["space"]), int(m["iova"]) // PAGE, int(m["pa"])) for m in live.maps()]
    assert got == [(0, 5, 0x8000_0000), (1, 2, 0x9000_0000), (0, 1, 0xA000_0000), (0, 3, 0xA000_2000)]


# --- cut ------------------------------------------------------------------------------------------

STORY = events(
    (0, MARK, 0, 0, 0, 0, 0, 0),
    MAPPED,
    (1, MAP, 0, 1, 0x4000, 0x1000, 0x9000_0000, PROT_READ),
    READ_OF_IT,
    (6, UNMAP, 0, 0, 0x1000, 0x1000, 0, 0),
    (6, TLBI, 0, 0, 0x1000, 0x1000, 0, TLBI_VA),
    (9, READ, 24, 1, 0x4000, 4, 0x9000_0000, 0),
    (9, MARK, 0, 0, 1, 0, 0, 0),
    (12, READ, 24, 1, 0x4010, 4, 0x9000_0010, 0),
)


def cut_of(tmp_path, **span):
    cut(open_trace(write(tmp_path / "whole.parquet", STORY)), tmp_path / "cut.parquet", Span(**span))
    validate(tmp_path / "cut.parquet")
    return open_trace(tmp_path / "cut.parquet")


def test_a_cut_begins_with_the_live_maps_and_counts_time_from_its_first_event(tmp_path):
    made = cut_of(tmp_path, first=6).read()
    want = STORY[[2, 6, 7, 8]].copy()
    want["t_ns"] = [0, 0, 0, 3]
    np.testing.assert_array_equal(made, want)


def test_a_cut_before_an_unmap_has_what_is_unmapped(tmp_path):
    made = cut_of(tmp_path, first=3, last=5).read()
    want = STORY[[1, 2, 3, 4]].copy()
    want["t_ns"] = [0, 0, 0, 1]
    np.testing.assert_array_equal(made, want)


def test_a_cut_by_time_takes_all_events_of_its_first_moment_and_none_of_its_end(tmp_path):
    assert cut_of(tmp_path, from_ns=6, to_ns=12).read()["op"].tolist() == [MAP, MAP, UNMAP, TLBI, READ, MARK]


def test_the_whole_is_a_cut_too(tmp_path):
    np.testing.assert_array_equal(cut_of(tmp_path).read(), STORY)


def test_a_cut_says_where_it_is_from_and_what_it_lost(tmp_path):
    made = cut_of(tmp_path, first=6, text="--from 6 --to 100%")
    m = made.manifest
    original = open_trace(tmp_path / "whole.parquet")
    assert m.name == "small-cut"
    assert m.sha256 == original.sha256
    note = m.notes[-1]
    assert original.sha256 in note
    assert "--from 6 --to 100%: its first event was number 6, at 9 ns" in note
    assert "the 1 MAPs that were live" in note
    assert any("TLBs are cold" in line for line in m.not_contained)
    assert [s.accesses for s in m.streams] == [0, 2]
    assert m.marks == original.manifest.marks


@pytest.mark.parametrize(("kind", "want"), [("synthetic",) * 2, ("captured", "derived"), ("derived",) * 2])
def test_only_a_cut_of_a_synthetic_trace_stays_synthetic(tmp_path, kind, want):
    trace = open_trace(write(tmp_path / "t.parquet", STORY, kind=kind))
    assert cut(trace, tmp_path / "c.parquet", Span()).kind == want


@pytest.mark.parametrize(
    "span", [{"first": 9}, {"first": 5, "last": 5}, {"from_ns": 13}, {"from_ns": 9, "to_ns": 9}]
)
def test_an_empty_cut_is_refused_and_nothing_is_written(tmp_path, span):
    trace = open_trace(write(tmp_path / "t.parquet", STORY))
    with pytest.raises(TraceError, match="nothing in the cut"):
        cut(trace, tmp_path / "c.parquet", Span(**span))
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


@settings(max_examples=12, deadline=None)
@given(first=st.integers(0, 170_000), length=st.integers(1, 170_000))
def test_a_cut_of_a_capture_has_its_events_whatever_blocks_it_spans(tmp_path_factory, first, length):
    trace = open_trace(catalogue.find("qemu-virtio-gpu"))
    out = tmp_path_factory.mktemp("cut") / "c.parquet"
    m = cut(trace, out, Span(first=first, last=first + length))
    validate(out)
    made, whole = open_trace(out).read(), trace.read()[first : first + length].copy()
    maps = made.size - whole.size
    assert any(f"the {maps:,} MAPs" in note for note in m.notes)
    assert (made["op"][:maps] == MAP).all()
    whole["t_ns"] -= whole["t_ns"][0]
    np.testing.assert_array_equal(made[maps:], whole)


# --- interleave -----------------------------------------------------------------------------------

TIMES = st.lists(st.lists(st.integers(0, 6), max_size=8).map(sorted), max_size=4)


def in_blocks(rows, cuts):
    return iter(np.split(rows, sorted(c for c in cuts if c <= rows.size)))


@settings(max_examples=300, deadline=None)
@given(times=TIMES, cuts=st.lists(st.lists(st.integers(0, 8), max_size=3), min_size=4, max_size=4))
def test_interleaving_sorts_by_time_and_leaves_ties_in_the_order_of_the_sources(times, cuts):
    sources, want = [], []
    for k, ts in enumerate(times):
        rows = events(*((t, READ, k, 0, number, 4, 0, 0) for number, t in enumerate(ts)))
        sources.append(in_blocks(rows, cuts[k]))
        want += [(t, k, number) for number, t in enumerate(ts)]
    got = np.concatenate([np.empty(0, EVENT), *interleave(sources)])
    assert [(int(e["t_ns"]), int(e["stream"]), int(e["iova"])) for e in got] == sorted(want)


def test_interleaved_blocks_stay_small():
    rows = np.zeros(MOST_ROWS, EVENT)
    assert [b.size for b in interleave([iter([rows]), iter([rows]), iter([rows[:5]])])] == [
        MOST_ROWS, MOST_ROWS, 5,
    ]  # fmt: skip


# --- join -----------------------------------------------------------------------------------------

SPACES = [
    Space(space=0, name="one", vmid=3, asid=7),
    Space(space=1, name="below", format="aarch64-s2", ias=40, vmid=9),
    Space(space=2, name="two", format="nested", stage2=1),
]


def joined(tmp_path, *parts, **options):
    traces = [open_trace(write(tmp_path / f"{k}.parquet", *part)) if isinstance(part, tuple) else part
              for k, part in enumerate(parts)]  # fmt: skip
    join(traces, tmp_path / "all.parquet", **options)
    validate(tmp_path / "all.parquet")
    return open_trace(tmp_path / "all.parquet")


def test_a_join_renumbers_what_clashes_and_nothing_else(tmp_path):
    one = open_trace(write(tmp_path / "a.parquet", STORY))
    made = joined(tmp_path, one, open_trace(_second(tmp_path)))
    m = made.manifest
    assert [(s.stream, s.name, s.space, s.accesses) for s in m.streams] == [
        (16, "gpu", 0, 1), (24, "disk", 1, 2), (0, "x", 2, 1), (30, "y", 3, 1),
    ]  # fmt: skip
    assert [s.space for s in m.spaces] == [0, 1, 2, 3, 4]
    assert m.marks == ["begin", "end", "here"]
    rows = made.read()
    assert rows["t_ns"].tolist() == sorted([*STORY["t_ns"].tolist(), 2, 2, 7, 8])
    mine = rows[np.isin(rows["t_ns"], [2, 7, 8])]
    assert [tuple(int(x) for x in row)[1:5] for row in mine] == [
        (MAP, 0, 2, 0x7000), (MARK, 0, 0, 2), (READ, 0, 2, 0x7000), (WRITE, 30, 3, 0x5000),
    ]  # fmt: skip


def _second(tmp_path):
    rows = events(
        (2, MAP, 0, 0, 0x7000, 0x1000, 0x7000_0000, PROT_READ),
        (2, MARK, 0, 0, 0, 0, 0, 0),
        (7, READ, 16, 0, 0x7000, 4, 0, 0),
        (8, WRITE, 30, 1, 0x5000, 4, 0, 0),
    )
    streams = [Stream(stream=16, name="x", space=0), Stream(stream=30, name="y", space=1)]
    path = tmp_path / "second.parquet"
    return write(path, rows, name="second", streams=streams, spaces=SPACES, marks=["here"])


def test_asids_vmids_and_stage_2s_stay_with_their_spaces(tmp_path):
    once = open_trace(_second(tmp_path))
    made = joined(tmp_path, once, once)
    one, below, two, one2, below2, two2 = made.manifest.spaces
    assert (one.vmid, one.asid, below.vmid, two.stage2, two.asid) == (3, 7, 9, 1, 2)
    # The same spaces once more: VMIDs that nobody has, the ASIDs as they were, the stage 2 moved along.
    assert {one2.vmid, below2.vmid}.isdisjoint({3, 9})
    assert one2.vmid != below2.vmid
    assert (one2.asid, two2.stage2, two2.asid) == (7, 4, 2)


OPS = st.sampled_from([READ, WRITE, MAP, UNMAP, TLBI, MARK])
ROWS = st.tuples(st.integers(0, 9), OPS, st.integers(0, 1))


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(st.lists(ROWS, max_size=30), min_size=2, max_size=3))
def test_a_join_keeps_every_event_once(tmp_path_factory, parts):
    tmp_path = tmp_path_factory.mktemp("join")
    whole = []
    for rows in parts:
        made = [
            (t, op, (16, 24)[which] if op <= EXEC else 0, 0 if op == MARK else which,
             which if op == MARK else number * PAGE, 0 if op == MARK else PAGE, 0, 0)
            for number, (t, op, which) in enumerate(sorted(rows))
        ]  # fmt: skip
        whole.append(events(*made) if made else np.empty(0, EVENT))
    made = joined(tmp_path, *((rows,) for rows in whole))
    rows, m = made.read(), made.manifest
    for k, want in enumerate(whole):
        ids = [s.stream for s in m.streams[2 * k : 2 * k + 2]]
        mine = (rows["space"] >= 2 * k) & (rows["space"] < 2 * k + 2) & (rows["op"] != MARK)
        mine |= (rows["op"] == MARK) & (rows["iova"] // 2 == k)
        back = rows[mine].copy()
        access, mark = back["op"] <= EXEC, back["op"] == MARK
        assert np.isin(back["stream"][access], ids).all()
        back["stream"][access] = np.where(back["stream"][access] == ids[0], 16, 24)
        back["space"][~mark] -= 2 * k
        back["iova"][mark] -= 2 * k
        np.testing.assert_array_equal(back, want)
    assert rows.size == sum(want.size for want in whole)


@pytest.mark.parametrize(
    ("kinds", "want"),
    [
        (("synthetic",) * 2, "synthetic"),
        (("captured", "synthetic"), "derived"),
        (("captured",) * 2, "derived"),
    ],
)
def test_a_join_is_synthetic_where_all_parts_are(tmp_path, kinds, want):
    traces = [open_trace(write(tmp_path / f"{k}.parquet", STORY, kind=kind)) for k, kind in enumerate(kinds)]
    m = join(traces, tmp_path / "all.parquet")
    assert m.kind == want
    for k, trace in enumerate(traces, 1):
        assert any(note.startswith(f"part {k}: small, ") and trace.sha256 in note for note in m.notes)


def test_unmaps_that_invalidate_and_unmaps_that_do_not_cannot_be_joined(tmp_path):
    a = open_trace(write(tmp_path / "a.parquet", STORY))
    b = open_trace(write(tmp_path / "b.parquet", STORY, invalidation="with-unmap"))
    with pytest.raises(TraceError, match=r"found explicit in .*a.parquet; with-unmap in .*b.parquet"):
        join([a, b], tmp_path / "all.parquet")
    assert not (tmp_path / "all.parquet").exists()


def test_a_trace_without_unmaps_goes_with_any_invalidation(tmp_path):
    a = open_trace(write(tmp_path / "a.parquet", events(MAPPED, READ_OF_IT)))
    b = open_trace(write(tmp_path / "b.parquet", STORY, invalidation="with-unmap"))
    assert join([a, b], tmp_path / "all.parquet").invalidation == "with-unmap"
