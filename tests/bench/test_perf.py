"""The wall-clock suite: what it times, how it starts its workers, and when it claims a difference."""

import json
import os
import subprocess
import sys

import pytest

from bench.perf import (
    dispatches,
    files,
    readings,
    replays,
    scripts,
    starts,
    suite,
    translations,
)
from smmucore.policies import POLICIES
from traces.catalogue import list_traces
from traces.importers.registry import READERS


# --- what is timed ---------------------------------------------------------------------------
def test_the_suite_times_translation_by_level_captures_policies_a_storm_decode_imports_and_starts():
    captures = [entry.name for entry in list_traces()]
    names = [
        one.name for module in (translations, replays, dispatches, readings) for one in module.benchmarks()
    ]
    for kind in ("micro-TLB hit", "TLB hit", "walk, 4K, 3 levels", "walk, 16K", "walk, 64K", "walk, nested"):
        assert any(name.startswith(f"translate: {kind}") for name in names)
    assert {f"replay: {name}" for name in captures} <= set(names)
    assert {f"decode: {name}" for name in captures} <= set(names)
    assert {f"faults: {policy.id} {policy.name}" for policy in POLICIES.values()} <= set(names)
    assert {f"import: {name}" for name in READERS} <= set(names)
    assert any(name.startswith("storm") for name in names)
    names += [one.name for one in starts.benchmarks()]
    assert len(names) == len(set(names))
    page = (scripts.ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert f"All {len(names)} take " in page


@pytest.mark.parametrize("kind", translations.KINDS, ids=[kind.name for kind in translations.KINDS])
def test_a_translation_is_of_the_kind_that_its_name_says(kind):
    translations.prepare(kind)()


def test_a_burst_is_divided_by_its_faults_or_by_its_interrupts_where_there_are_more():
    counted = dispatches.burst(POLICIES["P4"]).counters["irq_entries"]
    assert dispatches.per(POLICIES["P4"]) == counted > dispatches.FAULTS
    assert dispatches.per(POLICIES["P8"]) == dispatches.FAULTS


# --- the scripts -----------------------------------------------------------------------------
def started(script, *arguments, **environment):
    return subprocess.run(
        [sys.executable, str(scripts.ROOT / "bench" / f"{script}.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("script", scripts.names())
def test_each_script_runs_alone_and_its_help_is_pyperfs(script):
    done = started(script, "--help")
    assert done.returncode == 0, done.stderr
    assert "--rigorous" in done.stdout
    assert "--inherit-environ" in done.stdout


@pytest.mark.slow
def test_a_worker_that_compiles_says_so_and_fails(tmp_path):
    cold = {"SMMUBENCH_CACHE_DIR": str(tmp_path / "cold")}
    done = started(
        "bm_translate", "--worker", "--worker-task=0", "-l1", "-w0", "-n1", "--only", "micro", **cold
    )
    assert done.returncode != 0
    assert "a worker compiled kernels" in done.stderr


def test_python_without_a_compiler_is_not_timed():
    done = started("bm_translate", "--only", "micro", NUMBA_DISABLE_JIT="1")
    assert done.returncode == 2
    assert "NUMBA_DISABLE_JIT" in done.stderr


@pytest.mark.slow
def test_a_run_keeps_what_it_was_measured_with_and_its_workers_find_the_kernels(command, tmp_path):
    status, _, err = command("perf", "run", "replay", "--only", "nothing", "-p", "1", "-o", "dma.json")
    assert (status, "no such benchmark" in err) == (2, True)
    assert not list(tmp_path.glob("*.json"))
    arguments = ("perf", "run", "replay", "translate", "--only", "qemu-dma", "-p", "1", "-o", "dma.json")
    status, _, err = command(*arguments)
    assert status == 0, err
    (benchmark,) = files.load(tmp_path / "dma.json")
    told = benchmark.get_metadata()
    from smmucore.kernel import source_hash

    assert told["kernels"] == source_hash()
    assert told["clock"] == "wall"
    assert {"numba_version", "llvmlite_version", "numpy_version", "hostname", "cpu_count"} <= set(told)
    (entry,) = [entry for entry in list_traces() if entry.name == "qemu-dma-tiles"]
    from traces.reader import open_trace

    assert told["trace_qemu_dma_tiles"] == open_trace(entry.path).sha256
    status, _, err = command("perf", "run", "replay", "-o", "dma.json")
    assert (status, "is there already" in err) == (2, True)


def test_scripts_are_listed_with_their_benchmarks_and_unknown_ones_refused(command):
    status, out, _ = command("perf", "list", "--json")
    assert status == 0
    assert [one["script"] for one in json.loads(out)] == [
        "faults",
        "replay",
        "startup",
        "traces",
        "translate",
    ]
    status, out, _ = command("perf", "list", "traces", "--json")
    (script,) = json.loads(out)
    units = {one["name"]: one["per"] for one in script["benchmarks"]}
    assert units["decode: qemu-dma-tiles"] == "event"
    assert (units["import: uvm"], units["import: parquet"], units["import: rd"]) == ("line", "row", "packet")
    status, out, _ = command("perf", "list", "traces")
    assert status == 0
    assert all(f"traces  {name} " in out for name in units)
    assert "translate" not in out
    status, _, err = command("perf", "list", "everything")
    assert (status, "unknown benchmark script" in err) == (2, True)
    status, _, err = command("perf", "run", "everything")
    assert (status, "unknown benchmark script" in err) == (2, True)


def test_warm_means_that_nothing_was_compiled(monkeypatch):
    monkeypatch.setattr(suite.kernel, "cache_counts", lambda: (7, 0))
    suite.assert_warm()
    monkeypatch.setattr(suite.kernel, "cache_counts", lambda: (7, 1))
    with pytest.raises(Exception, match="1 compiled, 7 loaded"):
        suite.assert_warm()
