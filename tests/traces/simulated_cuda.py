"""What the capture's kernels do in numba's simulator; `test_cuda_capture.py` runs this file.

In the simulator a warp is one lane, so each thread's access is a note. The expected accesses are counted here
from what each algorithm says, by plain loops that share nothing with the kernels.
"""

import functools
from collections import Counter

import numpy as np
import pytest

from traces.cuda.card import Card
from traces.cuda.probe import SIMULATED
from traces.cuda.record import Wanted, record
from traces.cuda.recorder import NEVER, READ, WRITE, Ring, note, plain
from traces.cuda.workloads import NAMES
from traces.cuda.workloads.job import WrongResultError, load
from traces.errors import TraceError


def silent(text):
    pass


@functools.cache
def recorded(name, again=0):
    """Record a workload in its small size, seed 3."""
    return record(name, Wanted(seed=3), silent)


def noted(name, again=0):
    """Return each array's accesses, (sector in the array, is a write), and the recording."""
    made = recorded(name, again)
    seen = {}
    for part in made.allocations:
        inside = (made.notes.sector >= part.address // 32) & (
            made.notes.sector < -(-(part.address + part.nbytes) // 32)
        )
        sectors = made.notes.sector[inside] - part.address // 32
        seen[part.name] = Counter(zip(sectors.tolist(), made.notes.write[inside].tolist(), strict=True))
    assert sum(sum(counter.values()) for counter in seen.values()) == made.notes.sm.size
    return seen, made


def test_this_runs_in_the_simulator():
    assert SIMULATED


@pytest.mark.parametrize("name", NAMES)
def test_every_workload_checks_its_result_and_keeps_every_access(name):
    made = recorded(name)
    assert made.facts["accesses_of_the_run"] == made.notes.sm.size > 100
    assert not made.notes.lost.any()
    assert made.facts["checked"]


@pytest.mark.parametrize("name", NAMES)
def test_a_workloads_data_are_its_seeds_and_its_accesses_do_not_depend_on_the_order_of_threads(name):
    if name == "bfs":
        pytest.skip("bfs: which of two vertices claims a third is a race, on a GPU too")
    first, _ = noted(name)
    again, _ = noted(name, again=1)
    assert first == again


def test_gemm_reads_a_tile_of_each_panel_a_step_and_writes_its_result_once():
    size, tile = 8, 4
    seen, _ = noted("gemm")
    a, b, c = Counter(), Counter(), Counter()
    for row in range(size):
        for column in range(size):
            for step in range(0, size, tile):
                a[(row * size + step + column % tile) * 4 // 32, False] += 1
                b[((step + row % tile) * size + column) * 4 // 32, False] += 1
            c[(row * size + column) * 4 // 32, True] += 1
    assert (seen["A"], seen["B"], seen["C"]) == (a, b, c)


def test_spmv_reads_each_entry_once_and_gathers_x_where_the_columns_point():
    seen, made = noted("spmv")
    n = made.facts["size:n"]
    module = load("spmv")
    csr = module.make_csr(Card(), n, 3, module.SMALL["mean"], module.SMALL["longest"])
    columns = csr.columns.copy_to_host()
    lanes = module.SMALL["lanes"]
    assert seen["x"] == Counter((int(c) * 4 // 32, False) for c in columns)
    assert seen["columns"] == Counter((e * 4 // 32, False) for e in range(columns.size)) == seen["values"]
    assert seen["y"] == Counter((row * 4 // 32, True) for row in range(n))
    assert sum(seen["row pointers"].values()) == 2 * lanes * n


def test_radix_sort_reads_every_key_twice_a_pass_and_writes_each_pair_once():
    seen, made = noted("radix-sort")
    n, passes = made.facts["size:n"], made.facts["size:passes"]
    kinds = {name: Counter() for name in seen}
    for name, counter in seen.items():
        for (_, write), times in counter.items():
            kinds[name][write] += times
    assert kinds["keys 0"] == kinds["keys 1"] == {False: n * passes, True: n * passes // 2}
    assert kinds["values 0"] == kinds["values 1"] == {False: n * passes // 2, True: n * passes // 2}


def test_paged_attention_reads_each_key_and_value_once_through_the_block_table():
    seen, _ = noted("paged-attention")
    sizes = load("paged-attention").SMALL
    n = sizes["sequences"] * sizes["tokens"] * sizes["heads"] * sizes["dim"]
    once = Counter((i * 4 // 32, False) for i in range(n))
    assert seen["key pages"] == seen["value pages"] == once
    assert sum(seen["block table"].values()) == sizes["sequences"] * sizes["heads"] * sizes["dim"] * (
        sizes["tokens"] // sizes["page"]
    )


def test_hash_join_writes_each_row_once_and_probes_until_it_finds_or_meets_an_empty_slot():
    seen, made = noted("hash-join")
    n = made.facts["size:n"]
    assert seen["build keys"] == Counter((i * 8 // 32, False) for i in range(n))
    assert sum(times for (_, write), times in seen["table payloads"].items() if write) == n
    assert sum(times for (_, write), times in seen["table payloads"].items() if not write) == n
    assert sum(times for (_, write), times in seen["table keys"].items() if not write) >= 2 * n
    assert seen["joined"] == Counter((i * 8 // 32, True) for i in range(2 * n))


def test_a_raster_pixel_is_written_once_and_a_drawn_one_reads_four_texels():
    seen, made = noted("raster")
    side = made.facts["size:side"]
    assert seen["colour"] == seen["depth"] == Counter((i * 4 // 32, True) for i in range(side * side))
    second_halves = sum(times for (sector, _), times in seen["quads"].items() if sector % 2)
    assert sum(seen["textures"].values()) == 4 * second_halves > 0


def test_bfs_reads_every_edge_of_every_reached_vertex_once():
    seen, made = noted("bfs")
    module = load("bfs")
    csr = module.make_csr(Card(), made.facts["size:n"], 3, module.SMALL["mean"], module.SMALL["longest"])
    columns, rows = csr.columns.copy_to_host(), csr.pointers
    reached, front = {0}, [0]
    while front:
        front = sorted({int(c) for v in front for c in columns[rows[v] : rows[v + 1]]} - reached)
        reached.update(front)
    edges = Counter((int(e) * 4 // 32, False) for v in reached for e in range(rows[v], rows[v + 1]))
    assert seen["columns"] == edges
    assert sum(times for (_, write), times in seen["parent"].items() if write) == len(reached) - 1


def test_a_full_ring_goes_on_counting_and_says_what_it_lost():
    module = load("gemm")
    job = module.make(Card(), note, 1, dict(module.SMALL))
    ring = Ring(4, 10)
    ring.open(0)
    ring.begin()
    job.run(ring.device)
    notes = ring.read()
    assert notes.sm.size == 20
    assert notes.lost.tolist() == [150, 150, 0, 0]  # 320 accesses of two columns of blocks, ten of each kept
    ring.open(0, 1, 0)
    ring.begin()
    job.run(ring.device)
    assert ring.counted().tolist() == [160, 160, 0, 0]
    assert ring.read().sm.size == 0


def test_a_sampled_recording_has_whole_blocks_only():
    every, _ = noted("gemm")
    made = record("gemm", Wanted(seed=3, sample=2), silent)
    assert made.notes.sm.size * 2 == sum(sum(counter.values()) for counter in every.values())


def test_before_its_time_a_ring_notes_nothing():
    module = load("gemm")
    job = module.make(Card(), note, 1, dict(module.SMALL))
    ring = Ring(4, 100)
    ring.open(NEVER)
    ring.begin()
    job.run(ring.device)
    assert ring.read().sm.size == 0
    assert not ring.counted().any()


def test_a_note_keeps_the_sector_the_kind_and_the_sms_own_order():
    from numba import cuda

    @cuda.jit
    def touch(ring):
        for i in range(5):
            note(ring, 0x7F00_0000_0000 + 32 * i, WRITE if i % 2 else READ)

    ring = Ring(4, 10)
    ring.open(0)
    ring.begin()
    touch[1, 1](ring.device)
    notes = ring.read()
    assert notes.sector.tolist() == [(0x7F00_0000_0000 >> 5) + i for i in range(5)]
    assert notes.write.tolist() == [False, True, False, True, False]
    assert (np.diff(notes.cycles) > 0).all()
    assert (np.diff(notes.since_ns) >= 0).all()


class Kept(Card):
    """A card that keeps its arrays by name."""

    def empty(self, name, n, dtype):
        array, address = super().empty(name, n, dtype)
        self.__dict__.setdefault("arrays", {})[name] = array
        return array, address


RESULTS = {
    "gemm": "C", "spmv": "y", "bfs": "distance", "hash-join": "joined", "paged-attention": "attended",
    "raster": "colour", "radix-sort": "keys 0",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_one_wrong_element_of_a_result_is_found(name):
    module = load(name)
    card = Kept()
    job = module.make(card, plain, 1, dict(module.SMALL))
    ring = Ring(1, 1)
    ring.open(NEVER)
    job.run(ring.device)
    assert job.check()
    result = card.arrays[RESULTS[name]]
    values = result.copy_to_host()
    values[1] += 1
    result.copy_to_device(values)
    with pytest.raises(WrongResultError, match=name):
        job.check()


def test_an_unknown_size_names_those_there_are():
    with pytest.raises(TraceError, match=r"no such size.*one of m, n, k, tile.*'depth'"):
        record("gemm", Wanted(sizes={"depth": 3}), silent)
