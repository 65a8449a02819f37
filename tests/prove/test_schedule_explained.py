"""`explain --schedule`: what it tells is what the stepped machine did."""

from pathlib import Path

import pytest

from bench.prove.words import Teller
from tests.prove.schedule_samples import (
    P4_LIVELOCK,
    P4_STRAY,
    P7_SHARED,
    ROB_LOST,
    V3_LOST,
    as_json,
    each_cell,
    schedule_of,
    shown,
)


@each_cell
def test_the_steps_explained_are_those_that_replay_follows(cell, saved, capsys):
    file = saved(cell)
    status, replayed = as_json(capsys, "replay", "--schedule", file)
    assert status == 0
    status, told = as_json(capsys, "explain", "--schedule", file)
    assert status == 0
    words = ("n", "move", "who", "what", "then")
    assert [{word: step[word] for word in words} for step in told["steps"]] == replayed["steps"]
    assert told["end"] == replayed["end"]["state"]
    assert (told["breaks"], told["repeats_from"]) == (replayed["breaks"], replayed["repeats_from"])


@each_cell
def test_the_state_told_behind_each_step_is_that_of_a_machine_stepped_so_far(cell, saved, capsys):
    _, told = as_json(capsys, "explain", "--schedule", saved(cell))
    teller = Teller(schedule_of(cell).question)
    for step in told["steps"]:
        teller.tell(step["move"])
        assert step["state"] == teller.state(), step["n"]


def test_a_livelocks_story_says_where_its_cycle_begins_and_that_it_leads_back(saved, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, _ = shown(capsys, "explain", "--schedule", saved(P4_LIVELOCK))
    assert status == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert all(len(line) <= 80 for line in out.splitlines())
    begins = lines.index("and from here for ever:")
    first = schedule_of(P4_LIVELOCK).repeats_from + 1
    assert lines[begins + 1].startswith(f"{first}")
    assert f"the state is that before step {first}: so it goes on" in lines[begins:]
    assert lines[0].startswith("breaks livelock: interrupts are taken for ever")
    # The worker that would end it has no CPU (K2), and SS holds the line up (H11).
    whole = " ".join(lines)
    assert "the worker (CPU 0) is woken and waits for its CPU [K2 K3]" in whole
    assert "the interrupt is taken; the line still is up [H11 K1]" in whole


def test_a_stray_resumes_story_names_the_fault_it_was_meant_for_and_marks_the_step(saved, capsys):
    _, told = as_json(capsys, "explain", "--schedule", saved(P4_STRAY))
    last = told["steps"][-1]
    assert told["breaks_at"] == last["n"]
    assert "B is terminated" in last["then"]
    assert "it was meant for A" in last["besides"]
    assert "H9" in last["rules"]
    status, out, _ = shown(capsys, "explain", "--schedule", saved(P4_STRAY))
    assert (status, "^ this breaks it: stray" in out) == (0, True)


def test_an_ignored_resume_cites_the_rule_by_which_it_is_ignored(saved, capsys):
    _, told = as_json(capsys, "explain", "--schedule", saved(P4_STRAY))
    (ignored,) = [step for step in told["steps"] if "RESUME is ignored" in step["then"]]
    assert ignored["rules"] == ["H10"]


def test_clearing_a_fault_that_nobody_has_read_is_what_breaks_the_proposal_of_2025(saved, capsys):
    _, told = as_json(capsys, "explain", "--schedule", saved(ROB_LOST))
    assert told["policy"]["source"].startswith("Rob Clark")
    step = told["steps"][told["breaks_at"] - 1]
    assert (step["what"], step["then"]) == ("WRITE FSR = bits read", "FSR = SS; a record is lost")
    assert step["besides"] == ["it was that of B"]
    assert "B" in step["accesses"]
    before = [earlier["then"] for earlier in told["steps"][: told["breaks_at"] - 1]]
    assert before[-1] == "FSR = SS TF; B is stalled"


def test_of_one_access_only_what_concerns_it_is_told(saved, capsys):
    file = saved(P4_STRAY)
    _, whole = as_json(capsys, "explain", "--schedule", file)
    _, of_b = as_json(capsys, "explain", "--schedule", file, "--fault", "2")
    assert of_b["access"] == "B"
    assert all(step in whole["steps"] for step in of_b["steps"])
    assert of_b["steps"][0]["what"] == "access B faults"
    # Everything that names B is in it, and so is the pass that has read B's record.
    named = [step for step in whole["steps"] if "B" in f"{step['what']} {step['then']}".split()]
    assert all(step in of_b["steps"] for step in named)
    resumes = [step["who"] for step in of_b["steps"] if step["what"].startswith("WRITE RESUME")]
    assert [who.split()[0] for who in resumes] == ["hard", "worker"]
    status, out, _ = shown(capsys, "explain", "--schedule", file, "--fault", "2")
    left = len(whole["steps"]) - len(of_b["steps"])
    counted = [int(word.strip("(")) for line in out.splitlines() if "of others)" in line
               for word in line.split() if word.startswith("(")]  # fmt: skip
    assert (status, sum(counted)) == (0, left)


def test_the_example_in_the_documentation_is_what_the_command_prints(saved, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "112")
    page = (Path(__file__).parents[2] / "docs" / "timeline.md").read_text(encoding="utf-8")
    example = page.split("$ smmubench explain --schedule lost.json\n")[1].split("\n```")[0]
    _, out, _ = shown(capsys, "explain", "--schedule", saved(ROB_LOST))
    assert [line.rstrip() for line in out.splitlines()] == example.splitlines()


@pytest.mark.parametrize("of", ["--full", "--fault"])
def test_every_step_is_on_some_line(of, saved, capsys):
    more = ["--full"] if of == "--full" else ["--fault", "1"]
    _, out, _ = shown(capsys, "explain", "--schedule", saved(P4_STRAY), *more)
    table = out.split("what changed")[1].split("\n\n")[0]
    numbers = [line[:5].strip() for line in table.splitlines()]
    covered = []
    for number in filter(None, numbers):
        first, _, last = number.partition("-")
        covered += range(int(first), int(last or first) + 1)
    assert covered == list(range(1, len(schedule_of(P4_STRAY).steps) + 1))


def test_what_a_shared_line_does_is_said_of_one_line(saved, capsys):
    _, told = as_json(capsys, "explain", "--schedule", saved(P7_SHARED))
    assert "the line comes up" in told["steps"][0]["besides"]
    assert not any("line 1" in text for step in told["steps"] for text in step["besides"])


def test_steps_of_an_smmuv3_cite_its_own_rule_and_none_of_a_context_bank(saved, capsys):
    _, told = as_json(capsys, "explain", "--schedule", saved(V3_LOST))
    cited = {rule for step in told["steps"] for rule in step["rules"]}
    assert "H13" in cited
    assert not cited & {"H5", "H6", "H8", "H9", "H10", "H11"}


def test_looking_leaves_a_line_that_is_held_until_resume_as_it_was(saved, capsys):
    # Whether such a line is up depends on when it was last asked.
    cell = ("P1", "none", "held-until-resume", False, 2, 1, False, "spurious")
    status, told = as_json(capsys, "explain", "--schedule", saved(cell))
    assert (status, told["parts"]) == (0, None)
