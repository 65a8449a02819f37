"""Importing CSV and Parquet: columns, units, words, and what a table may leave out."""

import gzip
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.traces.shared_captures import REPOSITORY, capture
from traces.errors import TraceError
from traces.events import EXEC, MAP, MARK, PA_UNKNOWN, READ, TLBI, TLBI_ASID, UNMAP, WRITE
from traces.importers.result import Options
from traces.importers.run import import_trace
from traces.reader import open_trace
from traces.validate import validate

SMALL = """\
t_ns,op,stream,space,iova,size,pa,prot
100,MAP,0,0,0x1000,8192,0x80000000,3
150,READ,7,0,0x1040,64,0x80000040,0
150,WRITE,7,0,4160,4,,
200,UNMAP,,0,0x1000,0x2000,,
"""


def imported(tmp_path, text, options=None, name="t.csv", **more):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    made = import_trace(path, tmp_path / "out.parquet", options=options, **more)
    validate(made.path)
    return made, open_trace(made.path).read()


def rows(events, *fields):
    return [tuple(int(event[field]) for field in fields) for event in events]


def mapped(**fields):
    return Options(map=fields)


def test_a_table_with_our_own_columns_needs_no_map(tmp_path):
    made, events = imported(tmp_path, SMALL)
    assert events.tolist() == [
        (0, MAP, 0, 0, 0x1000, 0x2000, 0x80000000, 3),
        (50, READ, 7, 0, 0x1040, 64, 0x80000040, 0),
        (50, WRITE, 7, 0, 0x1040, 4, int(PA_UNKNOWN), 0),
        (100, UNMAP, 0, 0, 0x1000, 0x2000, 0, 0),
    ]
    assert made.manifest.kind == "derived"
    assert not made.manifest.clock_is_real
    assert made.manifest.not_contained == ["TLBI events: the table has none."]


@pytest.mark.parametrize("granule", [4096, 16384, 65536])
def test_a_granule_is_the_tables_and_ranges_keep_to_it(tmp_path, granule):
    one = f"{granule},{granule}"
    text = f"op,iova,size,pa\nMAP,{one},{2 * granule}\nread,{granule + 5},4,\nUNMAP,{one},\n"
    made, events = imported(tmp_path, text, options=Options(granule=granule))
    assert (events.size, made.manifest.spaces[0].granule) == (3, granule)
    for line in (
        f"MAP,{granule},{granule // 2},0",
        f"UNMAP,{granule // 2},{granule},",
        f"MAP,0,{granule},512",
    ):
        with pytest.raises(TraceError, match=f"{granule >> 10} KiB page"):
            imported(tmp_path, text + line + "\n", options=Options(granule=granule))
    with pytest.raises(TraceError, match="a bad granule"):
        imported(tmp_path, text, options=Options(granule=8192))


def test_columns_are_mapped_by_name_with_hexadecimal_and_units(tmp_path):
    text = "when;what;who;where;how_much\n0.5;r;a0;ffb002;10\n1.25;W;a0;FFB042;10\n"
    options = mapped(when="t_us", what="op", who="stream:hex", where="iova:hex", how_much="size:hex")
    made, events = imported(tmp_path, text, options)
    assert rows(events, "t_ns", "op", "stream", "iova", "size") == [
        (0, READ, 0xA0, 0xFFB002, 16),
        (750, WRITE, 0xA0, 0xFFB042, 16),
    ]
    assert "when as t_us" in made.manifest.notes[1]


@pytest.mark.parametrize(
    ("unit", "cells"),
    [
        ("t_ns", "7,9"),
        ("t_us", "0.007,.009"),
        ("t_ms", "1.000007,1.000009"),
        ("t_s", "3.000000007,3.000000009"),
    ],
)
def test_times_are_exact_in_every_unit(tmp_path, unit, cells):
    first, second = cells.split(",")
    _, events = imported(tmp_path, f"{unit},iova\n{first},0\n{second},0\n")
    assert events["t_ns"].tolist() == [0, 2]


def test_what_a_table_leaves_out_has_a_default_that_the_manifest_states(tmp_path):
    made, events = imported(tmp_path, "addr,sid\n0x40,1\n0x80,1\n")
    assert rows(events, "t_ns", "op", "iova", "size", "pa") == [
        (0, READ, 0x40, 64, int(PA_UNKNOWN)),
        (1, READ, 0x80, 64, int(PA_UNKNOWN)),
    ]
    manifest = made.manifest
    assert "row's number" in manifest.clock
    assert "all are reads" in manifest.direction
    assert any("2 accesses have none and count as 64 bytes" in note for note in manifest.notes)
    assert any("MAP events: the table has none" in line for line in manifest.not_contained)


