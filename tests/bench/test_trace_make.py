"""`smmubench traces make`: what it makes replays without faults, and what it cannot make it refuses."""

import json

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bench import ask, grid
from tests.traces.test_synthetic import CASES, EVERY
from traces.errors import TraceError
from traces.reader import open_trace
from traces.synthetic.make import plan, write
from traces.synthetic.registry import KINDS, parameters
from traces.validate import validate


def replayed(path, policy="P1"):
    """Every counter of a replay without a scenario."""
    case = ask.case(path, scenario="as-captured", client="pager")
    return grid.compare(case, ask.chosen([policy]), ask.presets(["mmu500"]), 1).rows[0].counters


def faults(counters):
    return counters["faults_recorded"] + counters["faults_coalesced"] + counters["global_faults"]


@pytest.mark.parametrize("kind", EVERY)
def test_a_made_trace_replays_without_faults(kind, tmp_path):
    path = tmp_path / "t.parquet"
    write(plan(kind, ["accesses=20k"], 1), path)
    counters = replayed(path)
    assert counters["completed"] == counters["accesses"] == 20_000
    assert faults(counters) == 0


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(case=CASES, seed=st.integers(0, 2**63 - 1))
def test_whatever_the_parameters_a_made_trace_is_valid_and_replays_without_faults(
    tmp_path_factory, case, seed
):
    path = tmp_path_factory.mktemp("made") / "t.parquet"
    try:
        planned = plan(*case, seed)
    except TraceError:
        assume(False)
    # Tables of 4K pages for a terabyte would take all of the test's memory.
    assume(sum(buffer.size for placed in planned.placed for buffer in placed.work.buffers) < 1 << 33)
    write(planned, path)
    validate(path)
    assert faults(replayed(path)) == 0


def test_the_command_makes_the_trace_that_the_library_makes(command, tmp_path):
    texts = ("accesses=2k", "size=1M")
    status, out, err = command("traces", "make", "copy", "-o", "c.parquet", "--seed", 3, *_sets(texts))
    assert (status, err) == (0, "")
    assert out.startswith("saved c.parquet: 2,002 events\n")
    write(plan("copy", texts, 3), tmp_path / "same.parquet")
    assert (tmp_path / "c.parquet").read_bytes() == (tmp_path / "same.parquet").read_bytes()


def _sets(texts):
    return [part for text in texts for part in ("--set", text)]


def test_json_is_the_manifest(command):
    _, out, _ = command("traces", "make", "copy", "-o", "c.parquet", "--set", "accesses=10", "--json")
    said = json.loads(out)
    assert said["trace"] == "c.parquet"
    assert said["parameters"]["accesses"] == 10
    assert said["counts"]["READ"] + said["counts"]["WRITE"] == 10


def test_info_shows_the_parameters(command):
    command("traces", "make", "copy", "-o", "c.parquet", "--set", "burst=3", "--set", "accesses=9")
    _, out, _ = command("traces", "info", "c.parquet")
    assert "kind=copy, seed=0, accesses=9," in " ".join(out.split())


def test_the_list_names_every_kind_and_each_kind_its_parameters(command):
    _, out, _ = command("traces", "make", "--list")
    assert all(f"\n{kind} " in out for kind in EVERY)
    for kind in KINDS:
        _, out, _ = command("traces", "make", kind, "--list", "--json")
        listed = json.loads(out)["parameters"]
        assert [p["parameter"] for p in listed] == [p.name for p in parameters(kind)]
        assert all(p["meaning"] for p in listed)
    _, out, _ = command("traces", "make", "--list", "--json")
    assert [kind["name"] for kind in json.loads(out)["kinds"]] == list(KINDS)
    _, out, _ = command("traces", "make", "mix", "--list")
    assert "PART.key" in " ".join(out.split())


@pytest.mark.parametrize("kind", KINDS)
def test_every_default_is_in_its_range(kind):
    for p in parameters(kind):
        assert p.low <= p.default <= p.high
        assert not p.power or p.default & (p.default - 1) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no kind of trace: traces make: expected a kind"),
        (("copy",), "no file: traces make: expected -o FILE"),
        (("cpoy", "-o", "t.parquet"), "unknown kind of trace: traces make: expected one of tiled-render, "),
        (("copy", "-o", "t.parquet", "--set", "x=1"), "unknown parameter: traces make copy: expected one of"),
        (("copy", "-o", "t.parquet", "--set", "burst=0"), "bad parameter burst: traces make copy"),
        (("copy", "-o", "t.parquet", "--seed", "-1"), "Invalid value for '--seed'"),
        (("copy", "-o", "none/t.parquet"), "cannot be written: none/t.parquet: expected an existing folder"),
        (("copy", "-o", "."), "cannot be written: .: expected a file, found a directory"),
        (("cpoy", "--list"), "unknown kind of trace"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line_and_leaves_nothing(command, tmp_path, arguments, said):
    status, out, err = command("traces", "make", *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_make_leaves_the_old_file(command, tmp_path, monkeypatch):
    command("traces", "make", "copy", "-o", "c.parquet", "--set", "accesses=10")
    before = (tmp_path / "c.parquet").read_bytes()

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.progress.Progress.__call__", stop)
    status, _, _ = command("traces", "make", "copy", "-o", "c.parquet")
    assert status == 130
    assert [(p.name, p.read_bytes() == before) for p in tmp_path.iterdir()] == [("c.parquet", True)]
    assert open_trace(tmp_path / "c.parquet").rows == 12
