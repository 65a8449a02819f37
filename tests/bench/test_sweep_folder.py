"""A sweep's folder, and what is shown of it."""

import json
from pathlib import Path

import pytest

from bench.sweeps.dataset import JOURNAL, Dataset
from bench.sweeps.spec import from_text
from tests.bench.sweep_samples import SPEC, rows_of


def test_a_folder_is_held_by_one_process(command, spec):
    assert command("sweep", spec)[0] == 0
    plan = from_text(SPEC, spec)
    with Dataset(Path("runs/small"), plan):
        status, _, err = command("sweep", spec)
    assert status == 2
    assert "in use" in err
    assert command("sweep", spec)[0] == 0


def test_a_folder_with_other_files_is_left_alone(command, spec, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    status, _, err = command("sweep", spec, "-o", "mine")
    assert (status, "other files" in err) == (2, True)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("damage", ["no journal lines", "half a line", "garbage behind", "another's part"])
def test_the_files_are_the_truth_whatever_became_of_the_journal(command, spec, damage):
    assert command("sweep", spec)[0] == 0
    journal = Path("runs/small") / JOURNAL
    text = journal.read_text()
    if damage == "no journal lines":
        journal.write_text("")
    elif damage == "half a line":
        journal.write_text(text[: text.index('"event": "batch"') + 40])
    elif damage == "garbage behind":
        journal.write_text(text + '{"event": "ba')
    else:
        (Path("runs/small/rows") / ".x.parquet.1.part").write_bytes(b"torn")
    out = json.loads(command("sweep", spec, "--json")[1])
    assert (out["computed"], out["before"]) == (0, 24)
    assert all(json.loads(line) for line in journal.read_text().splitlines())
    assert len(rows_of("runs/small")) == 24


def test_a_file_that_is_removed_is_computed_again(command, spec):
    assert command("sweep", spec, "--every", 0)[0] == 0
    files = sorted(Path("runs/small/rows").iterdir())
    assert len(files) > 1
    files[0].unlink()
    assert json.loads(command("sweep", spec, "--json")[1])["computed"] > 0
    assert len(rows_of("runs/small")) == 24


def test_damaged_rows_and_another_format_are_told_and_left_alone(command, spec):
    assert command("sweep", spec)[0] == 0
    (file,) = Path("runs/small/rows").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    status, _, err = command("sweep", spec)
    assert (status, "damaged rows" in err, str(file) in err) == (2, True, True)
    assert file.read_bytes() == whole[:-100]
    plan = Path("runs/small/plan.json")
    plan.write_text(plan.read_text().replace('"format": 1', '"format": 9'))
    for arguments in (("sweep", spec), ("sweep", "show", "runs/small")):
        status, _, err = command(*arguments)
        assert (status, "expected format 1, found 9" in err) == (2, True)


# --- showing ---------------------------------------------------------------------------------
def test_show_prints_the_axes_that_vary_in_the_order_of_the_spec(command, spec):
    assert command("sweep", spec)[0] == 0
    status, out, _ = command("sweep", "show", spec, "--columns", "walks", "--where", "policy=P8", "--json")
    rows = json.loads(out)["rows"]
    assert (status, len(rows)) == (0, 12)
    assert list(rows[0]) == ["scenario", "seed", "hardware", "policy", "walks"]
    gaps = [row["scenario"].partition("gap=")[2] for row in rows]
    assert list(dict.fromkeys(gaps)) == ["10us", "20us", "40us"]
    status, out, _ = command("sweep", "show", "runs/small", "--limit", 3, "--sort", "-makespan_ns")
    assert "and 21 more" in out
    assert "tiny (synthetic)" in out


def test_show_answers_sql_about_the_rows_and_reads_nothing_else(command, spec, tmp_path):
    assert command("sweep", spec)[0] == 0
    query = "select policy, count(*) as n from rows group by policy order by policy"
    rows = json.loads(command("sweep", "show", "runs/small", "--sql", query, "--json")[1])["rows"]
    assert rows == [{"policy": "P4", "n": 12}, {"policy": "P8", "n": 12}]
    (tmp_path / "secret.csv").write_text("a\n1\n")
    for bad in ("select * from 'secret.csv'", "select nothing from rows", "copy rows to 'out.csv'"):
        status, _, err = command("sweep", "show", "runs/small", "--sql", bad)
        assert (status, "refused by DuckDB" in err) == (2, True)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("show", "nowhere"), "no sweep"),
        (("show", "runs/small", "--where", "colour=red"), "unknown column"),
        (("show", "runs/small", "--where", "policy"), "COLUMN=VALUE"),
        (("show", "runs/small", "--columns", "walks,nope"), "'nope'"),
        (("show", "runs/small", "--sort", "-nope"), "'nope'"),
        (("nowhere.toml",), "cannot be read"),
        (("small.toml", "-o", "small.toml"), "expected a folder, found a file"),
    ],
)
def test_wrong_words_are_refused(command, spec, arguments, says):
    assert command("sweep", spec)[0] == 0
    status, _, err = command("sweep", *arguments)
    assert status == 2
    assert says in err
