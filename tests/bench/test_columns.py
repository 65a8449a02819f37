"""Replaying by column: the same events, summary and result as row by row."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import traces.writer
from bench import blocks as bench_blocks
from bench.blocks import Recipe, Source, events
from bench.summary import FIELDS, summarise
from traces.errors import TraceError
from traces.events import EVENT, MAP, MARK, PA_UNKNOWN, READ, TLBI, UNMAP, WRITE
from traces.manifest import METADATA_KEY, Manifest, Space, Stream, Tool
from traces.reader import open_trace
from traces.writer import TraceWriter

MANIFEST = Manifest(
    name="t", title="t", kind="synthetic", source="t", device="t", tool=Tool(name="t", version="1"),
    clock="t", clock_is_real=False, streams=[Stream(stream=n, name="s", space=n % 2) for n in range(3)],
    spaces=[Space(space=0, name="a"), Space(space=1, name="b")], marks=["m"], licence="t",
    invalidation="with-unmap", direction="t", not_contained=[],
)  # fmt: skip


@st.composite
def runs(draw):
    """Draw stretches of alike events, so that row groups are now alike and now not."""
    out, t = [], 0
    for _ in range(draw(st.integers(1, 6))):
        n = draw(st.integers(1, 60))
        part = np.zeros(n, EVENT)
        part["op"] = draw(st.sampled_from([READ, READ, WRITE, MAP, UNMAP, TLBI, MARK]))
        if draw(st.booleans()):
            part["op"][part["op"] <= WRITE] = np.arange(np.count_nonzero(part["op"] <= WRITE)) % 2
        access = part["op"] <= WRITE
        part["stream"] = np.where(access, draw(st.integers(0, 2)), 0)
        part["space"] = np.where(part["op"] == MARK, 0, draw(st.integers(0, 1)))
        base = draw(st.sampled_from([0, 1 << 40, (1 << 48) - 4096, (1 << 64) - 8192]))
        if not access.all():
            base = min(base, 1 << 40)
        step = draw(st.sampled_from([0, 4096])) if base < 1 << 47 else 0
        part["iova"] = np.uint64(base) + np.arange(n, dtype=np.uint64) * np.uint64(step)
        part["size"] = draw(st.sampled_from([4096, 8192]))
        part["pa"] = np.where(access, PA_UNKNOWN, np.uint64(4096) * (part["op"] == MAP))
        for name in ("iova", "size"):
            part[name][part["op"] == MARK] = 0
        t_step = draw(st.sampled_from([0, 7]))
        part["t_ns"] = t + np.arange(n, dtype=np.uint64) * np.uint64(t_step)
        t = int(part["t_ns"][-1])
        out.append(part)
    return np.concatenate(out)


def written(folder, rows, group):
    path = folder / "t.parquet"
    before, traces.writer.ROW_GROUP = traces.writer.ROW_GROUP, group
    try:
        with TraceWriter(path, MANIFEST) as writer:
            writer.append(rows)
    finally:
        traces.writer.ROW_GROUP = before
    return open_trace(path)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rows=runs(), group=st.sampled_from([1, 16, 64, 1 << 17]), most=st.sampled_from([1, 5, 1 << 17]))
def test_columns_are_the_rows(tmp_path_factory, rows, group, most):
    trace = written(tmp_path_factory.mktemp("columns"), rows, group)
    found = list(trace.columns(rows=most))
    assert np.array_equal(np.concatenate([one.events() for one in found]), rows)
    assert np.array_equal(np.concatenate(list(trace.blocks(most))), rows)
    for one in found:
        block = one.events()
        assert one.last_op >= block["op"].max()
        assert all(np.array_equal(one.array(name), block[name]) for name in EVENT.names)
        assert not one.only_accesses or (block["op"] <= WRITE).all()
    few = list(trace.columns(("iova",)))
    assert np.array_equal(np.concatenate([one.array("iova") for one in few]), rows["iova"])
    assert {name for one in few for name in (*one.arrays, *one.same)} == {"op", "stream", "space", "iova"}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rows=runs(), group=st.sampled_from([16, 64, 1 << 17]), pace=st.sampled_from([None, 100]))
def test_a_run_has_the_same_events_by_column_and_by_row(tmp_path_factory, rows, group, pace):
    trace = written(tmp_path_factory.mktemp("columns"), rows, group)
    ias = [48, 48]
    assert summarise(trace.columns(FIELDS), ias) == summarise(trace.blocks(), ias)
    requesters = tuple((stream, space) for stream in range(3) for space in range(2))
    recipe = Recipe(requesters, pace, with_unmap=True)
    kept = list(events(Source(trace), recipe))
    source = Source(trace)
    assert source.kept
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench_blocks, "KEEP_ROWS", 0)
        by_column = list(events(source, recipe))
    mapped = np.concatenate([part.op for part in kept]) == MAP
    for name in ("t", "op", "requester", "iova", "size", "pa", "prot"):
        one, other = (np.concatenate([getattr(part, name) for part in parts]) for parts in (kept, by_column))
        assert one.dtype == other.dtype
        # Where an access went is of no use to a replay, and not read if there is nothing else.
        wanted = mapped if name == "pa" else slice(None)
        assert np.array_equal(one[wanted], other[wanted]), name


def test_what_the_rows_may_not_have_the_columns_may_not_either(tmp_path):
    rows = np.zeros(40, EVENT)
    rows["size"], rows["t_ns"] = 1, np.arange(40)
    path = written(tmp_path, rows, 8).path

    def broken(**columns):
        table = pq.read_table(path)
        for name, (row, value) in columns.items():
            values = table[name].to_numpy().copy()
            values[row:] = value
            at = table.schema.get_field_index(name)
            table = table.set_column(at, table.schema.field(name), [values])
        table = table.replace_schema_metadata({METADATA_KEY: MANIFEST.to_json()})
        pq.write_table(table, tmp_path / "bad.parquet", row_group_size=8)
        return open_trace(tmp_path / "bad.parquet")

    for name, row, value in (("op", 16, 7), ("space", 17, 2), ("stream", 24, 9), ("t_ns", 20, 3)):
        trace = broken(**{name: (row, value)})
        with pytest.raises(TraceError) as by_column:
            list(trace.columns())
        with pytest.raises(TraceError) as by_row:
            list(trace.blocks(8))
        assert str(by_column.value) == str(by_row.value)
        assert f"row {row}" in str(by_column.value)
