"""`smmubench doctor`, completion, --quiet and NO_COLOR."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import doctor

ROOT = Path(__file__).parents[2]


def machine(tmp_path, **files):
    """Make the part of /sys and /proc that is looked at; names have __ for /."""
    for name, text in files.items():
        path = tmp_path / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def found(root):
    return {each.name: each for each in doctor.examine(root) if each.about == "timing"}


def test_a_quiet_bare_machine_has_nothing_to_note(tmp_path):
    root = machine(
        tmp_path,
        proc__loadavg="0.02 0.1 0.1 1/100 4242",
        proc__cpuinfo="processor : 0\nmodel name : A CPU\nflags : fpu sse\n",
        proc__stat="cpu  100 0 100 800 0 0 0 0 0 0\n",
        sys__devices__system__cpu__cpu0__cpufreq__scaling_governor="performance\n",
        sys__devices__system__clocksource__clocksource0__current_clocksource="tsc\n",
    )
    assert [each for each in found(root).values() if each.state != doctor.GOOD] == []


def test_what_makes_timings_unreliable_is_noted_one_by_one(tmp_path):
    root = machine(
        tmp_path,
        proc__loadavg="3.50 1 1 1/100 4242",
        proc__cpuinfo="model name : A CPU\nflags : fpu hypervisor sse\n",
        proc__stat="cpu  100 0 100 700 0 0 0 100 0 0\n",
        sys__devices__system__cpu__cpu0__cpufreq__scaling_governor="powersave\n",
        sys__devices__system__cpu__cpu1__cpufreq__scaling_governor="performance\n",
        sys__devices__system__cpu__smt__active="1\n",
        sys__devices__system__cpu__intel_pstate__no_turbo="0\n",
        sys__devices__system__clocksource__clocksource0__current_clocksource="hpet\n",
    )
    (root / "sys/fs/cgroup").mkdir(parents=True)
    (root / "sys/fs/cgroup/cpu.max").write_text("150000 100000\n")
    noted = {name: each for name, each in found(root).items() if each.state == doctor.NOTE}
    assert set(noted) == {
        "load", "virtual machine", "stolen time", "governor",
        "hardware threads", "turbo", "clock source", "CPU quota",
    }  # fmt: skip
    assert noted["governor"].found == "performance, powersave"
    assert noted["stolen time"].found == "10.0 % since boot"
    assert noted["CPU quota"].found == "1.50 CPUs"
    assert all(each.hint for each in noted.values())


def test_a_machine_that_shows_nothing_is_no_error(tmp_path):
    assert found(tmp_path)["governor"].found == "not shown"


def test_a_missing_package_is_wrong_and_the_exit_status_says_so(command, monkeypatch):
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: ["numpy>=99", "no-such-package>=1"])
    status, out, _ = command("doctor", "--json")
    told = json.loads(out)
    assert status == 1 and not told["ok"]
    wrong = {each["name"]: each for each in told["findings"] if each["state"] == "wrong"}
    assert set(wrong) == {"numpy", "no-such-package"}
    assert wrong["no-such-package"]["found"] == "missing"


def test_doctor_fits_80_columns_and_says_how_it_ends(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, _ = command("doctor")
    assert status == 0
    assert "works" in out and "cache folder" in out
    assert max(map(len, out.splitlines())) <= 80


def smmubench(*words, **environment):
    run = [sys.executable, "-c", "from bench.cli import main; main()", *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(run, capture_output=True, text=True, env=env, cwd=ROOT, timeout=120, check=False)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_each_shell(command, shell):
    status, out, _ = command("completion", shell)
    assert status == 0
    assert f"_SMMUBENCH_COMPLETE={shell}_complete" in out


def test_what_a_shell_asks_is_answered():
    asked = smmubench(_SMMUBENCH_COMPLETE="bash_complete", COMP_WORDS="smmubench rep", COMP_CWORD="1")
    assert {line.partition(",")[2] for line in asked.stdout.splitlines()} == {"replay", "report"}
    options = smmubench(
        _SMMUBENCH_COMPLETE="bash_complete", COMP_WORDS="smmubench report --q", COMP_CWORD="2"
    )
    assert {line.partition(",")[2] for line in options.stdout.splitlines()} == {"--questions", "--quick"}


def test_quiet_says_nothing_on_stderr_but_errors(command, tiny, tmp_path):
    words = ("replay", tiny, "--json", "-o", tmp_path / "x.parquet")
    assert "rows saved" in command(*words)[2]
    status, out, err = command("--quiet", *words)
    assert (status, err) == (0, "")
    assert json.loads(out)["rows"]
    assert "unknown" in command("-q", "replay", tiny, "--policy", "none")[2]
    assert "rows saved" in command(*words)[2]


def test_no_color_is_honoured_where_colour_is_asked_for(tmp_path):
    words = ("doctor",)
    coloured = smmubench(*words, FORCE_COLOR="1", TERM="xterm-256color", NO_COLOR="")
    plain = smmubench(*words, FORCE_COLOR="1", TERM="xterm-256color", NO_COLOR="1")
    colours = ("\x1b[32m", "\x1b[33m", "\x1b[1;31m")
    assert any(code in coloured.stdout for code in colours)
    assert not any(code in plain.stdout for code in colours)
