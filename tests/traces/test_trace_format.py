"""The trace format: what is written comes back, and what is broken is refused with its place."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traces import catalogue
from traces.errors import TraceError
from traces.events import (
    EVENT,
    MAP,
    MARK,
    PA_UNKNOWN,
    PROT_READ,
    READ,
    TLBI,
    TLBI_ALL,
    TLBI_VA,
    UNMAP,
    WRITE,
)
from traces.manifest import METADATA_KEY, Manifest, Space, Stream, Tool
from traces.reader import SCHEMA, open_trace
from traces.validate import validate
from traces.writer import ROW_GROUP, TraceWriter

IAS = 39


def manifest(**changes):
    fields = {
        "name": "small",
        "title": "A small trace",
        "kind": "synthetic",
        "source": "the tests",
        "device": "none",
        "tool": Tool(name="pytest", version="9"),
        "clock": "counts up",
        "clock_is_real": False,
        "streams": [Stream(stream=16, name="gpu", space=0), Stream(stream=24, name="disk", space=1)],
        "spaces": [Space(space=0, name="gpu", asid=1, ias=IAS), Space(space=1, name="disk", asid=2)],
        "marks": ["begin", "end"],
        "licence": "CC0-1.0",
        "invalidation": "explicit",
        "direction": "chosen",
        "not_contained": ["anything real"],
    }
    return Manifest(**(fields | changes))


def events(*rows):
    return np.array([tuple(row) for row in rows], EVENT)


MAPPED = (0, MAP, 0, 0, 0x1000, 0x1000, 0x80000000, PROT_READ)
READ_OF_IT = (5, READ, 16, 0, 0x1040, 64, 0x80000040, 0)
SOUND = events(
    (0, MARK, 0, 0, 0, 0, 0, 0),
    MAPPED,
    READ_OF_IT,
    (6, WRITE, 24, 1, 0xFFFF_FFFF_FFFF_0000, 4, PA_UNKNOWN, 0),
    (7, UNMAP, 0, 0, 0x1000, 0x1000, 0, 0),
    (8, TLBI, 0, 0, 0x1000, 0x1000, 0, TLBI_VA),
    (9, TLBI, 0, 1, 0, 0, 0, TLBI_ALL),
)


def write(path, rows=SOUND, **changes):
    with TraceWriter(path, manifest(**changes)) as writer:
        writer.append(rows)
    return path


def write_raw(path, rows=SOUND, metadata=None, schema=SCHEMA):
    """Write a file past the writer's own checks."""
    table = pa.Table.from_arrays(
        [pa.array(np.ascontiguousarray(rows[n])) for n in SCHEMA.names], schema=schema
    )
    raw = manifest().to_json() if metadata is None else metadata
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: raw} if raw else {}), path)
    return path


def test_a_trace_comes_back_as_it_was_written_with_its_counts(tmp_path):
    trace = open_trace(write(tmp_path / "t.parquet"))
    assert trace.rows == len(SOUND)
    np.testing.assert_array_equal(trace.read(), SOUND)
    assert trace.manifest.counts == {
        "READ": 1, "WRITE": 1, "EXEC": 0, "MAP": 1, "UNMAP": 1, "TLBI": 2, "MARK": 1,
    }  # fmt: skip
    report = validate(trace.path)
    assert report.rows == 7
    assert report.last_ns == 9
    assert report.counts == trace.manifest.counts


def test_writing_the_same_trace_twice_gives_the_same_bytes(tmp_path):
    one, two = open_trace(write(tmp_path / "1.parquet")), open_trace(write(tmp_path / "2.parquet"))
    assert one.sha256 == two.sha256


U64 = st.integers(0, 2**64 - 1)
ACCESS = st.tuples(
    U64, st.sampled_from([READ, WRITE]), st.sampled_from([16, 24]), st.integers(0, 1), U64,
    st.integers(1, 2**64 - 1), U64, st.integers(0, 0xFFFF),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(ACCESS, max_size=50), cut=st.integers(0, 50), block=st.integers(1, 60))
def test_any_accesses_come_back_in_any_block_size(tmp_path_factory, rows, cut, block):
    path = tmp_path_factory.mktemp("round") / "t.parquet"
    want = np.sort(np.array(rows, EVENT), order="t_ns", kind="stable")
    with TraceWriter(path, manifest()) as writer:
        writer.append(want[:cut])
        writer.append(want[cut:])
    blocks = list(open_trace(path).blocks(block))
    assert all(0 < b.size <= block for b in blocks)
    np.testing.assert_array_equal(np.concatenate([np.empty(0, EVENT), *blocks]), want)


REGULAR = {
    "regular": (lambda n: np.arange(n, dtype=np.uint64) * np.uint64(64), {"t_ns", "iova", "pa"}),
    "random": (lambda n: np.random.default_rng(1).integers(0, 1 << 40, n, dtype=np.uint64), {"t_ns", "pa"}),
}


