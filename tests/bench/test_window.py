"""`smmubench window`: what a fault between a read of FSR and its clear does, by the gap (H5)."""

from __future__ import annotations

import json
import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench import ask
from bench.run import Runner
from bench.window import COUNTERS, GAPS, burst
from smmucore.hardware import find
from smmucore.policies import POLICIES

ROOT = Path(__file__).parents[2]
FEW = ("--gap", "1us", "--gap", "5us", "--faults", "40", "--threads", "1")
#: Where the two windows are widest with the default costs, and one far away from either.
NEAR, FAR = ("1334ns", "5109ns", "8254ns", "11007ns"), "100us"


def answered(command, *arguments):
    status, out, err = command("window", *arguments, "--json")
    assert status == 0, err
    return json.loads(out)


def curves(data):
    """Return {panel: {policy: {gap: point}}}."""
    return {
        panel["name"]: {
            line["policy"]: {point["gap_ns"]: point for point in line["points"]} for line in panel["lines"]
        }
        for panel in data["panels"]
    }


@pytest.fixture(scope="module")
def bundled(tmp_path_factory):
    """The bundled capture at a few gaps, as the command has them."""
    from click.testing import CliRunner

    from bench import cli

    words = ["window", "--json", *(word for gap in (*NEAR, FAR) for word in ("--gap", gap))]
    with CliRunner().isolation() as (out, _, _):
        assert cli.run(words) == 0
    return json.loads(out.getvalue())


# --- what the curves say


def test_p8_has_resumes_ignored_only_where_fsr_is_not_frozen(bundled):
    found = curves(bundled)
    ignored = {name: sum(p["resume_ignored"] for p in found[name]["P8"].values()) for name in found}
    assert ignored["not-frozen"] > 500
    assert (ignored["frozen"], ignored["ghosts"]) == (0, 0)


def test_an_ignored_resume_is_written_once_more_and_nothing_is_lost(bundled):
    for point in curves(bundled)["not-frozen"]["P8"].values():
        assert point["resume_written"] - point["resume_ignored"] == point["faults_injected"] == 1000
        assert point["faults_recorded"] == 1000


def test_reread_clear_and_clear_all_have_fewer_resumes_ignored_than_p8(bundled):
    found = curves(bundled)["not-frozen"]
    for gap in (5109, 8254, 11007):
        p8, reread, every = (found[key][gap]["resume_ignored"] for key in ("P8", "reread-clear", "clear-all"))
        assert p8 > 5 * max(reread, every)
    # They are not rid of them: a fault may come between the clear and the RESUME.
    assert found["clear-all"][5109]["resume_ignored"] > 0


def test_clear_all_and_reread_clear_have_fewer_ghosts_than_p8(bundled):
    found = curves(bundled)["ghosts"]
    assert found["P8"][5109]["irq_spurious"] > 300
    for key in ("reread-clear", "clear-all"):
        assert {point["irq_spurious"] for point in found[key].values()} == {0}


def test_p1_has_its_ghosts_at_shorter_gaps_than_p8(bundled):
    # P1's handler is in the hard interrupt and reads four registers; P8's thread has to wake first.
    ghosts = curves(bundled)["ghosts"]
    p1, p8 = ([ghosts[key][gap]["irq_spurious"] for gap in (1334, 5109)] for key in ("P1", "P8"))
    assert p1[0] > 300 and p1[1] < 10
    assert p8[0] == 0 and p8[1] > 300


def test_a_ghost_is_an_entry_without_a_record(bundled):
    for line in curves(bundled)["ghosts"].values():
        for point in line.values():
            assert point["irq_entries"] == point["faults_recorded"] + point["irq_spurious"]
            assert point["faults_recorded"] + point["faults_coalesced"] == 1000


def test_faults_far_apart_have_neither_ghosts_nor_ignored_resumes(bundled):
    for panel in curves(bundled).values():
        for line in panel.values():
            assert (line[100_000]["irq_spurious"], line[100_000]["resume_ignored"]) == (0, 0)


@pytest.mark.parametrize("gap", [1334, 5109])
def test_p1_has_no_ghosts_on_mmu500_because_followers_are_terminated_before_they_fault(tiny, gap):
    case = ask.case(tiny, scenario=burst(200, gap).text)
    counters = Runner(case).run(POLICIES["P1"], find("mmu500")).counters
    assert counters["irq_spurious"] == 0
    assert counters["collateral"] > 0


# --- the command


def test_the_gaps_are_whole_ns_from_100_ns_to_100_us_and_each_is_there_once():
    assert (GAPS[0], GAPS[-1], len(GAPS)) == (100, 100_000, 73)
    assert list(GAPS) == sorted(set(GAPS))


def test_the_answer_is_that_of_single_replays(command, tiny):
    found = curves(answered(command, tiny, *FEW))
    for name, hardware in (
        ("not-frozen", "mmu500,fsr_frozen_while_stalled=no"),
        ("frozen", "mmu500"),
        ("ghosts", "thunderx-smmuv2"),
    ):
        _, out, _ = command("replay", tiny, "--scenario", "burst:n=40,gap=5us", "--policy", "P8",
                            "--hardware", hardware, "--json")  # fmt: skip
        (row,) = json.loads(out)["rows"]
        point = found[name]["P8"][5000]
        assert {key: point[key] for key in COUNTERS} == {key: row["counters"][key] for key in COUNTERS}
        assert point["verdict"] == row["verdict"]


