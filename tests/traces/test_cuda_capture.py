"""`smmubench capture cuda`: clocks, recordings, traces; and the kernels, in a process of their own."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traces.cuda.clocks import merge, whole
from traces.cuda.convert import IOVA_BASE, Layout, convert
from traces.cuda.notes import Allocation, Notes
from traces.cuda.recording import Recording, read, save
from traces.errors import TraceError
from traces.events import MAP, READ, WRITE
from traces.reader import open_trace

ROOT = Path(__file__).parents[2]
SIMULATED = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
MIB = 1 << 20
BASE = 0x7F12_3460_0000


def test_the_kernels_do_what_their_algorithms_say_in_the_simulator():
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/traces/simulated_cuda.py",
    ]
    done = subprocess.run(command, cwd=ROOT, env=SIMULATED, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout


FACTS = {
    "device": "a test's card", "sms": 4, "driver": "1.0", "simulated": 0, "granularity": 2 * MIB,
    "numba": "0", "numba-cuda": "0", "workload": "gemm", "what": "a test",
    "seed": 1, "sample": 1, "begin_ns": 5,
    "accesses_of_the_run": 1000, "plain_ns": 1000, "closed_ns": 2000, "counting_ns": 3000,
    "recording_ns": 2500, "checked": "all of it", "recorded": "2026-11-26", "size:n": 8,
}  # fmt: skip


def notes_of(t_ns, sm, sector=None, write=None, ghz=1.98, tick=32, sms=4, lost=None):
    """Make the notes of accesses at known times, SM by SM, as a GPU with these clocks would have them."""
    t_ns, sm = np.asarray(t_ns, np.float64), np.asarray(sm)
    sector = np.full(t_ns.size, BASE // 32) if sector is None else np.asarray(sector)
    write = np.zeros(t_ns.size, bool) if write is None else np.asarray(write)
    starts = np.random.default_rng(7).integers(1 << 30, 1 << 50, sms)
    order = np.lexsort((t_ns, sm))
    sm, t_ns = sm[order], t_ns[order]
    return Notes(
        sm=sm.astype(np.uint16),
        since_ns=(t_ns // tick * tick).astype(np.int64) + 4096,
        cycles=starts[sm] + np.rint(t_ns * ghz).astype(np.int64),
        sector=sector[order].astype(np.int64),
        warp=np.zeros(sm.size, np.uint8),
        write=write[order],
        lost=np.zeros(sms, np.int64) if lost is None else np.asarray(lost),
    ), order


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), ghz=st.floats(0.3, 3), tick=st.sampled_from([1, 32, 1024]))
def test_merged_times_are_the_true_ones_to_a_fraction_of_a_step(seed, ghz, tick):
    rng = np.random.default_rng(seed)
    n = 4000
    t_ns = np.sort(rng.uniform(0, 200 * tick, n))
    notes, order = notes_of(t_ns, rng.integers(0, 4, n), ghz=ghz, tick=tick)
    by_time, merged, clocks = merge(notes)
    assert clocks.tick_ns == tick
    assert clocks.ghz == pytest.approx(ghz, rel=0.01)
    assert (np.diff(merged) >= 0).all()
    true = t_ns[order][by_time]
    # An SM's offset is the mean of about 1,000 draws over a step: a tenth of a step is 11 sigma.
    off = (merged - merged[0]) - (true - true[0])
    assert np.abs(off - np.median(off)).max() <= 0.15 * tick + 4 / ghz + 1


def test_a_warp_set_aside_between_its_two_clock_reads_does_not_move_its_sm():
    rng = np.random.default_rng(1)
    t_ns = np.sort(rng.uniform(0, 20_000, 4000))
    notes, _ = notes_of(t_ns, rng.integers(0, 4, 4000))
    cycles = notes.cycles.copy()
    cycles[rng.integers(0, 4000, 30)] += 20_000  # ten microseconds late
    _, _, clocks = merge(dataclasses.replace(notes, cycles=cycles))
    assert clocks.ghz == pytest.approx(1.98, rel=0.001)
    assert clocks.usual_ns > 16
    assert clocks.worst_ns == pytest.approx(10_101, abs=40)


def test_no_note_leaves_its_step_of_the_shared_timer_when_a_counters_rate_wanders():
    rng = np.random.default_rng(3)
    t_ns = np.sort(rng.uniform(0, 400_000, 4000))
    notes, _ = notes_of(t_ns, rng.integers(0, 4, 4000))
    late = np.where(notes.since_ns > 200_000, (notes.since_ns - 200_000) // 100, 0)  # a hundredth faster
    order, merged, clocks = merge(dataclasses.replace(notes, cycles=notes.cycles + late))
    assert clocks.usual_ns > 100
    steps = notes.since_ns[order] - notes.since_ns.min()
    assert (np.diff(steps) >= 0).all()
    assert np.abs(merged - merged[0] - steps).max() <= 64


def test_notes_end_where_the_first_full_ring_lost_one():
    t_ns = np.arange(100) * 100.0
    notes, _ = notes_of(t_ns, np.arange(100) % 4, lost=[0, 5, 0, 0])
    kept = np.ones(100, bool)
    # SM 1 kept only its first ten notes: the last of them was at 3,700 ns.
    kept[np.flatnonzero(notes.sm == 1)[10:]] = False
    fields = {f.name: getattr(notes, f.name) for f in dataclasses.fields(notes)}
    cut = Notes(**{name: value if name == "lost" else value[kept] for name, value in fields.items()})
    order, merged, _ = merge(cut)
    assert whole(cut, order) == 38
    assert merged[37] == pytest.approx(3700, abs=20)


def test_one_note_alone_has_a_time():
    notes, _ = notes_of([50.0], [2])
    order, merged, clocks = merge(notes)
    assert (order.tolist(), merged.tolist(), clocks.ghz) == ([0], [0], 0.0)


def recording(n=500, allocations=None):
    rng = np.random.default_rng(2)
    allocations = allocations or [
        Allocation("A", BASE, 3 * MIB),
        Allocation("small", BASE + 3 * MIB + 512, 100),
        Allocation("B", BASE + 8 * MIB, MIB),
    ]
    which = rng.integers(0, len(allocations), n)
    sector = np.array(
        [
            rng.integers(a.address // 32, -(-(a.address + a.nbytes) // 32))
            for a in (allocations[i] for i in which)
        ]
    )
    notes, _ = notes_of(
        np.sort(rng.uniform(0, 9000, n)), rng.integers(0, 4, n), sector, rng.integers(0, 2, n) == 1
    )
    return Recording(notes, allocations, dict(FACTS))


def test_a_recording_comes_back_as_it_was_saved(tmp_path):
    made = recording()
    save(tmp_path / "r.npz", made)
    back = read(tmp_path / "r.npz")
    assert back.allocations == made.allocations
    assert back.facts == made.facts
    for name in ("sm", "cycles", "sector", "warp", "write", "lost"):
        assert np.array_equal(getattr(back.notes, name), getattr(made.notes, name)), name
    assert np.array_equal(np.diff(back.notes.since_ns), np.diff(made.notes.since_ns))
    assert len(back.sha256) == 64


def test_a_note_outside_every_allocation_is_refused_and_nothing_is_written(tmp_path):
    made = recording()
    made.notes.sector[7] = (BASE + 6 * MIB) // 32
    with pytest.raises(
        TraceError, match=r"outside every allocation.*expected none, found 1, the first 0x7f1234c00000"
    ):
        save(tmp_path / "r.npz", made)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["bits", "cut", "noise"])
def test_damaged_recordings_are_refused_or_read_and_never_worse(tmp_path, damage):
    save(tmp_path / "r.npz", recording(60))
    whole_file = (tmp_path / "r.npz").read_bytes()
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(100):
        data = bytearray(whole_file)
        if damage == "bits":
            for at in rng.integers(0, len(data), rng.integers(1, 6)):
                data[at] ^= 1 << rng.integers(0, 8)
        elif damage == "cut":
            del data[rng.integers(0, len(data)) :]
        else:
            at = rng.integers(0, len(data) - 20)
            data[at : at + 20] = rng.bytes(20)
        (tmp_path / "d.npz").write_bytes(bytes(data))
        try:
            read(tmp_path / "d.npz")
        except TraceError as error:
            assert "d.npz" in str(error)
            refused += 1
    assert refused > 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"form": 2}, "unknown form of recording: expected 1 to 1, found 2"),
        ({"plain_ns": "soon"}, "plain_ns: int, found 'soon'"),
        ({"device": None}, "not a recording"),
    ],
)
def test_a_recording_that_says_something_odd_of_its_run_is_refused(tmp_path, change, message):
    save(tmp_path / "r.npz", dataclasses.replace(recording(20), facts={**FACTS, **change}))
    with pytest.raises(TraceError, match=message):
        read(tmp_path / "r.npz")


def events_of(path):
    opened = open_trace(path)
    return opened.manifest, np.concatenate(list(opened.blocks()))


def test_allocations_are_mapped_in_whole_pieces_and_every_access_lies_in_one(tmp_path):
    made = recording()
    convert(made, tmp_path / "t.parquet", Layout())
    manifest, events = events_of(tmp_path / "t.parquet")
    maps, rest = events[events["op"] == MAP], events[events["op"] != MAP]
    # BASE is at the start of a 2 MiB piece: A has two, the small one lies in A's second, B is one further on.
    assert [(int(m["iova"]) - IOVA_BASE, int(m["size"])) for m in maps] == [
        (0, 2 * MIB), (2 * MIB, 2 * MIB), (8 * MIB, 2 * MIB)
    ]  # fmt: skip
    assert set(rest["iova"] // (2 * MIB)) <= set(maps["iova"] // (2 * MIB))
    assert sorted(rest["iova"].tolist()) == sorted((made.notes.sector * 32 - BASE + IOVA_BASE).tolist())
    assert (rest["size"] == 32).all()
    assert (rest["op"] == WRITE).sum() == made.notes.write.sum()
    assert (rest["op"] == READ).sum() == (~made.notes.write).sum()
    assert manifest.kind == "captured"
    assert manifest.parameters["n"] == 8


def test_a_recording_from_the_simulator_is_never_called_captured(tmp_path):
    made = dataclasses.replace(recording(), facts={**FACTS, "simulated": 1})
    manifest = convert(made, tmp_path / "t.parquet", Layout())
    assert (manifest.kind, manifest.clock_is_real) == ("synthetic", False)


def test_times_that_the_notes_stretched_are_not_called_real(tmp_path):
    # 500 accesses in 9,000 ns; the plain run made 1,000 in 1,000 ns.
    assert not convert(recording(), tmp_path / "a.parquet", Layout()).clock_is_real
    slow = dataclasses.replace(recording(), facts={**FACTS, "plain_ns": 20_000})
    assert convert(slow, tmp_path / "b.parquet", Layout()).clock_is_real


@pytest.mark.parametrize(
    ("backing", "piece", "granule"), [("2M", 2 * MIB, 4096), ("64K", 1 << 16, 1 << 16), ("4K", 4096, 4096)]
)
def test_a_backing_decides_the_pieces_and_the_granule(tmp_path, backing, piece, granule):
    convert(recording(), tmp_path / "t.parquet", Layout(backing=backing, iova_bits=39))
    manifest, events = events_of(tmp_path / "t.parquet")
    maps = events[events["op"] == MAP]
    assert (maps["size"] == piece).all()
    assert (manifest.spaces[0].granule, manifest.spaces[0].ias) == (granule, 39)
    assert maps["size"].sum() >= 4 * MIB + 100


def test_allocations_too_far_apart_for_39_bits_are_refused(tmp_path):
    far = [Allocation("A", BASE, 3 * MIB), Allocation("B", BASE + (1 << 40), MIB)]
    with pytest.raises(TraceError, match="do not fit: expected 545,460,846,592 bytes of IOVA space"):
        convert(recording(allocations=far), tmp_path / "t.parquet", Layout(iova_bits=39))
    assert list(tmp_path.iterdir()) == []
    convert(recording(allocations=far), tmp_path / "t.parquet", Layout(iova_bits=48))


def test_a_stream_for_each_sm_and_a_shorter_window_can_be_asked_for(tmp_path):
    convert(recording(), tmp_path / "t.parquet", Layout(keep=100, by_sm=True))
    manifest, events = events_of(tmp_path / "t.parquet")
    accesses = events[events["op"] != MAP]
    assert accesses.size == 100
    assert [s.name for s in manifest.streams] == ["SM 0", "SM 1", "SM 2", "SM 3"]
    assert [s.accesses for s in manifest.streams] == np.bincount(accesses["stream"]).tolist()


def smmubench(*arguments, env=None):
    program = "import sys; from bench.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "capture", "cuda", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_the_command_records_and_converts_and_keeps_the_recording(tmp_path):
    out, raw = tmp_path / "gemm.parquet", tmp_path / "gemm.npz"
    done = smmubench("gemm", "-o", out, "--raw", raw, "--seed", "5", env=SIMULATED)
    assert done.returncode == 0, done.stderr
    assert "C r = A (B r) in all 8 rows" in done.stderr
    assert f"smmubench compare {out}" in done.stdout
    again = tmp_path / "again.parquet"
    assert smmubench("--from", raw, "-o", again).returncode == 0
    assert np.array_equal(events_of(out)[1], events_of(again)[1])
    assert events_of(out)[0].sha256 == read(raw).sha256


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gem", "-o", "x"], "unknown workload: capture cuda: expected one of gemm"),
        (["-o", "x"], "give a WORKLOAD to record, or --from FILE"),
        (["gemm", "--size", "n", "-o", "x"], "not a size: --size: expected NAME=N"),
        (["gemm", "--size", "n=0", "-o", "x"], "not a size"),
        (["--from", "pyproject.toml", "-o", "x"], "not a recording"),
    ],
)
def test_bad_usage_is_told_with_exit_status_2(arguments, message):
    done = smmubench(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (ROOT / "x").exists()


def test_without_a_gpu_the_command_says_what_it_needs(tmp_path):
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("this machine has a GPU")
    done = smmubench("gemm", "-o", tmp_path / "x.parquet")
    assert done.returncode == 2
    assert (
        "no GPU to record on: capture cuda: expected an NVIDIA GPU with its driver, and numba-cuda"
        in done.stderr
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["h200-hash-join", "h200-paged-attention", "h200-raster"])
def test_the_bundled_recordings_are_small_whole_and_say_what_they_are(name):
    path = ROOT / "traces" / "captured" / f"{name}.parquet"
    manifest, events = events_of(path)
    accesses = events[events["op"] <= WRITE]
    assert path.stat().st_size < 4 * MIB
    assert accesses.size == 1_000_000
    assert manifest.kind == "captured"
    assert manifest.device == "NVIDIA H200"
    assert not manifest.clock_is_real
    assert len(manifest.not_contained) == 5
    assert any("Run time without notes" in line for line in manifest.notes)
    maps = events[events["op"] == MAP]
    assert set(np.unique(accesses["iova"] >> 21)) <= set(maps["iova"] >> 21)
