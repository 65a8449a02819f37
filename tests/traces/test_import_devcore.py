"""Importing devcoredumps of drm/msm: the ring, buffers, the fault and the walk noted with it."""

import gzip
import json
import re
from pathlib import Path

import pytest

from tests.traces.adreno_files import (
    BASE,
    FAULT,
    HEADER,
    ascii85,
    bo_of,
    call,
    devcore,
    fill,
    op3,
    op7,
    ring_of,
    small_devcore,
)
from tests.traces.shared_captures import capture
from tests.traces.test_import_rd import mesa_groups, reads, rows, said
from traces.adreno.pagewalk import walk
from traces.errors import TraceError
from traces.events import MAP, MARK, PA_UNKNOWN, READ, WRITE
from traces.importers.result import Options
from traces.importers.run import import_trace
from traces.reader import open_trace
from traces.validate import validate

ORACLE = Path(__file__).parents[1] / "oracle" / "adreno.walk.json"
RING = 0x1000000001000


def imported(tmp_path, data, accesses="", name="t.devcore", **more):
    path = tmp_path / name
    path.write_bytes(data)
    made = import_trace(path, tmp_path / "out.parquet", options=Options(accesses=accesses), **more)
    validate(made.path)
    return made, open_trace(made.path).read()


def marks(made, events):
    return [made.manifest.marks[row[0]] for row in rows(events, MARK, "iova")]


def test_a_dump_maps_its_buffers_and_fetches_what_is_left_in_the_ring(tmp_path):
    made, events = imported(tmp_path, small_devcore())
    assert (made.format, made.manifest.kind) == ("devcore", "derived")
    assert rows(events, MAP, "iova", "size") == [(BASE, 4096), (0x100002000, 8192), (RING, 32768)]
    # The table's update is 5 dwords and the call 4, from rptr's packet on; then 4 more, of registers.
    assert reads(events) == [(RING + 20, 12), (RING + 32, 20), (0x100002000, 32), (0x100002020, 16)]
    assert made.manifest.kernel == "6.14.0"
    assert made.manifest.recorded == "2020-07-04"
    assert said(made, "Dump: comm game, cmdline game --fast; 2 buffers, 1 of them with contents")
    assert said(made, "IB1 at 0x100002000, 5 dwords left")
    assert said(made, "rptr 7, wptr 13 (dwords), last fence 7, retired 6")


def test_the_ring_is_in_the_half_that_ttbr1_translates(tmp_path):
    made, events = imported(tmp_path, small_devcore())
    (space,) = made.manifest.spaces
    assert (space.ias, space.ttbr1.ias, space.sep) == (48, 48, 48)
    assert rows(events, MAP, "iova")[-1][0] >> 48 == 1


def test_a_fault_is_the_last_access_and_its_walk_is_in_the_notes(tmp_path):
    made, events = imported(tmp_path, small_devcore())
    last = events[-1]
    assert (int(last["op"]), int(last["iova"]), int(last["size"])) == (WRITE, 0x100C17000, 1)
    assert int(last["pa"]) == int(PA_UNKNOWN)
    assert marks(made, events)[-1] == "fault: TRANSLATION WRITE at 0x100c17000 by CP"
    assert "No buffer that the dump lists holds it" in said(made, "Fault (fault-info)")
    note = said(made, "pgtable-fault-info")
    assert "TTBR0 0x90ca40000 (not the fault's), ASID 0" in note
    oracle = json.loads(ORACLE.read_text())
    for level, (index, descriptor) in enumerate(zip(oracle["indices"], oracle["descriptors"], strict=True)):
        assert f"level {level} [{index}] {descriptor}: " in note
    leaf = oracle["leaf"]
    names = {"AttrIndx": "attr_indx", "AP": "ap", "SH": "sh", "AF": "af", "nG": "ng"}
    fields = ", ".join(f"{name} {leaf[key]}" for name, key in names.items())
    assert note.endswith(f"page, to {leaf['pa']}, {fields}.")


