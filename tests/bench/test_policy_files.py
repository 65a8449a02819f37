"""`--policy-file`: a user's own policy, and what is wrong with one by file and line."""

import hashlib
import json
from dataclasses import fields
from pathlib import Path

import pytest

import bench
from bench.errors import UsageError
from bench.policy_checks import PARTS
from bench.policy_files import as_words, from_text, to_words
from bench.words import spell
from smmucore.hardware import PRESETS
from smmucore.policies import POLICIES
from smmucore.policy import Policy
from smmucore.program import listing
from tests.bench.conftest import save, tiny_events

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "my-policy.toml"

HEAD = """\
id = "X"
name = "tried"
kernel = "none"
source = "tests"
why = "to see"
context = "threaded"
cfcfg = true
hupcf = true
"""
# Its handler's strings stand on lines 11, 12 and so on.
READ = ("READ FSR", "READ FAR", "CHECK fault|SS")


def text(*handler, head=HEAD, more=""):
    lines = "".join(f"  {json.dumps(line)},\n" for line in handler)
    return f"{head}[steps]\nhandler = [\n{lines}]\n{more}"


GOOD = text(*READ, "REPORT", "WRITE FSR read", "WRITE RESUME terminate if SS", "RETURN HANDLED")


def refusal(written, known=()):
    with pytest.raises(UsageError) as caught:
        from_text(written, "mine.toml", known)
    said = str(caught.value)
    assert "\n" not in said
    assert caught.value.expected
    return said


def test_a_policy_reads_as_its_file_has_it():
    policy = from_text(GOOD, "mine.toml")
    assert (policy.id, policy.context, policy.cfcfg, policy.client_resume) == ("X", "threaded", True, ())
    assert spell(policy.handler)[:2] == ["READ FSR", "READ FAR"]
    assert from_text(to_words(policy), "again") == policy


def test_every_field_of_a_policy_is_in_its_words():
    assert {f.name for f in fields(Policy)} == set(as_words(POLICIES["P8"])) - {"steps"} | set(PARTS)


# --- what is refused, with its line -------------------------------------------------------
@pytest.mark.parametrize(
    ("handler", "says"),
    [
        ((*READ, "RAED FAR"), "unknown step: mine.toml: line 14: step 4 of handler"),
        ((*READ, "READ FXR"), "unknown register: mine.toml: line 14"),
        ((*READ, "LOCK if stalled"), "unknown condition: mine.toml: line 14"),
        ((*READ, "LOG 1 if returned EIO"), "unknown code: mine.toml: line 14"),
        ((*READ, "RETURN HANDLED", "LOG 1", "RETURN HANDLED"), "never reached: mine.toml: line 15"),
        ((*READ, "LOG 1 if returned 0", "RETURN HANDLED"), "line 14: step 4 of handler: expected REPORT"),
        ((*READ, "REPORT", "LOCK if dumping and not dumping", "RETURN NONE"), "reached: mine.toml: line 15"),
        ((*READ, "RETURN HANDLED if SS"), "a handler that may not end: mine.toml: line 14"),
        ((*READ, "WRITE FSR read"), "without a condition, as its last step, found 'WRITE FSR read'"),
        ((), "a handler that may not end: mine.toml: line 10"),
        (("CHECK fault", "READ FSR", "RETURN HANDLED"), "on what was never read: mine.toml: line 11"),
        (("WRITE FSR read", "RETURN HANDLED"), "or NEXT_EVENT before it on every way, found 'WRITE"),
        (("READ FAR if SS", "RETURN HANDLED"), "expected READ FSR or NEXT_EVENT before it"),
        (("WRITE RESUME return:0", "RETURN HANDLED"), "expected REPORT before it"),
        ((*READ, "REPORT", "LOG 1", "REPORT", "RETURN HANDLED"), "REPORT twice: mine.toml: line 16"),
        ((*READ, "LOCK", "RETURN HANDLED"), "LOCK without UNLOCK: mine.toml: line 14"),
        ((*READ, "LOCK if SS", "UNLOCK", "RETURN HANDLED"), "UNLOCK without LOCK: mine.toml: line 15"),
        ((*READ, "LOCK", "UNLOCK if SS", "RETURN HANDLED"), "LOCK without UNLOCK: mine.toml: line 14"),
        ((*READ, "LOCK if SS", "READ FSR", "UNLOCK if SS", "RETURN HANDLED"), "UNLOCK without LOCK"),
        ((*READ, "LOCK", "LOCK", "UNLOCK", "RETURN HANDLED"), "LOCK twice: mine.toml: line 15"),
        (("READ FSR", "LOCK", "CHECK fault", "UNLOCK", "RETURN HANDLED"), "with the lock held"),
        ((*READ, "WAKE", "RETURN HANDLED"), "nobody to wake: mine.toml: line 14"),
    ],
)  # fmt: skip
def test_a_handler_that_cannot_be_meant_is_refused_with_its_line(handler, says):
    assert says in refusal(text(*handler))


