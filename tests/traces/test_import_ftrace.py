"""Importing a kernel's trace as text: every layout of the iommu events, and what is timed beside them."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from tests.traces.shared_captures import capture
from traces.errors import TraceError
from traces.events import MAP, MARK, PA_UNKNOWN, PROT_READ, PROT_WRITE, READ, TLBI, UNMAP, WRITE
from traces.importers.result import Options
from traces.importers.run import import_trace
from traces.importers.stamps import parse_line
from traces.qemu.guest_log import read_guest_log
from traces.reader import open_trace
from traces.validate import validate

DATA = Path(__file__).parent / "data"
RANGED = "map: IOMMU: iova=0x0000000000100000 - 0x0000000000300000 paddr=0x0000000080000000 size=2097152"
GONE = "unmap: IOMMU: iova=0x0000000000100000 - 0x0000000000300000 size=2097152 unmapped_size=2097152"
PLAIN = "map: IOMMU: iova=0x0000000000100000 paddr=0x0000000080000000 size=2097152"
BY_DEVICE = "map: IOMMU: dev=1d84000.ufshc iova=0x0000000000100000 paddr=0x0000000080000000 size=2097152"
AT = (MAP, 0x100000, 2 << 20, 0x80000000)
HEADS = {
    "ftrace": "          gpu-1010    [004] .N...    50.126420: ",
    "ftrace of an older kernel": "          gpu-1010  [004] .N..    50.126420: ",
    "ftrace with thread groups": "          gpu-1010  ( 1010) [004] .N...    50.126420: ",
    "trace-cmd": "             gpu-1010  [004]    50.126420: ",
    "trace-cmd with nanoseconds": "             gpu-1010  [004]    50.126420000: ",
    "a task with a space and parentheses": "   (udev worker)-532     [010] .....    50.126420: ",
    "a kernel thread": "   kworker/u64:0-12      [011] .....   50.126420: ",
    "perf": "gpu  1010 [004]    50.126420: iommu:",
    "perf with threads": "gpu worker 1010/1011 [004]    50.126420000:      iommu:",
}


def imported(tmp_path, text, **more):
    path = tmp_path / "trace.txt"
    path.write_text(text)
    made = import_trace(path, tmp_path / "out.parquet", **more)
    validate(made.path)
    return made, open_trace(made.path).read()


def rows(events, *fields):
    return [tuple(int(event[field]) for field in fields) for event in events]


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("event", [RANGED, PLAIN, BY_DEVICE], ids=["range", "plain", "dev"])
def test_every_head_and_every_layout_of_map_is_read(tmp_path, head, event):
    made, events = imported(tmp_path, head + event + "\n")
    assert made.format == "ftrace"
    assert rows(events, "op", "iova", "size", "pa") == [AT]
    assert int(events["prot"][0]) == PROT_READ | PROT_WRITE


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_heads_give_the_same_time_cpu_and_event(head):
    line = parse_line(head + GONE)
    assert (line.t_ns, line.event) == (50_126_420_000, "unmap")
    assert line.cpu in (4, 10, 11)
    assert line.rest == GONE.removeprefix("unmap: ")


def test_an_unmap_takes_away_what_it_says_it_did(tmp_path):
    head = HEADS["ftrace"]
    part = GONE.replace("unmapped_size=2097152", "unmapped_size=4096")
    none = GONE.replace("unmapped_size=2097152", "unmapped_size=0")
    made, events = imported(tmp_path, f"{head}{RANGED}\n{head}{part}\n{head}{none}\n{head}{GONE}\n")
    assert rows(events[1:], "op", "size") == [(UNMAP, 4096), (UNMAP, 2 << 20)]
    assert any("1 unmaps that unmapped nothing" in note for note in made.manifest.notes)


def test_quoted_events_without_a_head_keep_their_order(tmp_path):
    made, events = imported(
        tmp_path, f"  {BY_DEVICE}\n  {PLAIN}\n  un{PLAIN.replace('paddr=0x0000000080000000 ', '')}\n"
    )
    assert rows(events, "t_ns", "op", "space") == [(0, MAP, 0), (0, MAP, 1), (0, UNMAP, 1)]
    assert made.manifest.spaces[0].name == "the domain of 1d84000.ufshc"
    assert "3 events have no time" in made.manifest.clock


def test_a_page_fault_is_the_one_access_that_a_kernel_traces(tmp_path):
    """The use after an unmap of an ath12k, as quoted in public: 6.2 ms from one to the other."""
    text = (
        "   (udev-worker)-532     [010] .....     4.878076: map: IOMMU: iova=0x00000000fe980000 - "
        "0x00000000fea00000 paddr=0x000000010ec80000 size=524288\n"
        "   kworker/u64:0-12      [011] .....   327.747766: unmap: IOMMU: iova=0x00000000fe980000 - "
        "0x00000000fea00000 size=524288 unmapped_size=524288\n"
        "irq/26-AMD-Vi-154     [006] .....   327.753942: io_page_fault: IOMMU:ath12k_pci 0000:c2:00.0 "
        "iova=0x00000000fe980000 flags=0x0001\n"
    )
    made, events = imported(tmp_path, text)
    assert rows(events, "t_ns", "op") == [(0, MAP), (322_869_690_000, UNMAP), (322_875_866_000, WRITE)]
    assert int(events["pa"][2]) == int(PA_UNKNOWN)
    assert [(s.name, s.accesses) for s in made.manifest.streams] == [("0000:c2:00.0", 1)]
    assert any(line.startswith("Accesses") for line in made.manifest.not_contained)
    assert made.manifest.invalidation == "with-unmap"


def test_bit_0_of_a_faults_flags_tells_a_write(tmp_path):
    fault = "irq/24-AMD-Vi-48 [002] ....   978.554289: io_page_fault: IOMMU:[d] 0000:05:00.0 iova=0x91482640 "
    _, events = imported(tmp_path, f"{fault}flags=0x0000\n{fault}flags=0x0001\n", format="ftrace")
    assert rows(events, "op") == [(READ,), (WRITE,)]


def test_the_capture_tools_own_probes_tell_tables_apart_and_know_rights(tmp_path):
    path = DATA / "gpu.ftrace.txt"
    made = import_trace(path, tmp_path / "out.parquet")
    events = open_trace(made.path).read()
    with path.open() as lines:
        guest = read_guest_log(lines, path)
    wanted = [(e.op, e.iova, e.size, e.pa, e.prot) for e in guest if e.op != MARK]
    table = events[events["op"] != MARK]
    assert rows(table, "op", "iova", "size", "pa", "prot") == wanted
    assert len(made.manifest.spaces) == len({e.tables for e in guest if e.op != MARK}) == 2
    assert made.manifest.marks == ["end"]


def stamped(task, cpu, us, event):
    return f"{task:>16} [{cpu:03}] d.h..    10.{us:06}: {event}\n"


SMMU = "name=arm-smmu-v3-evtq"
FENCE = "driver=virtio_gpu timeline=controlq context=1 seqno=7"
TIMED = "".join(
    stamped(*line)
    for line in [
        ("<idle>-0", 0, 10, f"irq_handler_entry: irq=16 {SMMU}"),
        ("<idle>-0", 1, 11, f"irq_handler_entry: irq=16 {SMMU}"),
        ("<idle>-0", 0, 20, "irq_handler_exit: irq=16 ret=handled"),
        ("<idle>-0", 1, 41, "irq_handler_exit: irq=16 ret=handled"),
        (
            "gpuload-201",
            0,
            50,
            "workqueue_queue_work: work struct=00d621c4ac function=flush_it workqueue=events",
        ),
        ("kworker/0:1-16", 0, 60, "workqueue_execute_start: work struct 00d621c4ac: function flush_it"),
        ("kworker/0:1-16", 0, 160, "workqueue_execute_end: work struct 00d621c4ac: function flush_it"),
        ("gpuload-201", 0, 200, f"dma_fence_emit: {FENCE}"),
        ("kworker/1:1-26", 1, 900, f"dma_fence_signaled: {FENCE}"),
        ("kworker/0:1-16", 0, 1000, "virtio_gpu_cmd_queue: vdev=0 vq=0 name=control type=0x105 flags=0x0"),
        ("ring0-90", 2, 1100, "msm_gpu_submit_flush: id=3 pid=90 ring=0:7 ticks=99"),
        (
            "ring0-90",
            2,
            1150,
            "msm_gpu_submit_retired: id=3 pid=90 ring=0:7 elapsed=9 ns mhz=5 start=1 end=2",
        ),
        ("init-1", 1, 1200, "tracing_mark_write: MARK here"),
        ("kworker/0:1-16", 0, 1300, "sched_switch: prev_comm=a"),
    ]
)


def test_interrupts_work_fences_and_commands_become_marks_and_their_times_notes(tmp_path):
    made, events = imported(tmp_path, TIMED)
    assert set(events["op"].tolist()) == {MARK}
    marks = made.manifest.marks
    said = [marks[int(event["iova"])] for event in events]
    assert said[0] == "irq_handler_entry irq=16 name=arm-smmu-v3-evtq cpu=0"
    assert said[5] == "workqueue_execute_start function=flush_it cpu=0 pid=16"
    assert said[-1] == "MARK here"
    assert len(said) == 13
    notes = made.manifest.notes
    assert "irq 16 arm-smmu-v3-evtq: 2, median 30,000 ns, 99th percentile 30,000, most 30,000" in notes
    assert "queued flush_it: 1, median 10,000 ns, 99th percentile 10,000, most 10,000" in notes
    assert "work flush_it: 1, median 100,000 ns, 99th percentile 100,000, most 100,000" in notes
    assert "fence virtio_gpu: 1, median 700,000 ns, 99th percentile 700,000, most 700,000" in notes
    assert "GPU submit ring 0: 1, median 50,000 ns, 99th percentile 50,000, most 50,000" in notes
    assert any("(0 have no other half)" in note for note in notes)
    assert any("1 sched_switch" in note for note in notes)


def test_events_within_a_function_graph_are_read_and_its_calls_passed_over(tmp_path):
    text = (
        "# tracer: function_graph\n"
        "   76.037145 |   0)  edumany-257   |               |  /* irq_handler_entry: irq=6 name=IPI */\n"
        " ------------------------------------------\n 0)     init-1     =>  edumany-257  \n"
        " 0)               |  ic_caller [ic]() {\n 0)   1.000 us    |  }\n"
        "   76.037147 |   0)  edumany-257   |               |  /* irq_handler_exit: irq=6 ret=handled */\n"
    )
    made, events = imported(tmp_path, text)
    assert len(events) == 2
    assert "irq 6 IPI: 1, median 2,000 ns, 99th percentile 2,000, most 2,000" in made.manifest.notes


def test_the_users_word_alone_makes_the_clock_a_real_one(tmp_path):
    made, _ = imported(tmp_path, TIMED)
    assert not made.manifest.clock_is_real
    made, _ = imported(tmp_path, TIMED, options=Options(real_clock=True))
    assert made.manifest.clock_is_real


def test_an_upper_half_address_gives_an_adrenos_two_halves(tmp_path):
    made, _ = imported(tmp_path, "  map: IOMMU: iova=0x0001000000001000 paddr=0x80000000 size=4096\n")
    space = made.manifest.spaces[0]
    assert (space.ias, space.ttbr1.ias, space.sep) == (48, 48, 48)


HEAD = HEADS["ftrace"]
BROKEN = {
    "no event": ("what is this?\n", "line 2: cannot read the line"),
    "a size that is not the range's": (
        HEAD + RANGED.replace("size=2097152", "size=4096") + "\n", "a range that is not as long as its size"),
    "a range of half a page": (
        HEAD + PLAIN.replace("size=2097152", "size=2048") + "\n", "whole 4 KiB pages, found 0x800"),
    "no paddr": (HEAD + RANGED.replace("paddr", "phys") + "\n", "line 2: cannot read map"),
    "time that goes back": (HEAD.replace("50.", "49.") + GONE + "\n", "line 2: time runs backwards"),
    "lost events": ("CPU:2 [LOST 17 EVENTS]\n", "line 2: the trace lost events"),
    "an overrun": ("# entries-in-buffer/entries-written: 3/9   #P:2\n", "6 of 9 events overwritten"),
    "dropped events": ("CPU 1: 12 EVENTS DROPPED\n", "line 2: the trace lost events"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_refused_with_its_line_and_salvage_goes_on(tmp_path, line, message):
    text = f"{HEAD}{RANGED}\n{line}{HEAD}{GONE}\n"
    with pytest.raises(TraceError, match=message):
        imported(tmp_path, text)
    assert [path.name for path in tmp_path.iterdir()] == ["trace.txt"]
    made, events = imported(tmp_path, text, salvage=True)
    assert rows(events, "op") == [(MAP,), (UNMAP,)]
    assert [line[:4] for line in made.dropped] == ["1 x "]


GRANULES = {16384: "16 KiB", 65536: "64 KiB"}


@pytest.mark.parametrize("granule", GRANULES)
def test_a_granule_is_the_tables_and_what_does_not_fit_it_is_refused(tmp_path, granule):
    head = HEADS["ftrace"]
    size = granule * 3
    fits = f"map: IOMMU: iova=0x{granule * 8:016x} paddr=0x{granule * 16:016x} size={size}"
    probe = f"map: (arm_lpae_map_pages+0x0/0x540) ops=0x1 iova=0x{granule:x} pa=0x0 pgsize=0x{granule:x} " \
            "pgcount=0x2 prot=0x3"  # fmt: skip
    made, events = imported(tmp_path, f"{head}{fits}\n{head}{probe}\n", options=Options(granule=granule))
    assert [space.granule for space in made.manifest.spaces] == [granule, granule]
    assert rows(events, "iova", "size") == [(granule * 8, size), (granule, 2 * granule)]
    with pytest.raises(TraceError, match=f"whole {GRANULES[granule]} pages, found 0x1000"):
        imported(
            tmp_path,
            f"{head}{PLAIN.replace('size=2097152', 'size=4096')}\n",
            options=Options(granule=granule),
        )
    with pytest.raises(TraceError, match=f"a pgsize of a granule of {GRANULES[granule]}"):
        imported(tmp_path, f"{head}{probe.replace(hex(granule)[2:] + ' pgc', '1000 pgc')}\n",
                 options=Options(granule=granule))  # fmt: skip


@pytest.mark.shared
def test_the_larger_recording_has_as_many_events_as_grep_finds(tmp_path):
    made = import_trace(capture("qemu/gpu.ftrace.txt.gz"), tmp_path / "out.parquet")
    counts = made.manifest.counts
    assert (counts["MAP"], counts["UNMAP"]) == (6_384, 3_351)
    # 2 x 2,191 irq, 3 x 607 workqueue, 86 dma_fence, 513 + 471 virtio_gpu_cmd, 89 drm_vblank, 5 marks
    assert counts["MARK"] == 2 * 2_191 + 3 * 607 + 86 + 513 + 471 + 89 + 5
    evtq = next(note for note in made.manifest.notes if note.startswith("irq 16 arm-smmu-v3-evtq"))
    assert evtq.startswith("irq 16 arm-smmu-v3-evtq: 2,")


@pytest.mark.shared
def test_every_unmap_of_the_larger_recording_pairs_with_an_invalidation_of_qemus_log(tmp_path):
    """One distance of the two clocks lies between each UNMAP and an invalidation of its address."""
    kernel = open_trace(import_trace(capture("qemu/gpu.ftrace.txt.gz"), tmp_path / "k.parquet").path).read()
    qemu = open_trace(import_trace(capture("qemu/gpu.trace.log.gz"), tmp_path / "q.parquet").path).read()
    unmapped, invalidated = defaultdict(list), defaultdict(list)
    for op, events, times in ((UNMAP, kernel, unmapped), (TLBI, qemu, invalidated)):
        for event in events[(events["op"] == op) & (events["size"] > 0)]:
            times[int(event["iova"])].append(int(event["t_ns"]))
    # Where both have as many of an address: the log begins earlier, and cuts long ranges into pieces.
    distance = int(
        np.median(
            [
                later - earlier
                for iova, times in unmapped.items()
                if len(times) == len(invalidated[iova])
                for earlier, later in zip(times, invalidated[iova], strict=True)
            ]
        )
    )
    apart = []
    for iova, times in unmapped.items():
        for earlier in times:
            later = next(t for t in invalidated[iova] if abs(t - earlier - distance) < 5_000_000)
            invalidated[iova].remove(later)
            apart.append(later - earlier - distance)
    assert len(apart) == 3_351
    low, high = np.percentile(apart, [1, 99])
    assert high - low == 123_000


@pytest.mark.shared
def test_every_quoted_block_of_real_events_is_read(tmp_path):
    text = capture("kernel-logs/iommu_trace_events.txt").read_text()
    total = 0
    for block in text.split("## ")[1:]:
        lines = "".join(line + "\n" for line in block.splitlines()[1:])
        made, _ = imported(tmp_path, lines)
        total += made.rows
    assert total == 29
