"""The yardstick's C++, our translate-only replay and the plain-Python machine count the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.yardstick import compilation, cpp, decode, memory, ours, run, stages, traces
from smmucore.kernel import cache_root
from smmucore.translate import Translator
from tests.core.test_two_level import reference
from traces.columns import Columns
from traces.events import READ
from traces.reader import open_trace

ACCESSES = 200_000
FEW = 4_000

needs_compiler = pytest.mark.skipif(cpp.compiler() is None, reason=f"needs {cpp.COMPILER}")


@pytest.fixture(scope="module")
def addresses() -> Any:
    return traces.output_addresses()


@pytest.fixture(scope="module")
def machine(addresses: Any) -> Translator:
    return ours.translator(addresses)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cpp.compiled(tmp_path_factory.mktemp("yardstick"))


def with_faults(iova: Any) -> Any:
    """The same with some pages that are not mapped, and some beyond the input size."""
    changed = iova.copy()
    changed[::997] += np.uint64(1 << 32)
    changed[::4999] += np.uint64(1 << 40)
    return changed


@needs_compiler
@pytest.mark.parametrize("faults", [False, True], ids=["mapped", "faults"])
@pytest.mark.parametrize("name", traces.NAMES)
def test_every_c_variant_counts_what_our_replay_counts(
    name: str, faults: bool, program: Path, machine: Translator, tmp_path: Path
) -> None:
    iova = traces.iovas(name, ACCESSES)
    if faults:
        iova = with_faults(iova)
    iova.tofile(tmp_path / "iovas.bin")
    found = cpp.run(program, tmp_path / "iovas.bin", 2)
    assert set(found) == {"plain", "staged", "counting"}
    assert {len(result["ns_per_access"]) for result in found.values()} == {2}
    counted = ours.counts(machine, iova)
    assert (counted["faults"] > 0) == faults
    run.check(name, {"ours": counted, **found})
    assert [variant for variant, result in found.items() if "checksum" not in result] == ["counting"]


@pytest.mark.parametrize("name", traces.NAMES)
def test_our_replay_counts_what_the_plain_python_machine_counts(name: str, machine: Translator) -> None:
    iova = traces.iovas(name, FEW)
    hw = ours.HARDWARE
    plain = reference(machine, tuple((s.sets, s.ways) for s in (hw.utlb, hw.tlb, hw.walk_cache)))
    checksum = 0
    for access in map(int, iova):
        checksum += plain.access(0, 0, access).pa or 0
    assert ours.counts(machine, iova) == {
        "accesses": FEW,
        "utlb_hits": plain.utlb_hits,
        "tlb_hits": plain.tlb_hits,
        "walks": plain.walks,
        "walk_reads": plain.walk_reads,
        "faults": 0,
        "checksum": checksum,
    }


#: Walks and descriptors read of the whole traces, from a C++ program of other authorship (README.md).
WHOLE = {
    "zipf": (13_225_984, 38_846_806),
    "seq64": (312_500, 313_722),
    "stride4k": (20_000_000, 20_078_126),
    "rand4g": (19_990_255, 58_723_349),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", traces.NAMES)
def test_the_whole_traces_count_exactly_what_another_program_counted(name: str, machine: Translator) -> None:
    machine.restart(ours.HARDWARE.caches)
    iova = traces.iovas(name)
    for first in range(0, iova.size, ours.BLOCK):
        machine.count(ours.block(READ, iova[first : first + ours.BLOCK]))
    counted = machine.counts
    assert (counted["walks"], counted["walk_reads"]) == WHOLE[name]
    assert counted["utlb_hits"] + counted["tlb_hits"] + counted["walks"] == traces.ACCESSES
    assert counted["faults"] == 0
    if name == "zipf":  # 18.54 % and 15.33 % of all
        assert round(counted["utlb_hits"] / traces.ACCESSES, 4) == 0.1854
        assert round(counted["tlb_hits"] / traces.ACCESSES, 4) == 0.1533


def test_a_trace_is_the_same_every_time() -> None:
    for name in traces.NAMES:
        iova = traces.iovas(name, FEW)
        assert np.array_equal(iova, traces.iovas(name, FEW))
        assert iova.dtype == np.uint64 and iova.max() < traces.PAGES * traces.PAGE
        assert not (iova % np.uint64(traces.LINE)).any()


@needs_compiler
def test_the_table_has_a_line_for_each_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--accesses", "5000", "--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    untimed, timed = lines[3:7], lines[9:]
    for rows, cells in ((untimed, 8), (timed, 7)):
        assert [line.split()[0] for line in rows] == list(traces.NAMES)
        assert {len(line.split()) for line in rows} == {cells}


@needs_compiler
def test_json_has_every_round_and_the_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--accesses", "5000", "--rounds", "2", "--trace", "zipf", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["counts"]["accesses"] == 5000
    assert {len(ns) for ns in result["ns_per_access"].values()} == {2}


def test_without_a_compiler_it_says_so_and_succeeds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cpp, "compiler", lambda: None)
    assert run.main([]) == 0
    assert "no g++ here" in capsys.readouterr().out


def test_a_disagreement_names_the_count_and_both_sides() -> None:
    same = dict.fromkeys(run.COUNTS, 1)
    with pytest.raises(run.DisagreementError, match="zipf: walks: plain counts 1, staged 2"):
        run.check("zipf", {"plain": same, "staged": {**same, "walks": 2}})


def test_the_stages_that_are_timed_leave_what_a_replay_leaves(machine: Translator) -> None:
    iova = traces.iovas("zipf", 4 * stages.BLOCK)
    machine.restart(ours.HARDWARE.caches)
    machine.count(ours.block(READ, iova))
    replayed = machine.mmu
    machine.restart(ours.HARDWARE.caches)
    state = (machine._stages, machine.mmu, machine.mem, machine.regimes, machine.banks, machine._kinds)
    assert stages.run_to(len(stages.STAGES), *state, ours.block(READ, iova)) == 4
    for name in ("utlb", "tlb", "walk0"):
        for field in ("words", "values"):
            ran, wanted = (getattr(getattr(mmu, name), field) for mmu in (machine.mmu, replayed))
            assert np.array_equal(ran, wanted), (name, field)


def test_every_way_of_reading_gives_the_accesses_that_were_written(tmp_path: Path) -> None:
    memory.write(tmp_path / "t.parquet", "seq64", ACCESSES)
    wanted = traces.iovas("seq64", ACCESSES)
    readings = decode.readings(open_trace(tmp_path / "t.parquet"))
    assert len(readings) == 4
    for name, blocks in readings.items():
        parts = [
            block["iova"] if isinstance(block, np.ndarray) else
            block.array("iova") if isinstance(block, Columns) else block.iova
            for block in blocks()
        ]  # fmt: skip
        # The first event is the MAP.
        assert np.array_equal(np.concatenate(parts)[1:], wanted), name


def test_the_ratio_is_translations_time_by_readings() -> None:
    text = decode.table({decode.TRANSLATE: [3.0, 9.0, 2.0], "reading": [1.5, 1.0, 4.0]})
    assert [line.split()[-4:] for line in text.splitlines()[1:]] == [
        ["only", "3.00", "2.00", "333"], ["1.50", "1.00", "667", "2.00"]
    ]  # fmt: skip


def test_loading_kernels_from_the_cache_compiles_none() -> None:
    folder = str(cache_root())
    compilation.measure(folder)
    _, _, loaded, compiled = compilation.measure(folder)
    assert (loaded > 5, compiled) == (True, 0)
