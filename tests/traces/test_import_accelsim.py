"""Importing Accel-Sim's traces: what its lines say, the stated order of warps, and real kernels."""

import gzip
import lzma
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.traces.shared_captures import capture
from traces.errors import TraceError
from traces.events import EXEC, MAP, MARK, PA_UNKNOWN, READ, WRITE
from traces.importers.accelsim_line import BadLineError, reader
from traces.importers.result import Options
from traces.importers.run import import_trace
from traces.reader import open_trace
from traces.validate import validate

SHARED, LOCAL = 0x7FC867000000, 0x7FC865000000


def kernel(blocks, version=3, threads=64, grid=None, lineinfo=False):
    """Write a kernel: a list of thread blocks, each a list of (warp, lines)."""
    text = (
        f"-kernel name = k\n-kernel id = 1\n-grid dim = ({grid or len(blocks)},1,1)\n"
        f"-block dim = ({threads},1,1)\n-shmem = 0\n-nregs = 8\n-binary version = 80\n-cuda stream id = 0\n"
        f"-shmem base_addr = {SHARED:#018x}\n-local mem base_addr = {LOCAL:#018x}\n-nvbit version = 1.5\n"
        f"-accelsim tracer version = {version}\n" + (f"-enable lineinfo = {int(lineinfo)}\n")
        + "\n#traces format = ...\n\n\n"
    )  # fmt: skip
    for number, warps in enumerate(blocks):
        text += f"\n#BEGIN_TB\n\nthread block = {number},0,0\n"
        for warp, lines in warps:
            text += f"\nwarp = {warp}\ninsts = {len(lines)}\n" + "".join(f"{line}\n" for line in lines)
        text += "\n#END_TB\n"
    return text


NOP = "0000 ffffffff 1 R1 IMAD.MOV.U32 2 R255 R255 0 "
LOAD = "0010 0000000f 1 R0 LDG.E 1 R2 4 1 0x7f0000001000 16 "


def imported(tmp_path, text, name="kernel-1.traceg", **more):
    (tmp_path / name).write_text(text)
    made = import_trace(tmp_path / name, tmp_path / "out.parquet", **more)
    validate(made.path)
    return made, open_trace(made.path).read()


def accesses(events):
    return events[events["op"] <= EXEC]


def notes(made):
    return "\n".join(made.manifest.notes)


# Lines.

LINES = {
    "a list": (3, "0 ffffffff 0 LDG.E 0 4 0 " + " ".join(hex(0x1000 + 4 * k) for k in range(32)),
               [0x1000 + 4 * k for k in range(32)]),
    "a list of the active": (3, "0 00000102 0 LDG.E 0 4 0 0x1000 0x2000", [0x1000, 0x2000]),
    "a stride": (3, "0 000000f0 0 LDG.E 0 4 1 0x1000 -4", [0x1000, 0xFFC, 0xFF8, 0xFF4]),
    "a stride of none": (3, "0 00000001 0 STG.E 2 R1 R2 4 1 0x1000 0", [0x1000]),
    "distances": (3, "0 80000005 0 LDG.E 0 4 2 0x1000 16 -32", [0x1000, 0x1010, 0xFF0]),
    "nobody active": (3, "0 00000000 0 LDG.E 0 4 1 0x0 0", []),
    "an immediate": (5, "0 00000001 1 R4 LDG.E 1 R4 4 1 0x1000 4 0", [0x1000]),
    "two, and no value": (6, "0 00000001 1 R4 LDG.E 1 R4 4 1 0x1000 4 0 -1 NoVal", [0x1000]),
    "two, and values": (6, "0 00000001 1 R4 LDG.E 1 R4 4 1 0x1000 4 0 -1 Val 1 7 0", [0x1000]),
}  # fmt: skip


@pytest.mark.parametrize(("version", "line", "lanes"), LINES.values(), ids=LINES)
def test_each_way_of_writing_addresses_is_read(version, line, lanes):
    assert reader(version, False, 0, 0)(line).lanes == lanes
    assert reader(version, True, 0, 0)("12 " + line).lanes == lanes


@pytest.mark.parametrize(
    ("opcode", "width"),
    [("LDG.E", 4), ("LDG.E.U8", 1), ("LDG.E.S16", 2), ("LDG.E.64.CONSTANT.SYS", 8), ("LDG.E.128", 16),
     ("ATOMG.E.ADD.F64.RN", 8), ("RED.E.ADD.F16x2.RN", 4), ("LDG.E.LTC128B.128", 16)],
)  # fmt: skip
def test_bytes_of_a_lane_are_as_the_opcode_tells(opcode, width):
    made = reader(3, False, 0, 0)(f"0 00000001 0 {opcode} 0 4 1 0x1000 0")
    assert made.width == width


