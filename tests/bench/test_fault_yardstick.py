"""`make perf-faults` counts the entries and faults that it says it times; no time is tested."""

from __future__ import annotations

import json

import pytest

from bench.yardstick import faults
from smmucore.hardware import COMPARED, PRESETS
from smmucore.policies import POLICIES


def test_the_storm_is_one_fault_entered_for_as_long_as_the_capture_lasts() -> None:
    short, long = faults.storm(1_000_000), faults.storm(2_000_000)
    for counts in (short, long):
        assert (counts["faults_injected"], counts["faults_recorded"]) == (1, 1)
        # All but the first, which has read the record, find nothing new.
        assert counts["irq_spurious"] == counts["irq_entries"] - 1
        # Four registers of the core's and eleven of the client's, as `policies show` lists them.  The last
        # entry may come so late that it reads a clear FSR and returns.
        late = counts["irq_none"]
        assert late <= 1
        assert counts["mmio_reads"] == 15 * (counts["irq_entries"] - late) + late
    assert 190 < long["irq_entries"] - short["irq_entries"] < 210  # about 5 us each


def test_the_longer_storm_reads_so_many_registers_more_in_each_entry() -> None:
    counts = faults.storm(1_000_000, 16)
    assert (counts["mmio_reads"], counts["irq_none"]) == (31 * counts["irq_entries"], 0)


def test_every_fault_after_the_first_is_multi_and_one_entry_tells_of_all() -> None:
    counts = faults.multi(2_000)
    assert counts["faults_injected"] == 2_000
    assert (counts["faults_recorded"], counts["faults_coalesced"]) == (1, 1_999)
    assert (counts["irq_entries"], counts["irq_spurious"]) == (1, 0)


def test_the_accesses_beside_them_hit_and_do_not_fault() -> None:
    counts = faults.hits(2_000)
    assert (counts["accesses"], counts["faults_injected"], counts["walks"]) == (2_000, 0, 1)


def test_as_many_fault_records_find_room_as_there_are_faults() -> None:
    assert faults.fault_rows(5_000) == {"faults_injected": 5_000}


def test_the_grid_has_every_policy_on_every_preset_that_a_comparison_runs() -> None:
    counts = faults.burst_grid(COMPARED, 3, threads=2)
    cells = [p for p in POLICIES.values() for chip in COMPARED if p.is_about(chip)]
    # P4v is only about the part that terminates what faults during a stall.
    assert counts["cells"] == len(cells) == 28 * 2 + 29
    # Three strays each, which all arrive; where P0 retries them they fault again.
    assert counts["faults_injected"] >= 3 * len(cells)


def test_no_preset_but_the_speed_yardsticks_is_left_out() -> None:
    assert {chip.name for chip in COMPARED} | set(faults.OTHERS) | {"reference-39bit"} == set(PRESETS)


TINY = ("--rounds", "2", "--faults", "2000", "--burst", "3", "--capture", "1000000")


@pytest.fixture
def few_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "POLICIES", {key: POLICIES[key] for key in ("P1", "P4")})


@pytest.mark.usefixtures("few_policies")
def test_each_target_is_printed_beside_its_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert faults.main([*TINY]) == 0
    out = capsys.readouterr().out
    lines = {line.split(":")[0].split(" ")[0]: line for line in out.splitlines() if "target" in line}
    assert list(lines) == ["storm", "multi", "grid"]
    assert "target 5 M" in lines["storm"] and "target 10 M" in lines["multi"]
    assert "target under 60 s" in lines["grid"]
    assert all(line.endswith(("holds", "NOT hold")) for line in lines.values())
    assert "an entry:" in out and "14.9 reads" in out


@pytest.mark.usefixtures("few_policies")
def test_json_has_every_round_of_every_load(capsys: pytest.CaptureFixture[str]) -> None:
    assert faults.main([*TINY, "--json"]) == 0
    loads = json.loads(capsys.readouterr().out)
    assert [load["load"] for load in loads] == ["storm", "longer", "rows", "multi", "hits", "grid", "others"]
    assert {len(load["s"]) for load in loads} == {2}
    assert all(load["counts"][load["of"]] > 0 for load in loads)


def test_a_count_that_is_not_positive_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        faults.main(["--rounds", "0"])
    assert refused.value.code == 2
    assert "expected positive numbers" in capsys.readouterr().err