def test_a_fault_in_a_listed_buffer_is_said_to_be_mapped(tmp_path):
    fault = FAULT.replace("0000000100c17000", "0000000100001ff8").replace("WRITE", "READ").split("pgtable")[0]
    made, events = imported(tmp_path, devcore([ring_of(fill(2), 0, 0)], [bo_of(BASE, 4096)], fault))
    assert (int(events["op"][-1]), int(events["iova"][-1])) == (READ, BASE + 0xFF8)
    assert "so a replay maps it" in said(made, "Fault (fault-info)")
    assert not any("pgtable" in note for note in made.manifest.notes)


def test_a_walk_ends_at_what_is_invalid_or_a_block():
    steps = walk(0x1_2345_6789, [0x5003, 0x40000601, 0x6003, 0x7003])
    assert [(step.kind, step.index) for step in steps] == [("table", 0), ("block", 4)]
    assert steps[-1].address == 0x4000_0000 + 0x2345_6789
    assert [step.kind for step in walk(0, [0x5003, 0, 0, 0])] == ["table", "invalid"]
    assert [step.kind for step in walk(0, [0x5001])] == ["invalid"]
    assert [step.kind for step in walk(0, [0x5003, 0x6003, 0x7003, 0x8001])][-1] == "invalid"


def test_rptr_within_a_packet_begins_with_that_packet(tmp_path):
    ring = [*fill(4), *call(BASE, 8), *fill(2)]
    for rptr in range(4, 8):
        made, events = imported(tmp_path, devcore([ring_of(ring, rptr, 10)], [bo_of(BASE, 4096, fill(8))]))
        assert reads(events) == [(RING + 16, 16), (BASE, 32), (RING + 32, 8)]
        assert marks(made, events) == [f"ring 0: dwords 4 to 10 (rptr {rptr})"]


def test_a_ring_goes_round(tmp_path):
    """32 dwords; the call begins at the 30th and ends at the second of the next round."""
    packet = call(BASE, 8)
    ring = [*packet[2:], *fill(2), *[0xDEADD00D] * 26, *packet[:2]]
    made, events = imported(tmp_path, devcore([ring_of(ring, 30, 4, size=128)], [bo_of(BASE, 4096, fill(8))]))
    assert reads(events) == [(RING + 120, 8), (RING, 16), (BASE, 32)]
    assert made.manifest.counts["READ"] == 3


def test_every_ring_is_followed_and_an_empty_one_is_mapped_alone(tmp_path):
    rings = [ring_of(fill(8), 0, 8), ring_of(fill(8), 5, 5, RING + 0x10000, number=1),
             ring_of(fill(8), 0, 4, RING + 0x20000, number=2)]  # fmt: skip
    _, events = imported(tmp_path, devcore(rings, []))
    assert reads(events) == [(RING, 32), (RING + 0x20000, 16)]
    assert len(rows(events, MAP, "iova")) == 3


def test_zeros_that_the_dump_leaves_out_at_a_buffers_end_are_there(tmp_path):
    """Of an a4xx, where dwords of 0 are packets: writes of register 0, of one dword."""
    header = HEADER.replace("630 (6.3.0.2)", "420 (4.2.0.0)")
    bo = bo_of(0x1000, 4096, [0, 7])
    ring = op3(0x3F, 0x1000, 16)
    made, events = imported(tmp_path, devcore([ring_of(ring, 0, 3, 0x10000)], [bo], header=header))
    assert reads(events) == [(0x10000, 12), (0x1000, 32), (0x1020, 32)]
    assert "9 packets" in said(made, "Accesses, derived")


def test_a_command_that_hung_the_gpu_may_be_no_packet(tmp_path):
    stream = [*fill(6), 0xDEADD00D, *fill(1)]
    ring = call(BASE, len(stream))
    made, events = imported(tmp_path, devcore([ring_of(ring, 0, 4)], [bo_of(BASE, 4096, stream)]))
    assert reads(events)[-1] == (BASE, 32)
    assert f"no packet: 0xdeadd00d at {BASE + 24:#x}" in marks(made, events)
    assert said(made, "No packets: 1 times")
    assert made.dropped == []


def test_a_change_of_tables_in_the_ring_is_a_mark(tmp_path):
    ring = op7(0x53, 0x6D0E5000, 0x0007_0001, 0, 0)
    made, events = imported(tmp_path, devcore([ring_of(ring, 0, 5)], []))
    assert marks(made, events)[-1] == "CP_SMMU_TABLE_UPDATE: TTBR0 0x16d0e5000, ASID 7"