@pytest.mark.parametrize(
    "handler",
    [
        (*READ, "LOCK if SS", "WRITE FSR read if SS", "UNLOCK if SS", "RETURN HANDLED"),
        (*READ, "REPORT", "RETURN NONE if returned -ENOSYS", "RETURN HANDLED"),
        (*READ, "RETURN HANDLED"),  # it never clears FSR: that may be the experiment
        (*READ, "WRITE FSR all", "WRITE RESUME retry", "RETURN HANDLED"),
        ("READ FSR", "WRITE FSR read", "RETURN HANDLED"),
    ],
)
def test_what_is_only_unwise_is_left_to_its_author(handler):
    from_text(text(*handler), "mine.toml")


def test_resume_without_stall_is_refused_wherever_it_stands():
    head = HEAD.replace("cfcfg = true", "cfcfg = false")
    said = refusal(text(*READ, "WRITE RESUME terminate if SS", "RETURN HANDLED", head=head))
    assert "RESUME without stall: mine.toml: line 14" in said
    resumes = 'client_resume = ["LOCK",\n "WRITE RESUME terminate", "UNLOCK"]\n'
    said = refusal(text(*READ, "REPORT", "RETURN HANDLED", head=head, more=resumes))
    assert "RESUME without stall: mine.toml: line 18: step 2 of client_resume" in said


@pytest.mark.parametrize(
    ("part", "steps", "says"),
    [
        ("client_resume", ["REPORT"], "REPORT by a client"),
        (
            "client_resume",
            ["LOCK", "WRITE RESUME terminate"],
            "LOCK without UNLOCK: mine.toml: line 17: step 1",
        ),
        ("client_resume", ["RETURN HANDLED"], "RETURN by a client"),
        ("worker_resume", ["WRITE RESUME terminate", "WAKE"], "nobody to wake"),
        ("worker_resume", ["RETURN NONE"], "RETURN by a client"),
    ],
)
def test_a_clients_part_that_cannot_be_meant_is_refused(part, steps, says):
    more = f"{part} = {json.dumps(steps)}\n"
    assert says in refusal(text(*READ, "REPORT", "RETURN HANDLED", more=more))


def test_a_resume_that_no_client_is_ever_asked_for_is_refused():
    for part in ("client_resume", "worker_resume"):
        more = f'{part} = ["WRITE RESUME terminate"]\n'
        said = refusal(text(*READ, "RETURN HANDLED", more=more))
        assert "a step that is never reached: mine.toml: line 16" in said
        assert "REPORT" in said