def test_marks_and_invalidations_are_kept(tmp_path):
    _, events = imported(tmp_path, "op,iova,size\nmark,2,\ntlbi,0x1000,4096\ntlbi,,\nread,0x1000,8\n")
    assert rows(events, "op", "iova", "prot") == [
        (MARK, 2, 0), (TLBI, 0x1000, 0), (TLBI, 0, TLBI_ASID), (READ, 0x1000, 0)]  # fmt: skip
    assert open_trace(tmp_path / "out.parquet").manifest.invalidation == "explicit"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_comments_quotations_and_any_separator_are_read(tmp_path, separator):
    text = f'\ufeff# made by hand\n"iova"{separator}size\n\n"0x1000"{separator}4\n# end\n'
    _, events = imported(tmp_path, text.replace(",", separator))
    assert rows(events, "iova", "size") == [(0x1000, 4)]


BROKEN = {
    "a word for a number": ("250,READ,7,0,here,4,,", "line 6: a bad iova", "'here'"),
    "a negative number": ("250,READ,7,0,-4,4,,", "line 6: a bad iova", "'-4'"),
    "65 bits": ("250,READ,7,0,0x10000000000000000,4,,", "line 6: a bad iova", "0x1"),
    "digits of another script": ("250,READ,7,0,\u0661,4,,", "line 6: a bad iova", "\u0661"),
    "no iova": ("250,READ,7,0,,4,,", "line 6: no iova", "''"),
    "an op that is none": ("250,JUMP,7,0,0,4,,", "line 6: a bad op", "'JUMP'"),
    "op 7": ("250,7,7,0,0,4,,", "line 6: a bad op", "'7'"),
    "a stream of 17 bits": ("250,READ,65536,0,0,4,,", "line 6: a bad stream", "'65536'"),
    "a space that is too many": ("250,READ,7,4096,0,4,,", "line 6: a bad space", "'4096'"),
    "no bytes": ("250,READ,7,0,0,0,,", "line 6: a bad size", "'0'"),
    "half a page mapped": ("250,MAP,,0,0,2048,0,3", "line 6: a range of no whole pages", "'0'"),
    "a MAP to nowhere": ("250,MAP,,0,0,4096,,3", "line 6: a MAP without pa", "''"),
    "a MAP beyond 48 bits": ("250,MAP,,0,0xffffffffff000,8192,0,3", "line 6: a range beyond its half", "fff"),
    "rights that are none": ("250,MAP,,0,0,4096,0,rq", "line 6: a bad prot", "'rq'"),
    "a TLBI of kind 10": ("250,TLBI,,0,0,4096,,10", "line 6: a bad kind of TLBI", "'10'"),
    "time that goes back": ("99,READ,7,0,0,4,,", "line 6: time runs backwards", "'99'"),
    "no time": ("soon,READ,7,0,0,4,,", "line 6: a bad t_ns", "'soon'"),
    "half a nanosecond": ("250.5,READ,7,0,0,4,,", "line 6: a bad t_ns", "'250.5'"),
    "a cell too few": ("250,READ,7,0,0,4,", "line 6: a row of another length", "7"),
    "a quotation without end": ('250,READ,7,0,"0,4,,', "line 6: a row of another length", "quotation"),
}


@pytest.mark.parametrize(("row", "message", "found"), BROKEN.values(), ids=BROKEN)
def test_a_broken_row_is_refused_with_its_line_and_salvage_leaves_out_only_that(
    tmp_path, row, message, found
):
    text = f"{SMALL}{row}\n300,READ,7,0,0,4,,\n"
    with pytest.raises(TraceError, match=message) as caught:
        imported(tmp_path, text)
    assert found in caught.value.found
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
    made, events = imported(tmp_path, text, salvage=True)
    assert len(events) == 5
    assert len(made.dropped) == 1


HEADINGS = {
    "no address": ("t_ns,op\n1,READ\n", {}, "no column for iova"),
    "a column that is not there": ("iova,b\n1,1\n", {"c": "size"}, "--map c=size: no such column"),
    "a field that is none": ("iova,b\n1,1\n", {"b": "bytes"}, "--map b=bytes: no such field"),
    "a form that is none": ("iova,b\n1,1\n", {"b": "size:octal"}, "no such field"),
    "two for one field": ("iova,b\n1,1\n", {"iova": "iova", "b": "iova"}, "two columns for iova"),
    "two times": ("a,b,iova\n1,1,1\n", {"a": "t_ns", "b": "t_us"}, "two columns for t_us"),
    "one name twice": ("iova,iova\n1,1\n", {}, "two columns for iova"),
    "nothing but names": ("iova,size\n", {}, "no event to import"),
    "nothing": ("\n\n", {}, "nothing to import"),
}


@pytest.mark.parametrize(("text", "columns", "message"), HEADINGS.values(), ids=HEADINGS)
def test_a_heading_that_cannot_be_used_is_refused(tmp_path, text, columns, message):
    with pytest.raises(TraceError, match=message):
        imported(tmp_path, text, Options(map=columns))


