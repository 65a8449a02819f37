"""`smmubench traces head, cat, stats, slice, merge, plot`: their words and numbers, and their refusals."""

import csv
import json
import re
import shlex
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.event_text import rights
from bench.reach import reach
from bench.trace_map import COLUMNS, trace_map
from bench.trace_stats import NEAR, Counts, stats
from tests.bench.conftest import event, save, tiny_events
from tests.bench.test_trace_make import faults, replayed
from traces import catalogue
from traces.cut import Span, cut
from traces.events import EVENT, EXEC, MAP, OP_NAMES, PA_UNKNOWN, READ, TLBI, UNMAP, WRITE
from traces.join import join
from traces.reader import open_trace
from traces.synthetic.make import plan, write

# --- head and cat ---------------------------------------------------------------------------------


def test_head_shows_the_first_events(command, tiny):
    status, out, err = command("traces", "head", tiny, "-n", "3")
    assert (status, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["event", "t_ns", "op", "stream", "space", "iova", "size", "pa", "prot"]
    assert lines[1:] == [
        ["0", "0", "MAP", "0", "0x100000", "4096", "0x100000", "rw"],
        ["1", "0", "MAP", "0", "0x101000", "4096", "0x101000", "rw"],
        ["2", "0", "MAP", "0", "0x102000", "4096", "0x102000", "rw"],
    ]


def test_head_of_a_short_trace_is_all_of_it(command, tmp_path):
    save(tmp_path / "t", tiny_events()[:4])
    assert command("traces", "head", "t")[1].count("\n") == 5


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_what_cat_prints_is_the_trace(command, tiny, form):
    _, out, _ = command("traces", "cat", tiny, "--format", form)
    lines = out.splitlines()
    rows = list(csv.DictReader(lines)) if form == "csv" else [json.loads(line) for line in lines]
    want = tiny_events()
    assert [int(row["event"]) for row in rows] == list(range(want.size))
    for name in EVENT.names:
        if name == "op":
            assert [OP_NAMES.index(row["op"]) for row in rows] == want["op"].tolist()
        else:
            assert [int(str(row[name]), 0) for row in rows] == want[name].tolist()


def test_cat_stops_where_it_is_told_across_blocks(command):
    _, out, _ = command("traces", "cat", "qemu-virtio-gpu", "-n", "70k")
    assert out.count("\n") == 70_001
    assert out.splitlines()[-1].startswith("69999,")


def test_an_unknown_output_address_is_left_out_of_the_table(command, tmp_path):
    save(tmp_path / "t", np.array([event(0, READ, 0x1000, stream=5, pa=int(PA_UNKNOWN))], EVENT))
    line = command("traces", "head", "t")[1].splitlines()[1]
    assert line.split() == ["0", "0", "READ", "5", "0", "0x1000", "4096"]


@settings(max_examples=200, deadline=None)
@given(op=st.integers(0, 6), prot=st.integers(0, 0xFFFF))
def test_rights_are_words_or_the_number_itself(op, prot):
    words = rights(op, prot)
    assert (words == "") == (prot == 0 and op != TLBI)
    if words.startswith("0x") and " " not in words:
        assert int(words.split()[0], 16) & prot == int(words.split()[0], 16)


# --- stats ------------------------------------------------------------------------------------------


def asked(command, *arguments):
    status, out, err = command("traces", "stats", *arguments, "--json")
    assert status == 0, err
    return json.loads(out)


def test_stats_are_those_of_a_plain_count(command, tiny):
    got, events = asked(command, tiny), tiny_events()
    access = events[events["op"] <= EXEC]
    assert got["events"] == events.size
    assert got["accesses"] == access.size
    assert got["ops"] == {name: int((events["op"] == op).sum()) for op, name in enumerate(OP_NAMES)}
    assert got["bytes"] == int(access["size"].sum())
    assert got["duration_ns"] == int(events["t_ns"][-1])
    assert got["accesses_per_s"] == access.size * 10**9 // got["duration_ns"]
    for row in got["streams"]:
        mine = access[access["stream"] == row["stream"]]
        assert row["accesses"] == mine.size
        assert (row["READ"], row["WRITE"]) == tuple(int((mine["op"] == op).sum()) for op in (READ, WRITE))
        assert (row["first_ns"], row["last_ns"]) == (int(mine["t_ns"][0]), int(mine["t_ns"][-1]))
    assert [row["MAP"] for row in got["spaces"]] == [10, 1]
    assert (got["mapped_bytes"], got["unmapped_bytes"]) == (11 * 4096, 2 * 4096)
    assert got["sizes"] == [{"most": 64, "accesses": access.size, "exactly": access.size}]


ACCESS = st.tuples(
    st.integers(0, 5), st.sampled_from([READ, WRITE]), st.sampled_from([1, 2]),
    st.one_of(st.integers(0, 2**64 - 1), st.integers(2**20, 2**20 + 300), st.sampled_from([0, 2**63])),
    st.one_of(st.integers(1, 70), st.sampled_from([2**63, 2**64 - 1, 2**32])),
)  # fmt: skip


def signed(x):
    return (x + 2**63) % 2**64 - 2**63


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(ACCESS, min_size=1, max_size=40), cuts=st.lists(st.integers(1, 39), max_size=3))
def test_strides_and_sizes_are_those_of_a_plain_count_in_any_blocks(rows, cuts):
    rows.sort(key=lambda row: row[0])
    events = np.array([(t, op, stream, 0, iova, size, 0, 0) for t, op, stream, iova, size in rows], EVENT)
    counts = Counts()
    for block in np.split(events, sorted(c for c in cuts if c < events.size)):
        if block.size:
            counts.feed(block)
    near, far, last = Counter(), Counter(), {}
    for _, _, stream, iova, _ in rows:
        if stream in last:
            stride = signed(iova - last[stream])
            if abs(stride) <= NEAR:
                near[stride] += 1
            else:
                far[stride > 0, abs(stride).bit_length() - 1] += 1
        last[stream] = iova
    assert {int(k) - NEAR: int(counts.near[k]) for k in np.flatnonzero(counts.near)} == near
    assert {(row == 0, k): int(counts.far[row][k]) for row, k in np.argwhere(counts.far).tolist()} == far
    sizes = Counter((size - 1).bit_length() for *_, size in rows)
    assert {k: int(n) for k, n in enumerate(counts.sizes[:, 0]) if n} == sizes
    exactly = Counter(size.bit_length() - 1 for *_, size in rows if size & (size - 1) == 0)
    assert {k: int(n) for k, n in enumerate(counts.sizes[:, 1]) if n} == exactly


