"""The history: what it keeps, where it says that something moved, and files that it leaves alone."""

import hashlib
import json
import random
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from bench.history import steps, store
from tests.bench.sweep_samples import SPEC
from tests.bench.test_perf_compare import QUIET, written

CELLS = ("--policy", "P4", "--policy", "P8", "--hardware", "mmu500", "--scenario", "burst:n=3,gap=30us")


def series(command, *arguments):
    status, out, err = command("history", "show", *arguments, "--json")
    assert status == 0, err
    return {(one["name"], *one["keys"].values()): one for one in json.loads(out)}


def add(command, *arguments):
    status, out, err = command("history", "add", *arguments)
    assert status == 0, err
    return out


# --- what is kept ----------------------------------------------------------------------------
def test_wall_times_and_simulated_rows_are_kept_apart(command, tiny, tmp_path):
    assert command("compare", tiny, *CELLS, "-o", "rows.parquet")[0] == 0
    wall = written(tmp_path / "a.json", {"x": QUIET}, hostname="here", kernels="k1", trace_gpu="b" * 64)
    add(command, "rows.parquet", wall, "--commit", "c1", "--at", "2026-01-01")
    (one,) = series(command).values()
    assert (one["name"], one["clock"], one["commits"]) == ("x", "wall", ["c1"])
    assert one["keys"] == {"trace": "b" * 64, "host": "here"}
    assert one["values"] == pytest.approx([1.0025])
    simulated = series(command, "--clock", "simulated")
    assert {one["clock"] for one in simulated.values()} == {"simulated"}
    assert all("host" not in one["keys"] for one in simulated.values())
    with duckdb.connect("runs/history.duckdb", read_only=True) as db:
        assert db.execute("select count(*) from wall").fetchone() == (1,)
        assert db.execute("select count(*) from simulated where name = 'x'").fetchone() == (0,)


def test_a_simulated_value_is_the_rows_own_under_every_key(command, tiny):
    status, out, _ = command("compare", tiny, *CELLS, "-o", "rows.parquet", "--json")
    assert status == 0
    made = json.loads(out)
    add(command, "rows.parquet", "--commit", "c1")
    found = series(command, "makespan_ns", "--clock", "simulated", "--where", "policy=P8@")
    (one,) = [one for one in found.values() if one["name"] == "makespan_ns"]
    (row,) = [row for row in made["rows"] if row["policy"] == "P8"]
    assert one["values"] == [row["counters"]["makespan_ns"]]
    assert one["keys"]["trace"] == made["manifest"]["sha256"]
    assert one["keys"]["hardware"] == "mmu500"
    assert one["keys"]["scenario"] == "burst:n=3,gap=30us"
    assert one["keys"]["costs"].startswith("mobile-big@")
    (verdict,) = series(command, "verdict", "--clock", "simulated", "--where", "policy=P8@").values()
    assert verdict["values"] == [row["verdict"]]


def test_what_is_there_already_is_not_added_twice(command, tiny, tmp_path):
    assert command("compare", tiny, *CELLS, "-o", "rows.parquet")[0] == 0
    wall = written(tmp_path / "a.json", {"x": QUIET})
    first = add(command, "rows.parquet", wall, "--commit", "c1")
    assert ", 0 new" not in first
    again = add(command, "rows.parquet", wall, "--commit", "c1")
    assert again.count(", 0 new") == 2


def test_a_sweep_and_golden_rows_are_added_as_folders(command, tiny, tmp_path):
    (tmp_path / "small.toml").write_text(SPEC)
    assert command("sweep", "small.toml")[0] == 0
    golden = tmp_path / "golden"
    golden.mkdir()
    (golden / "matrix.toml").write_text(
        f'[[block]]\nname = "quiet"\ntrace = "{tiny}"\nscenario = "as-captured"\nhardware = ["mmu500"]\n'
    )
    log = tmp_path / "CHANGELOG.md"
    log.write_text("### Model changes\n- One.\n")
    assert command("regress", "--golden", golden, "--changelog", log, "--accept")[0] == 0
    out = add(command, "runs/small", golden, "--commit", "c1")
    assert out.count("of the simulated clock") == 2
    found = series(command, "walks", "--clock", "simulated", "--where", "scenario=burst", "--limit", 0)
    assert len([one for one in found.values() if one["name"] == "walks"]) == 24
    assert series(command, "walks", "--clock", "simulated", "--where", "scenario=as-captured")