@pytest.mark.parametrize(("iova", "quick"), REGULAR.values(), ids=REGULAR)
def test_a_column_that_is_no_longer_for_it_is_written_to_be_read_quickly(tmp_path, iova, quick):
    rows = np.repeat(SOUND[SOUND["op"] == READ][:1], ROW_GROUP + 10)
    rows["t_ns"], rows["iova"], rows["pa"] = np.arange(rows.size), iova(rows.size), PA_UNKNOWN
    path = write(tmp_path / "t.parquet", rows)
    group = pq.ParquetFile(path).metadata.row_group(1)
    found = {group.column(at).path_in_schema: group.column(at) for at in range(group.num_columns)}
    assert {name for name, column in found.items() if column.compression == "LZ4"} == quick
    assert ("DELTA_BINARY_PACKED" in found["iova"].encodings) == ("iova" in quick)
    assert np.array_equal(open_trace(path).read(), rows)
    assert validate(path).rows == rows.size


def test_statistics_that_the_data_do_not_bear_out_are_found_by_validate(tmp_path, monkeypatch):
    path = write(tmp_path / "t.parquet")
    monkeypatch.setattr("traces.reader._statistics", lambda *_: {"size": (1 << 40, 1 << 40)})
    with pytest.raises(TraceError, match="column size is not as its statistics say"):
        validate(path)


def test_a_long_trace_is_written_in_row_groups_and_streamed(tmp_path):
    n = 2 * ROW_GROUP + 7
    rows = np.zeros(n, EVENT)
    rows["t_ns"] = np.arange(n)
    rows["stream"], rows["size"] = 16, 64
    path = tmp_path / "t.parquet"
    with TraceWriter(path, manifest()) as writer:
        for start in range(0, n, 1000):
            writer.append(rows[start : start + 1000])
    assert pq.ParquetFile(path).num_row_groups == 3
    assert sum(b.size for b in open_trace(path).blocks()) == n


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((5, 9, 16, 0, 0, 1, 0, 0), "unknown op"),
        ((5, READ, 17, 0, 0, 1, 0, 0), "a stream that the manifest does not list"),
        ((5, READ, 16, 2, 0, 1, 0, 0), "a space that the manifest does not list"),
        ((5, READ, 16, 0, 0, 0, 0, 0), "an event of no size"),
        ((5, UNMAP, 0, 0, 0x1000, 0, 0, 0), "an event of no size"),
        ((5, MAP, 0, 0, 0x1800, 0x1000, 0, 0), "an aligned iova"),
        ((5, MAP, 0, 0, 0x1000, 0x1800, 0, 0), "an aligned size"),
        ((5, MAP, 0, 0, 0x1000, 0x1000, 0x10, 0), "an aligned pa"),
        ((5, MAP, 0, 0, 1 << IAS, 0x1000, 0, 0), "beyond the space's input address size"),
        ((5, MAP, 0, 0, (1 << IAS) - 0x1000, 0x2000, 0, 0), "beyond the space's input address size"),
        ((5, TLBI, 0, 0, 0, 0, 0, 10), "unknown TLBI kind"),
        ((5, TLBI, 0, 0, 0x1000, 0x800, 0, TLBI_VA), "an aligned size"),
        ((5, TLBI, 0, 0, 0, 0, 0, TLBI_VA), "an event of no size"),
        ((5, MARK, 0, 0, 2, 0, 0, 0), "a mark that the manifest does not list"),
    ],
)
def test_a_broken_event_is_refused_with_its_row(tmp_path, row, message):
    rows = events(MAPPED, READ_OF_IT, row)
    with pytest.raises(TraceError, match=message) as caught:
        validate(write_raw(tmp_path / "t.parquet", rows))
    assert "row 2" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(TraceError, match=message):
        write(tmp_path / "never.parquet", rows)
    assert not (tmp_path / "never.parquet").exists()


def test_a_trace_with_time_running_backwards_is_refused_with_its_row(tmp_path):
    rows = np.repeat(events(READ_OF_IT), 10)
    rows["t_ns"] = [0, 1, 2, 3, 4, 5, 6, 2, 8, 9]
    path = write_raw(tmp_path / "t.parquet", rows)
    # Blocks of 7 put the step between two blocks.
    for block in (4, 7, 100):
        with pytest.raises(TraceError, match="time runs backwards") as caught:
            list(open_trace(path).blocks(block))
        assert caught.value.where == f"{path}: row 7"
        assert caught.value.expected == "t_ns of 6 or later"
        assert caught.value.found == "2"


@pytest.mark.parametrize("field", ["stream", "space", "op"])
def test_a_replay_sees_no_event_that_the_manifest_does_not_know(tmp_path, field):
    rows = events(READ_OF_IT)
    rows[field] = 99
    with pytest.raises(TraceError, match="row 0"):
        list(open_trace(write_raw(tmp_path / "t.parquet", rows)).blocks())