def test_all_strides_are_shown_once():
    made = stats(open_trace(catalogue.find("qemu-virtio-gpu")))
    shown = made.strides()
    followed = sum(row["accesses"] - 1 for row in made.to_json()["streams"])
    assert sum(row["accesses"] for row in shown) == followed


def test_footprint_and_reuse_are_those_of_reach(command):
    got = asked(command, "qemu-dma-tiles")
    want = reach(open_trace(catalogue.find("qemu-dma-tiles")), ("4K", "64K", "2M"))
    for row, column in zip(got["pages"], want.columns, strict=True):
        assert row["page"] == column.page
        assert row["pages"] == column.curve.distinct
        assert row["reuse_within"]["64"] == column.curve.hits[64]
        assert row["knee90"] == column.curve.knee(90)


def test_the_table_of_stats_says_what_it_counts(command, tiny):
    status, out, err = command("traces", "stats", tiny)
    assert (status, err) == (0, "")
    text = " ".join(out.split())
    assert "tiny, synthetic, SHA-256" in text
    assert "of a clock that is not a real device's" in text
    assert "stride in a stream [bytes]" in text
    assert "reuse within 1 page" in text


def test_a_trace_without_accesses_has_stats(command, tmp_path):
    save(tmp_path / "t", tiny_events()[:4])
    assert asked(command, "t")["accesses"] == 0
    assert command("traces", "stats", "t")[0] == 0


