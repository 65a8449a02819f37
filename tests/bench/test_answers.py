"""The fifteen questions: each has rows that mean something, documented columns, a table, a command."""

from __future__ import annotations

import csv
import json
import shlex
import xml.etree.ElementTree as ET

import pytest

from bench.answers import QUESTIONS, Asking
from bench.answers.base import Cell
from bench.errors import UsageError
from tests.bench.small_trace import answered, small_trace

ALL = tuple(QUESTIONS)


@pytest.mark.parametrize("number", ALL)
def test_an_answer_has_every_column_that_it_documents_and_no_other(number):
    made = answered(number)
    assert len(made.frame)
    assert set(made.frame) == set(made.columns)
    assert all(meaning for meaning in made.columns.values())
    assert made.table and all(len(row) == len(made.headings) for row in made.table)


@pytest.mark.parametrize("number", ALL)
def test_columns_of_time_say_their_unit(number):
    for name, meaning in answered(number).columns.items():
        if name.endswith("_ns"):
            assert "ns" in meaning, name


@pytest.mark.parametrize("number", ALL)
def test_the_command_under_an_answer_asks_the_same_question_again(number, command):
    words = shlex.split(answered(number).command)
    assert words[:3] == ["smmubench", "answer", str(number)]
    if number in (2, 12, 15):
        status, out, err = command(*words[1:], "--json")
        assert status == 0, err
        again = json.loads(out)
        assert again["rows"] == json.loads(json.dumps(answered(number).to_json()))["rows"]
        assert again["command"] == answered(number).command


# --- what single answers say, by hand


def test_the_detector_never_stops_a_storm_whose_handler_claims_each_interrupt():
    rows = answered(9).frame.set_index("policy")
    assert rows.loc["P6", "disabled"]
    # K5: 99,900 of 100,000 unhandled.
    assert rows.loc["P6", "irq_none"] >= 99_900
    assert not rows.loc["P4", "disabled"]
    assert rows.loc["P4", "irq_none"] == 0


def test_the_innocent_stream_starves_only_when_the_faults_fill_every_slot():
    frame = answered(3).frame
    mine = frame[frame["policy"] == "P4"].set_index("faults")
    slots = int(frame["slots"].iloc[0])
    assert slots == 128
    assert (mine.loc[mine.index < slots, "timeouts"] == 0).all()
    assert (mine.loc[mine.index >= slots, "timeouts"] > 0).all()


def test_a_cool_down_longer_than_the_gap_lets_only_the_first_fault_stall():
    for row in answered(4).frame.to_dict("records"):
        if row["cooldown_ns"] > row["gap_ns"]:
            assert row["stalled"] == 1, row
        if row["gap_ns"] >= 100_000_000 and row["cooldown_ns"] < row["gap_ns"] // 2:
            assert row["stalled"] == 20, row


def test_the_parts_of_a_fault_add_up_and_a_serial_line_is_ten_bits_a_character():
    frame = answered(5).frame
    for _, mine in frame.groupby(["policy", "console", "report"]):
        assert mine["ns"].sum() == mine["total_ns"].iloc[0]
        assert (mine["ns"] >= 0).all()
    log = frame[frame["part"] == "log"].set_index(["policy", "console", "report"])["ns"]
    # The GPU driver's line of 127 characters at 115200 baud, 8N1.
    assert log["P8", "serial-115200", "printed"] > 127 * 10 / 115_200 * 1e9
    assert log["P8", "serial-115200", "suppressed"] == log["P8", "none", "suppressed"]


def test_pages_invalidated_one_by_one_cost_a_write_each_and_spare_the_others():
    frame = answered(12).frame
    model = frame.dropna(subset=["tlbi_writes"]).set_index(["strategy", "bytes"])
    for size in model.loc["TLBIVA each"].index:
        each, once = model.loc[("TLBIVA each", size)], model.loc[("one TLBIASID", size)]
        assert each["tlbi_writes"] == size // 4096
        assert once["tlbi_writes"] == 1
        assert each["refill_walks"] == 0
        assert once["refill_walks"] == 256


def test_the_model_lies_below_the_sm8150s_whole_unmaps():
    # Theirs have the work on the page tables too, the model's are TLBI and sync alone.
    frame = answered(12).frame
    each = frame[frame["strategy"] == "TLBIVA each"].set_index("bytes")["unmap_ns"]
    measured = frame[frame["strategy"] == "SM8150, measured"].set_index("bytes")["unmap_ns"]
    both = sorted(set(each.index) & set(measured.index))
    assert len(both) >= 2
    assert all(measured[size] / 20 < each[size] < measured[size] for size in both)


def test_a_part_that_may_stall_everything_loses_no_access_to_paging():
    frame = answered(13).frame
    swept = frame[frame["policy"] == "v3-iopf"].set_index("batch")["terminated"]
    assert swept[256] == 0
    assert swept.is_monotonic_decreasing


def test_changes_are_found_where_they_were_made_and_nowhere_else():
    found = {(r["policy"], r["counter"]): r for r in answered(15).frame.to_dict("records")}
    assert set(found) == {("P0", "counters.walks"), ("P4", "latency_ns.p99")}
    walks = found["P0", "counters.walks"]
    assert walks["before"] - walks["after"] == 5
    assert found["P4", "latency_ns.p99"]["percent"] == -50


def test_question_15_wants_something_to_compare_with():
    with pytest.raises(UsageError, match="nothing to compare with"):
        QUESTIONS[15].answer(Asking(trace=small_trace()))


def test_an_asking_gives_equal_rows_in_one_thread_and_in_two():
    cells = [Cell(policy, "burst:n=20,gap=1us") for policy in ("P4", "P8", "P9")]
    one, two = (
        [row.to_json() for _, row, _ in Asking(trace=small_trace(), threads=n).outcomes(cells)]
        for n in (1, 2)
    )
    assert one == two


# --- the command


def test_answer_lists_the_questions(command):
    status, out, _ = command("answer")
    assert status == 0
    assert "15" in out and "storm" in out


def test_answer_writes_its_rows_and_its_figure(command, tmp_path):
    words = ("answer", "12", "--quick", "--trace", small_trace())
    rows, figure = tmp_path / "q.csv", tmp_path / "q.svg"
    assert command(*words, "-o", str(rows))[0] == 0
    with rows.open(encoding="utf-8") as file:
        assert next(csv.DictReader(file))["strategy"] == "TLBIVA each"
    assert command(*words, "-o", str(figure))[0] == 0
    assert ET.parse(figure).getroot().tag.endswith("svg")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["q.csv", "q.svg"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("answer", "16"), "16"),
        (("answer", "2", "-o", "x.pdf"), "not a picture"),
        (("answer", "2", "--trace", "none.parquet"), "none.parquet"),
        (("report", "--questions", "1,x"), "unknown question"),
        (("report", "no-such-run"), "no runs"),
        (("report", "-o", "no-such-folder/x.html"), "an existing folder"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(command, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    status, out, err = command(*words)
    assert (status, out) == (2, "")
    assert says in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())