@pytest.mark.parametrize(
    ("opcode", "address", "memory"),
    [("LDG.E", 0x1000, "read"), ("STG.E", 0x1000, "write"), ("ATOMG.ADD", 0x1000, "write"),
     ("RED.ADD", 0x1000, "write"), ("LDS", 0x10, "shared"), ("STL", LOCAL, "local"), ("ULDC", 0, "constant"),
     ("UTMALDG.2D", 0x1000, "bulk"), ("QQQ", 0x1000, "unknown"), ("LD.E", 0x1000, "read")],
)  # fmt: skip
def test_the_opcode_tells_which_memory(opcode, address, memory):
    assert reader(3, False, SHARED, LOCAL)(f"0 1 0 {opcode} 0 4 1 {address:#x} 0").memory == memory


def test_a_generic_address_tells_which_memory_lane_by_lane():
    read = reader(3, False, SHARED, LOCAL)
    made = read(f"0 0000000f 0 LD.E 0 4 0 {SHARED + 64:#x} {LOCAL + 64:#x} 0x7f0000000000 {SHARED - 64:#x}")
    assert made.lanes == [0x7F0000000000, SHARED - 64]
    assert made.elsewhere == {"shared": 1, "local": 1}


BAD_LINES = {
    "a lane short": (3, "0 00000003 0 LDG.E 0 4 0 0x1000"),
    "a lane too many": (3, "0 00000001 0 LDG.E 0 4 0 0x1000 0x2000"),
    "a stride over a gap": (3, "0 00000005 0 LDG.E 0 4 1 0x1000 4"),
    "another mode": (3, "0 00000001 0 LDG.E 0 4 3 0x1000 4"),
    "no immediate": (5, "0 00000001 0 LDG.E 0 4 1 0x1000 4"),
    "no NoVal": (6, "0 00000001 0 LDG.E 0 4 1 0x1000 4 0 0"),
    "beyond 48 bits": (3, "0 00000001 0 LDG.E 0 4 1 0x1000000000000 4"),
    "below 0": (3, "0 00000003 0 LDG.E 0 4 1 0x1000 -8192"),
    "no width": (3, "0 00000001 0 LDG.E 0"),
    "no mask": (3, "0 zz 0 LDG.E 0 0"),
    "a thousand registers": (3, "0 1 999 R1 LDG.E 0 0"),
    "digits of another script": (3, "0 00000001 0 LDG.E 0 ٣ 1 0x1000 4"),
}