def test_a_lock_that_the_client_takes_again_is_refused():
    more = 'client_resume = ["LOCK", "WRITE RESUME terminate", "UNLOCK"]\n'
    said = refusal(text(*READ, "LOCK", "REPORT", "UNLOCK", "RETURN HANDLED", more=more))
    assert "LOCK twice: mine.toml: line 19: step 1 of client_resume" in said


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('id = "X"', 'id = "P8"', "id taken: mine.toml: line 1: id: expected one that no policy has, found"),
        ('name = "tried"', 'name = "threaded-resume"', "name taken: mine.toml: line 2: name"),
        ('id = "X"', 'id = "a b"', "mine.toml: line 1: id: expected letters, digits"),
        ('why = "to see"', 'why = " "', "line 5: why: expected one line that says something"),
        ('why = "to see"', 'why = "a\\nb"', "line 5: why: expected one line"),
        ('why = "to see"\n', "", "mine.toml: why: expected a value, found nothing"),
        ('"threaded"', '"soft"', "line 6: context: expected 'hard' or 'threaded', found 'soft'"),
        ("cfcfg = true", 'cfcfg = "yes"', "line 7: cfcfg: expected a valid boolean, found 'yes'"),
        ("cfcfg = true", "cfcfg = true\ndefers_with = 2", "line 8: defers_with: expected one of 0, -ENOSYS"),
        ("cfcfg = true", 'cfcfg = true\nonly_where = "queues"', "only_where: expected '', 'terminate' or"),
        ("cfcfg = true", "cfcgf = true", "line 7: cfcgf: expected one of id, name"),
        ("[steps]", "[steps]\nhandlr = []", "line 10: steps.handlr: expected one of handler, client_resume"),
        ('"READ FAR"', "5", "line 12: steps.handler.1: expected a valid string, found 5"),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_is_refused_with_its_line(old, new, says):
    assert old in GOOD
    said = refusal(GOOD.replace(old, new), POLICIES.values())
    assert says in said


def test_a_worker_of_the_core_is_followed_from_the_wake_on():
    rest = ("WAKE", "WRITE FSR read", "RETURN HANDLED")
    from_text(
        text(*READ, *rest, more='work = ["REPORT", "WRITE RESUME return:-EAGAIN if SS"]\n'), "mine.toml"
    )
    said = refusal(text(*READ, *rest[1:], more='work = ["REPORT"]\n'))
    assert "a step that is never reached: mine.toml: line 17: step 1 of work: expected WAKE" in said
    said = refusal(text(*READ, "REPORT", *rest, more='work = ["LOG 1",\n"REPORT"]\n'))
    assert "REPORT twice: mine.toml: line 20: step 2 of work" in said
    said = refusal(text("READ FAR", "WAKE", "RETURN HANDLED", more='work = ["CHECK SS"]\n'))
    assert "expected READ FSR or NEXT_EVENT before it on every way, found 'CHECK SS'" in said


def test_lines_are_found_whatever_the_layout():
    flat = HEAD + "steps = { handler = ['READ FSR', 'CHECK fault', 'RETURN WHAT'] } # handler = ['x']\n"
    assert "mine.toml: line 9: step 3 of handler" in refusal(flat)
    dotted = HEAD + 'why2 = "x"\nsteps.handler = [\n # "READ FAR"\n "READ FSR", \'READ FAR\',\n "RETURN X"]\n'
    assert "line 13: step 3 of handler" in refusal(dotted.replace('why2 = "x"\n', "\n"))
    quoted = HEAD + '[steps]\n"handler" = ["""READ FSR""",\n"RETURN X"]\n'
    assert "line 11: step 2 of handler" in refusal(quoted)


# --- the command ---------------------------------------------------------------------------
@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    return path


def test_the_example_runs_beside_the_catalogue(tiny, command):
    asked = ("--policy", "P8", "--policy", "mine", "--hardware", "mmu500", "--scenario", "burst:n=5")
    status, out, err = command("compare", tiny, "--policy-file", EXAMPLE, *asked, "--json")
    assert status == 0, err
    made = json.loads(out)
    assert [row["policy"] for row in made["rows"]] == ["P8", "mine"]
    assert all(row["verdict"] == "safe" for row in made["rows"])


def test_the_manifest_keeps_the_file_by_content_and_the_steps_whole(tiny, command, mine):
    status, out, err = command("replay", tiny, "--policy-file", mine, "--scenario", "burst:n=3", "--json")
    assert status == 0, err
    made = json.loads(out)
    assert made["rows"][0]["policy"] == "X"
    kept = made["manifest"]["own_policies"]["X"]
    assert kept["sha256"] == hashlib.sha256(mine.read_bytes()).hexdigest()
    assert kept["steps"]["handler"] == ["READ FSR", "READ FAR", "CHECK fault|SS", "REPORT", "WRITE FSR read",
                                        "WRITE RESUME terminate if SS", "RETURN HANDLED"]  # fmt: skip
    assert str(mine.parent) not in out


def test_a_result_without_own_policies_says_nothing_of_them(tiny, command, mine):
    asked = ("compare", tiny, "--policy", "P8", "--hardware", "ideal", "--json")
    assert command(*asked)[1] == command(*asked, "--policy-file", mine)[1]
    assert "own_policies" not in command(*asked)[1]


