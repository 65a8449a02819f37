"""Joining QEMU's log with the guest's trace: what the two saw becomes one story without contradictions."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traces.errors import TraceError
from traces.events import (
    EVENT,
    MAP,
    MARK,
    PA_UNKNOWN,
    PROT_DEVICE,
    PROT_READ,
    PROT_WRITE,
    READ,
    TLBI,
    TLBI_VA_LAST,
    UNMAP,
    WRITE,
)
from traces.qemu import qemu_log
from traces.qemu.assemble import assemble
from traces.qemu.boot import Boot
from traces.qemu.capture import convert
from traces.qemu.check import check_events
from traces.qemu.guest_log import GuestEvent, covered, read_guest_log
from traces.qemu.merge import merge
from traces.qemu.qemu_log import read_qemu_log
from traces.qemu.workloads import DMA_TILES, VIRTIO_GPU
from traces.validate import validate

DATA = Path(__file__).parent / "data"
SAMPLES = [("gpu", VIRTIO_GPU), ("dma", DMA_TILES)]


def logs(name):
    with (DATA / f"{name}.qemu.log").open() as qemu, (DATA / f"{name}.ftrace.txt").open() as guest:
        return read_qemu_log(qemu, "qemu.log"), read_guest_log(guest, "ftrace.txt")


def joined(name, workload, shift=None):
    log, guest = logs(name)
    if shift is not None:
        guest = shift(guest)
    merged = merge(guest, log.rows)
    return merged, assemble(workload, guest, log.rows, merged)


@pytest.mark.parametrize(("name", "workload"), SAMPLES)
def test_walking_the_joined_tables_gives_every_logged_address_and_fault(name, workload):
    merged, assembled = joined(name, workload)
    result = check_events([assembled.events])
    assert result.problems == []
    assert result.accesses == sum(assembled.accesses.values())
    assert result.translated + result.faulted == result.accesses
    assert merged.unexplained == 0
    assert merged.paired == merged.unmaps > 0
    assert (np.diff(assembled.events["t_ns"].astype("i8")) >= 0).all()


@pytest.mark.parametrize(("name", "workload"), SAMPLES)
def test_a_finished_run_becomes_a_sound_trace(tmp_path, name, workload):
    (tmp_path / "guest").mkdir()
    (tmp_path / "guest" / "ftrace.txt").write_bytes((DATA / f"{name}.ftrace.txt").read_bytes())
    record = Boot(DATA / f"{name}.qemu.log", tmp_path / "guest", "7.2", "qemu -kernel /home/me/vmlinuz")
    said = []
    path = convert(workload, record, "linux 6.1", tmp_path / "sample.parquet", said.append)
    report = validate(path)
    assert report.manifest.name == "sample"
    assert report.manifest.kind == "captured"
    assert not report.manifest.clock_is_real
    assert "/home/me" not in report.manifest.to_json().decode()
    assert report.counts["MAP"] > 0 < report.counts["UNMAP"]
    assert said


def test_each_fault_of_the_recording_is_one_access_behind_its_mark():
    _, assembled = joined("dma", DMA_TILES)
    events = assembled.events
    rows = np.flatnonzero((events["op"] <= WRITE) & (events["pa"] == PA_UNKNOWN)).tolist()
    found = []
    for row in rows:
        marks = events[:row][events["op"][:row] == MARK]
        one = events[row]
        found.append(
            (assembled.marks[int(marks["iova"][-1])], int(one["op"]), int(one["iova"]), int(one["size"]))
        )
    assert found == [
        ("fault: edu reads an unmapped page", READ, 0x66660000, 16),
        ("fault: edu writes an unmapped page", WRITE, 0x77770040, 16),
        ("fault: edu writes a read-only page", WRITE, 0x20001000, 16),
        ("fault: edu reads that page after its unmapping", READ, 0x300003000, 16),
    ]


def test_tables_with_2m_and_1g_leaves_explain_their_accesses():
    _, assembled = joined("dma", DMA_TILES)
    leaves = check_events([assembled.events]).leaves
    assert leaves[1 << 21] > 0 < leaves[1 << 30]


def test_virtqueues_are_told_from_buffers():
    _, assembled = joined("gpu", VIRTIO_GPU)
    assert assembled.guessed["direction"] == 0
    events = assembled.events
    doorbells = events[(events["op"] == MAP) & ((events["prot"] & PROT_DEVICE) != 0)]
    assert len(doorbells) > 0
    rung = events[(events["op"] <= WRITE) & np.isin(events["iova"] & ~np.uint64(0xFFF), doorbells["iova"])]
    assert set(rung["op"].tolist()) == {WRITE}
    assert set(rung["size"].tolist()) == {4}


@settings(max_examples=40, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize(("name", "workload"), SAMPLES)
def test_a_guest_clock_that_wanders_by_a_millisecond_changes_no_translation(name, workload, data):
    def shift(guest):
        wander = data.draw(st.lists(st.integers(-1000, 1000), min_size=len(guest), max_size=len(guest)))
        now, out = 0, []
        for event, by in zip(guest, wander, strict=True):
            # The kernel's order is kept, as one trace buffer keeps it.
            now = max(now, event.t_us + by)
            out.append(dataclasses.replace(event, t_us=now))
        return out

    _, assembled = joined(name, workload, shift)
    assert check_events([assembled.events]).problems == []


def test_an_unmap_that_seems_to_precede_its_last_access_is_moved_behind_it():
    log, guest = logs("dma")

    def early(event):
        # Page 0x300003000 is read 0.1 s before it is unmapped; make it seem the other way round.
        is_it = event.op == UNMAP and event.iova == 0x300003000
        return dataclasses.replace(event, t_us=event.t_us - 200_000) if is_it else event

    guest = sorted(map(early, guest), key=lambda event: event.t_us)
    merged = merge(guest, log.rows)
    assert max(merged.moves["UNMAP"]) > 50_000
    assembled = assemble(DMA_TILES, guest, log.rows, merged)
    assert check_events([assembled.events]).problems == []


def test_the_check_sees_a_mapping_that_is_wrong_missing_or_late():
    _, assembled = joined("dma", DMA_TILES)
    good = assembled.events
    maps = np.flatnonzero(good["op"] == MAP)
    used = next(m for m in maps if good["iova"][m] == 0x20001000)
    wrong = good.copy()
    wrong["pa"][used] += 0x1000
    missing = np.delete(good, used)
    writable = good.copy()
    writable["prot"][used] |= PROT_WRITE
    for events, message in (
        (wrong, "the walk gives 0x"),
        (missing, "None"),
        (writable, "faulted, the walk gives"),
    ):
        result = check_events([events])
        assert result.wrong
        assert any(message in problem for problem in result.problems)


def test_the_check_sees_an_unmap_of_nothing_and_a_map_over_a_mapping():
    page = (0, MAP, 0, 0, 0x1000, 0x1000, 0x8000, PROT_READ)
    gone = (1, UNMAP, 0, 0, 0x1000, 0x1000, 0, 0)
    assert check_events([np.array([page, gone], EVENT)]).wrong == 0
    assert check_events([np.array([page, page], EVENT)]).wrong == 1
    assert check_events([np.array([page, gone, gone], EVENT)]).wrong == 1


# --- QEMU's log ----------------------------------------------------------------------------

TRANSLATED = "smmuv3_translate_success smmuv3-iommu-memory-region-40-2 sid=0x28"
BURSTS = f"""\
7@100.000001:smmu_iotlb_lookup_hit IOTLB cache HIT asid=4 addr=0x10004000 hit=1 miss=1 hit rate=50
7@100.000002:{TRANSLATED} iova=0x10004000 translated=0x51000 perm=0x3
7@100.000003:pci_nvme_map_addr addr 0x100000f80 len 256
7@100.000003:pci_nvme_map_addr addr 0x100003000 len 32
7@100.000004:dma_blk_io dbs=0x1 bs=0x2 offset=0 to_dev=0
7@100.000005:smmu_iotlb_lookup_miss IOTLB cache MISS asid=4 addr=0x100000000 hit=1 miss=1 hit rate=50
7@100.000005:{TRANSLATED} iova=0x100000f80 translated=0x52f80 perm=0x3
7@100.000006:{TRANSLATED} iova=0x100001000 translated=0x53000 perm=0x3
7@100.000007:{TRANSLATED} iova=0x100003000 translated=0x54000 perm=0x3
"""


def read(text):
    return read_qemu_log(text.splitlines(keepends=True), "qemu.log")


def test_a_burst_has_its_length_and_direction_and_is_cut_at_pages():
    rows = read(BURSTS).rows
    assert rows["size"].tolist() == [32, 128, 128, 32]
    assert rows["writes"].tolist() == [qemu_log.READS] + [qemu_log.WRITES] * 3
    assert rows["detail"].tolist() == [qemu_log.LIST] + [qemu_log.BURST] * 3


def test_threads_that_write_in_turns_keep_their_own_asid_and_time_never_goes_back():
    text = BURSTS.replace(
        "7@100.000006:", "8@100.000009:smmu_iotlb_lookup_hit asid=9 addr=0x1000 hit\n7@100.000001:"
    )
    log = read(text)
    assert set(log.rows["asid"].tolist()) == {4}
    assert log.out_of_order == 1
    assert (np.diff(log.rows["t_us"]) >= 0).all()


def test_one_range_command_is_one_invalidation_though_qemu_cuts_it():
    text = BURSTS + (
        "8@100.000010:smmuv3_cmdq_opcode <--- SMMU_CMD_TLBI_NH_VA\n"
        "8@100.000011:smmuv3_s1_range_inval vmid=0 asid=4 addr=0x1000 tg=1 num_pages=0x1 ttl=3 leaf=1\n"
        "8@100.000012:smmuv3_s1_range_inval vmid=0 asid=4 addr=0x2000 tg=1 num_pages=0x2 ttl=3 leaf=1\n"
        "8@100.000013:smmuv3_cmdq_opcode <--- SMMU_CMD_TLBI_NH_VA\n"
        "8@100.000014:smmuv3_s1_range_inval vmid=0 asid=4 addr=0x4000 tg=0 num_pages=0x1 ttl=0 leaf=1\n"
    )
    rows = read(text).rows
    sent = rows[rows["kind"] == qemu_log.INVALIDATE]
    assert sent["iova"].tolist() == [0x1000, 0x4000]
    assert sent["size"].tolist() == [0x3000, 0x1000]
    assert sent["detail"].tolist() == [TLBI_VA_LAST] * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no access in the log"),
        ("7@1.000001:smmuv3_translate_success sid=16\n", r"line 1: cannot read smmuv3_translate_success"),
        (
            "smmuv3-iommu-memory-region-32-1 translation failed for iova=0x0 (SMMU_EVT_C_BAD_STE)\n"
            "7@1.000001:smmuv3_record_event SMMU_EVT_C_BAD_STE sid=0x20\n",
            "line 2: a fault of a kind that is not understood",
        ),
    ],
)
def test_a_qemu_log_that_cannot_be_read_is_refused_with_its_line(text, message):
    with pytest.raises(TraceError, match=message):
        read(text)


# --- the guest's trace -----------------------------------------------------------------------

HEADER = "# entries-in-buffer/entries-written: 2/2   #P:2\n"
LINE = "   insmod-100     [001] d....     2.105275: map: (arm_lpae_map_pages+0x0/0x170) "
FIELDS = "ops=0xffff0 iova=0x1ff000 pa=0x8090000 pgsize=0x1000 pgcount=0x3 prot=0x1a\n"


def test_a_map_covers_what_its_table_holds_and_its_rights_are_translated():
    [event] = read_guest_log([HEADER, LINE + FIELDS], "ftrace.txt")
    assert event == GuestEvent(
        2105275, MAP, 0xFFFF0, 0x1FF000, 0x1000, 0x8090000, 0x1000, PROT_WRITE | PROT_DEVICE
    )
    assert covered(0, 1 << 21, 3) == 3 << 21


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([HEADER.replace("2/2", "2/9")], "trace buffer overran: expected 9 events, found 2"),
        ([LINE + FIELDS], "no ftrace header"),
        ([HEADER, "gibberish\n"], "line 2: cannot read the line"),
        ([HEADER, LINE + "ops=0x1\n"], "line 2: cannot read map"),
        (
            [HEADER, LINE + FIELDS, LINE.replace("2.105275", "1.000000") + FIELDS],
            "line 3: time runs backwards",
        ),
    ],
)
def test_a_guest_trace_that_cannot_be_trusted_is_refused(lines, message):
    with pytest.raises(TraceError, match=message):
        read_guest_log(lines, "ftrace.txt")


def test_accesses_that_no_mapping_explains_are_refused_by_asid():
    with pytest.raises(TraceError, match="ASID 4"):
        merge(read_guest_log([HEADER, LINE + FIELDS], "ftrace.txt"), read(BURSTS).rows)


def test_invalidations_stay_with_the_space_of_their_asid():
    merged, assembled = joined("gpu", VIRTIO_GPU)
    tlbi = assembled.events[assembled.events["op"] == TLBI]
    assert len(tlbi) > 0
    assert set(tlbi["space"].tolist()) <= set(range(len(merged.asids)))