def test_threads_and_the_order_of_the_gaps_do_not_change_a_byte(command, tiny):
    first = answered(command, tiny, *FEW)
    second = answered(
        command, tiny, "--gap", "5us", "--gap", "1us", "--gap", "5us", *FEW[4:6], "--threads", "2"
    )
    assert first == second
    assert first["manifest"]["gaps_ns"] == [1000, 5000]


def test_the_manifest_says_what_was_played_and_what_is_not_settled(command, tiny):
    manifest = answered(command, tiny, *FEW)["manifest"]
    assert manifest["scenario"] == "burst:n=40,gap=GAP"
    assert manifest["policies"] == ["P1", "P8", "reread-clear", "clear-all"]
    assert "FSR is frozen" in manifest["not_settled"]


def test_the_table_has_the_gaps_at_which_something_happens_and_says_why_not_mmu500(command, tiny):
    status, out, _ = command("window", tiny, "--gap", "1334ns", "--gap", "100us", "--faults", "40")
    assert status == 0
    words = " ".join(out.split())
    assert re.search(r"^ *1334ns +[1-9]\d* +0 +0 +0$", out, re.MULTILINE)
    assert "100us" not in out
    assert "P8, reread-clear, clear-all: 0 at every gap" in words
    assert "HUPCF=0 terminates" in words and "none of the eight public samples" in words
    assert "tiny (synthetic)" in words


def test_the_picture_is_whole_says_what_it_is_and_repeats(command, tiny, tmp_path):
    for name in ("a.svg", "b.svg", "c.png"):
        answered(command, tiny, *FEW, "-o", name)
    svg = (tmp_path / "a.svg").read_bytes()
    assert svg == (tmp_path / "b.svg").read_bytes()
    assert ET.fromstring(svg).tag.endswith("svg")
    assert (tmp_path / "c.png").read_bytes().endswith(b"IEND\xaeB\x60\x82")
    # Glyphs are paths; the texts stand beside them in comments.
    for text in (b"[ns, logarithmic]", b"simulated", b"tiny (synthetic)", b"FSR frozen while stalled"):
        assert text in svg
    assert sorted(p.name for p in tmp_path.iterdir() if p.name[0] == ".") == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--gap", "0"), "duration of 0: --gap: expected more than 0"),
        (("--gap", "1"), "not a duration: --gap"),
        (("--faults", "0"), "--faults"),
        (("-o", "picture.gif"), "not a picture: --out picture.gif: expected a name in .png or .svg"),
        (("-o", "no/where.png"), "cannot be written"),
        (("--client", "nobody"), "adreno-worker"),
        (("--scenario", "burst"), "No such option"),
    ],
)
def test_bad_usage_is_one_line(command, tiny, arguments, says):
    status, out, err = command("window", tiny, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert says in err


# --- the README


def test_the_readme_shows_the_picture_and_the_command_that_makes_it(command, tmp_path):
    readme = (ROOT / "README.md").read_text()
    (line,) = re.findall(r"^\.venv/bin/smmubench (window .*?) +#", readme, re.MULTILINE)
    words = shlex.split(line)
    picture = words[words.index("-o") + 1]
    assert f"]({picture})" in readme
    shown = ROOT / picture
    assert shown.stat().st_size < 150_000
    # As shown, but at one gap: all of them take half a minute.
    (tmp_path / picture).parent.mkdir(parents=True)
    status, _, err = command(*words, "--gap", FAR)
    assert status == 0, err
    # Title, axis and parts are those of the picture in the repository.
    ours, made = (
        set(re.findall(r"<!-- (.*?) -->", path.read_text())) for path in (shown, tmp_path / picture)
    )
    marks = ("simulated", "client", "logarithmic]", "mmu500:", "thunderx-smmuv2:")
    said = {text for text in made if any(mark in text for mark in marks)}
    assert len(said) == 6
    assert said <= ours


def test_the_readme_and_the_page_have_the_figures_that_the_command_gives(bundled):
    found = curves(bundled)
    keys = ("P8", "reread-clear", "clear-all")
    p8, reread, every = (found["not-frozen"][key][11007]["resume_ignored"] for key in keys)
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"11,007 ns apart P8 has {p8} of 1000 RESUMEs ignored, " in readme
    assert f"`reread-clear` {reread} and `clear-all` {every}" in readme
    page = " ".join((ROOT / "docs" / "window.md").read_text().split())
    p1 = found["ghosts"]["P1"][1334]["irq_spurious"]
    assert f"P8 {p8} (11,007 ns)" in page and f"P1 {p1} (1,334 ns)" in page
    p8 = found["ghosts"]["P8"][5109]
    assert (
        f"P8 takes {p8['irq_entries']} entries" in page and f"tells of {p8['faults_recorded']} faults" in page
    )
