"""Importing Adreno command-stream captures: buffers, command streams, and what cannot be read."""

import gzip
import itertools
import re
import subprocess
import sys

import numpy as np
import pytest

from tests.traces import adreno_files as made_of
from tests.traces.adreno_files import BASE, Rd, call, fill, op0, op3, op4, op7, small_rd
from tests.traces.shared_captures import REPOSITORY, capture
from traces.errors import TraceError
from traces.events import MAP, MARK, PA_UNKNOWN, READ, UNMAP
from traces.importers.result import Options
from traces.importers.run import import_trace
from traces.reader import open_trace
from traces.validate import validate


def imported(tmp_path, rd, accesses="", name="t.rd", **more):
    path = tmp_path / name
    path.write_bytes(rd.data if isinstance(rd, Rd) else rd)
    made = import_trace(path, tmp_path / "out.parquet", options=Options(accesses=accesses), **more)
    validate(made.path)
    return made, open_trace(made.path).read()


def rows(events, op, *fields):
    return [tuple(int(event[field]) for field in fields) for event in events[events["op"] == op]]


def reads(events):
    return rows(events, READ, "iova", "size")


def said(made, words):
    """The one note or line of what is missing that has these words."""
    (line,) = [line for line in made.manifest.notes + made.manifest.not_contained if words in line]
    return line


def test_a_capture_becomes_maps_of_its_lists_and_fetches_in_the_order_of_calls(tmp_path):
    made, events = imported(tmp_path, small_rd())
    assert made.format == "rd"
    assert made.manifest.kind == "derived"
    assert rows(events, MAP, "iova", "size") == [
        (BASE, 0x1000),
        (BASE + 0x1000, 0x1000),
        (BASE + 0x10000, 0x3000),
    ]
    assert rows(events, UNMAP, "iova", "size") == [(BASE + 0x10000, 0x3000)]
    # 24 dwords: 3 of registers, 2 of a marker, 4 of the call (to byte 36), 4, 4 of the draw (68), 3 more.
    first = [
        (BASE, 32), (BASE + 32, 32),  # with the call's last dword comes all of its 32 bytes
        (BASE + 0x1000, 20),  # the stream that is called
        (BASE + 64, 16),  # the draw's end, and all that the stream has there
        (BASE + 0x1100, 8),  # the state group that the draw needs
    ]  # fmt: skip
    assert reads(events) == first * 2
    assert set(events["pa"][events["op"] == READ].tolist()) == {int(PA_UNKNOWN)}
    marks = [made.manifest.marks[row[0]] for row in rows(events, MARK, "iova")]
    assert marks == ["game/12: fence=1", f"command stream 0: 20 dwords at {BASE:#x}",
                     "game/12: fence=2", f"command stream 1: 20 dwords at {BASE:#x}"]  # fmt: skip
    assert made.manifest.spaces[0].name == "the tables of game/12"
    assert "2 that their packets call" in said(made, "Accesses, derived")


def test_time_is_the_number_of_the_access_and_no_evidence(tmp_path):
    made, events = imported(tmp_path, small_rd())
    assert [row[0] for row in rows(events, READ, "t_ns")] == list(range(10))
    assert [row[0] for row in rows(events, UNMAP, "t_ns")] == [5]
    assert not made.manifest.clock_is_real
    assert "number of the access" in made.manifest.clock


