"""Importing a kernel log's faults: every layout, its stream, its time, and what such a log cannot tell."""

import gzip
import json

import pytest

from tests.bench.fault_samples import SAMPLES
from tests.traces.shared_captures import capture
from traces.errors import TraceError
from traces.events import EXEC, MARK, PA_UNKNOWN, PROT_PRIV, READ, WRITE
from traces.importers.registry import READERS, load
from traces.importers.result import Dropped, Options
from traces.importers.run import import_trace
from traces.importers.source import Source
from traces.kernel_log import scan, scan_parts
from traces.reader import open_trace
from traces.validate import validate

ARM = "arm-smmu 5040000.iommu: Unhandled context fault: "


def context(at, iova, fsynr=0x1, sid=0x402, cb=1, device="5040000.iommu"):
    return (
        f"[{at:>12.6f}] arm-smmu {device}: Unhandled context fault: fsr=0x402, iova={iova:#x}, "
        f"fsynr={fsynr:#x}, cbfrsynra={sid:#x}, cb={cb}\n"
    )


def imported(tmp_path, text, **more):
    path = tmp_path / "board.log"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    made = import_trace(path, tmp_path / "out.parquet", **more)
    validate(made.path)
    return made, open_trace(made.path).read()


def rows(events, *fields):
    return [tuple(int(event[field]) for field in fields) for event in events]


def notes(made):
    return "\n".join(made.manifest.notes)


def test_a_fault_is_an_access_at_its_address_stream_and_time(tmp_path):
    text = context(7.5, 0x7FFE3000) + context(7.500004, 0x1000, fsynr=0x11, sid=0x800, cb=2)
    made, events = imported(tmp_path, text)
    assert rows(events, "t_ns", "op", "stream", "space", "iova", "size") == [
        (0, READ, 0x402, 0, 0x7FFE3000, 1), (4000, WRITE, 0x800, 1, 0x1000, 1)
    ]  # fmt: skip
    assert set(events["pa"].tolist()) == {int(PA_UNKNOWN)}
    assert made.format == "dmesg"
    assert [space.name for space in made.manifest.spaces] == [
        "context bank 1 of 5040000.iommu", "context bank 2 of 5040000.iommu"
    ]  # fmt: skip
    assert (made.manifest.kind, made.manifest.clock_is_real) == ("captured", False)
    assert any("floor" in line for line in made.manifest.not_contained)


@pytest.mark.parametrize(
    ("fsynr", "op", "prot"),
    [(0x1, READ, 0), (0x11, WRITE, 0), (0x41, EXEC, 0), (0x21, READ, PROT_PRIV), (0x31, WRITE, PROT_PRIV)],
)
def test_fsynr0_tells_the_access(tmp_path, fsynr, op, prot):
    _, events = imported(tmp_path, context(1, 0x1000, fsynr))
    assert rows(events, "op", "prot") == [(op, prot)]


def test_a_smmuv3_event_tells_its_access(tmp_path):
    words = [0x0000001000000010, 1 << 34 | 1 << 33 | 1 << 35, 0xFFFFF000, 0]
    text = "[    1.000000] arm-smmu-v3 9050000.smmuv3: event 0x10 received:\n" + "".join(
        f"[    1.000001] arm-smmu-v3 9050000.smmuv3: \t{word:#018x}\n" for word in words
    )
    _, events = imported(tmp_path, text)
    assert rows(events, "op", "stream", "iova", "prot") == [(EXEC, 0x10, 0xFFFFF000, PROT_PRIV)]


@pytest.mark.parametrize("sample", [text for _, text, _ in SAMPLES], ids=[name for name, *_ in SAMPLES])
def test_every_layout_becomes_accesses_or_marks(tmp_path, sample):
    text = "[    0.000001] Booting Linux on physical CPU 0x0\n" + sample
    faults = scan(list(enumerate(text.splitlines(), 1))).faults
    with_address = [fault for fault in faults if fault.iova is not None]
    assert faults
    if not with_address:
        with pytest.raises(TraceError, match="no fault with an address") as caught:
            imported(tmp_path, text)
        assert f"{len(faults)} without an address" in str(caught.value)
        text += context(9999, 0x1000)
        with_address = [None]
    _, events = imported(tmp_path, text)
    accesses, marks = events[events["op"] <= EXEC], events[events["op"] == MARK]
    assert len(accesses) == len(with_address)
    assert len(marks) >= len(faults) - len(with_address)
    if with_address != [None]:
        assert accesses["iova"].tolist() == [fault.iova for fault in with_address]


def test_streams_without_an_id_and_ids_of_two_smmus_get_numbers_of_their_own(tmp_path):
    text = (
        context(1, 0x1000, sid=5) + context(2, 0x2000, sid=5, device="15000000.iommu") + context(3, 1, sid=5)
    )
    text += f"[    4.000000] {ARM}fsr=0x402, iova=0x3000, fsynr=0x1, cb=1\n"
    made, events = imported(tmp_path, text)
    assert events["stream"].tolist() == [5, 65535, 5, 65534]
    assert [(s.stream, s.name) for s in made.manifest.streams] == [
        (5, "SID 0x5, 5040000.iommu"), (65534, "SID not told, 5040000.iommu"),
        (65535, "SID 0x5, 15000000.iommu"),
    ]  # fmt: skip


def test_a_new_boot_goes_on_from_the_last_fault_and_says_so(tmp_path):
    text = context(100, 0x1000) + context(101, 0x2000) + context(3, 0x3000) + context(3.5, 0x4000)
    made, events = imported(tmp_path, text)
    assert events["t_ns"].tolist() == [0, 10**9, 10**9, 15 * 10**8]
    assert "starts again, or is another, at 1 places" in notes(made)


