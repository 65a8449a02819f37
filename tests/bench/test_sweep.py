"""Sweeps: every cell once, whatever happens, and one line for whatever is wrong."""

import json
from collections import Counter
from pathlib import Path

import pytest

from bench import sources
from bench.sweeps import work
from bench.sweeps.plan import Plan
from bench.sweeps.spec import from_text
from bench.sweeps.work import Workshop
from tests.bench.conftest import save, tiny_events
from tests.bench.sweep_samples import SPEC, rows_of


# --- what it computes ------------------------------------------------------------------------
def test_a_sweep_is_the_product_of_its_axes_and_each_row_is_that_of_compare(command, spec):
    status, out, err = command("sweep", spec, "--threads", 2)
    assert status == 0, err
    assert "24 cells: 24 computed" in out
    rows = rows_of("runs/small")
    assert len(rows) == 2 * 2 * 3 * 2 == len({row["cell"] for row in rows})
    status, out, _ = command("compare", spec.parent / "tiny.parquet", "--policy", "P4", "--policy", "P8",
                             "--hardware", "mmu500", "--hardware", "ideal", "--seed", 1,
                             "--scenario", "burst:n=3,gap=20us", "--json", "-o", "rows.parquet")  # fmt: skip
    assert status == 0
    for wanted in json.loads(out)["rows"]:
        (row,) = [
            r for r in rows if all(r[a] == wanted[a] for a in ("policy", "hardware", "scenario", "seed"))
        ]
        assert {name: row[name] for name in wanted["counters"]} == wanted["counters"]
        assert row["verdict"] == wanted["verdict"]
        for group in ("latency_ns", "latency_issue_ns", "fault_ns", "global_fault"):
            assert {name: row[f"{group}.{name}"] for name in wanted[group]} == wanted[group]
        assert json.loads(row["streams"]) == wanted["streams"]


def test_the_same_command_again_computes_nothing(command, spec):
    assert command("sweep", spec)[0] == 0
    before = {path: path.read_bytes() for path in Path("runs/small/rows").iterdir()}
    status, out, _ = command("sweep", spec, "--json")
    assert status == 0
    assert {name: json.loads(out)[name] for name in ("computed", "before", "cells")} == {
        "computed": 0, "before": 24, "cells": 24,
    }  # fmt: skip
    assert {path: path.read_bytes() for path in Path("runs/small/rows").iterdir()} == before


def test_a_spec_that_grows_computes_only_what_is_new(command, spec):
    assert command("sweep", spec)[0] == 0
    spec.write_text(SPEC.replace('["mmu500", "ideal"]', '["ideal", "qcom-smmu-v2", "mmu500"]'))
    out = json.loads(command("sweep", spec, "--json")[1])
    assert (out["before"], out["computed"]) == (24, 12)
    assert max(Counter(row["cell"] for row in rows_of("runs/small")).values()) == 1


def test_the_number_of_threads_does_not_change_a_row(command, spec):
    seen = []
    for threads in (1, 3):
        assert command("sweep", spec, "--threads", threads, "-o", f"with-{threads}")[0] == 0
        seen.append(sorted(rows_of(f"with-{threads}"), key=lambda row: row["cell"]))
    assert seen[0] == seen[1]


def test_what_says_the_same_twice_is_one_cell(command, spec):
    same = '["P8", "threaded-resume", "P8"]'
    spec.write_text(SPEC.replace('["P4", "P8"]', same).replace("from = 0, to = 1", "from = 3, to = 3"))
    assert json.loads(command("sweep", "check", spec, "--json")[1])["cells"] == 2 * 3


def test_no_policy_runs_on_hardware_that_it_is_not_about(command, spec):
    chips = '["mmu500", "gem5-smmuv3"]'
    spec.write_text(SPEC.replace('["P4", "P8"]', '["P8", "v3-iopf"]').replace('["mmu500", "ideal"]', chips))
    assert command("sweep", spec)[0] == 0
    assert {(r["policy"], r["hardware"]) for r in rows_of("runs/small")} == {
        ("P8", "mmu500"), ("v3-iopf", "gem5-smmuv3"),
    }  # fmt: skip


def test_a_trace_is_opened_and_decoded_once_in_a_process(command, spec, monkeypatch):
    opened = []
    real = work.open_trace

    def counted(path):
        trace = real(path)
        blocks = trace.blocks

        def told(*arguments, **named):
            opened.append("decoded")
            return blocks(*arguments, **named)

        trace.blocks = told
        opened.append("opened")
        return trace

    monkeypatch.setattr(work, "open_trace", counted)
    assert command("sweep", spec, "--threads", 2)[0] == 0
    assert Counter(opened) == {"opened": 1, "decoded": 1}


