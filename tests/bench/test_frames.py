"""`bench.faults`, `bench.latency` and `bench.load_runs`: tidy frames that agree with the rows of a run."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bench
from bench.errors import UsageError
from bench.frames import FAULT_COLUMNS, LATENCY_COLUMNS, merged

ASKED = {
    "policies": ["P4", "P8"],
    "hardware": ["mmu500"],
    "scenario": "burst:n=30,gap=20us+heartbeat:every=50us",
}
RANKS = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}


@pytest.fixture(scope="module")
def rows():
    return bench.compare(**ASKED).set_index("policy")


@pytest.fixture(scope="module")
def told():
    return bench.faults(**ASKED)


@pytest.fixture(scope="module")
def spread():
    return bench.latency(**ASKED)


def test_a_frame_has_the_columns_that_are_documented(told, spread):
    assert list(told) == list(FAULT_COLUMNS)
    assert list(spread) == list(LATENCY_COLUMNS)


def test_faults_has_a_row_for_each_fault_that_the_counters_count(told, rows):
    for policy, mine in told.groupby("policy"):
        assert len(mine) == rows.loc[policy, "counters.faults_injected"]
        kept = mine["record"].value_counts()
        for record in ("recorded", "coalesced", "lost", "pending"):
            assert kept.get(record, 0) == rows.loc[policy, f"counters.faults_{record}"]


def test_a_faults_times_come_in_the_order_of_its_story(told):
    order = [f"t_{name}_ns" for name in ("intended", "issued", "arrived", "recorded", "irq", "handler_start")]
    for before, after in pairwise(order):
        both = told[[before, after]].dropna()
        assert (both[before] <= both[after]).all(), (before, after)


def test_the_longest_way_from_record_to_resume_is_the_rows(told, rows):
    longest = told.groupby("policy")["to_resume_ns"].max()
    assert longest.to_dict() == rows["fault_ns.max"].to_dict()


def test_percentiles_read_off_the_distribution_are_the_rows(spread, rows):
    own = merged(spread[~spread["heartbeat"]])
    for policy, mine in own[own["clock"] == "intended"].groupby("policy"):
        for name, share in RANKS.items():
            at = np.searchsorted(mine["cumulative"].to_numpy(), share - 1e-9)
            # Each stream's highest bucket ends at its own maximum: lower by at most 1/64.
            first, asked = mine["latency_ns"].iloc[at], rows.loc[policy, f"latency_ns.{name}"]
            assert first <= asked <= first * 65 / 64 + 1, (policy, name)


def test_a_distribution_counts_every_translation_once(spread, rows):
    counted = spread[spread["clock"] == "issue"].groupby("policy")["count"].sum()
    # Bypassed accesses have no translation; here are none, and every transaction ended.
    for policy, number in counted.items():
        row = rows.loc[policy]
        assert number == row["counters.completed"] + row["counters.terminated"]


# --- load_runs


def test_a_saved_comparison_is_read_back_as_it_was(tmp_path, command):
    out = tmp_path / "mine.parquet"
    words = ("--policy", "P1", "--policy", "P8", "--hardware", "mmu500", "--scenario", "as-captured")
    status, _, err = command("compare", *words, "-o", str(out))
    assert status == 0, err
    (tmp_path / "notes.txt").write_text("no run")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    found = bench.load_runs(tmp_path)
    made = bench.compare(policies=["P1", "P8"], hardware=["mmu500"], scenario="as-captured")
    assert set(found["run"]) == {"mine"}
    assert set(found["kind"]) == {"captured"}
    shared = [name for name in made if name in found]
    assert set(made) == set(shared)
    pd.testing.assert_frame_equal(found[shared], made[shared], check_dtype=False)
    assert found.attrs["manifests"]["mine"]["costs"] == "mobile-big"


def test_a_sweeps_rows_have_the_comparisons_names(tmp_path):
    (tmp_path / "rows").mkdir()
    plan = {"format": 1, "name": "dial", "traces": {"t": {"sha256": "0" * 64, "kind": "synthetic"}}}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    cells = {
        "cell": ["a", "b"], "status": ["done", "failed"], "trace": ["t", "t"], "policy": ["P4", "P8"],
        "cost": ["mobile-big"] * 2, "verdict": ["storm", None], "irq_entries": [7, None],
        "trace_sha256": ["0" * 64] * 2,
    }  # fmt: skip
    pq.write_table(pa.table(cells), tmp_path / "rows" / "x.parquet")
    found = bench.load_runs(tmp_path)
    assert len(found) == 1
    (row,) = found.to_dict("records")
    assert (row["run"], row["kind"], row["costs"], row["counters.irq_entries"]) == (
        "dial",
        "synthetic",
        "mobile-big",
        7,
    )


@pytest.mark.parametrize("kind", ["nothing", "other table", "no table", "empty folder", "broken plan"])
def test_what_is_no_run_is_refused(tmp_path, kind):
    path = tmp_path / "x.parquet"
    if kind == "other table":
        pq.write_table(pa.table({"a": [1]}), path)
    elif kind == "no table":
        path.write_text("policy,verdict")
    elif kind == "empty folder":
        path.mkdir()
    elif kind == "broken plan":
        path.mkdir()
        (path / "plan.json").write_text("{}")
    with pytest.raises(UsageError) as caught:
        bench.load_runs(path)
    assert caught.value.where == str(path)


def test_bench_says_what_it_does_not_have():
    with pytest.raises(AttributeError, match="no attribute 'fault'"):
        _ = bench.fault