# --- slice ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begin", "end", "first", "last"),
    [("20", "50", 20, 50), ("25%", "75%", 78, 234), ("100ns", "1us", None, None), ("0", "100%", 0, 313)],
)
def test_a_slice_is_named_by_number_share_or_time(command, tmp_path, tiny, begin, end, first, last):
    whole = tiny_events()
    assert whole.size == 313
    status, out, err = command("traces", "slice", tiny, "-o", "s", "--from", begin, "--to", end)
    assert (status, err) == (0, "")
    if first is None:
        first, last = np.searchsorted(whole["t_ns"], [100, 1000])
    want = whole[first:last]
    rows = open_trace(tmp_path / "s").read()
    assert f"saved s: {rows.size:,} events, synthetic" in out
    assert (rows[rows.size - want.size :]["iova"] == want["iova"]).all()
    assert (rows["op"][: rows.size - want.size] == MAP).all()


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(
    name=st.sampled_from(["qemu-virtio-gpu", "qemu-dma-tiles"]), first=st.integers(0, 170_000),
    length=st.integers(1, 20_000),
)  # fmt: skip
def test_a_slice_faults_nowhere_where_the_whole_did_not(tmp_path_factory, name, first, length):
    folder = tmp_path_factory.mktemp("slice")
    whole = open_trace(catalogue.find(name))
    last = min(first + length, whole.rows)
    cut(whole, folder / "slice.parquet", Span(first=first, last=last))
    # The same accesses, and what came before them as it was: only its faults may be the slice's.
    cut(whole, folder / "before.parquet", Span(last=last))
    slice_faults, before_faults = (faults(replayed(folder / f"{n}.parquet")) for n in ("slice", "before"))
    early = 0
    if first:
        cut(whole, folder / "early.parquet", Span(last=first))
        early = faults(replayed(folder / "early.parquet"))
    assert slice_faults <= before_faults - early


def test_slices_of_made_traces_replay_without_faults(tmp_path):
    write(plan("mix", ["accesses=3000"], 2), tmp_path / "m.parquet")
    whole = open_trace(tmp_path / "m.parquet")
    for first in (0, 5, 11, 1500, 3000):
        cut(whole, tmp_path / "s.parquet", Span(first=first, last=first + 700))
        assert faults(replayed(tmp_path / "s.parquet")) == 0


# --- merge ------------------------------------------------------------------------------------------


def test_merged_traces_replay_as_each_did_alone(command, tmp_path):
    for kind in ("gemm", "scanout"):
        write(plan(kind, ["accesses=2000"]), tmp_path / f"{kind}.parquet")
    parts = ("gemm.parquet", "scanout.parquet", "qemu-dma-tiles")
    status, out, err = command("traces", "merge", *parts, "-o", "all", "--name", "all-of-them")
    assert (status, err) == (0, "")
    assert "derived" in out
    trace = open_trace(tmp_path / "all")
    assert trace.manifest.name == "all-of-them"
    counters = replayed(tmp_path / "all")
    alone = [replayed(part) for part in parts]
    assert counters["accesses"] == sum(c["accesses"] for c in alone)
    assert faults(counters) == sum(faults(c) for c in alone)


def test_a_merge_of_made_traces_has_the_parameters_of_both(tmp_path):
    for kind in ("copy", "chase"):
        write(plan(kind, ["accesses=10"], 4), tmp_path / kind)
    m = join([open_trace(tmp_path / kind) for kind in ("copy", "chase")], tmp_path / "both")
    assert m.kind == "synthetic"
    assert m.parameters["1.kind"] == "copy"
    assert m.parameters["2.kind"] == "chase"
    assert m.parameters["2.seed"] == 4


# --- plot -------------------------------------------------------------------------------------------


def test_the_map_counts_every_access_and_every_page_once():
    trace = open_trace(catalogue.find("qemu-dma-tiles"))
    made = trace_map(trace)
    rows = trace.read()
    access = rows[rows["op"] <= EXEC]
    keys = access["space"].astype(np.uint64) << np.uint64(52) | access["iova"] >> np.uint64(12)
    column = (access["t_ns"] - access["t_ns"][0]) // np.uint64(made.column_ns)
    assert made.heat.sum() == access.size
    assert made.heat.sum(axis=0).tolist() == np.bincount(column.astype(int), minlength=COLUMNS).tolist()
    assert made.fresh.sum() == np.unique(keys).size
    want = [np.unique(keys[column == k]).size for k in range(COLUMNS)]
    assert made.touched.tolist() == want
    seen, first = np.unique(keys, return_index=True)
    assert made.fresh.tolist() == np.bincount(column[first].astype(int), minlength=COLUMNS).tolist()
    assert made.heat.shape[0] <= seen.size