def test_faults_without_a_time_have_that_of_the_one_before(tmp_path):
    line = f"{ARM}fsr=0x402, iova=0x3000, fsynr=0x1, cb=1\n"
    made, events = imported(tmp_path, context(1, 0x1000) + context(2, 0x2000) + line + context(3, 0x4000))
    assert events["t_ns"].tolist() == [0, 10**9, 10**9, 2 * 10**9]
    assert "1 faults have none" in notes(made)


def test_what_was_suppressed_or_went_on_besides_is_marked(tmp_path):
    text = (
        "[    0.500000] Linux version 6.12.9\n"
        + context(1, 0x1000)
        + "[    6.000000] arm_smmu_context_fault: 214 callbacks suppressed\n"
        + "[    7.000000] arm-smmu 5040000.iommu: TLB sync timed out -- SMMU may be deadlocked\n"
    )
    made, events = imported(tmp_path, text)
    marks = [(int(e["t_ns"]), made.manifest.marks[int(e["iova"])]) for e in events[events["op"] == MARK]]
    assert marks[0] == (0, "kernel: Linux version 6.12.9")
    assert marks[1] == (5 * 10**9, "214 callbacks suppressed in arm_smmu_context_fault")
    assert marks[2][0] == 6 * 10**9
    assert marks[2][1].startswith("tlb-sync-timeout 5040000.iommu: TLB sync timed out")
    assert "Suppressed: 214 prints more" in notes(made)


def test_a_torn_line_is_refused_with_its_number_or_left_out(tmp_path):
    text = context(1, 0x1000) + f"[    2.000000] {ARM}fsr=0x402, iova=zzz\n" + "[    3.000000] usb\n" * 10
    with pytest.raises(TraceError) as caught:
        imported(tmp_path, text)
    assert (caught.value.what, caught.value.where.endswith("board.log: line 2")) == ("a torn line", True)
    made, events = imported(tmp_path, text, salvage=True)
    assert (events.size, len(made.dropped)) == (1, 1)


def test_a_log_whose_faults_come_late_is_known_by_its_stamps(tmp_path):
    text = "".join(f"[{n / 100:>12.6f}] usb 1-1: nothing of note\n" for n in range(3000)) + context(
        99, 0x1000
    )
    made, events = imported(tmp_path, gzip.compress(text.encode()))
    assert (made.format, events.size) == ("dmesg", 1)


OTHERS = {
    "a table of faults": ("t.csv", "iova,text\n0x1000,Unhandled context fault: what a name\n", "csv"),
    "a kernel's trace with a log's line": (
        "trace.txt",
        "# tracer: nop\n  gpu-7  [001] d..1.  5.000001: irq_handler_entry: irq=1 name=x\n"
        "  gpu-7  [001] d..1.  5.000002: console: [    1.0] arm-smmu x: Unhandled context fault: fsr=0x402\n",
        "ftrace",
    ),
}


@pytest.mark.parametrize(("name", "text", "format_name"), OTHERS.values(), ids=OTHERS)
def test_other_files_that_quote_a_fault_keep_their_format(tmp_path, name, text, format_name):
    (tmp_path / name).write_text(text)
    assert import_trace(tmp_path / name, tmp_path / "out.parquet").format == format_name


@pytest.mark.shared
def test_each_recording_of_others_is_of_one_format_or_of_none():
    folder = capture("kernel-logs").parent
    for path in folder.rglob("*"):
        if path.is_file():
            with Source(path, Dropped()) as source:
                known = [name for name in READERS if load(name).sniff(source.head(), source.name)]
            assert len(known) <= 1, (path.name, known)


def test_a_clock_is_real_where_the_user_vouches(tmp_path):
    made, _ = imported(tmp_path, context(1, 0x1000), options=Options(real_clock=True))
    assert made.manifest.clock_is_real
    assert "says the user" in made.manifest.clock


@pytest.mark.parametrize("most", [1, 3, 1 << 12])
def test_parts_of_a_log_are_the_log(most):
    text = "".join(sample for _, sample, _ in SAMPLES) + context(1, 0x1000)
    text += (
        f"[    2.000000] {ARM}fsr=0x402, iova=zzz\n[ 3.0] arm_smmu_context_fault: 3 callbacks suppressed\n"
    )
    lines = list(enumerate((text * 3).splitlines(), 1))
    whole, parts = scan(lines), list(scan_parts(lines, most))
    for name in ("faults", "suppressed", "notes", "malformed"):
        assert tuple(one for part in parts for one in getattr(part, name)) == getattr(whole, name), name
    assert parts[-1].lines == whole.lines
    if most == 1:
        assert len(parts) > 20


@pytest.mark.shared
def test_every_real_line_that_is_read_becomes_an_event(tmp_path):
    lines = [json.loads(line) for line in capture("kernel-logs/faults.jsonl").read_text().splitlines()]
    text = "\n".join(line["line"] for line in lines) + "\n"
    log = scan(list(enumerate(text.splitlines(), 1)))
    made, events = imported(tmp_path, text, salvage=True)
    accesses = events[events["op"] <= EXEC]
    assert accesses["iova"].tolist() == [fault.iova for fault in log.faults if fault.iova is not None]
    assert len(accesses) >= 55
    told = {line["fields"]["iova"] for line in lines if line["fields"].get("cbfrsynra")}
    streams = {int(e["iova"]): int(e["stream"]) for e in accesses}
    sids = {
        line["fields"]["iova"]: line["fields"]["cbfrsynra"]
        for line in lines
        if line["fields"].get("cbfrsynra")
    }
    assert len(told) > 5
    assert all(streams[iova] == sids[iova] & 0xFFFF for iova in told)
    assert sum(int(line.split(" x ")[0]) for line in made.dropped) == len(log.malformed)
