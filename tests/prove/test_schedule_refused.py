"""What `explain --schedule`, `timeline --schedule` and `replay --schedule` refuse, and how they part."""

import pytest

from tests.prove.schedule_samples import P4_LIVELOCK, P4_STRAY, P14_RETRY, as_json, schedule_of, shown

COMMANDS = pytest.mark.parametrize("command", [["explain"], ["timeline", "-o", "t.json"]], ids=lambda c: c[0])


@COMMANDS
@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["qemu-virtio-gpu"], "expected a schedule or a trace, found a trace, qemu-virtio-gpu"),
        (["--policy", "P8"], "found --policy"),
        (["--scenario", "burst", "--seed", "3"], "found --scenario, --seed"),
    ],
)
def test_the_options_of_a_run_are_refused_beside_a_schedule(
    command, more, expected, saved, capsys, tmp_path, monkeypatch
):
    file = saved(P4_LIVELOCK)
    monkeypatch.chdir(tmp_path)
    status, _, err = shown(capsys, *command, "--schedule", file, *more)
    assert (status, err.count("\n")) == (2, 1)
    assert expected in err
    assert [path.name for path in tmp_path.iterdir()] == ["schedule.json"]


def test_replay_refuses_them_too(saved, capsys):
    status, _, err = shown(capsys, "replay", "--schedule", saved(P4_LIVELOCK), "--policy", "P8")
    assert (status, "found --policy" in err) == (2, True)


@pytest.mark.parametrize("more", [["--fault", "1"], ["--from", "1ms"], ["--for", "1ms"]])
def test_a_schedules_timeline_has_no_window(more, saved, capsys, tmp_path):
    out = str(tmp_path / "t.json")
    status, _, err = shown(capsys, "timeline", "--schedule", saved(P4_LIVELOCK), "-o", out, *more)
    assert (status, f"found {more[0]}" in err) == (2, True)


def test_a_fault_that_the_schedule_has_not_is_refused(saved, capsys):
    status, _, err = shown(capsys, "explain", "--schedule", saved(P4_STRAY), "--fault", "3")
    assert (status, "expected 1 to 2" in err) == (2, True)


@COMMANDS
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nonsense", "expected JSON"),
        ('{"smmubench-schedule": 2}', '"smmubench-schedule": 1'),
        ('{"smmubench-schedule": 1, "question": {"policy": "P99"}}', "policies prove -o"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_schedule_is_refused_and_nothing_is_written(
    command, text, expected, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "s.json").write_text(text)
    before = sorted(tmp_path.iterdir())
    status, _, err = shown(capsys, *command, "--schedule", "s.json")
    assert status == 2
    assert expected in err
    assert "s.json" in err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("begins", [0, -3, 999])
def test_a_cycle_that_begins_outside_the_steps_is_no_schedule(begins, saved, capsys):
    file = saved(P4_LIVELOCK, lambda data: data.update(repeats_from=begins))
    status, _, err = shown(capsys, "replay", "--schedule", file)
    assert (status, f"repeats_from {begins}" in err) == (2, True)


@pytest.mark.parametrize("command", ["explain", "replay"])
def test_a_cycle_that_does_not_lead_back_is_told_and_exits_1(command, saved, capsys):
    first = schedule_of(P4_LIVELOCK).repeats_from + 1
    file = saved(P4_LIVELOCK, lambda data: data.update(repeats_from=first + 5))
    status, _, err = shown(capsys, command, "--schedule", file)
    assert (status, f"to be back where step {first + 5} began" in err) == (1, True)


def test_a_file_that_retries_without_end_is_stopped(saved, capsys):
    def spoil(data):
        cycle = data["steps"][data["repeats_from"] - 1 :]
        data["steps"] += cycle * 600

    status, _, err = shown(capsys, "replay", "--schedule", saved(P14_RETRY, spoil))
    assert (status, "expected fewer faults; found 1,000" in err) == (1, True)


def test_a_schedule_of_another_part_is_told_as_far_as_it_goes_and_exits_1(saved, capsys):
    file = saved(P4_LIVELOCK, lambda data: data["question"].update(hardware="ideal"))
    status, out, err = shown(capsys, "explain", "--schedule", file)
    assert status == 1
    assert "parts from the model: step 25" in err
    assert "so it goes on" not in out
    status, told = as_json(capsys, "explain", "--schedule", file)
    assert (status, len(told["steps"])) == (1, 24)
    assert told["parts"].startswith("step 25")


def test_a_timeline_of_a_schedule_that_parts_is_not_written(saved, capsys, tmp_path):
    file = saved(P4_LIVELOCK, lambda data: data["question"].update(hardware="ideal"))
    status, _, err = shown(capsys, "timeline", "--schedule", file, "-o", str(tmp_path / "t.json"))
    assert (status, "parts from the model" in err) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["schedule.json"]