def test_a_policy_with_another_name_and_the_same_steps_gives_the_same_integers(tiny, command, tmp_path):
    path = tmp_path / "p4.toml"
    path.write_text(to_words(POLICIES["P4"]).replace('"P4"', '"Q4"').replace('"report-', '"my-report-'))
    asked = (
        "--policy",
        "P4",
        "--policy",
        "Q4",
        "--hardware",
        "mmu500",
        "--scenario",
        "burst:n=9,gap=1us",
        "--json",
    )
    first, second = json.loads(command("compare", tiny, "--policy-file", path, *asked)[1])["rows"]
    assert first.pop("policy") == "P4"
    assert second.pop("policy") == "Q4"
    assert first == second


def test_the_table_names_an_own_policy_and_repeats_its_file(tiny, command, mine, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    status, out, err = command("compare", tiny, "--policy-file", mine, "--policy", "X", "--hardware", "ideal")
    assert status == 0, err
    assert "tried" in out
    assert "X: to see (file of SHA-256" in " ".join(out.split())
    assert f"--policy-file {mine}" in out.replace("\n", " ")


def test_a_comparison_without_names_takes_the_catalogue_and_the_files(tiny, command, mine):
    _, out, _ = command("compare", tiny, "--policy-file", mine, "--hardware", "ideal", "--json")
    about = [policy.id for policy in POLICIES.values() if policy.is_about(PRESETS["ideal"])]
    assert [row["policy"] for row in json.loads(out)["rows"]] == [*about, "X"]


def test_an_own_policy_is_listed_and_shown(command, mine):
    listed = json.loads(command("policies", "list", "--policy-file", mine, "--json")[1])["policies"]
    assert [p["id"] for p in listed] == [*POLICIES, "X"]
    _, out, _ = command("policies", "show", "tried", "--policy-file", mine, "--client", "none")
    assert "WRITE RESUME = terminate  [if SS]" in out


def test_two_files_with_one_id_are_refused(command, tmp_path, mine):
    other = tmp_path / "other.toml"
    other.write_text(GOOD.replace('"tried"', '"other"'))
    status, _, err = command("policies", "list", "--policy-file", mine, "--policy-file", other)
    assert status == 2
    assert "id taken: --policy-file" in err
    assert "other.toml: line 1: id" in err


def test_a_replay_of_two_files_needs_a_choice(tiny, command, tmp_path, mine):
    other = tmp_path / "other.toml"
    other.write_text(GOOD.replace('"tried"', '"other"').replace('"X"', '"Y"'))
    files = ("--policy-file", mine, "--policy-file", other)
    status, _, err = command("replay", tiny, *files)
    assert status == 2
    assert "no policy chosen: --policy: expected one of the policies' ids, found 2 files: X, Y" in err
    assert (
        json.loads(command("replay", tiny, *files, "--policy", "Y", "--json")[1])["rows"][0]["policy"] == "Y"
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read: --policy-file"),
        (b"id = ", "not TOML: --policy-file"),
        (b"\xff\xfe", "bytes that are no UTF-8"),
        (b"", "expected a value, found nothing"),
        (b"#" * (1 << 20 | 1), "expected a file of at most 1 MiB"),
    ],
)
def test_a_file_that_is_no_policy_is_one_line(command, tmp_path, content, says):
    path = tmp_path / "bad.toml"
    if content is not None:
        path.write_bytes(content)
    status, out, err = command("policies", "show", "X", "--policy-file", path)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert says in err


def test_scripts_take_policy_files_too(tmp_path, mine):
    trace = save(tmp_path / "t.parquet", tiny_events())
    frame = bench.compare(
        str(trace), policies=["X"], hardware=["ideal"], policy_files=[mine], scenario="burst:n=2"
    )
    assert frame["policy"].tolist() == ["X"]
    assert "X" in frame.attrs["manifest"]["own_policies"]


def test_the_steps_of_a_file_are_those_of_the_program(mine):
    from smmucore.clients import CLIENTS

    policy = from_text(GOOD, "mine.toml")
    assert listing(policy, CLIENTS["none"]).handler == policy.handler
