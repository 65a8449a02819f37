"""Broken recordings: every reader refuses them with one error, soon, and leaves nothing behind.

A mutation flips bits, cuts the file short, puts garbage or an absurd number into it, repeats or drops a part,
or compresses it. `SMMUBENCH_MUTATIONS` runs more of them.
"""

import gzip
import io
import lzma
import os
import re
import signal
import struct
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bench.fault_samples import SAMPLES as FAULT_SAMPLES
from tests.traces.adreno_files import small_devcore, small_rd
from traces.errors import TraceError
from traces.importers.result import Options
from traces.importers.run import import_trace
from traces.validate import validate

DATA = Path(__file__).parent / "data"
MUTATIONS = int(os.environ.get("SMMUBENCH_MUTATIONS", "300"))
#: Seconds that one input may take.
LIMIT = 10

KERNEL = b"".join(
    b"  gpu-%d  [00%d] d..1.  %d.%06d: %s\n" % (100 + n % 3, n % 4, 5 + n // 9, n * 100, event)
    for n, event in enumerate(
        [
            b"map: IOMMU: iova=0x0000000000100000 - 0x0000000000300000 paddr=0x0000000080000000 size=2097152",
            b"irq_handler_entry: irq=16 name=arm-smmu",
            b"irq_handler_exit: irq=16 ret=handled",
            b"map: IOMMU: dev=1d84000.ufshc iova=0x0000000fffa88000 paddr=0x00000001063db000 size=4096",
            b"workqueue_execute_start: work struct 00000000d621c4ac: function flush_it",
            b"workqueue_execute_end: work struct 00000000d621c4ac: function flush_it",
            b"io_page_fault: IOMMU:ath12k_pci 0000:c2:00.0 iova=0x00000000fe980000 flags=0x0001",
            b"dma_fence_emit: driver=virtio_gpu timeline=controlq context=1 seqno=7",
            b"unmap: IOMMU: iova=0x0000000000100000 - 0x0000000000300000 size=2097152 unmapped_size=2097152",
        ]
        * 2
    )
)
TABLE = b"t_us,op,stream,space,iova,size,pa,prot\n" + b"".join(
    b"%d.5,R,%d,0,%#x,64,,\n%d.5,W,,0,4,,,\n%d.5,MAP,,0,%#x,4096,0x1000,rw\n%d.5,UNMAP,,0,%#x,4096,,\n"
    % (n, n % 3, n << 12, n, n, n << 12, n, n << 12)
    for n in range(15)
)


def parquet():
    file = io.BytesIO()
    names = {
        "t_ns": pa.array(range(300)),
        "op": pa.array(["READ", "WRITE"] * 150),
        "iova": pa.array(range(300)),
    }
    pq.write_table(pa.table(names), file, row_group_size=100)
    return file.getvalue()


#: Blocks, warps and counts that fit, in two ways of writing addresses.
GPU_KERNEL = (
    b"-kernel name = k\n-kernel id = 1\n-grid dim = (3,1,1)\n-block dim = (64,1,1)\n-binary version = 80\n"
    b"-shmem base_addr = 0x00007fc867000000\n-local mem base_addr = 0x00007fc865000000\n"
    b"-nvbit version = 1.7\n-accelsim tracer version = 5\n-enable lineinfo = 0\n\n#traces format = ...\n"
    + b"".join(
        b"\n#BEGIN_TB\n\nthread block = %d,0,0\n" % block
        + b"".join(
            b"\nwarp = %d\ninsts = 4\n0000 ffffffff 1 R1 MOV 0 0 0 \n"
            b"0010 ffffffff 1 R4 LDG.E 1 R4 4 1 0x7fb0fc43%02x00 4 0 \n"
            b"0020 00000007 0 STG.E.U8 2 R6 R9 1 2 0x7fb0fc461c00 4096 -32 0 \n"
            b"0030 00000003 0 ATOM.E.ADD 2 R6 R9 4 0 0x7fc867000010 0x7fb0fc400000 0 \n"
            % (warp, block * 16 + warp)
            for warp in range(2)
        )
        + b"\n#END_TB\n"
        for block in range(3)
    )
)
GPU_LIST = (
    b"MemcpyHtoD,0x00007fb0fc400000,200000\nkernel-1.traceg\nMemcpyHtoD,0x7fb0fc430e00,1\nkernel-1.traceg\n"
)
UVM = (
    b"4,1,2,-;uvm range destroy va_range->node.start, va_range->size: 0x207600000, 2097152\n4,2,3,-;s,\n"
    + b"".join(
        b"4,%d,%d,-;f,7fb1440%02x000,16063487641418%05d,%d,%d,2,1,0,0,0,127,%d,0,1,63\n"
        % (3 + n, 4 + n, n % 7, (n * 37) % 99 * 32, n % 2, n % 5, n % 3)
        for n in range(40)
    )
)
KERNEL_LOG = "".join(text for _, text, _ in FAULT_SAMPLES).encode() + (
    b"[   63.790120] adreno_fault_handler: 214 callbacks suppressed\n"
    b"[   64.000000] arm-smmu 5040000.iommu: TLB sync timed out -- SMMU may be deadlocked\n"
)

SAMPLES = {
    "qemu": (DATA / "dma.qemu.log").read_bytes(),
    "ftrace": (DATA / "gpu.ftrace.txt").read_bytes() + KERNEL,
    "csv": TABLE,
    "parquet": parquet(),
    "rd": small_rd().data,
    "devcore": small_devcore(),
    "accelsim": GPU_KERNEL,
    "accelsim list": GPU_LIST,
    "uvm": UVM,
    "dmesg": KERNEL_LOG,
}
#: Reader -> what its option `accesses` may be.
ACCESSES = {"rd": ("fetch", "pointers", "sweep"), "devcore": ("fetch", "pointers", "sweep")}
#: Sample -> what lies beside it.
BESIDE = {"accelsim list": {"kernel-1.traceg": GPU_KERNEL}}
#: Numbers that a reader must not take at their word.
ABSURD = (b"0", b"-1", b"0xffffffffffffffff", b"18446744073709551616", b"9" * 5000, b"1e308", b"nan", b"0x",
          b"999999999.999999", b"\xd9\xa3", b"")  # fmt: skip
WORDS = (0, 1, 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFF000, 0x70BF8003, 0xC0013F00)
PIECES = (b"\n", b"\0" * 40, b"\xff" * 40, b'"', b",", b" " * 5000, b"asid=1 " * 600, b"iova=0x" * 600,
          b"IOMMU:" * 600, b"[000] " * 700, b"\n" * 3000, b"0" * 5000, b"a" * 70_000, b"PAR1",
          b"\x1f\x8b")  # fmt: skip


@st.composite
def mutated(draw, sample):
    data = bytearray(sample)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["flip", "cut", "garbage", "absurd", "word", "piece", "repeat", "drop"]))
        if kind == "flip" and data:
            for _ in range(draw(st.integers(1, 8))):
                data[draw(st.integers(0, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del data[at:]
        elif kind == "garbage":
            data[at : at + draw(st.integers(0, 64))] = draw(st.binary(max_size=64))
        elif kind == "absurd":
            spans = [match.span() for match in re.finditer(rb"(?:0x)?[0-9a-f]+", bytes(data))]
            if spans:
                start, end = draw(st.sampled_from(spans))
                data[start:end] = draw(st.sampled_from(ABSURD))
        elif kind == "word" and len(data) >= 4:
            at = min(at & -4, len(data) - 4)
            data[at : at + 4] = struct.pack("<I", draw(st.sampled_from(WORDS)))
        elif kind == "piece":
            data[at:at] = draw(st.sampled_from(PIECES))
        elif kind == "repeat":
            data[at:at] = data[at : at + 200] * draw(st.integers(1, 20))
        else:
            del data[at : at + draw(st.integers(1, 200))]
    out = bytes(data)
    packed = draw(st.sampled_from(["", "", "gz", "xz", "zst"]))
    if packed:
        out = bytearray(
            {"gz": gzip.compress, "xz": lzma.compress, "zst": lambda b: pa.compress(b, "zstd", asbytes=True)}[
                packed
            ](out)
        )
        if out and draw(st.booleans()):
            out[draw(st.integers(0, len(out) - 1))] ^= 1 << draw(st.integers(0, 7))
        out = bytes(out[: draw(st.integers(0, len(out)))]) if draw(st.booleans()) else bytes(out)
    return out


@contextmanager
def at_most(seconds):
    """Of CPU time: a busy machine is no fault of the reader's, and none waits for anything."""

    def stop(*_):
        raise AssertionError(f"one input took more than {seconds} s of CPU time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def import_or_refuse(folder, data, name, salvage, options=None):
    """Import; a file that appears must be a sound trace, and nothing else may."""
    path, out = folder / "in.bin", folder / "out.parquet"
    path.write_bytes(data)
    beside = BESIDE.get(name, {})
    for other, held in beside.items():
        (folder / other).write_bytes(held)
    format_name = name and name.split()[0]
    out.unlink(missing_ok=True)
    try:
        with at_most(LIMIT):
            made = import_trace(path, out, format_name, salvage, options)
    except TraceError as error:
        assert "\n" not in str(error)
        assert sorted(file.name for file in folder.iterdir()) == sorted(["in.bin", *beside])
        return False
    assert validate(out).rows == made.rows > 0
    assert made.dropped == [] or salvage
    return True


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_a_broken_recording_is_a_trace_error_or_a_sound_trace(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("fuzz")
    assert import_or_refuse(folder, SAMPLES[name], name, False)

    @settings(max_examples=MUTATIONS, deadline=None, derandomize=MUTATIONS == 300, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(data=mutated(SAMPLES[name]), salvage=st.booleans(), forced=st.booleans(), moved=st.booleans(),
           accesses=st.sampled_from(ACCESSES.get(name, ("",))))  # fmt: skip
    def run(data, salvage, forced, moved, accesses):
        moves = 2 << 20 if moved and name.startswith("accelsim") else 0
        options = Options(relocate=moves, accesses=accesses)
        import_or_refuse(folder, data, name if forced or name in BESIDE else None, salvage, options)

    run()


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize(
    "data", [b"", b"\n", b"\0" * 5000, b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"PAR1PAR1"]
)
def test_next_to_nothing_is_refused_by_every_reader(tmp_path, name, data):
    for salvage in (False, True):
        assert not import_or_refuse(tmp_path, data, name, salvage)


@pytest.mark.parametrize(
    "name", ["qemu", "ftrace", "csv", "rd", "devcore", "accelsim", "accelsim list", "uvm", "dmesg"]
)
@pytest.mark.parametrize("fill", [b"\n", b"x", b"0,1\n"], ids=["lines", "one line", "rows"])
def test_a_bomb_is_refused_in_time_by_every_reader(tmp_path, name, fill):
    head = SAMPLES[name]
    data = gzip.compress(head + fill * ((64 << 20) // len(fill)), 6)
    assert len(data) < 1 << 20
    assert not import_or_refuse(tmp_path, data, name, False)
