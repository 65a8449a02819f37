"""`policies diff` and `list`: two policies side by side, in the columns of a terminal."""

import itertools
import json

import pytest

from bench.policy_diff import align, lay_out
from smmucore.clients import CLIENTS
from smmucore.policies import POLICIES
from smmucore.program import listing
from smmucore.steps import BY_TERMINATE, EAGAIN, done, log, read, report, resume, write_fsr

PAIRS = list(itertools.product(("P0", "P3", "P7", "P8"), repeat=2))


def test_a_step_is_common_changed_or_of_one_policy():
    first = (read("FSR"), report(), log(1), write_fsr(), done())
    second = (read("FAR"), read("FSR"), report(), log(3), done())
    assert [(pair.mark, pair.first and pair.first[0], pair.second and pair.second[0]) for pair in
            align(first, second)] == [
        ("+", None, 1), (" ", 1, 2), (" ", 2, 3), ("|", 3, 4), ("-", 4, None), (" ", 5, 5),
    ]  # fmt: skip


def test_reads_of_two_registers_are_no_change_of_one_another():
    assert [pair.mark for pair in align((read("FSYNR1"),), (read("TTBR0"),))] == ["-", "+"]
    assert [pair.mark for pair in align((resume(BY_TERMINATE),), (resume(2, EAGAIN),))] == ["|"]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_both_sides_of_a_diff_are_the_policies_own_steps_in_order(one, other):
    for client in ("adreno-worker", "none"):
        parts = [listing(POLICIES[name], CLIENTS[client]).handler for name in (one, other)]
        pairs = align(*parts)
        for side, steps in (("first", parts[0]), ("second", parts[1])):
            shown = [getattr(pair, side) for pair in pairs if getattr(pair, side)]
            assert shown == [(k, str(step)) for k, step in enumerate(steps, 1)]
        assert all((pair.mark == " ") == (one == other) for pair in pairs) or one != other


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_a_diff_fits_its_terminal(width):
    pairs = align(*(listing(POLICIES[name], CLIENTS["adreno-worker"]).handler for name in ("P4", "P8")))
    lines = list(lay_out(pairs, width, ("P4", "P8")))
    assert max(len(line) for line in lines) <= width
    assert {line[1] for line in lines[1:] if line.strip()} == {" ", "|", "-", "+"}


def test_the_command_shows_what_differs_above_the_steps(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, err = command("policies", "diff", "P4", "threaded-resume", "--client", "none")
    assert status == 0, err
    words = " ".join(out.split())
    for said in ("- policy P4", "+ policy P8", "- runs in the hard interrupt", "+ runs in the ONESHOT thread",
                 "SCTLR 0x01e7: faults stall (CFCFG=1)", "client none"):  # fmt: skip
        assert said in words
    assert "- SCTLR" not in words
    assert out.count("REPORT to the client") == 1
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 80


def test_a_policy_differs_from_itself_in_nothing(command):
    made = json.loads(command("policies", "diff", "P7", "P7", "--json")[1])
    assert {pair["mark"] for part in ("handler", "worker") for pair in made[part]} == {" "}


def test_the_json_of_a_diff_has_both_policies_whole(command):
    made = json.loads(command("policies", "diff", "P1", "P8", "--client", "pager", "--json")[1])
    assert (made["client"], made["first"]["id"], made["second"]["id"]) == ("pager", "P1", "P8")
    shown = [pair["second"]["step"] for pair in made["handler"] if pair["second"]]
    assert shown == made["second"]["handler"]
    assert made["second"]["sctlr"] == 0x1E7


def test_an_unknown_policy_of_a_diff_is_one_line(command):
    status, out, err = command("policies", "diff", "P1", "P99")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "unknown policy: policies diff" in err


@pytest.mark.parametrize("width", ["80", "100", "120"])
def test_the_list_fits_and_breaks_no_name(command, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    status, out, _ = command("policies", "list")
    assert status == 0
    assert max(len(line.rstrip()) for line in out.splitlines()) <= int(width)
    assert all(policy.name in out for policy in POLICIES.values())
