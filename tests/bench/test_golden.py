"""Golden results: every kept row is what it was, and what happens where one is not."""

import csv
import json

import pytest

from bench.golden import changelog, matrix, store
from bench.golden.difference import Difference, differences
from tests.bench.conftest import save, tiny_events

BLOCKS = matrix.read_matrix(matrix.FOLDER)
KEPT = store.read_manifest(matrix.FOLDER)
ROOT = matrix.FOLDER.parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=[block.name for block in BLOCKS])
def test_every_golden_row_is_what_it_was(block):
    made = matrix.run_block(block, threads=1)
    assert made.trace_sha256 == KEPT.traces[block.trace]
    assert differences(block.name, store.read_rows(matrix.FOLDER, block), made.rows) == []


def test_each_model_change_that_was_accepted_is_still_told_in_the_changelog():
    assert set(KEPT.model_changes) <= set(changelog.model_changes(ROOT / "CHANGELOG.md"))


def test_no_golden_file_is_without_a_block_and_none_is_written_otherwise_than_by_the_command():
    assert sorted(p.stem for p in matrix.FOLDER.glob("*.csv")) == sorted(b.name for b in BLOCKS)
    for block in BLOCKS:
        text = (matrix.FOLDER / f"{block.name}.csv").read_text(encoding="utf-8")
        assert store.as_csv(store.read_rows(matrix.FOLDER, block)) == text


def test_the_matrix_holds_every_bundled_capture_policy_and_preset():
    from smmucore.hardware import PRESETS
    from smmucore.policies import POLICIES
    from traces.catalogue import list_traces

    rows = [row for block in BLOCKS for row in store.read_rows(matrix.FOLDER, block).values()]
    assert {block.trace for block in BLOCKS} == {entry.name for entry in list_traces()}
    assert {row["policy"] for row in rows} == set(POLICIES)
    assert {row["hardware"] for row in rows} == set(PRESETS) - {"reference-39bit"}


# --- a matrix of two small blocks ------------------------------------------------------------
MATRIX = """
[[block]]
name = "quiet"
trace = "{trace}"
scenario = "as-captured"
hardware = ["mmu500"]

[[block]]
name = "burst"
trace = "{trace}"
scenario = "burst:n=3,gap=30us"
hardware = ["mmu500", "ideal"]
"""
CHANGES = "# Changelog\n\n## [Unreleased]\n\n### Model changes\n\n- The first.\n"


@pytest.fixture
def golden(tmp_path, command):
    """A matrix, accepted once; return (folder, options, run)."""
    folder = tmp_path / "golden"
    folder.mkdir()
    trace = save(tmp_path / "tiny.parquet", tiny_events())
    (folder / "matrix.toml").write_text(MATRIX.format(trace=trace))
    log = tmp_path / "CHANGELOG.md"
    log.write_text(CHANGES)
    options = ("regress", "--golden", folder, "--changelog", log, "--threads", "1")
    status, _, err = command(*options, "--accept")
    assert (status, "4 files written" not in err) == (0, True), err
    return folder, options, command


def change(path, policy, hardware, column, value):
    """Change one value of a kept row by hand; return what it was."""
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        columns, rows = reader.fieldnames, list(reader)
    (row,) = [r for r in rows if (r["policy"], r["hardware"]) == (policy, hardware)]
    before, row[column] = row[column], str(value)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return before


def test_a_matrix_just_accepted_is_equal(golden):
    _, options, command = golden
    status, out, err = command(*options)
    assert status == 0, err
    assert "all equal to the golden results" in out


def test_a_difference_is_told_by_policy_counter_before_and_after(golden):
    folder, options, command = golden
    was = int(change(folder / "burst.csv", "P8", "ideal", "mmio_reads", 7))
    status, out, _ = command(*options)
    assert status == 1
    (line,) = [line.split() for line in out.splitlines() if line.startswith("P8")]
    assert line == ["P8", "ideal", "burst", "adreno-worker", "mmio_reads", "7", str(was)]
    data = json.loads(command(*options, "--json")[1])
    assert data["differences"] == [
        {"block": "burst", "client": "adreno-worker", "hardware": "ideal", "policy": "P8",
         "counter": "mmio_reads", "before": 7, "after": was}
    ]  # fmt: skip


def test_a_block_alone_is_not_judged_by_another(golden):
    folder, options, command = golden
    change(folder / "burst.csv", "P8", "ideal", "mmio_reads", 7)
    assert command(*options, "--block", "quiet")[0] == 0
    assert command(*options, "--block", "burst")[0] == 1


def test_accept_demands_a_new_line_under_model_changes(golden):
    folder, options, command = golden
    change(folder / "burst.csv", "P8", "ideal", "mmio_reads", 7)
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    status, _, err = command(*options, "--accept")
    assert status == 2
    assert "values moved without a word" in err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept

    log = folder.parent / "CHANGELOG.md"
    log.write_text(CHANGES + "- P8 reads less.\n")
    assert command(*options, "--accept")[0] == 0
    assert store.read_manifest(folder).model_changes == ("The first.", "P8 reads less.")
    assert command(*options)[0] == 0


def test_rows_that_are_only_new_need_no_line_and_rows_that_go_do(golden):
    folder, options, command = golden
    text = (folder / "matrix.toml").read_text()
    (folder / "matrix.toml").write_text(text.replace('["mmu500"]', '["mmu500", "ideal"]'))
    status, out, _ = command(*options)
    assert status == 1
    assert " - present" in " ".join(out.split())
    assert command(*options, "--accept")[0] == 0
    (folder / "matrix.toml").write_text(text)
    assert command(*options, "--accept")[0] == 2


def test_a_trace_that_is_another_file_is_told(golden):
    folder, options, command = golden
    save(folder.parent / "tiny.parquet", tiny_events(), title="the same events, another title")
    status, out, _ = command(*options)
    assert status == 1
    assert "not the file that the kept rows were made of" in out


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("burst.csv", "client,hardware,policy,verdict,walks\na,b,c,safe,many\n", "line 2: walks"),
        ("burst.csv", "client,hardware,policy\n", "a column verdict"),
        ("burst.csv", "client,hardware,policy,verdict\na,b,c\n", "line 2"),
        ("burst.csv", "client,hardware,policy,verdict\na,b,c,safe\na,b,c,safe\n", "row twice"),
        ("manifest.json", "{", "not a manifest of golden results"),
        ("manifest.json", '{"format": 2}', "expected format 1, found 2"),
        ("matrix.toml", "block = 3", "not a matrix"),
        ("matrix.toml", "[[block]", "not TOML"),
    ],
)
def test_files_that_cannot_be_read_are_refused_with_their_place(golden, name, text, says):
    folder, options, command = golden
    (folder / name).write_text(text)
    status, _, err = command(*options)
    assert status == 2
    assert says in err
    assert str(folder / name) in err


def test_only_new_values_do_not_move_anything():
    before = {("c", "h", "P1"): {"walks": 1}}
    after = {("c", "h", "P1"): {"walks": 1, "new": 2}, ("c", "h", "P2"): {"walks": 3}}
    found = differences("b", before, after)
    assert found == [
        Difference("b", "c", "h", "P1", "new", None, 2),
        Difference("b", "c", "h", "P2", "row", None, "present"),
    ]
    assert not any(d.moves for d in found)
    assert [d.moves for d in differences("b", after, before)] == [True, True]