def test_where_there_are_too_many_pages_neighbours_count_as_one(monkeypatch, tmp_path):
    monkeypatch.setattr("bench.trace_map.MOST_PAGES", 100)
    write(plan("copy", ["size=1M", "stride=4096", "accesses=512"]), tmp_path / "t")
    made = trace_map(open_trace(tmp_path / "t"))
    assert made.page_bits == 15  # 512 pages, 256, 128, 64
    assert made.fresh.sum() == 64
    assert made.heat.sum() == 512


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_picture_is_drawn_and_repeats_byte_for_byte(command, tmp_path, tiny, suffix):
    for name in ("a", "b"):
        status, out, err = command("traces", "plot", tiny, "-o", f"{name}.{suffix}")
        assert (status, out, err) == (0, f"saved {name}.{suffix}\n", "")
    raw = (tmp_path / f"a.{suffix}").read_bytes()
    assert raw == (tmp_path / f"b.{suffix}").read_bytes()
    if suffix == "svg":
        assert ElementTree.fromstring(raw).tag.endswith("svg")
        assert str(tmp_path).encode() not in raw


def test_one_access_can_be_drawn(command, tmp_path):
    save(tmp_path / "t", np.array([event(0, READ, 0x1000, stream=5)], EVENT))
    assert command("traces", "plot", "t", "-o", "t.png")[0] == 0


# --- the page ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_commands_of_the_page_run_as_they_stand(command, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "traces.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", page[page.index("## Making one") :], re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    asked = [shlex.split(line, comments=True) for line in lines if line.startswith("smmubench ")]
    assert len(asked) == 14
    for words in asked:
        status, out, err = command(*words[1:])
        assert status == 0, (words, err)
        assert out
    assert open_trace(tmp_path / "all.parquet").manifest.name == "everything"
    assert {"frame.png", "part.parquet"} <= {path.name for path in tmp_path.iterdir()}


# --- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("head", "none"), "no such trace"),
        (("head", "TINY", "-n", "x"), "not a count: -n"),
        (("cat", "TINY", "--format", "xml"), "unknown format: --format: expected one of table, csv, jsonl"),
        (("stats", "none"), "no such trace"),
        (("slice", "TINY", "-o", "s", "--from", "half"), "not a count: --from"),
        (("slice", "TINY", "-o", "s", "--to", "101%"), "not a fraction: --to"),
        (("slice", "TINY", "-o", "s", "--from", "5 s"), "not a duration: --from"),
        (("slice", "TINY", "-o", "s", "--from", "1k"), "nothing in the cut"),
        (("slice", "TINY", "-o", "no/s"), "expected an existing folder"),
        (("slice", "TINY", "-o", "s", "--name", "A b"), "not a trace's name: --name"),
        (("merge", "TINY", "-o", "s"), "too few traces: traces merge: expected two or more, found 1"),
        (("merge", "TINY", "none", "-o", "s"), "no such trace"),
        (("merge", "TINY", "TINY", "-o", "no/s"), "expected an existing folder"),
        (("plot", "TINY", "-o", "p.pdf"), "not a picture"),
        (("plot", "none", "-o", "p.png"), "no such trace"),
        (("plot", "EMPTY", "-o", "p.png"), "nothing to draw"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_nothing(command, tmp_path, tiny, arguments, said):
    empty = save(tmp_path / "empty", tiny_events()[:4])
    names = {"TINY": tiny, "EMPTY": empty}
    status, out, err = command("traces", *(names.get(a, a) for a in arguments))
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "tiny.parquet"]


def test_an_input_is_not_harmed_by_being_the_output(command, tmp_path, tiny):
    before = open_trace(tiny).read()
    assert command("traces", "slice", tiny, "-o", tiny)[0] == 0
    np.testing.assert_array_equal(open_trace(tiny).read(), before)


def test_unmaps_are_shown_as_what_they_are(command, tmp_path):
    save(tmp_path / "t", np.array([event(0, UNMAP, 0x1000, prot=1 << 15)], EVENT))
    assert command("traces", "head", "t")[1].splitlines()[1].split()[-1] == "abrupt"