def test_every_stream_is_fetched_to_its_last_byte_and_no_further(tmp_path):
    """Streams that begin and end anywhere: the bytes read are those of the streams."""
    for start in range(0, 40, 4):
        for n in (1, 7, 8, 9, 31):
            words = [0] * (start // 4) + fill(n)
            rd = Rd().buffer(BASE, 4096, words).submit(BASE + start, n)
            _, events = imported(tmp_path, rd)
            touched = [iova + k for iova, size in reads(events) for k in range(size)]
            assert touched == list(range(BASE + start, BASE + start + 4 * n))
            assert all(iova // 32 == (iova + size - 1) // 32 for iova, size in reads(events))


def test_older_gpus_have_other_headers_and_addresses_of_32_bits(tmp_path):
    inner = op0(0x2280, 5, 6) + op3(0x46, 1) + [2 << 30]
    outer = op3(0x37, 0x11842000, len(inner)) + op0(0x2000, 9)
    rd = Rd(330).buffer(0x11840000, 4096, outer, wide=False).buffer(0x11842000, 4096, inner, wide=False)
    rd.submit(0x11840000, len(outer), wide=False)
    made, events = imported(tmp_path, rd)
    assert made.manifest.device.startswith("Adreno 330")
    assert reads(events) == [(0x11840000, 20), (0x11842000, 24)]


@pytest.mark.parametrize(
    ("chip", "name"), [(0x06030002, "0x6030002"), (0x43050A01, "0x43050a01"), (0x44050A31, "0x44050a31")]
)
def test_newer_captures_have_a_chip_in_the_place_of_a_number(tmp_path, chip, name):
    rd = (
        Rd(0).section(made_of.CHIP_ID, chip.to_bytes(8, "little")).buffer(BASE, 4096, fill(8)).submit(BASE, 8)
    )
    made, events = imported(tmp_path, rd)
    assert reads(events) == [(BASE, 32)]
    assert name in made.manifest.device


def test_buffers_that_are_no_whole_pages_map_every_page_that_they_touch_once(tmp_path):
    """As es2gears' are: parts of one buffer, one behind the other."""
    a, b, c = 0x11842370, 0x11848658, 0x11848DF8
    rd = (
        Rd(330)
        .buffer(a, 0x62E8, wide=False)
        .buffer(b, 0x7A0, op0(0x2000, 1), wide=False)
        .submit(b, 2, wide=False)
    )
    rd.buffer(c, 0x7A0, op0(0x2000, 1), wide=False).submit(c, 2, wide=False)
    made, events = imported(tmp_path, rd)
    assert rows(events, MAP, "iova", "size") == [(0x11842000, 0x7000), (0x11849000, 0x1000)]
    # The page at 0x11848000 is left to the buffer of the second list.
    assert rows(events, UNMAP, "iova", "size") == [(0x11842000, 0x6000)]
    assert said(made, "Pages: 3 of the buffers' records")


def test_output_addresses_are_made_up_so_that_no_table_entry_is_larger_than_a_page(tmp_path):
    rd = Rd()
    for n in range(5):
        rd.buffer(0x40000000 * n + 0x200000 * n, 8 << 20)
    rd.buffer(BASE, 4096, fill(8)).submit(BASE, 8)
    made, events = imported(tmp_path, rd)
    for iova, pa in rows(events, MAP, "iova", "pa"):
        assert (iova - pa) % (2 << 20) != 0
        assert pa % 4096 == 0
    spans = sorted(rows(events, MAP, "pa", "size"))
    assert all(a + n <= b for (a, n), (b, _) in itertools.pairwise(spans))
    assert said(made, "pa is made up")


def test_a_buffer_that_comes_back_is_mapped_again(tmp_path):
    rd = Rd()
    for listed in ([0], [0, 1], [0], [0, 1]):
        rd.buffer(BASE, 4096, fill(8))
        for n in listed[1:]:
            rd.buffer(BASE + 0x1000 * n, 4096)
        rd.submit(BASE, 8)
    _, events = imported(tmp_path, rd)
    table = events[(events["op"] == MAP) | (events["op"] == UNMAP)]
    assert [(int(e["op"]), int(e["iova"])) for e in table] == [
        (MAP, BASE), (MAP, BASE + 0x1000), (UNMAP, BASE + 0x1000), (MAP, BASE + 0x1000)]  # fmt: skip


def test_processes_have_tables_of_their_own(tmp_path):
    rd = Rd()
    for who in ("a/1", "b/2", "a/1"):
        rd.cmd(f"{who}: fence=9").buffer(BASE, 4096, fill(8)).submit(BASE, 8)
    made, events = imported(tmp_path, rd)
    assert rows(events, READ, "space") == [(0,), (1,), (0,)]
    assert rows(events, MAP, "space") == [(0,), (1,)]
    assert [space.name for space in made.manifest.spaces] == ["the tables of a/1", "the tables of b/2"]


def test_streams_of_one_submit_share_its_list(tmp_path):
    rd = Rd().buffer(BASE, 4096, fill(16)).submit(BASE, 8).submit(BASE + 32, 8)
    _, events = imported(tmp_path, rd)
    assert reads(events) == [(BASE, 32), (BASE + 32, 32)]
    _, events = imported(tmp_path, rd, "sweep")
    assert len(reads(events)) == 16


def test_a_stream_that_was_not_captured_is_counted_and_not_read(tmp_path):
    outer = call(BASE + 0x1000, 40) + fill(4)
    rd = Rd().buffer(BASE, 4096, outer).buffer(BASE + 0x1000, 4096).submit(BASE, 8).submit(BASE + 0x2000, 7)
    made, events = imported(tmp_path, rd)
    assert reads(events) == [(BASE, 32)]
    assert said(made, "not captured").startswith("2 command streams (47 dwords)")


def test_a_call_of_no_dwords_is_nothing(tmp_path):
    rd = Rd().buffer(BASE, 4096, call(BASE + 64, 0) + fill(4)).submit(BASE, 8)
    made, events = imported(tmp_path, rd)
    assert reads(events) == [(BASE, 32)]
    assert not any("not captured" in line for line in made.manifest.not_contained)


def test_a_group_for_another_mode_or_taken_away_is_not_fetched(tmp_path):
    def group(number, mask, place, flags=0):
        return [number << 24 | mask << 20 | flags << 16 | 8, (BASE + place) & 0xFFFFFFFF, 1]

    binning, tiles, memory = 1, 2, 4
    state = op7(
        made_of.DRAW_STATE, *group(5, tiles, 0x100), *group(1, 7, 0x200), *group(2, binning, 0x300),
        *group(3, tiles | memory, 0x400), *group(3, 7, 0, flags=2), *group(4, 7, 0x500, flags=8),
    )  # fmt: skip
    outer = op7(made_of.MARKER, 0x14) + state + op7(made_of.DRAW, 0, 0, 0) * 2
    rd = Rd().buffer(BASE, 4096, outer + [0] * (64 - len(outer)) + fill(8) * 40).submit(BASE, len(outer))
    _, events = imported(tmp_path, rd)
    groups = [row[0] - BASE for row in reads(events) if row[0] - BASE >= 0x100]
    # At once the one that says so, then by number at the first draw, and nothing at the second.
    assert groups == [0x500, 0x200, 0x100]


def test_pointers_are_reads_where_packets_point_into_listed_buffers(tmp_path):
    other = BASE + 0x10000
    words = [
        *op4(0x0C00, 0x10000 + 0x1040, 1),  # into `other`
        *op4(0x0C00, 0x10000 + 0x1040, 2),  # elsewhere: the upper dword differs
        *op7(made_of.NOP, 0x11040, 1),  # a filler's payload programs nothing
        *op4(0x0C00, 7, 0x13FFC, 1, 0x14000, 1),  # `other`'s last dword, and one behind it
    ]
    rd = Rd().buffer(BASE, 4096, words).buffer(other, 0x3000).submit(BASE, len(words))
    made, events = imported(tmp_path, rd, "pointers")
    assert reads(events) == [(other + 0x40, 1), (other + 0x2FFC, 1)]
    assert made.manifest.kind == "derived"
    assert "inferred" in made.manifest.title
    assert said(made, "inferred and not recorded")


def test_a_sweep_is_synthetic_and_says_so(tmp_path):
    rd = Rd().buffer(BASE, 1000, fill(8)).buffer(BASE + 0x1000, 4096).submit(BASE, 8)
    made, events = imported(tmp_path, rd, "sweep")
    steps = [(BASE + 256 * n, 256 if n < 3 else 232) for n in range(4)]
    assert reads(events) == steps + [(BASE + 0x1000 + 256 * n, 256) for n in range(16)]
    assert made.manifest.kind == "synthetic"
    assert made.manifest.title.startswith("Modelled")
    assert said(made, "modelled and not recorded")
    assert said(made, "Any access that the GPU made")


def test_a_sweep_over_more_than_memory_is_refused(tmp_path):
    rd = Rd().buffer(BASE, 4096, fill(8)).buffer(1 << 33, 0xFFFFF000).submit(BASE, 8)
    with pytest.raises(TraceError, match=r"byte \d+ of what it holds.*: buffers too large to sweep"):
        imported(tmp_path, rd, "sweep")
    made, events = imported(tmp_path, rd, "sweep", salvage=True)
    assert len(reads(events)) == 16
    assert len(made.dropped) == 1


def test_buffers_that_no_stream_follows_are_mapped_at_the_end(tmp_path):
    rd = Rd().buffer(BASE, 4096, fill(8)).submit(BASE, 8).buffer(BASE + 0x5000, 4096)
    _, events = imported(tmp_path, rd)
    assert rows(events, MAP, "iova") == [(BASE,), (BASE + 0x5000,)]
    assert rows(events, UNMAP, "iova") == []


def section(kind, payload):
    return Rd(0).section(kind, payload).data


GOOD = Rd().buffer(BASE, 4096, fill(8)).submit(BASE, 8).data
AT = len(GOOD)
LOOP = call(BASE, 4)
BROKEN = {
    "a type that is none": (b"\x12\0\0\0\0\0\0\0",
                            f"byte {AT} of what it holds: no section's type: expected 1 to 17, found 18"),
    "type 0": (bytes(8), f"byte {AT}.*no section's type"),
    "half a head": (b"\2\0\0\0", "a section's head is cut short: expected 8 bytes, found 4"),
    "a section that is cut short": (section(2, b"x" * 40)[:-1],
                                    "the last section is cut short: expected 40 bytes, found 39"),
    "contents that are cut short": (Rd(0).buffer(BASE, 4096, fill(8)).data[:-9],
                                    "the last section is cut short: expected 4096 bytes, found 4087"),
    "an address of 9 bytes": (section(3, b"x" * 9),
                              "a GPUADDR of another size: expected 8 or 12 bytes, found 9"),
    "a GPU of 8 bytes": (section(13, bytes(8)), "a GPU_ID of another size"),
    "a buffer of no bytes": (Rd(0).buffer(BASE, 0).data, "a buffer of no bytes"),
    "a buffer beyond its half": (Rd(0).buffer((1 << 48) - 4096, 8192).data,
                                 "a buffer that cannot be mapped: .*one half"),
    "contents of nothing": (section(12, bytes(64)), "contents without a buffer"),
    "contents of another length": (Rd(0).buffer(BASE, 64).data + section(12, bytes(60)),
                                   "contents that are not as long as their buffer: expected 64, found 60"),
    "no packet": (Rd(0).buffer(BASE, 64, [0xDEADD00D]).submit(BASE, 4).data,
                  f"command stream at {BASE:#x}: no packet's header.*0xdeadd00d"),
    "a packet that does not end": (Rd(0).buffer(BASE, 64, op4(0xC00, *range(9))).submit(BASE, 4).data,
                                   "longer than its command stream: expected at most 3 dwords, found 9"),
    "a stream that no packet can call": (Rd(0).buffer(BASE, 64).submit(BASE, 1 << 20).data,
                                         "a command stream that is too long: expected 1048575 dwords"),
    "a stream in itself": (Rd(0).buffer(BASE, 64, LOOP).submit(BASE, 4).data, "too deep in each other"),
}  # fmt: skip


@pytest.mark.parametrize(("more", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_refused_with_its_byte_and_salvage_keeps_what_is_whole(tmp_path, more, message):
    with pytest.raises(TraceError, match=message):
        imported(tmp_path, GOOD + more)
    assert [path.name for path in tmp_path.iterdir()] == ["t.rd"]
    made, events = imported(tmp_path, GOOD + more, salvage=True)
    assert reads(events)[0] == (BASE, 32)
    assert [line[:4] for line in made.dropped] == ["1 x "]


def test_salvage_goes_on_behind_a_broken_stream(tmp_path):
    bad = Rd(0).buffer(BASE, 64, [*fill(4), 0xDEADD00D]).submit(BASE, 8).data
    _, events = imported(tmp_path, GOOD + bad + GOOD, salvage=True)
    assert reads(events) == [(BASE, 32), (BASE, 32), (BASE, 32)]


def test_a_stream_of_an_unknown_gpu_is_refused(tmp_path):
    with pytest.raises(TraceError, match="unknown GPU: expected a GPU_ID or CHIP_ID"):
        imported(tmp_path, Rd(0).buffer(BASE, 64, fill(8)).submit(BASE, 8))


def test_streams_that_go_through_the_same_bytes_without_end_are_stopped(tmp_path):
    """Two streams of calls and a third: 1,000 x 1,000 rounds of 400 dwords."""
    third, second = fill(400), call(BASE + 0x10000, 400) * 1000
    first = call(BASE + 0x4000, len(second)) * 1000
    rd = (
        Rd()
        .buffer(BASE, 0x4000, first)
        .buffer(BASE + 0x4000, 0x4000, second)
        .buffer(BASE + 0x10000, 0x1000, third)
    )
    with pytest.raises(TraceError, match="go round and round: expected each captured dword 256 times"):
        imported(tmp_path, rd.submit(BASE, len(first)))


def test_compressed_and_plain_captures_are_told_by_their_sections_not_their_name(tmp_path):
    for data, name in (
        (GOOD, "capture.bin"),
        (gzip.compress(GOOD), "capture.rd.gz"),
        (b"\xff" * 16 + GOOD, "x"),
    ):
        made, _ = imported(tmp_path, data, name=name)
        assert made.format == "rd"


def test_a_kind_of_accesses_that_is_none_is_refused(tmp_path):
    with pytest.raises(
        TraceError, match="unknown accesses: expected one of fetch, pointers, sweep, found 'all'"
    ):
        imported(tmp_path, GOOD, "all")


def test_other_formats_take_no_kind_of_accesses(tmp_path):
    with pytest.raises(TraceError, match="--accesses says nothing to this format"):
        imported(tmp_path, b"iova\n4\n", "sweep", name="t.csv")


@pytest.mark.slow
def test_buffers_larger_than_memory_are_imported_in_bounded_memory(tmp_path):
    """One list of 60 buffers of 4 MiB, and a stream in the last."""
    path, size = tmp_path / "big.rd", 4 << 20
    with path.open("wb") as out:
        out.write(Rd().data)
        for n in range(60):
            out.write(Rd(0).buffer((1 << 32) + n * size, size, fill(size // 4)).data)
        out.write(Rd(0).submit((1 << 32) + 59 * size, 4096).data)
    program = (
        "import resource, sys, traces.writer, traces.importers.rd\n"
        "from traces.importers.run import import_trace\n"
        "most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = most()\n"
        "rows = import_trace(sys.argv[1], sys.argv[2]).rows\n"
        "print(rows, most() - before)\n"
    )
    command = [sys.executable, "-c", program, str(path), str(tmp_path / "out.parquet")]
    said = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split()
    assert int(said[0]) == 60 + 1 + 4096 * 4 // 32
    # KiB. The contents alone are 240 MiB; 64 MiB of them are held.
    assert int(said[1]) < 130 << 10


# --- captures of others --------------------------------------------------------------------

#: File, GPU, GPUADDR records, distinct buffers, pages, streams, those called, packets, dwords fetched.
REAL = [
    ("compute-a540", 540, 120, 42, 577, 3, 2, 116, 374),
    (
        "dEQP-VK.draw.indirect_draw.indexed.indirect_draw_count.triangle_list",
        640,
        16,
        13,
        407,
        2,
        2,
        245,
        739,
    ),
    ("es2gears-a320", 330, 128, 128, 428, 64, 128, 311_488, 841_472),
    ("fd-clouds", 630, 39, 15, 15, 3, 33, 1_542, 4_542),
]


@pytest.mark.shared
@pytest.mark.parametrize("row", REAL, ids=[row[0] for row in REAL])
def test_a_real_captures_counts_are_those_that_another_reader_found(tmp_path, row):
    name, gpu, records, distinct, pages, streams, calls, packets, dwords = row
    made = import_trace(capture(f"adreno/{name}.rd.gz"), tmp_path / "out.parquet")
    validate(made.path)
    events = open_trace(made.path).read()
    assert made.format == "rd"
    assert made.manifest.device.startswith(f"Adreno {gpu}")
    assert re.search(rf"\b{records} GPUADDR", said(made, "Sections: "))
    assert said(made, "Sections: ").endswith(f"{distinct} distinct buffers.")
    note = said(made, "Accesses, derived")
    assert f"{streams:,} command streams, {calls:,} that their packets call" in note
    assert f"{packets:,} packets, {dwords:,} dwords" in note
    mapped = {
        page
        for iova, size in rows(events, MAP, "iova", "size")
        for page in range(iova >> 12, iova + size >> 12)
    }
    assert len(mapped) == pages


def mesa_calls(log):
    """Address and dwords of every call in a log of Mesa's decoder."""
    found = re.findall(r"ibaddr:([0-9a-f]+)\n\s*ibsize:([0-9a-f]+)", log)
    return [(int(iova, 16), int(dwords, 16)) for iova, dwords in found]


def mesa_groups(log):
    """Address and dwords of every state group that Mesa's decoder did not skip."""
    pattern = (
        r"group_id: \d+\n\s*count: (\d+)\n\s*addr: ([0-9a-f]+)\n"
        r"\s*flags: \w+\n\s*enable_mask: \w+\n\s*(skipped)?"
    )
    return [(int(iova, 16), int(dwords)) for dwords, iova, skipped in re.findall(pattern, log) if not skipped]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "first"), [("compute-a540", 207), ("es2gears-a320", 488), ("fd-clouds", 1023)]
)
def test_the_first_stream_is_fetched_as_mesas_decoder_follows_it(tmp_path, name, first):
    """Mesa's log lists the stream's dwords and every call; the same bytes are read, in the same order."""
    log = gzip.decompress(capture(f"adreno/reference/{name}.log.gz").read_bytes()).decode()
    assert f"cmdstream[0]: {first} dwords" in log
    made = import_trace(capture(f"adreno/{name}.rd.gz"), tmp_path / "out.parquet")
    events = open_trace(made.path).read()
    marks = {label: n for n, label in enumerate(made.manifest.marks)}
    numbers = [
        marks[label] for label in marks if label.startswith(("command stream 0:", "command stream 1:"))
    ]
    at = [int(np.flatnonzero((events["op"] == MARK) & (events["iova"] == n))[0]) for n in numbers]
    part = reads(events[at[0] : at[1]])
    calls = mesa_calls(log.split("cmdstream[1]:")[0])
    assert calls
    groups = mesa_groups(log)
    # fd-clouds: Mesa prints a stream's contents once for each mode; binning draws once, and three tiles do.
    drawn = groups[:5] + groups[5:] * 3
    assert sum(size for _, size in part) == 4 * (first + sum(n for _, n in calls) + sum(n for _, n in drawn))
    starts = [iova for iova, _ in part]
    position = 0
    for iova, _ in calls:
        position = starts.index(iova, position) + 1
    if groups:
        assert (
            made.manifest.notes[2].find(
                f"{3 * len(drawn)} state groups of {3 * sum(n for _, n in drawn):,} dwords"
            )
            > 0
        )