@pytest.mark.parametrize(("version", "line"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_line_that_does_not_fit_is_refused(version, line):
    with pytest.raises(BadLineError):
        reader(version, False, 0, 0)(line)


def test_lanes_are_joined_to_sectors_in_the_order_of_the_lanes():
    read = reader(3, False, 0, 0)
    assert read("0 0000000f 0 LDG.E.128 0 16 2 0x1030 -48 24 8").sectors() == [0x1020, 0x1000]
    assert read("0 00000001 0 LDG.E.64 0 8 1 0x101c 0").sectors() == [0x1000, 0x1020]
    assert read("0 ffffffff 0 LDG.E 0 4 1 0x1000 4").sectors() == [0x1000, 0x1020, 0x1040, 0x1060]


# Order.


def in_rounds(blocks, sms, resident):
    """Step the stated order naively: a list of (round, number of the load)."""
    waiting = [dict(warps) for warps in blocks]
    places, out, now = {}, [], 0
    while waiting or places:
        for place in range(sms * resident):
            while place not in places and waiting:
                block = {warp: list(lines) for warp, lines in waiting.pop(0).items() if lines}
                if block:
                    places[place] = block
        for place in sorted(places, key=lambda place: (place % sms, place // sms)):
            for warp in sorted(places[place]):
                line = places[place][warp].pop(0)
                if line is not None:
                    out.append((now, line))
        places = {
            place: left
            for place, block in places.items()
            if (left := {w: ls for w, ls in block.items() if ls})
        }
        now += 1
    return out


@st.composite
def grids(draw):
    """Draw thread blocks of two warps; an instruction is None, or a load of a sector of its own."""
    number = iter(range(1 << 20))
    return [
        [
            (warp, [next(number) if draw(st.booleans()) else None for _ in range(draw(st.integers(0, 5)))])
            for warp in range(2)
        ]
        for _ in range(draw(st.integers(1, 8)))
    ]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(blocks=grids(), sms=st.integers(1, 3), resident=st.integers(1, 3))
def test_warps_take_turns_as_stated(tmp_path_factory, blocks, sms, resident):
    expected = in_rounds(blocks, sms, resident)
    if not expected:
        return
    load = "0 00000001 0 LDG.E 0 4 1 {:#x} 0"
    text = kernel(
        [
            [(w, [NOP if n is None else load.format(0x10000 + 32 * n) for n in lines]) for w, lines in warps]
            for warps in blocks
        ]
    )
    folder = tmp_path_factory.mktemp("order")
    _, events = imported(folder, text, options=Options(sms=sms, resident=resident))
    found = [(int(e["t_ns"]), (int(e["iova"]) - 0x10000) // 32) for e in accesses(events)]
    assert found == expected


def test_the_policy_and_its_numbers_are_in_the_manifest(tmp_path):
    made, events = imported(tmp_path, kernel([[(0, [NOP, LOAD])]]), options=Options(sms=3, pace=7))
    said = made.manifest.parameters
    assert said["interleaving"].startswith("round-robin")
    assert (said["sms"], said["resident"], said["sector"], said["pace_ns"]) == (3, 2, 32, 7)
    assert (made.manifest.kind, made.manifest.clock_is_real) == ("derived", False)
    assert set(accesses(events)["t_ns"].tolist()) == {7}


def test_a_kernel_begins_when_the_one_before_has_ended(tmp_path):
    text = kernel([[(0, [NOP, NOP, LOAD])]])
    (tmp_path / "kernel-1.traceg").write_text(text)
    (tmp_path / "kernel-2.traceg.xz").write_bytes(lzma.compress(text.encode()))
    made, events = imported(
        tmp_path,
        "MemcpyHtoD,0x00007f0000000ff0,32\nkernel-1.traceg\nMemcpyDtoH,0x1000,4\nkernel-2.traceg\n",
        "kernelslist.g",
    )
    assert accesses(events)["t_ns"].tolist() == [2, 2, 5, 5]
    marks = events[events["op"] == MARK]
    labels = [(int(m["t_ns"]), made.manifest.marks[int(m["iova"])]) for m in marks]
    assert labels == [(0, "MemcpyHtoD 0x7f0000000ff0, 32 bytes"), (0, "kernel 1: k"), (3, "kernel 1: k")]
    # The copy's two pages, of which the kernels use one.
    assert [(hex(e["iova"]), int(e["size"])) for e in events[events["op"] == MAP]] == [
        ("0x7f0000000000", 8192)
    ]
    assert "1 MemcpyDtoH" in notes(made)


# Pages.


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    pages=st.lists(st.integers(0, 3000) | st.integers(1 << 20, (1 << 20) + 600), min_size=1, max_size=60),
    apart=st.sampled_from([0, 1 << 16, 1 << 21]),
    granule=st.sampled_from([4096, 16384, 65536]),
)
def test_every_access_lies_in_a_map_and_pages_keep_their_order(tmp_path_factory, pages, apart, granule):
    lines = [f"0 00000001 0 LDG.E 0 4 1 {page * 4096 + 96:#x} 0" for page in pages]
    folder = tmp_path_factory.mktemp("pages")
    made, events = imported(folder, kernel([[(0, lines)]]), options=Options(relocate=apart, granule=granule))
    maps, found = events[events["op"] == MAP], accesses(events)
    used = sorted({page * 4096 // granule for page in pages})
    assert sum(maps["size"].tolist()) == len(used) * granule
    mapped = {
        int(m["iova"]) + at: int(m["pa"]) + at for m in maps for at in range(0, int(m["size"]), granule)
    }
    for page, event in zip(pages, found, strict=True):
        address = page * 4096 + 96
        rank = used.index(address // granule)
        wanted = (1 << 32) + rank * apart + address % granule if apart else address
        assert int(event["iova"]) == wanted
        assert int(event["iova"]) & -granule in mapped
    # Made-up output addresses are each their own, and allow no entry larger than a page.
    assert len(set(mapped.values())) == len(mapped) == len(used)
    assert all((iova ^ pa) & granule for iova, pa in mapped.items())
    assert made.manifest.spaces[0].granule == granule


def test_a_header_need_not_say_how_lines_are_made(tmp_path):
    _, events = imported(tmp_path, kernel([[(0, [LOAD])]]).replace("#traces format = ...\n", ""))
    assert len(accesses(events)) == 2


def test_accesses_are_sectors_with_no_output_address(tmp_path):
    line = "0 0000000f 0 STG.E.64 0 8 1 0x7f0000001000 8 "
    _, events = imported(tmp_path, kernel([[(0, [line])]]))
    (found,) = accesses(events)
    assert (found["op"], found["size"], found["pa"]) == (WRITE, 32, PA_UNKNOWN)


# What is broken.

WHOLE = kernel([[(0, [NOP, LOAD]), (1, [LOAD])], [(0, [LOAD, LOAD])]])
BROKEN = {
    "too few instructions": (WHOLE.replace("insts = 2", "insts = 3", 1), "another length than it says", 3),
    "too many instructions": (WHOLE.replace("insts = 2", "insts = 1", 1), "another length than it says", 3),
    "no count": (WHOLE.replace("insts = 1\n", ""), "cannot read the instruction", 3),
    "a count in words": (WHOLE.replace("insts = 1\n", "insts = one\n"), "a bad count of instructions", 3),
    "a torn line": (WHOLE.replace("0x7f0000001000 16", "0x7f00000", 1), "cannot read the instruction", 3),
    "a warp twice": (WHOLE.replace("warp = 1", "warp = 0"), "a bad warp", 3),
    "a warp that a block has not": (WHOLE.replace("warp = 1", "warp = 2"), "a bad warp", 3),
    "no end": (WHOLE.rstrip().removesuffix("#END_TB"), "a thread block that does not end", 4),
    "a block cut off": (WHOLE[: WHOLE.rindex("#BEGIN_TB")], "thread blocks are missing", 2),
    "no beginning": (WHOLE.replace("#BEGIN_TB", "#BEGIN", 1), "cannot read the line", 2),
    "another heading": (WHOLE.replace("#END_TB\n\n#BEGIN_TB", "#BEGIN_TB", 1), "does not end", 4),
}


@pytest.mark.parametrize(("text", "what", "kept"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_refused_and_the_rest_salvaged(tmp_path, text, what, kept):
    with pytest.raises(TraceError) as caught:
        imported(tmp_path, text)
    assert what in caught.value.what
    assert ": line " in caught.value.where
    assert caught.value.expected
    made, events = imported(tmp_path, text, salvage=True)
    assert made.dropped
    # A load has two sectors; a warp stays whole or goes.
    assert len(accesses(events)) == 2 * kept


HEADERS = {
    "an old tracer": (WHOLE.replace("version = 3", "version = 2"), "a tracer that is not known"),
    "a new tracer": (WHOLE.replace("version = 3", "version = 7"), "a tracer that is not known"),
    "no grid": (WHOLE.replace("grid dim", "grid"), "a bad grid dim"),
    "a block too large": (WHOLE.replace("(64,1,1)", "(1025,1,1)"), "a bad block dim"),
    "an absurd grid": (WHOLE.replace("dim = (2,1,1)", "dim = (9999999999,9999999999,1)"), "a bad grid dim"),
    "no header": ("-kernel name = x\nhello\n", "no kernel's header"),
}


@pytest.mark.parametrize(("text", "what"), HEADERS.values(), ids=HEADERS)
def test_a_header_that_cannot_be_used_is_refused_even_with_salvage(tmp_path, text, what):
    for salvage in (False, True):
        with pytest.raises(TraceError, match=what):
            imported(tmp_path, text, salvage=salvage)


@pytest.mark.parametrize(
    ("line", "what"),
    [("kernel-9.traceg", "file is missing"), ("../kernel-1.traceg", "cannot read the line"),
     ("MemcpyHtoD,0x1000,0", "a bad copy"), ("MemcpyHtoD,0xffffffffffff0000,65536", "a bad copy"),
     ("MemcpyHtoD,0x1000,99999999999999", "a bad copy"), ("MemcpyHtoD,here,5", "cannot read the line"),
     ("kernel-2.traceg", "no kernel's header")],
)  # fmt: skip
def test_a_list_that_cannot_be_followed_is_refused(tmp_path, line, what):
    (tmp_path / "kernel-1.traceg").write_text(WHOLE)
    (tmp_path / "kernel-2.traceg").write_text("nothing of the kind\n")
    text = f"kernel-1.traceg\n{line}\n"
    with pytest.raises(TraceError, match=what):
        imported(tmp_path, text, "kernelslist.g")
    made, events = imported(tmp_path, text, "kernelslist.g", salvage=True)
    assert (len(made.dropped), len(accesses(events))) == (1, 8)


@pytest.mark.parametrize(
    ("options", "what"),
    [(Options(relocate=5000), "pages that would overlap"), (Options(granule=5000), "a bad granule"),
     (Options(sms=1 << 20), "too many thread blocks"), (Options(relocate=1 << 47), "no room"),
     (Options(pace=1 << 62), "too long")],
)  # fmt: skip
def test_numbers_that_cannot_be_are_refused(tmp_path, options, what):
    lines = [LOAD.replace("1000 16", f"{page}000 16") for page in range(1, 9)]
    with pytest.raises(TraceError, match=what):
        imported(tmp_path, kernel([[(0, lines)]]), options=options)


def test_a_warp_longer_than_is_held_comes_out_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("traces.importers.accelsim._MOST_HELD", 3)
    lines = [LOAD, NOP] * 20
    text = kernel([[(0, lines), (1, lines)], [(1, lines)]])
    _, events = imported(tmp_path, text)
    monkeypatch.undo()
    _, whole = imported(tmp_path, text)
    assert len(accesses(events)) == 3 * 20 * 2
    assert np.array_equal(events, whole)


# Real kernels.


def plain_counts(path):
    """Count a kernel's global accesses without the reader: lines and lanes, by a reading of its own."""
    out = Counter()
    pages = set()
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        words = line.split()
        if len(words) < 5 or not all(c in "0123456789abcdef" for c in words[1]) or len(words[1]) != 8:
            continue
        out["insts"] += 1
        at = 3 + int(words[2])
        opcode, width = words[at].split(".")[0], int(words[at + 2 + int(words[at + 1])])
        if not width or opcode not in ("LDG", "STG"):
            continue
        at += 3 + int(words[at + 1])
        n = bin(int(words[1], 16)).count("1")
        rest = words[at + 1 :]
        if words[at] == "0":
            lanes = [int(word, 16) for word in rest[:n]]
        elif words[at] == "1":
            lanes = [int(rest[0], 16) + k * int(rest[1]) for k in range(n)]
        else:
            lanes = list(np.cumsum([int(rest[0], 16), *map(int, rest[1:n])]))[:n]
        out["memory"] += 1
        out["lanes"] += n
        out["writes"] += n * (opcode == "STG")
        pages.update(lane >> 12 for lane in lanes)
    return out, pages


#: What others counted: folder -> kernels, instructions, memory instructions, lanes, writes, 4K and 64K pages.
COUNTED = {
    "bfs-rodinia-2.0-ft": (16, 159_509, 38_584, 181_816, 35_860, 40, 3),
    "simple-trace-example": (1, 26_601, 4_689, 150_000, 50_000, 147, 10),
}


@pytest.mark.shared
@pytest.mark.parametrize("name", COUNTED)
def test_real_kernels_have_the_instructions_lanes_writes_and_pages_that_others_counted(tmp_path, name):
    kernels, insts, memory, lanes, writes, pages, larger = COUNTED[name]
    path = capture(f"accelsim/{name}") / "kernelslist.g.gz"
    made = import_trace(path, tmp_path / "out.parquet")
    validate(made.path)
    said = notes(made)
    assert (
        f"Kernels: {kernels}, one after another, with {insts:,} instructions, as many as they declare."
        in said
    )
    assert f"Of them {memory:,} use global memory" in said
    assert f"with {lanes:,} lane addresses, {writes:,} of them written" in said
    found = accesses(open_trace(made.path).read())
    for shift, many in ((12, pages), (16, larger)):
        assert len(np.unique(found["iova"] >> np.uint64(shift))) == many
    files = list(path.parent.glob("kernel-*.traceg.gz"))
    counts = [plain_counts(file) for file in files]
    total = sum((one for one, _ in counts), Counter())
    assert (total["insts"], total["lanes"], total["writes"]) == (insts, lanes, writes)
    assert set().union(*(one for _, one in counts)) == set((found["iova"] >> np.uint64(12)).tolist())


@pytest.mark.shared
def test_a_real_kernel_alone_is_a_trace_too(tmp_path):
    path = capture("accelsim/simple-trace-example") / "kernel-1.traceg.gz"
    made = import_trace(path, tmp_path / "out.parquet", options=Options(relocate=2 << 20))
    events = open_trace(made.path).read()
    assert (made.format, Counter(events["op"].tolist())) == (
        "accelsim", Counter({READ: 12_500, WRITE: 6_250, MAP: 147, MARK: 1}),
    )  # fmt: skip
    assert len(np.unique(accesses(events)["iova"] >> np.uint64(21))) == 147
