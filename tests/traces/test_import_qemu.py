"""Importing QEMU's SMMU log: what it says, and the mappings that its translations imply."""

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.traces.shared_captures import capture
from traces.errors import TraceError
from traces.events import (
    EXEC,
    MAP,
    PA_UNKNOWN,
    PROT_READ,
    PROT_WRITE,
    READ,
    TLBI,
    TLBI_ALL,
    TLBI_ASID,
    TLBI_VA,
    TLBI_VA_LAST,
    UNMAP,
    WRITE,
)
from traces.importers.run import import_trace
from traces.qemu.check import check_events
from traces.qemu.qemu_log import read_qemu_log, stream_qemu_log
from traces.reader import open_trace
from traces.validate import validate

DATA = Path(__file__).parent / "data"
HIT = "smmu_iotlb_lookup_hit IOTLB cache HIT asid=4 addr=0x{page:x} hit=1 miss=1 hit rate=50"
OK = "smmuv3_translate_success region-40-2 sid=0x28 iova={iova} translated={pa} perm={perm}"


def translated(at, iova, pa, perm=3, asid=4):
    hit = HIT.replace("asid=4", f"asid={asid}").format(page=iova & -4096)
    return (
        f"7@100.{at:06}:{hit}\n7@100.{at:06}:" + OK.format(iova=hex(iova), pa=hex(pa), perm=hex(perm)) + "\n"
    )


def dropped_page(at, iova, pages=1, asid=4):
    return (
        f"8@100.{at:06}:smmuv3_cmdq_opcode <--- SMMU_CMD_TLBI_NH_VA\n"
        f"8@100.{at:06}:smmuv3_s1_range_inval vmid=0 asid={asid} addr={iova:#x} tg=1 num_pages={pages:#x} "
        "ttl=3 leaf=1\n"
    )


def imported(tmp_path, text, name="small.log", **more):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    made = import_trace(path, tmp_path / "out.parquet", **more)
    validate(made.path)
    return made, open_trace(made.path).read()


def rows(events, *fields):
    return [tuple(int(event[field]) for field in fields) for event in events]


def test_a_page_is_mapped_before_its_first_use_and_unmapped_at_its_invalidation(tmp_path):
    text = translated(10, 0x1040, 0x51040) + translated(12, 0x1080, 0x51080) + dropped_page(20, 0x1000)
    made, events = imported(tmp_path, text + translated(30, 0x1000, 0x77000))
    assert rows(events, "t_ns", "op", "iova", "pa") == [
        (0, MAP, 0x1000, 0x51000),
        (0, READ, 0x1040, 0x51040),
        (2_000, READ, 0x1080, 0x51080),
        (10_000, UNMAP, 0x1000, 0),
        (10_000, TLBI, 0x1000, 0),
        (20_000, MAP, 0x1000, 0x77000),
        (20_000, READ, 0x1000, 0x77000),
    ]
    assert made.format == "qemu"
    assert made.manifest.kind == "derived"
    assert made.manifest.invalidation == "explicit"
    assert not made.manifest.clock_is_real
    assert [(s.stream, s.accesses) for s in made.manifest.streams] == [(0x28, 3)]
    assert [(s.name, s.asid) for s in made.manifest.spaces] == [("ASID 4", 4)]


def test_rights_are_the_logged_ones_and_a_write_only_page_is_written(tmp_path):
    text = translated(1, 0x1000, 0x9000, perm=1) + translated(2, 0x2000, 0x8000, perm=2)
    _, events = imported(tmp_path, text)
    assert rows(events, "op", "prot") == [(MAP, PROT_READ), (READ, 0), (MAP, PROT_WRITE), (WRITE, 0)]


def test_an_entry_is_as_large_as_its_logged_walk_says(tmp_path):
    walk = "7@100.000001:smmu_iotlb_insert IOTLB ++ asid=4 addr=0x40200000 tg=1 level=2\n"
    hit, success = translated(1, 0x40212345, 0x80012345).splitlines(keepends=True)
    _, events = imported(tmp_path, hit + walk + success)
    assert rows(events, "op", "iova", "size", "pa") == [
        (MAP, 0x40200000, 2 << 20, 0x80000000),
        (READ, 0x40212345, 64, 0x80012345),
    ]