def test_pointers_and_sweeps_are_made_of_dumps_too(tmp_path):
    made, events = imported(tmp_path, small_devcore(), "pointers")
    assert reads(events) == [(0x100002000, 1)]
    made, events = imported(tmp_path, small_devcore(), "sweep")
    assert made.manifest.kind == "synthetic"
    assert len(reads(events)) == (4096 + 8192 + 32768) // 256


def test_decimals_may_begin_with_zeros(tmp_path):
    _, wanted = imported(tmp_path, small_devcore())
    _, events = imported(tmp_path, replaced(b"rptr: 7", b"rptr: 007"))
    assert events.tolist() == wanted.tolist()


def test_windows_line_ends_are_read(tmp_path):
    _, wanted = imported(tmp_path, small_devcore())
    _, events = imported(tmp_path, small_devcore().replace(b"\n", b"\r\n"))
    assert events.tolist() == wanted.tolist()


def test_contents_longer_than_any_line_of_a_log_are_read(tmp_path):
    words = [n + 1 for n in range(1 << 18)]
    data = devcore([ring_of(call(BASE, len(words)), 0, 4)], [bo_of(BASE, 1 << 20, words)])
    assert max(map(len, data.split(b"\n"))) > 1 << 20
    made, _ = imported(tmp_path, data)
    assert f"{(1 << 18) + 4:,} dwords" in said(made, "Accesses, derived")


def replaced(old, new):
    data = small_devcore()
    assert data.count(old) == 1, old
    return data.replace(old, new)


def line(part):
    """Number of the line that holds a part."""
    return 1 + small_devcore()[: small_devcore().index(part)].count(b"\n")