def test_files_that_are_no_traces_are_each_refused_by_one_clear_error(tmp_path):
    sound = write(tmp_path / "sound.parquet").read_bytes()
    cases = {
        "missing": (None, "no such file"),
        "empty": (b"", "an empty file"),
        "text": (b"t_ns,op\n1,2\n", "expected a Parquet file"),
        "short": (sound[: len(sound) // 2], "cut short"),
        "magic": (b"PAR1", "damaged Parquet footer"),
        "footer": (sound[:-40] + b"\xff" * 32 + sound[-8:], "damaged Parquet footer"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(TraceError, match=message) as caught:
            validate(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(TraceError, match="a directory"):
        validate(tmp_path)


def test_a_flipped_byte_in_the_data_is_found(tmp_path):
    path = write(tmp_path / "t.parquet", np.repeat(events(READ_OF_IT), 5000))
    data = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(1)
    data[column.data_page_offset + column.total_compressed_size - 3] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(TraceError, match="damaged Parquet data"):
        validate(path)


def test_other_columns_are_refused_by_name(tmp_path):
    renamed = pa.schema([f.with_name("time") if f.name == "t_ns" else f for f in SCHEMA])
    with pytest.raises(TraceError, match=r"expected t_ns, op.*found time, op"):
        open_trace(write_raw(tmp_path / "t.parquet", schema=renamed))
    table = pa.table(
        {n: pa.array(SOUND[n].astype("f8") if n == "size" else SOUND[n].copy()) for n in SCHEMA.names}
    )
    pq.write_table(
        table.replace_schema_metadata({METADATA_KEY: manifest().to_json()}), tmp_path / "f.parquet"
    )
    with pytest.raises(TraceError, match="column size has the wrong type: expected uint64, found double"):
        open_trace(tmp_path / "f.parquet")


def test_a_damaged_column_name_is_a_damaged_footer(tmp_path):
    path = write(tmp_path / "t.parquet")
    path.write_bytes(path.read_bytes().replace(b"iova", b"\xf2ova"))
    with pytest.raises(TraceError, match="damaged Parquet"):
        open_trace(path)


def test_nulls_are_refused(tmp_path):
    columns = {n: pa.array([None] if n == "pa" else [0], SCHEMA.field(n).type) for n in SCHEMA.names}
    table = pa.table(columns).replace_schema_metadata({METADATA_KEY: manifest().to_json()})
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(TraceError, match="column pa holds nulls"):
        validate(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (b"", "no manifest"),
        (b"{", "the manifest is not JSON"),
        (b"[]", "an object"),
        (b'{"format": 2}', "unknown trace format version: expected 1 to 1, found 2"),
        (b'{"format": 1}', "manifest field name"),
        (manifest().to_json().replace(b'"title"', b'"titel"'), "manifest field"),
        (manifest().to_json().replace(b'"space":1,"name"', b'"space":2,"name"'), "numbered 0, 1, 2"),
        (manifest().to_json().replace(b'"stream":24', b'"stream":16'), "a stream ID twice"),
    ],
)
def test_a_bad_manifest_is_refused_by_field(tmp_path, metadata, message):
    with pytest.raises(TraceError, match=message) as caught:
        open_trace(write_raw(tmp_path / "t.parquet", metadata=metadata))
    assert "\n" not in str(caught.value)


def test_counts_that_the_events_do_not_bear_out_are_refused(tmp_path):
    wrong = manifest(counts={"READ": 1, "TLBI": 1}).to_json()
    with pytest.raises(TraceError, match="count of TLBI is wrong: expected 2, found 1"):
        validate(write_raw(tmp_path / "t.parquet", metadata=wrong))


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = write(tmp_path / "t.parquet")
    before = path.read_bytes()

    class StoppedError(Exception):
        pass

    with pytest.raises(StoppedError), TraceWriter(path, manifest()) as writer:
        writer.append(SOUND)
        raise StoppedError
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(TraceError, match="cannot be written"):
        write(tmp_path / "nowhere" / "t.parquet")


def test_a_bundled_trace_is_found_by_name_and_a_misspelt_one_suggests_it(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "CAPTURED", tmp_path)
    path = write(tmp_path / "small-gpu.parquet")
    assert catalogue.find("small-gpu") == path
    assert catalogue.find(path) == path
    assert [entry.name for entry in catalogue.list_traces()] == ["small-gpu"]
    with pytest.raises(TraceError, match="such as small-gpu"):
        catalogue.find("smal-gpu")


@pytest.mark.parametrize("entry", catalogue.list_traces(), ids=lambda entry: entry.name)
def test_every_bundled_trace_is_sound_and_small(entry):
    report = validate(entry.path)
    assert entry.manifest.name == entry.name
    assert report.counts == entry.manifest.counts
    assert entry.path.stat().st_size < 3 << 20
    assert Path(entry.path).suffix == ".parquet"


def test_a_device_is_never_replaced_by_a_trace(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(TraceError, match="a plain file"), TraceWriter(pipe, manifest()):
        pass
    assert pipe.is_fifo()