# --- what fails ------------------------------------------------------------------------------
def test_a_cell_that_fails_is_recorded_with_its_error_and_the_others_go_on(command, spec):
    spec.write_text(
        SPEC.replace("scenario = {", 'scenario = ["unmap:buffer=999", {').replace(
            "factor = 2}", "factor = 2}]"
        )
    )
    status, out, _ = command("sweep", spec)
    assert status == 1
    assert "8 failed" in out
    rows = rows_of("runs/small")
    failed = [row for row in rows if row["status"] == "failed"]
    assert len(rows) == 32
    assert {row["scenario"] for row in failed} == {"unmap:buffer=999"}
    assert all("999" in row["error"] and row["verdict"] is None and row["walks"] is None for row in failed)
    status, out, _ = command("sweep", "show", "runs/small", "--failed", "--json")
    assert len(json.loads(out)["rows"]) == 8
    assert len(json.loads(command("sweep", "show", "runs/small", "--json")[1])["rows"]) == 24


def test_failed_cells_are_computed_again_only_when_asked_and_then_once(command, spec, monkeypatch):
    real = Workshop._row

    def broken(self, cell):
        if self.plan.words(cell)["policy"] == "P4":
            raise ZeroDivisionError("a defect")
        return real(self, cell)

    monkeypatch.setattr(Workshop, "_row", broken)
    assert command("sweep", spec)[0] == 1
    monkeypatch.setattr(Workshop, "_row", real)
    assert json.loads(command("sweep", spec, "--json")[1])["computed"] == 0
    assert {r["error"] for r in rows_of("runs/small")} == {None, "ZeroDivisionError: a defect"}
    status, out, _ = command("sweep", spec, "--retry-failed", "--json")
    assert (status, json.loads(out)["computed"], json.loads(out)["before"]) == (0, 12, 12)
    rows = rows_of("runs/small")
    assert len(rows) == len({row["cell"] for row in rows}) == 24
    assert {row["status"] for row in rows} == {"done"}


def test_a_trace_that_changes_under_the_sweep_fails_its_cells(command, spec, monkeypatch):
    real = Workshop.__init__

    def later(self, plan, **named):
        save(spec.parent / "tiny.parquet", tiny_events(rounds=31))
        real(self, plan, **named)

    monkeypatch.setattr(Workshop, "__init__", later)
    assert command("sweep", spec)[0] == 1
    assert all("another trace" in row["error"] for row in rows_of("runs/small"))


# --- what a cell is known by -----------------------------------------------------------------
def keys(text, folder):
    plan = from_text(text, folder / "x.toml")
    return {plan.key(cell) for cell in plan.cells()}


def test_a_cell_is_known_by_what_it_is_made_of_and_not_by_how_the_sweep_is_written(spec, tmp_path):
    whole = keys(SPEC, tmp_path)
    assert keys(SPEC.replace('["P4", "P8"]', '["threaded-resume", "P4"]'), tmp_path) == whole
    assert keys(SPEC.replace('"small"', '"other"'), tmp_path) == whole
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "tiny.parquet").rename(moved / "tiny.parquet")
    assert keys(SPEC, moved) == whole


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[axes]", 'pace = "7ns"\n[axes]'),
        ("[axes]", 'cpus = "worker=0"\n[axes]'),
        ("[axes]", '[axes]\ncost = "mobile-big,mmio_read=1us"'),
        ("[axes]", '[axes]\ncost = "mobile-big,thread_wake=lognormal:p50=5us,p99=50us"'),
        ("[axes]", '[axes]\ncost = "mobile-big,console=none"'),
        ("[axes]", '[axes]\nclient = "none"'),
        ("from = 0, to = 1", "from = 2, to = 3"),
        ('["mmu500", "ideal"]', '["mmu500,slots=64", "ideal,slots=64"]'),
    ],
)
def test_a_cell_with_other_inputs_is_another_cell(spec, tmp_path, old, new):
    assert not keys(SPEC, tmp_path) & keys(SPEC.replace(old, new), tmp_path)


def test_a_trace_with_other_bytes_and_a_model_with_other_sources_make_other_cells(
    spec, tmp_path, monkeypatch
):
    whole = keys(SPEC, tmp_path)
    monkeypatch.setattr(Plan.__dataclass_fields__["model"], "default_factory", lambda: "another")
    plan = from_text(SPEC, tmp_path / "x.toml")
    other = Plan(**{**{name: getattr(plan, name) for name in Plan.__dataclass_fields__}, "model": "another"})
    assert not whole & {other.key(cell) for cell in other.cells()}
    save(tmp_path / "tiny.parquet", tiny_events(), title="other bytes")
    assert not whole & keys(SPEC, tmp_path)


def test_rows_of_another_model_are_left_out_of_what_is_shown(command, spec, monkeypatch):
    assert command("sweep", spec)[0] == 0
    sources.model_hash.cache_clear()
    monkeypatch.setattr(sources, "MODULES", ("run",))
    out = json.loads(command("sweep", spec, "--json")[1])
    sources.model_hash.cache_clear()
    assert (out["computed"], out["before"], out["others"]) == (24, 0, 24)
    shown = json.loads(command("sweep", "show", "runs/small", "--json")[1])
    assert (len(shown["rows"]), shown["manifest"]["others"]) == (24, 24)


def test_the_sources_of_a_row_are_all_that_a_run_imports():
    import subprocess
    import sys

    code = "import sys, bench.run; print(*[m for m in sys.modules if m.startswith('bench.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) - {"bench.errors"} == {f"bench.{name}" for name in sources.MODULES}