CONTENTS = ascii85(fill(12)).encode()
BROKEN = {
    "a number that is none": (replaced(b"    rptr: 7", b"    rptr: seven"),
        f"line {line(b'rptr: 7')}: a bad rptr: .*seven"),
    "65 bits": (replaced(b"iova: 0x0000000100001000", b"iova: 0x10000000100001000"), "a bad iova"),
    "a buffer without a size": (replaced(b"    size: 4096\n", b""),
        f"line {line(b'bos:') + 1}: a buffer without size"),
    "a buffer of no bytes": (replaced(b"size: 4096", b"size: 0"),
        f"line {line(b'bos:') + 1}: a buffer of no bytes"),
    "a buffer beyond its half": (replaced(b"iova: 0x0000000100001000", b"iova: 0x0002000000001000"),
                                 "a buffer that cannot be mapped"),
    "a pointer beyond its ring": (replaced(b"wptr: 13", b"wptr: 9000"),
                                  "a ring's pointer beyond it: expected below 8192, found 9000"),
    "a ring of an odd size": (replaced(b"size: 32768", b"size: 32760"), "a ring of an odd size"),
    "no ascii85": (replaced(CONTENTS, CONTENTS[:-5] + b"vvvvv"), f"line {line(CONTENTS)}: no ascii85"),
    "more than 32 bits": (replaced(CONTENTS, b"uuuuu" + CONTENTS[5:]),
        f"line {line(CONTENTS)}: no ascii85"),
    "half a dword": (replaced(CONTENTS, CONTENTS[:-2]), f"line {line(CONTENTS)}: no ascii85"),
    "contents beyond their buffer": (replaced(b"size: 8192", b"size: 16"),
                                     f"line {line(CONTENTS)}: contents beyond their buffer"),
    "no contents where they are told of": (replaced(b"     " + CONTENTS + b"\n", b""),
                                           "no data: expected a line"),
    "a line of nothing known": (replaced(b"    retired-fence: 6", b"retired"),
                                f"line {line(b'retired-f')}: cannot read ringbuffer"),
    "a revision that is none": (replaced(b"630 (6.3.0.2)", b"six"), "line 7: cannot read revision"),
    "a fault without a direction": (replaced(b"  - dir=WRITE\n", b""), "cannot read the fault"),
    "a walk that is none": (replaced(b"ptes: 000000095db47003", b"ptes: what"), "cannot read the fault"),
    "a cut in the middle of a line": (small_devcore()[:-9],
        f"line {line(b'0x0024b4')}: the last line is cut short"),
    "a cut within contents": (small_devcore()[: small_devcore().index(CONTENTS) + 11],
                              "the last line is cut short"),
    "a cut between lines": (small_devcore()[: small_devcore().index(b"registers:")],
                            "the dump ends before its registers"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_refused_with_its_line_and_salvage_keeps_the_rest(tmp_path, data, message):
    with pytest.raises(TraceError, match=message):
        imported(tmp_path, data)
    assert [path.name for path in tmp_path.iterdir()] == ["t.devcore"]
    made, events = imported(tmp_path, data, salvage=True)
    assert 0 < len(rows(events, MAP, "iova")) <= 3
    assert made.dropped


def test_a_dump_is_told_by_its_head_whatever_its_name(tmp_path):
    for data, name in ((small_devcore(), "data"), (gzip.compress(small_devcore()), "x.devcore.gz")):
        made, _ = imported(tmp_path, data, name=name)
        assert made.format == "devcore"


# --- dumps of others -----------------------------------------------------------------------

#: File, GPU, buffers, with contents, bytes, pages, rptr and wptr, calls.
REAL = [
    ("crash", 630, 1, 1, 4096, 1, 40, 56, 1),
    ("crash_prefetch", 618, 37, 16, 2_330_624, 569, 12, 83, 12),
]


@pytest.mark.shared
@pytest.mark.parametrize("row", REAL, ids=[row[0] for row in REAL])
def test_a_real_dumps_counts_are_those_of_mesas_decoder(tmp_path, row):
    name, gpu, buffers, captured, size, pages, rptr, wptr, calls = row
    log = gzip.decompress(capture(f"adreno/reference/{name}.log.gz").read_bytes()).decode()
    made = import_trace(capture(f"adreno/{name}.devcore.gz"), tmp_path / "out.parquet")
    validate(made.path)
    events = open_trace(made.path).read()
    assert made.manifest.device.startswith(f"Adreno {gpu}")
    assert said(made, "Dump: ").count(f"{buffers} buffers, {captured} of them with contents; 1 rings")
    assert f"rptr {rptr}, wptr {wptr} (dwords)" in said(made, "Ring 0: ")
    wanted = [(int(iova, 16), int(n)) for iova, n in re.findall(r"  - iova: 0x(\w+)\n    size: (\d+)", log)]
    *mapped, ring = rows(events, MAP, "iova", "size")
    assert mapped == wanted
    assert ring == (RING, 32768)
    assert (len(wanted), sum(n for _, n in wanted)) == (buffers, size)
    assert sum(n for _, n in wanted) // 4096 == pages
    assert log.count("CP_INDIRECT_BUFFER (3f)") == calls
    note, groups = said(made, "Accesses, derived"), mesa_groups(log)
    assert f"1 command streams, {calls} that their packets call" in note
    assert f"{len(groups):,} state groups of {sum(n for _, n in groups):,} dwords" in note
    registers = re.findall(r"^\t(\w+)\tCP_IB([12])_BASE: ", log, re.MULTILINE)
    for base, number in registers:
        assert f"IB{number} at {int(base, 16):#x}" in said(made, "Command processor: ")
    assert any("the dump has no fault-info" in line for line in made.manifest.not_contained)


@pytest.mark.shared
def test_the_stream_that_crashed_is_fetched_with_the_dword_that_crashed_it(tmp_path):
    made = import_trace(capture("adreno/crash.devcore.gz"), tmp_path / "out.parquet")
    events = open_trace(made.path).read()
    # Mesa: a stream of 12 dwords at 0x100000000, in it "bad type! deadd00d"; CP_IB1_DWORDS is 0xc.
    assert [row for row in reads(events) if row[0] < 1 << 48] == [(0x100000000, 32), (0x100000020, 16)]
    assert "no packet: 0xdeadd00d at 0x100000018" in marks(made, events)


@pytest.mark.shared
def test_the_change_of_tables_in_a_real_ring_is_that_of_mesas_log(tmp_path):
    made = import_trace(capture("adreno/crash_prefetch.devcore.gz"), tmp_path / "out.parquet")
    events = open_trace(made.path).read()
    assert "CP_SMMU_TABLE_UPDATE: TTBR0 0x16d0e5000, ASID 0" in marks(made, events)
