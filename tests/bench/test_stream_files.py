"""`--streams`: a stream table in a file, and what is wrong with it by line and group (H1)."""

import json

import pytest

GOOD = """
usfcfg = true

[[group]]
id = 4
mask = 1
bank = 0

[[group]]
id = 9
type = "bypass"
"""


@pytest.fixture
def replay(tiny, tmp_path, command):
    def run(text, *more):
        path = tmp_path / "streams.toml"
        path.write_text(text)
        return command("replay", tiny, "--streams", path, "--policy", "P1", "--client", "none", *more)

    return run


def test_a_table_routes_the_streams_of_a_trace(replay):
    status, out, err = replay(GOOD, "--json")
    assert status == 0, err
    made = json.loads(out)
    (row,) = made["rows"]
    assert row["counters"]["bypassed"] == 30
    assert row["counters"]["faults_injected"] == row["counters"]["global_faults"] == 0
    assert made["manifest"]["streams"]["groups"][1]["type"] == "bypass"
    assert row["global_fault"]["sgfsr"] == 0


def test_a_global_fault_is_printed_with_its_registers(replay):
    status, out, err = replay("usfcfg = true\n[[group]]\nid = 9\nbank = 1\n")
    assert status == 0, err
    words = " ".join(out.split())
    assert "sGFSR 0x80000002 MULTI USF" in words
    assert "sGFSYNR1 stream 5" in words
    assert "streams 0x9: bank 1; the rest: fault (USFCFG 1)" in words


def test_a_bank_that_no_part_has_faults(replay):
    status, out, err = replay("usfcfg = false\n[[group]]\nid = 5\nbank = 200\n", "--json")
    assert status == 0, err
    assert json.loads(out)["rows"][0]["global_fault"]["sgfsr"] == (1 << 31 | 1 << 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("usfcfg = tru", "not TOML"),
        ("", "streams.toml: usfcfg: expected a value, found nothing"),
        ("usfcfg = 1", "streams.toml: usfcfg: expected a valid boolean, found 1"),
        ("usfcfg = true\ngroups = 1", "streams.toml: groups: expected one of usfcfg, group, found 'groups'"),
        ("usfcfg = true\n\n[[group]]\nbank = 0", "streams.toml: line 3, group 0: id: expected a value"),
        (
            GOOD + "[[group]]\nid = 0x8000\nbank = 0",
            "line 12, group 2: id: expected less than or equal",
        ),
        (
            GOOD.replace('"bypass"', '"by-pass"'),
            "line 9, group 1: type: expected 'translate', 'bypass'",
        ),
        (GOOD.replace("bank = 0", ""), "line 4, group 0: expected a bank with type translate, found nothing"),
        (GOOD + "bank = 1", "line 9, group 1: expected no bank with type bypass"),
        (GOOD + "banc = 1", "line 9, group 1: banc: expected one of id, mask, type, bank, found 'banc'"),
        (
            GOOD.replace("bank = 0", "bank = 2"),
            "unknown bank: --streams",
        ),
        (
            GOOD.replace("bank = 0", "bank = 2"),
            "line 4, group 0: bank: expected one of the trace's spaces (0 to 1), or from 128 on",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_line_and_group(replay, text, message):
    status, _, err = replay(text)
    assert status == 2
    assert message in err


def test_a_file_that_is_not_there_is_refused(tiny, command):
    status, _, err = command("replay", tiny, "--streams", "nowhere.toml")
    assert status == 2
    assert "cannot be read" in err
    assert "No such file" in err


def test_a_comparison_repeats_its_table_in_what_it_suggests(tiny, tmp_path, command):
    path = tmp_path / "streams.toml"
    path.write_text(GOOD)
    status, out, err = command(
        "compare",
        tiny,
        "--streams",
        path,
        "--policy",
        "P1",
        "--hardware",
        "mmu500",
        "--scenario",
        "as-captured",
    )
    assert status == 0, err
    assert f"--streams {path}" in out.replace("\n", " ")
