"""Two pyperf files, and two revisions, compared."""

import json
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pyperf
import pytest

from bench.perf import files, rounds, scripts


def written(path, values, begin=datetime(2026, 1, 1), **metadata):
    """Write a pyperf file: benchmark -> seconds of each process."""
    benches = []
    for name, runs in values.items():
        made = []
        for k, value in enumerate(runs):
            told = {
                "name": name,
                "date": (begin + timedelta(minutes=k)).isoformat(),
                "unit": "second",
                **metadata,
            }
            made.append(
                pyperf.Run([value, value * 1.01, value * 0.99], metadata=told, collect_metadata=False)
            )
        benches.append(pyperf.Benchmark(made))
    pyperf.BenchmarkSuite(benches).dump(str(path), replace=True)
    return path


QUIET = [1.0, 1.01, 0.99, 1.02, 0.98, 1.005, 0.995, 1.015]


def test_compare_prints_pyperfs_table_and_our_verdict_and_fails_if_something_is_slower(command, tmp_path):
    before = written(tmp_path / "a.json", {"x: same": QUIET, "y: worse": QUIET, "z: gone": QUIET})
    after = written(tmp_path / "b.json", {"x: same": QUIET[::-1], "y: worse": [1.3 * v for v in QUIET]})
    status, out, err = command("perf", "compare", before, after)
    assert status == 1, err
    assert "Benchmark" in out.split("we say")[0]
    ours = out.split("we say")[1]
    assert [line.split()[-1] for line in ours.splitlines() if line.startswith(("x:", "y:"))] == [
        "change",
        "SLOWER",
    ]
    assert "z: gone" in ours
    data = json.loads(command("perf", "compare", before, after, "--json")[1])
    assert {row["name"]: row["verdict"] for row in data["rows"]} == {
        "x: same": "no change",
        "y: worse": "SLOWER",
    }
    assert data["clock"] == "wall"
    assert command("perf", "compare", after, before)[0] == 0
    assert command("perf", "compare", before, after, "--least", "0.5")[0] == 0


def test_files_that_did_not_run_in_turn_and_differ_in_host_or_trace_are_told(command, tmp_path):
    before = written(tmp_path / "a.json", {"x": QUIET}, hostname="one", trace_gpu="a" * 64)
    later = written(
        tmp_path / "b.json", {"x": QUIET}, datetime(2026, 2, 1), hostname="two", trace_gpu="b" * 64
    )
    out = command("perf", "compare", before, later)[1]
    assert "did not run in turn" in out
    assert "hostname: one and two" in out
    assert "x: another trace" in out
    turned = written(tmp_path / "c.json", {"x": QUIET}, datetime(2026, 1, 1, 0, 0, 30), hostname="one")
    assert "did not run in turn" not in command("perf", "compare", before, turned)[1]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": "99.0", "benchmarks": []}', '{"version": "1.0"}', "\x00\x01"]
)
def test_files_that_are_not_pyperfs_are_refused_in_one_line(command, tmp_path, text):
    before = written(tmp_path / "a.json", {"x": QUIET})
    (tmp_path / "bad.json").write_text(text)
    status, _, err = command("perf", "compare", before, "bad.json")
    assert status == 2
    assert "bad.json" in err
    assert len(err.splitlines()) == 1
    assert command("perf", "compare", before, "none.json")[0] == 2
    other = written(tmp_path / "o.json", {"other": QUIET})
    assert "nothing in common" in command("perf", "compare", before, other)[2]


# --- two revisions ---------------------------------------------------------------------------
SCRIPT = '''"""Times nothing: the seconds are written here."""
import pyperf

runner = pyperf.Runner(values=3, warmups=0, loops=1)
runner.bench_time_func("toy", lambda loops: SECONDS * loops)
'''


@pytest.fixture
def revisions(tmp_path, monkeypatch):
    """Make a checkout of two commits, the second half as slow again."""
    root = tmp_path / "checkout"
    (root / "bench").mkdir(parents=True)

    def git(*words):
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", "-C", str(root), *who, *words], check=True, capture_output=True)

    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "-m", "nothing")
    for message, seconds in (("first", "0.010"), ("second", "0.015")):
        (root / "bench" / "bm_toy.py").write_text(SCRIPT.replace("SECONDS", seconds))
        git("add", "-A")
        git("commit", "--quiet", "-m", message)
    monkeypatch.setattr(scripts, "ROOT", root)
    return root


def test_two_revisions_run_in_turn_in_work_trees_that_are_gone_afterwards(command, revisions, tmp_path):
    status, out, err = command("perf", "ab", "HEAD~1", "HEAD", "--rounds", 5, "-o", "kept", "--json")
    assert status == 1, err
    data = json.loads(out)
    (row,) = data["rows"]
    assert (row["name"], row["verdict"], row["processes"]) == ("toy", "SLOWER", [5, 5])
    assert row["ratio"] == pytest.approx(1.5)
    assert data["interleaved"] is True
    assert files.interleaved(*(files.load(tmp_path / "kept" / f"{side}.json") for side in "AB"))
    listed = subprocess.run(
        ["git", "-C", str(revisions), "worktree", "list"], capture_output=True, text=True, check=True
    )
    assert len(listed.stdout.splitlines()) == 1
    assert command("perf", "ab", "HEAD~1", "HEAD", "-o", "kept")[0] == 2


@pytest.mark.parametrize(
    ("before", "says"),
    [("nowhere", "no such revision: REV1 nowhere"), ("HEAD~2", "a revision without benchmarks: REV1 HEAD~2")],
)
def test_revisions_that_cannot_be_run_are_refused(command, revisions, before, says):
    status, _, err = command("perf", "ab", before, "HEAD")
    assert status == 2
    assert says in err


def test_sides_take_turns_at_going_first():
    assert [side for _, side in rounds.order(4)] == [0, 1, 1, 0, 0, 1, 1, 0]
    assert Path(scripts.ROOT / "bench").is_dir()
