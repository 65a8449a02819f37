"""`smmubench policies prove` and `smmubench replay --schedule`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.cli import run

CELL = ["policies", "prove", "P4", "--cpus", "same", "--faults", "2"]


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_one_cell_prints_its_properties_and_the_shortest_schedule(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "96")
    assert run(CELL) == 0
    out = capsys.readouterr().out
    assert "livelock" in out
    assert "shortest schedule that breaks livelock:" in out
    assert "and from here for ever:" in out
    assert all(len(line) <= 96 for line in out.splitlines())


def test_json_has_the_row_the_schedule_and_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    found = asked(capsys, *CELL)
    (row,) = found["rows"]
    assert (row["policy"], row["client"], row["hardware"], row["cpus"]) == (
        "P4",
        "adreno-worker",
        "mmu500",
        "same",
    )
    assert row["entries"] is None
    assert row["verdict"] == "livelock"
    assert [step["n"] for step in found["schedule"]["steps"]] == list(
        range(1, len(found["schedule"]["steps"]) + 1)
    )
    assert "seconds" not in json.dumps(found)


def test_a_saved_schedule_is_followed_to_the_same_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "schedule.json"
    assert run([*CELL, "-o", str(file)]) == 0
    saved = json.loads(file.read_text(encoding="utf-8"))
    capsys.readouterr()
    assert run(["replay", "--schedule", str(file)]) == 0
    assert f"followed {len(saved['steps'])} steps to the same state" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["schedule.json"]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda data: data["end"]["words"].__setitem__(0, 7), "the end"),
        (lambda data: data["steps"].insert(0, dict(data["steps"][3])), "step 1"),
        (lambda data: data["steps"][2].__setitem__("then", "nothing"), "step 3"),
        (lambda data: data["steps"][1].__setitem__("move", 9999), "step 2"),
        (lambda data: data["question"].__setitem__("hardware", "ideal"), "step"),
    ],
)
def test_a_schedule_that_leads_elsewhere_says_where_and_exits_1(
    spoil: Any, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "schedule.json"
    run([*CELL, "-o", str(file)])
    data = json.loads(file.read_text(encoding="utf-8"))
    spoil(data)
    file.write_text(json.dumps(data), encoding="utf-8")
    capsys.readouterr()
    assert run(["replay", "--schedule", str(file)]) == 1
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "nonsense", '{"smmubench-schedule": 2}', '{"smmubench-schedule": 1}',
     '{"smmubench-schedule": 1, "question": {"policy": "P99"}}'],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "schedule.json"
    file.write_text(text, encoding="utf-8")
    assert run(["replay", "--schedule", str(file)]) == 2
    error = capsys.readouterr().err
    assert "not a schedule" in error
    assert str(file) in error


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["policies", "prove", "P99"], "unknown policy"),
        (["policies", "prove", "P8", "--client", "nobody"], "unknown client"),
        (["policies", "prove", "P8", "--hardware", "mmu9"], "unknown hardware"),
        (["policies", "prove", "P8", "--hardware", "gem5-smmuv3"], "nothing to prove"),
        (["policies", "prove", "v3-iopf"], "nothing to prove"),
        (["policies", "prove", "P8", "--faults", "9"], "--faults"),
        (["policies", "prove", "P4", "--break", "nothing"], "unknown property"),
        (["policies", "prove", "P8", "--break", "hang"], "nothing to show"),
        (["policies", "prove", "P8", "--cpus", "both", "--break", "hang"], "several cells"),
        (["policies", "prove", "P8", "-o", "x.json"], "no schedule to save"),
        (["policies", "prove", "P4", "-o", "/nowhere/x.json"], "cannot be written"),
        (["replay"], "nothing to replay"),
        (["replay", "qemu-virtio-gpu", "--schedule", "x.json"], "two things to replay"),
        (["replay", "--schedule", "/nowhere/x.json"], "cannot be read"),
    ],
)
def test_bad_usage_is_one_line_and_exits_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1


def test_several_cells_print_a_table_with_states_and_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policies", "prove", "P8", "--client", "all", "--hardware", "all", "--faults", "1"]) == 0
    out = capsys.readouterr().out
    assert "thunderx-smmuv2" in out
    assert "states" in out.splitlines()[-1]
    assert out.rstrip().endswith(" s")


def test_a_users_own_policy_is_proved_and_its_schedule_followed_with_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, policy = tmp_path / "s.json", tmp_path / "mine.toml"
    policy.write_text(
        'id = "mine"\nname = "resume-first"\nkernel = "none"\nsource = "a test"\n'
        'why = "RESUME before the clear"\n'
        'context = "threaded"\ncfcfg = true\nhupcf = true\n[steps]\nhandler = ["READ FSR", "CHECK fault", '
        '"READ FAR", "WRITE RESUME terminate if SS", "WRITE FSR read", "RETURN HANDLED"]\n',
        encoding="utf-8",
    )
    cell = ["policies", "prove", "mine", "--policy-file", str(policy)]
    assert asked(capsys, *cell, "-o", str(file))["rows"][0]["line_disabled"] is True
    assert run(["replay", "--schedule", str(file), "--policy-file", str(policy)]) == 0
    capsys.readouterr()
    assert run(["replay", "--schedule", str(file)]) == 2
    assert "mine" in capsys.readouterr().err


def test_two_banks_on_a_shared_line_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    found = asked(
        capsys,
        "policies",
        "prove",
        "P7",
        "--banks",
        "2",
        "--hardware",
        "mmu500,shared_line=yes",
        "--faults",
        "2",
    )
    assert found["rows"][0]["banks"] == 2
    assert any("bank 0" in step["who"] + step["what"] for step in found["schedule"]["steps"])
