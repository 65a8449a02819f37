"""Importing NVIDIA UVM fault logs: each fault an access, by the GPU's own time."""

import gzip
from collections import Counter
from itertools import pairwise

import pytest

from tests.traces.shared_captures import capture
from traces.errors import TraceError
from traces.events import MAP, PA_UNKNOWN, READ, UNMAP, WRITE
from traces.importers.run import import_trace
from traces.reader import open_trace
from traces.validate import validate


def record(text):
    return f"4,@,1000,-;{text}\n"


def numbered(text):
    """Number the records that have no number yet."""
    return "".join(
        line.replace("@", str(number), 1) for number, line in enumerate(text.splitlines(keepends=True), 1)
    )


def fault(page, t, kind=0, access=1, utlb=1, gpc=0, channel=1):
    return record(f"f,{page << 12:x},{t},{kind},{access},2,1,0,0,0,127,{utlb},{gpc},{channel},63")


def destroyed(iova, size):
    return record(f"uvm range destroy va_range->node.start, va_range->size: {iova:#x}, {size}")


def imported(tmp_path, text, **more):
    (tmp_path / "uvm.log").write_text(numbered(text))
    made = import_trace(tmp_path / "uvm.log", tmp_path / "out.parquet", **more)
    validate(made.path)
    return made, open_trace(made.path).read()


def rows(events, *fields):
    return [tuple(int(event[field]) for field in fields) for event in events]


def notes(made):
    return "\n".join(made.manifest.notes)


BATCH = record("s,") + fault(5, 1064) + fault(6, 1000, access=2) + fault(7, 1064) + record("b,")


def test_faults_are_accesses_in_the_order_of_the_gpus_time(tmp_path):
    made, events = imported(tmp_path, BATCH)
    assert rows(events, "t_ns", "op", "iova", "size") == [
        (0, WRITE, 0x6000, 1), (64, READ, 0x5000, 1), (64, READ, 0x7000, 1)
    ]  # fmt: skip
    assert set(events["pa"].tolist()) == {int(PA_UNKNOWN)}
    assert made.format == "uvm"
    assert (made.manifest.kind, made.manifest.clock_is_real) == ("captured", True)
    assert "steps here are of 64 ns" in made.manifest.clock
    assert "1 batches (of 3 faults at most)" in notes(made)
    assert "1 faults were earlier than the one above" in notes(made)


@pytest.mark.parametrize(
    ("access", "op"), [(0, READ), (1, READ), (2, WRITE), (3, WRITE), (4, WRITE)],
    ids=["prefetch", "read", "write", "atomic", "weak atomic"],
)  # fmt: skip
def test_each_kind_of_access_has_a_direction(tmp_path, access, op):
    _, events = imported(tmp_path, fault(1, 0, access=access))
    assert rows(events, "op") == [(op,)]


def test_requesters_are_streams(tmp_path):
    text = fault(1, 0) + fault(2, 1, utlb=4) + fault(3, 2, gpc=2) + fault(4, 3)
    made, events = imported(tmp_path, text)
    assert events["stream"].tolist() == [0, 1, 2, 0]
    assert [s.name for s in made.manifest.streams] == ["GPC 0, uTLB 1", "GPC 0, uTLB 4", "GPC 2, uTLB 1"]


def test_a_destroyed_range_stands_behind_the_faults_logged_before_it(tmp_path):
    text = destroyed(0x200000, 4096) + fault(1, 500) + fault(2, 400) + destroyed(0x1000, 8192) + fault(3, 450)
    _, events = imported(tmp_path, text)
    assert rows(events, "t_ns", "op", "iova", "size") == [
        (0, UNMAP, 0x200000, 4096), (0, READ, 0x2000, 1), (50, READ, 0x3000, 1), (100, READ, 0x1000, 1),
        (100, UNMAP, 0x1000, 8192),
    ]  # fmt: skip