def test_older_pyperf_files_of_any_suite_are_taken_with_their_own_dates(command, tmp_path):
    old = {"version": "1.0", "metadata": {"name": "older", "unit": "second"},
           "benchmarks": [{"runs": [
               {"metadata": {"date": "2020-03-01T10:00:00", "duration": 1.0}, "values": [0.5, 0.7, 0.6],
                "warmups": [[1, 0.9]]},
               {"metadata": {"date": "2020-03-01T10:01:00", "duration": 1.0}, "values": [0.8, 0.8, 0.8],
                "warmups": [[1, 0.9]]},
           ]}]}  # fmt: skip
    (tmp_path / "old.json").write_text(json.dumps(old))
    add(command, "old.json", "--commit", "then")
    (one,) = series(command).values()
    assert (one["name"], one["values"]) == ("older", [0.7])
    with duckdb.connect("runs/history.duckdb", read_only=True) as db:
        assert db.execute("select made_at from runs").fetchone() == (datetime(2020, 3, 1, 10),)


def test_the_commit_is_the_checkouts_unless_it_is_said(command, tmp_path):
    import subprocess

    from bench.perf.scripts import ROOT

    git = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    if git.returncode:
        pytest.skip("no git checkout")
    add(command, written(tmp_path / "a.json", {"x": QUIET}))
    (one,) = series(command).values()
    assert one["commits"][0].rstrip("+") == git.stdout.strip()


# --- where it moved --------------------------------------------------------------------------
def test_a_series_along_commits_tells_where_it_moved(command, tmp_path):
    chance = random.Random(1)
    for k in range(16):
        level = 1.0 if k < 9 else 1.3
        runs = [level * chance.gauss(1, 0.01) for _ in range(8)]
        wall = written(tmp_path / f"{k}.json", {"x": runs, "y": QUIET}, hostname="here")
        add(command, wall, "--commit", f"c{k:02d}", "--at", f"2026-01-{k + 1:02d}")
    found = series(command)
    (step,) = found["x", "here"]["steps"]
    assert found["x", "here"]["commits"][step["at"]] == "c09"
    assert step["after"] / step["before"] == pytest.approx(1.3, rel=0.02)
    assert found["y", "here"]["steps"] == []
    assert list(series(command, "--moved")) == [("x", "here")]
    out = command("history", "show")[1]
    assert "c09: 1" in out
    assert "+30%" in " ".join(out.split())


def test_every_change_of_a_simulated_value_is_a_step(command, tiny):
    for commit, wild in (("c1", "30us"), ("c2", "30us")):
        assert command("compare", tiny, *CELLS[:-1], f"burst:n=3,gap={wild}", "-o", "r.parquet")[0] == 0
        add(command, "r.parquet", "--commit", commit)
    with duckdb.connect("runs/history.duckdb") as db:
        db.execute("update simulated set value = value + 1 where name = 'irq_entries' and run in "
                   "(select id from runs where commit_id = 'c2' and starts_with(policy, 'P8'))")  # fmt: skip
    (moved,) = series(command, "--clock", "simulated", "--moved").values()
    assert (moved["name"], moved["commits"], moved["steps"][0]["at"]) == ("irq_entries", ["c1", "c2"], 1)


