"""`smmubench traces import`: the page's examples, what is printed, and what is refused."""

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import cli, run
from traces.validate import validate

PAGE = (Path(__file__).parents[2] / "docs" / "traces.md").read_text()
SECTION = PAGE.split("## Importing what others recorded")[1].split("\n## ")[0]
#: Heading -> the text of its example, its command, and the events that the page says it saves.
EXAMPLES = {
    part.split("\n", 1)[0]: part
    for part in SECTION.split("\n### ")[1:]
    if "```text" in part or "```python" in part
}


def example(part):
    text = re.search(r"```(?:text|python)\n(.*?)```", part, re.DOTALL)[1]
    command = re.search(r"`smmubench (traces import [^`]+)`\s+saves\s+([^.]+)\.", part, re.DOTALL)
    return text, shlex.split(command[1]), command[2]


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_of_the_page_saves_what_the_page_says(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, command, saved = example(EXAMPLES[name])
    if "```python" in EXAMPLES[name]:
        exec(text, {})
    else:
        Path(command[2]).write_text(text)
    result = CliRunner().invoke(cli, command, catch_exceptions=False)
    total, counts = re.match(r"saved small\.parquet: (\d+) events \((.*?)\)", result.output).groups()
    assert f"{total} events: {counts}" == " ".join(saved.split())
    assert validate("small.parquet").rows == int(total)
    assert Path("small.parquet").exists()


def test_there_is_an_example_for_every_kind_of_file():
    assert list(EXAMPLES) == [
        "QEMU's log", "A kernel's trace", "Tables", "An Adreno's command streams", "An Adreno's dump",
        "A kernel's log", "Accel-Sim's kernels", "NVIDIA's UVM faults",
    ]  # fmt: skip


def saved(tmp_path, text="iova,size\n0x1000,4\nhere,4\n"):
    (tmp_path / "a.csv").write_text(text)
    return str(tmp_path / "a.csv"), str(tmp_path / "a.parquet")


def test_what_was_left_out_is_printed_and_in_json(tmp_path):
    file, out = saved(tmp_path)
    result = CliRunner().invoke(cli, ["traces", "import", file, "-o", out, "--salvage"])
    assert "left out: 1 x a bad iova; the first: " in result.output
    result = CliRunner().invoke(cli, ["traces", "import", file, "-o", out, "--salvage", "--json"])
    said = json.loads(result.output)
    assert (said["format"], said["events"], len(said["left_out"])) == ("csv", 1, 1)


REFUSED = {
    "a bad line": ([], "a bad iova: {file}: line 3: expected a whole number, decimal or 0x..., found 'here'"),
    "an unknown format": (
        ["--format", "qemo"],
        "unknown format: --format: expected qemu, perhaps, found 'qemo'",
    ),
    "another reader's format": (["--format", "qemu"], "no access in the log"),
    "an option that is not for it": (["--real-clock"], "--real-clock says nothing to this format"),
    "half a map": (["--map", "iova"], "expected COLUMN=FIELD, once for a column, found 'iova'"),
    "a column mapped twice": (
        ["--map", "size=size", "--map", "size=pa"],
        "once for a column, found 'size=pa'",
    ),
}


@pytest.mark.parametrize(("more", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_done_is_one_line_and_status_2_and_leaves_nothing(tmp_path, capsys, more, message):
    file, out = saved(tmp_path)
    assert run(["traces", "import", file, "-o", out, *more]) == 2
    error = capsys.readouterr().err
    assert message.format(file=file) in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_file_of_no_known_format_or_of_two_is_refused_with_the_formats(tmp_path, capsys):
    file = tmp_path / "x.bin"
    file.write_bytes(b"what is this\n")
    assert run(["traces", "import", str(file), "-o", str(tmp_path / "o")]) == 2
    assert "qemu (QEMU's SMMUv3 trace log), ftrace (" in capsys.readouterr().err
    file.write_bytes(b"# tracer: nop\n1@1.000001:smmuv3_cmdq_tlbi_nh \n")
    assert run(["traces", "import", str(file), "-o", str(tmp_path / "o")]) == 2
    assert "a file of more than one format: " in (error := capsys.readouterr().err)
    assert "--format qemu or ftrace" in error


def test_the_imported_file_is_never_overwritten_by_its_trace(tmp_path, capsys):
    file, _ = saved(tmp_path, "iova,size\n0x1000,4\n")
    assert run(["traces", "import", file, "-o", file]) == 2
    assert "another file than the one that is imported" in capsys.readouterr().err
    assert Path(file).read_text().startswith("iova")


def test_a_folder_that_is_not_there_is_refused(tmp_path, capsys):
    file, _ = saved(tmp_path, "iova,size\n0x1000,4\n")
    assert run(["traces", "import", file, "-o", str(tmp_path / "no" / "a.parquet")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_dumps_fault_faults_in_a_replay(tmp_path):
    text, _, _ = example(EXAMPLES["An Adreno's dump"])
    (tmp_path / "a.devcore").write_text(text)
    trace = str(tmp_path / "a.parquet")
    CliRunner().invoke(cli, ["traces", "import", str(tmp_path / "a.devcore"), "-o", trace])
    result = CliRunner().invoke(cli, ["replay", trace, "--json"])
    counters = json.loads(result.stdout)["rows"][0]["counters"]
    assert (counters["accesses"], counters["faults_recorded"]) == (5, 1)


@pytest.mark.parametrize("accesses", ["fetch", "pointers", "sweep"])
def test_what_an_adrenos_accesses_are_is_chosen_and_shown(tmp_path, monkeypatch, accesses):
    monkeypatch.chdir(tmp_path)
    exec(example(EXAMPLES["An Adreno's command streams"])[0], {})
    command = ["traces", "import", "small.rd", "-o", "a.parquet", "--accesses", accesses]
    assert CliRunner().invoke(cli, command).exit_code == 0
    shown = CliRunner().invoke(cli, ["traces", "info", "a.parquet", "--json"])
    said = json.loads(shown.stdout)
    kinds = {"fetch": "derived", "pointers": "derived", "sweep": "synthetic"}
    words = {"fetch": "command processor fetches", "pointers": "inferred accesses", "sweep": "Modelled: "}
    assert said["kind"] == kinds[accesses]
    assert words[accesses] in said["title"]
    result = CliRunner().invoke(cli, ["replay", "a.parquet", "--json"])
    counters = json.loads(result.stdout)["rows"][0]["counters"]
    assert counters["accesses"] == {"fetch": 3, "pointers": 1, "sweep": 258}[accesses]
    assert counters["faults_injected"] == 0


def test_an_imported_log_can_be_replayed(tmp_path):
    text, _, _ = example(EXAMPLES["QEMU's log"])
    (tmp_path / "a.log").write_text(text)
    CliRunner().invoke(cli, ["traces", "import", str(tmp_path / "a.log"), "-o", str(tmp_path / "a.parquet")])
    result = CliRunner().invoke(cli, ["replay", str(tmp_path / "a.parquet"), "--json"])
    assert result.exit_code == 0