def test_other_lines_are_counted_and_skipped_numbers_told(tmp_path):
    text = BATCH + record("usb 1-1: new device") + " SUBSYSTEM=pci\n" + "4,900,5,-;s,\n"
    made, _ = imported(tmp_path, text)
    assert "Passed over: 2 other lines" in notes(made)
    assert "at 1 places the kernel's numbers skip" in notes(made)


BROKEN = {
    "a torn fault": ("4,9,9,-;f,5000,1064,0,1,2\n", "cannot read the fault"),
    "an access of no kind": (fault(1, 0, access=5), "an access that is not known"),
    "an address too long": (fault(1 << 40, 0), "a bad fault"),
    "a time too long": (fault(1, 1 << 63), "a bad fault"),
    "no record": ("f,5000,1064\n", "cannot read the line"),
    "a torn range": ("4,9,9,-;uvm range destroy x: 0x5000\n", "cannot read the range"),
    "a range of no pages": (destroyed(0x1000, 100), "a range that cannot have been mapped"),
    "a range beyond": (destroyed(0xFFFFFFFFF000, 8192), "a range that cannot have been mapped"),
    "no line end": ("4,9,9,-;s,", "the last line is cut short"),
}


@pytest.mark.parametrize(("line", "what"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_refused_with_its_line_or_left_out(tmp_path, line, what):
    with pytest.raises(TraceError) as caught:
        imported(tmp_path, BATCH + line)
    assert caught.value.what == what
    assert ": line 6" in caught.value.where
    assert caught.value.expected
    made, events = imported(tmp_path, BATCH + line, salvage=True)
    assert (len(made.dropped), events.size) == (1, 3)


def test_a_log_without_faults_is_no_trace(tmp_path):
    with pytest.raises(TraceError, match="no event to import"):
        imported(tmp_path, record("s,") + record("b,"), format="uvm")


@pytest.mark.shared
def test_the_real_log_has_the_faults_that_others_counted(tmp_path):
    """96 faults, 3 batches, 64 reads and 32 writes, 88 PDE and 8 PTE; 32 pages each 2 MiB apart."""
    path = capture("uvm/abc_1")
    made = import_trace(path, tmp_path / "out.parquet")
    validate(made.path)
    events = open_trace(made.path).read()
    assert Counter(events["op"].tolist()) == Counter({READ: 64, WRITE: 32, UNMAP: 4})
    assert "96 (88 INVALID_PDE, 8 INVALID_PTE, 64 reads, 32 writes)" in notes(made)
    assert "3 batches" in notes(made)
    assert "steps here are of 32 ns" in made.manifest.clock
    said = [line.split(";")[1].split(",") for line in path.read_text().splitlines() if ";f," in line]
    first = min(int(words[2]) for words in said)
    wanted = Counter((int(words[2]) - first, int(words[1], 16)) for words in said)
    faults = events[events["op"] != UNMAP]
    assert Counter(rows(faults, "t_ns", "iova")) == wanted
    assert all(a <= b for a, b in pairwise(events["t_ns"].tolist()))
    assert 1.0 <= round(int(events["t_ns"][-1]) / 1e6, 1) <= 2.0
    assert Counter(iova >> 21 for iova in faults["iova"].tolist()) == Counter(
        {0x7FB144000000 + (k << 21) >> 21: 32 for k in range(3)}
    )


def test_a_packed_log_is_the_same_trace(tmp_path):
    (tmp_path / "a.log").write_text(numbered(BATCH))
    (tmp_path / "b.log.gz").write_bytes(gzip.compress(numbered(BATCH).encode()))
    for name in ("a.log", "b.log.gz"):
        import_trace(tmp_path / name, tmp_path / f"{name}.parquet")
    one, other = (open_trace(tmp_path / f"{name}.parquet").read() for name in ("a.log", "b.log.gz"))
    assert one.tobytes() == other.tobytes()
    assert MAP not in one["op"]