# --- Parquet -------------------------------------------------------------------------------


def parquet(tmp_path, **columns):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(columns), path)
    return path.read_bytes()


def test_parquet_gives_what_the_same_csv_gives(tmp_path):
    _, wanted = imported(tmp_path, SMALL)
    data = parquet(
        tmp_path,
        when=pa.array([0.1, 0.15, 0.15, 0.2], pa.float64()),
        op=pa.array(["MAP", "READ", "WRITE", "UNMAP"]).dictionary_encode(),
        stream=pa.array([0, 7, 7, None], pa.int16()),
        iova=pa.array([0x1000, 0x1040, 0x1040, 0x1000], pa.uint64()),
        size=pa.array(["8192", "64", "0x4", "0x2000"]),
        pa=pa.array([0x80000000, 0x80000040, None, None], pa.int64()),
        prot=pa.array([3, 0, 0, 0], pa.uint8()),
    )
    made, events = imported(tmp_path, data, mapped(when="t_us"), name="u.parquet")
    assert made.format == "parquet"
    assert events.tolist() == wanted.tolist()


@pytest.mark.parametrize(
    "times",
    [
        pa.array([10, 20], pa.timestamp("us")),
        pa.array([Decimal("0.010"), Decimal("0.020")], pa.decimal128(9, 3)),
        pa.array(["0.01", "0.02"], pa.large_string()),
    ],
    ids=["timestamp", "decimal", "large text"],
)
def test_times_of_other_types_are_exact(tmp_path, times):
    data = parquet(tmp_path, t_ms=times, iova=pa.array([1, 2]))
    _, events = imported(tmp_path, data, name="u.parquet")
    assert events["t_ns"].tolist() == [0, 10_000]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, -2]),
        pa.array([1.0, 2.0]),
        pa.array([True, False]),
        pa.array([[1], [2]]),
        pa.array([b"1", b"2"]),
    ],
    ids=["negative", "floating", "boolean", "lists", "bytes"],
)
def test_a_parquet_column_of_another_kind_is_refused_by_its_row(tmp_path, column):
    with pytest.raises(TraceError, match=r"u\.parquet: row [01]: a bad iova"):
        imported(tmp_path, parquet(tmp_path, iova=column), name="u.parquet")


def test_a_trace_is_no_table_to_import_and_nor_is_compressed_parquet(tmp_path):
    made, _ = imported(tmp_path, SMALL)
    with pytest.raises(TraceError, match="a trace already"):
        import_trace(made.path, tmp_path / "again.parquet")
    data = gzip.compress(parquet(tmp_path, iova=pa.array([1])))
    with pytest.raises(TraceError, match="compressed once more"):
        imported(tmp_path, data, name="u.parquet.gz")


# --- size ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_million_rows_are_imported_in_bounded_memory(tmp_path):
    n = 1_000_000
    path = tmp_path / "big.csv"
    with path.open("w") as out:
        out.write("t_ns,op,stream,iova,size\n")
        for start in range(0, n, 10_000):
            out.writelines(
                f"{k * 10},R,3,{(k * 64) & 0xFFFFFFF:#x},64\n" for k in range(start, start + 10_000)
            )
    program = (
        "import resource, sys, pyarrow.parquet, traces.writer\n"
        "from traces.importers.run import import_trace\n"
        "most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = most()\n"
        "rows = import_trace(sys.argv[1], sys.argv[2]).rows\n"
        "print(rows, most() - before)\n"
    )
    out = tmp_path / "out.parquet"
    said = subprocess.run(
        [sys.executable, "-c", program, str(path), str(out)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert int(said[0]) == n
    # KiB. The events alone are 41 MB, the text 25 MB, and as Python's lists a GB.
    assert int(said[1]) < 150 << 10
    events = open_trace(out).read()
    assert int(events["t_ns"][-1]) == (n - 1) * 10


@pytest.mark.shared
def test_a_real_tables_accesses_are_its_rows(tmp_path):
    path = capture("qemu/gpu.trace.csv.gz")
    options = Options(
        map={"type": "op", "sid": "stream:hex", "asid": "space", "iova": "iova:hex", "pa": "pa:hex"}
    )
    with pytest.raises(TraceError, match="line 2: a bad op"):
        import_trace(path, tmp_path / "out.parquet", options=options)
    made = import_trace(path, tmp_path / "out.parquet", options=options, salvage=True)
    validate(made.path)
    events = open_trace(made.path).read()
    assert (np.unique(events["op"]).tolist(), len(events)) == ([READ], 31_353)
    assert (events["op"] <= EXEC).all()
    assert made.dropped[0].startswith("5,014 x a bad op")