def test_noise_alone_is_no_step_and_a_step_in_noise_is_found_where_it_is():
    chance = random.Random(4)
    alarms = sum(bool(steps.noisy([chance.gauss(1, 0.05) for _ in range(40)])) for _ in range(100))
    assert alarms <= 5
    for at in (5, 20, 33):
        values = [chance.gauss(1.0 if k < at else 1.25, 0.02) for k in range(40)]
        assert [step.at for step in steps.noisy(values)] == [at]
    assert steps.noisy([1.0, 1.0, 2.0]) == []
    assert steps.noisy([1.0] * 20) == []
    assert [step.at for step in steps.noisy([1.0] * 10 + [2.0] * 10)] == [10]


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_history_is_drawn_the_same_each_time(command, tmp_path, suffix):
    for k in range(8):
        wall = written(tmp_path / f"{k}.json", {"x": [1.0 + 0.5 * (k > 3) + 0.001 * k] * 5})
        add(command, wall, "--commit", f"c{k}", "--at", f"2026-01-{k + 1:02d}")
    drawn = []
    for _ in range(2):
        status, _, err = command("history", "plot", "-o", f"x.{suffix}")
        assert status == 0, err
        drawn.append(Path(f"x.{suffix}").read_bytes())
    assert drawn[0] == drawn[1]
    assert command("history", "plot", "nothing", "-o", "x.svg")[0] == 2
    assert command("history", "plot", "-o", "x.txt")[0] == 2


# --- files that are left alone ---------------------------------------------------------------
def damaged(kind, path):
    if kind == "text":
        path.write_text("years of work\n")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif kind == "flipped":
        raw = bytearray(path.read_bytes())
        raw[4096:8192] = bytes(b ^ 0xFF for b in raw[4096:8192])
        path.write_bytes(raw)
    elif kind == "newer":
        with duckdb.connect(str(path)) as db:
            db.execute("update about set format = 99")
    elif kind == "another's":
        path.unlink()
        with duckdb.connect(str(path)) as db:
            db.execute("create table mine (a integer)")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("text", "not a history, or a damaged one"),
        ("empty", "not a history"),
        ("cut", "not a history, or a damaged one"),
        ("flipped", "not a history, or a damaged one"),
        ("newer", "history of a newer smmubench"),
        ("another's", "expected a table about, found mine"),
    ],
)
def test_a_file_that_is_damaged_newer_or_anothers_is_told_and_left_as_it_is(command, tmp_path, kind, says):
    wall = written(tmp_path / "a.json", {"x": QUIET})
    add(command, wall, "--file", "h.duckdb", "--commit", "c1")
    path = tmp_path / "h.duckdb"
    damaged(kind, path)
    before = hashlib.sha256(path.read_bytes()).digest()
    files = sorted(p.name for p in tmp_path.iterdir())
    for arguments in (("add", wall, "--commit", "c2"), ("show",), ("plot", "-o", "x.png")):
        status, _, err = command("history", *arguments, "--file", path)
        assert (status, says in err) == (2, True), err
        assert len(err.splitlines()) == 1
    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == files


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.json", None, "cannot be read"),
        ("bad.json", b"{", "not a pyperf file"),
        ("bad.parquet", b"PAR1 and nothing else", "cannot be read"),
        ("folder", "folder", "a sweep's folder, or golden results"),
    ],
)
def test_results_that_cannot_be_read_are_refused_and_nothing_is_added(command, tmp_path, name, content, says):
    if content == "folder":
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    add(command, written(tmp_path / "a.json", {"x": QUIET}), "--commit", "c1")
    status, _, err = command("history", "add", name, "--commit", "c2")
    assert (status, says in err) == (2, True), err
    (one,) = series(command).values()
    assert one["commits"] == ["c1"]


def test_a_trace_is_no_result(command, tiny):
    status, _, err = command("history", "add", tiny, "--commit", "c1")
    assert (status, "not simulated rows" in err) == (2, True)


def test_there_is_none_until_one_is_made(command):
    status, _, err = command("history", "show")
    assert (status, "no history" in err) == (2, True)
    assert not Path("runs").exists()


def test_unknown_keys_are_refused(command, tmp_path):
    add(command, written(tmp_path / "a.json", {"x": QUIET}), "--commit", "c1")
    status, _, err = command("history", "show", "--where", "colour=red")
    assert (status, "commit, kernels, trace" in err) == (2, True)
    assert len(series(command, "--where", "commit=c1")) == 1
    assert series(command, "--where", "commit=c2") == {}


def test_a_run_has_the_same_number_everywhere():
    line = store.Line(None, {"commit_id": "c", "policy": "P8"}, "walks", 3)
    text = "\n".join(["", "c", "", "", "P8", "", "", "", "", "", ""])
    assert line.run == int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