def test_two_asids_are_two_spaces_and_a_log_without_lookups_has_one_for_each_stream(tmp_path):
    text = translated(1, 0x1000, 0x9000) + translated(2, 0x1000, 0x8000, asid=6)
    made, events = imported(tmp_path, text)
    assert [s.asid for s in made.manifest.spaces] == [4, 6]
    assert rows(events, "space", "pa") == [(0, 0x9000), (0, 0x9000), (1, 0x8000), (1, 0x8000)]
    bare = "".join(line for line in text.splitlines(keepends=True) if "lookup" not in line)
    made, _ = imported(tmp_path, bare)
    assert [s.name for s in made.manifest.spaces] == ["stream 0x28"]


def test_newer_versions_lines_are_read_too(tmp_path):
    text = (
        "7@1.000001:smmu_iotlb_lookup_miss IOTLB cache MISS asid=4 vmid=-1 addr=0x1000 hit=0 miss=1\n"
        "7@1.000002:" + OK.format(iova="0xfffff000", pa="0x40a00000", perm="0x3") + " stage=1\n"
        "7@1.000003:smmuv3_range_inval vmid=0 asid=4 addr=0xfffff000 tg=1 num_pages=0x1 ttl=3 leaf=1 "
        "stage=1\n"
    )
    _, events = imported(tmp_path, text)
    assert rows(events, "op") == [(MAP,), (READ,), (UNMAP,), (TLBI,)]


def test_a_log_without_times_keeps_its_order_and_says_so(tmp_path):
    text = "\n".join(line.split(":", 1)[1] for line in translated(1, 0x1000, 0x9000).splitlines()) + "\n"
    made, events = imported(tmp_path, text * 2)
    assert rows(events, "t_ns", "op") == [(0, MAP), (0, READ), (2_000, READ)]
    assert "4 events have no time" in made.manifest.clock


def test_a_fault_of_a_page_that_seemed_mapped_unmaps_it(tmp_path):
    fault = (
        "smmuv3-iommu-memory-region-40-2 translation failed for iova=0x1004 (SMMU_EVT_F_TRANSLATION)\n"
        "7@100.000050:smmuv3_record_event SMMU_EVT_F_TRANSLATION sid=0x28\n"
        "Invalid write at addr 0x1004, size 4, region '(null)', reason: rejected\n"
    )
    _, events = imported(tmp_path, translated(10, 0x1000, 0x51000) + fault)
    assert rows(events[2:], "op", "iova", "size", "pa") == [
        (UNMAP, 0x1000, 4096, 0),
        (WRITE, 0x1004, 4, int(PA_UNKNOWN)),
    ]


def test_the_first_bad_line_is_refused_and_salvage_counts_it(tmp_path):
    text = (
        translated(1, 0x1000, 0x9000)
        + "7@100.000002:smmuv3_translate_success sid=16\n"
        + translated(3, 0x1000, 0x9000)
    )
    with pytest.raises(TraceError, match=r"small\.log: line 3: cannot read smmuv3_translate_success"):
        imported(tmp_path, text)
    assert not (tmp_path / "out.parquet").exists()
    made, events = imported(tmp_path, text, salvage=True)
    assert len(events) == 3
    assert len(made.dropped) == 1
    note = next(note for note in made.manifest.notes if note.startswith("Left out (--salvage): "))
    assert "1 x cannot read smmuv3_translate_success" in note
    assert str(tmp_path) not in made.manifest.to_json().decode()


def test_a_line_with_a_damaged_stamp_is_no_message_of_qemus(tmp_path):
    text = translated(1, 0x1000, 0x9000) + "qemu: a message\n"
    imported(tmp_path, text)
    with pytest.raises(TraceError, match="line 4: cannot read the line"):
        imported(tmp_path, text + "7@1x0.000002:smmuv3_cmdq_opcode <--- SMMU_CMD_SYNC\n")


def test_reading_in_blocks_gives_the_rows_of_reading_at_once(monkeypatch):
    from traces.qemu import qemu_log

    text = (DATA / "dma.qemu.log").read_text().splitlines(keepends=True)
    whole = read_qemu_log(text, "dma.qemu.log").rows
    monkeypatch.setattr(qemu_log, "_BLOCK", 2)
    _, blocks = stream_qemu_log(text, "dma.qemu.log")
    parts = list(blocks)
    assert len(parts) > 10
    assert (np.concatenate(parts) == whole).all()


@pytest.mark.parametrize("name", ["dma", "gpu"])
def test_inferred_mappings_explain_every_translation_and_fault_of_the_samples(tmp_path, name):
    made, events = imported(tmp_path, gzip.compress((DATA / f"{name}.qemu.log").read_bytes()), "log.gz")
    result = check_events([events])
    assert result.problems == []
    logged = read_qemu_log((DATA / f"{name}.qemu.log").read_text().splitlines(), name).rows
    assert result.translated == int((logged["kind"] == 0).sum())
    assert result.translated + result.faulted == sum(s.accesses for s in made.manifest.streams)


@pytest.mark.shared
def test_the_larger_recording_has_every_access_of_its_csv_and_explains_all(tmp_path):
    """The CSV beside the log was made by a parser of other authorship."""
    path, table = capture("qemu/gpu.trace.log.gz"), capture("qemu/gpu.trace.csv.gz")
    made = import_trace(path, tmp_path / "out.parquet")
    events = open_trace(made.path).read()
    result = check_events([events])
    assert (result.wrong, result.translated) == (0, 31_353)
    with gzip.open(table, "rt") as text:
        cells = [line.rstrip("\n").split(",") for line in text]
    wanted = [(int(c[3], 16), int(c[5], 16), int(c[6], 16)) for c in cells if c[2] == "acc"]
    access = events[(events["op"] <= EXEC) & (events["pa"] != PA_UNKNOWN)]
    assert rows(access, "stream", "iova", "pa") == wanted
    # 3,752 SMMU_CMD_TLBI_NH_VA, 5 TLBI_NH_ASID and 1 TLBI_NSNH_ALL, counted with grep.
    kinds = Counter((events["prot"][events["op"] == TLBI] & 0xFF).tolist())
    assert kinds[TLBI_VA] + kinds[TLBI_VA_LAST] == 3_752
    assert (kinds[TLBI_ASID], kinds[TLBI_ALL]) == (5, 1)


@pytest.mark.shared
def test_every_unmap_of_the_guest_is_an_invalidation_in_qemus_log(tmp_path):
    log = import_trace(capture("qemu/gpu.trace.log.gz"), tmp_path / "qemu.parquet")
    guest = import_trace(capture("qemu/gpu.ftrace.txt.gz"), tmp_path / "guest.parquet")
    sent, unmapped = open_trace(log.path).read(), open_trace(guest.path).read()
    sent = sent[(sent["op"] == TLBI) & (sent["size"] > 0)]
    unmapped = unmapped[unmapped["op"] == UNMAP]
    assert len(unmapped) == 3_351
    # One UNMAP of many pages is several commands, the first at its address; a page is unmapped many times, so
    # each takes the first command for its address that is behind it on QEMU's clock. The clocks' distance:
    # the one at which most pairs of an UNMAP and a command for its address are.
    where = {}
    for t, _, _, _, iova, *_ in sent.tolist():
        where.setdefault(iova, []).append(t // 1000)
    apart = Counter(
        t - event[0] // 1000 >> 10 for event in unmapped.tolist() for t in where.get(event[4], [])
    )
    offset = apart.most_common(1)[0][0] << 10
    delays = []
    for event in unmapped.tolist():
        near = [t for t in where.get(event[4], []) if 0 <= t - event[0] // 1000 - offset < 20_000]
        if near:
            where[event[4]].remove(near[0])
            delays.append(near[0] - event[0] // 1000)
    assert len(delays) == 3_351
    # An independent program found 123 us.
    assert np.percentile(delays, 99) - np.percentile(delays, 1) == pytest.approx(123, abs=1)
