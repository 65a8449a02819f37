"""`smmubench faults`: its table, its counts, its bursts, and one line for whatever is wrong."""

from __future__ import annotations

import gzip
import json
import lzma
import re
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from bench import scenario
from bench.fault_log import open_log
from tests.bench.fault_samples import ARM, stamped

PAGE = Path(__file__).parents[2] / "docs" / "fault-logs.md"
V52 = "Unhandled context fault: fsr=0x{fsr:x}, iova=0x{iova:08x}, fsynr=0x11, cbfrsynra=0x8, cb=4"


def burst(count=5, gap=0.0008, start=20.0, fsr=0x402, device=ARM):
    """Return the lines of faults that are `gap` seconds apart."""
    lines = [device + V52.format(fsr=fsr, iova=0x1000 * k) for k in range(count)]
    return stamped(*lines, start=start, step=gap)


def answered(command, text, *more, name="dmesg.txt"):
    Path(name).write_text(text)
    status, out, err = command("faults", name, "--json", *more)
    assert status == 0, err
    return json.loads(out)


def test_faults_of_one_device_that_are_close_are_one_burst(command):
    data = answered(command, burst(5) + burst(3, start=30.0) + burst(2, start=30.0, device="arm-smmu b.c: "))
    assert [(b["device"], b["faults"], b["gap_ns"]) for b in data["bursts"]] == [
        ("2c00000.iommu", 5, 800_000),
        ("2c00000.iommu", 3, 800_000),
        ("b.c", 2, 800_000),
    ]
    assert data["gaps_ns"] == {"min": 800_000, "p50": 800_000, "max": 9_996_800_000}


def test_the_gap_says_what_is_one_burst(command):
    assert answered(command, burst(5), "--gap", "500us")["bursts"] == []


def test_times_to_the_second_give_no_distances(command):
    lines = "".join(f"[Sat Jan  1 00:00:05 2000] {ARM}{V52.format(fsr=0x402, iova=k)}\n" for k in range(3))
    data = answered(command, lines)
    assert (len(data["faults"]), data["bursts"], data["gaps_ns"]) == (3, [], None)


def test_counts_are_by_cause_device_and_layout(command):
    data = answered(command, burst(3) + burst(1, fsr=0x408))
    assert data["counts"] == {
        "cause": {"TF": 3, "PF": 1},
        "device": {"2c00000.iommu": 4},
        "layout": {"arm-smmu-v5.2": 4},
    }


def test_a_stalled_transaction_rules_out_the_policies_that_never_stall(command):
    calm = answered(command, burst(1))["faults"][0]
    stalled = answered(command, burst(1, fsr=0x4000_0402))["faults"][0]
    assert calm["policies"] == ["P1", "P4", "P4v", "P15", "P8"]
    assert stalled["policies"] == ["P4", "P4v", "P8"]
    assert (calm["stall"], stalled["stall"], stalled["cause"], stalled["level"]) == (False, True, "TF", 1)


def test_the_scenario_of_a_burst_has_its_faults_distance_and_direction(command):
    data = answered(command, burst(5), "--replay")
    text = data["bursts"][0]["scenario"]
    assert text == "burst:n=5,gap=800us,op=write"
    (part,) = scenario.parse(text).parts
    assert (part.values["n"], part.values["gap"]) == (5, 800_000)
    assert data["replay"] == (
        "smmubench compare --scenario burst:n=5,gap=800us,op=write --hardware mmu500 "
        "--policy P1 --policy P4 --policy P4v --policy P15 --policy P8"
    )


def test_a_replay_prints_its_command_runs_it_and_says_what_it_assumes(command):
    Path("log").write_text(burst(3, fsr=0x4000_0402))
    status, out, err = command("faults", "log", "--replay")
    assert status == 0, err
    assert "smmubench compare --scenario burst:n=3,gap=800us,op=write" in " ".join(out.split())
    assert "the addresses were unmapped" in out
    assert re.search(r"^ P4 .*\n(?: P4v.*\n)?(?:.*\n)* ?P8 ", out, re.MULTILINE)


def test_without_a_burst_a_replay_says_so(command):
    Path("log").write_text(burst(1))
    status, out, _ = command("faults", "log", "--replay")
    assert (status, "no burst" in out) == (0, True)


def test_a_log_without_faults_is_an_answer(command):
    Path("log").write_text("[    1.000000] usb 1-1: new device\n")
    status, out, _ = command("faults", "log")
    assert (status, out.splitlines()[0]) == (0, "no fault line of a known layout in 1 lines")


def test_a_torn_line_is_reported_with_line_expected_and_found(command):
    Path("log").write_text("x\n" + ARM + "Unhandled context fault: fsr=0x402, iova=zzz\n" + burst(1))
    status, out, _ = command("faults", "log")
    text = " ".join(out.split())
    assert status == 0
    assert "malformed line 2: a torn line: expected Unhandled context fault:" in text
    assert "found 'Unhandled context fault: fsr=0x402, iova=zzz'" in text


BAD = {
    "missing": (None, (), "no such file"),
    "packed and cut short": (gzip.compress(b"[ 1.0] x" * 99)[:-12], (), "the compressed stream is damaged"),
    "a packed bomb": (gzip.compress(bytes(64 << 20)), (), "the stream grows as no recording does"),
    "binary": (bytes(range(32)) * 20, (), "not a log"),
    "gap of 0": (b"x\n", ("--gap", "0"), "duration of 0"),
    "gap in words": (b"x\n", ("--gap", "soon"), "not a duration"),
}


@pytest.mark.parametrize(("data", "more", "what"), BAD.values(), ids=list(BAD))
def test_whatever_is_wrong_is_one_line_and_status_2(command, data, more, what):
    if data is not None:
        Path("log").write_bytes(data)
    status, out, err = command("faults", "log", *more)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert what in err


def packed_by(kind, text):
    if kind == "zst":
        return pa.compress(text, "zstd", asbytes=True)
    return {"gz": gzip.compress, "xz": lzma.compress, "plain": bytes}[kind](text)


@pytest.mark.parametrize("kind", ["plain", "gz", "xz", "zst"])
def test_a_packed_log_is_read_as_the_log(command, kind, monkeypatch):
    text = b"\n\n" + burst(3).encode()
    Path("log").write_bytes(text)
    Path("packed").write_bytes(packed_by(kind, text))
    (_, wanted, _), (status, out, _) = (
        command("faults", "log", "--json"),
        command("faults", "packed", "--json"),
    )
    one, other = json.loads(wanted), json.loads(out)
    assert status == 0
    assert (one.pop("file"), other.pop("file")) == ("log", "packed")
    assert one == other
    assert one["faults"][0]["lines"] == [3]
    with Path("packed").open("rb") as stdin:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=stdin))
        piped = [line for _, line in open_log("-")]
    assert piped == text.decode().splitlines()


def test_a_line_that_never_ends_is_one_line(command):
    Path("log").write_bytes(b"a" * 300_000 + b"\n" + burst(1).encode())
    status, out, _ = command("faults", "log", "--json")
    assert status == 0
    assert json.loads(out)["faults"][0]["lines"] == [2]


def test_the_page_shows_what_the_command_prints(command, monkeypatch):
    page = PAGE.read_text()
    log = re.search(r"```text board\.log\n(.*?)```", page, re.DOTALL)
    shown = re.search(r"```text smmubench faults board\.log\n(.*?)```", page, re.DOTALL)
    assert log is not None
    assert shown is not None
    monkeypatch.setenv("COLUMNS", "118")
    Path("board.log").write_text(log[1])
    status, out, err = command("faults", "board.log")
    assert status == 0, err
    assert [line.rstrip() for line in out.splitlines()] == shown[1].splitlines()


def test_the_page_names_every_layout():
    from traces.kernel_log.layouts import LAYOUTS

    page = PAGE.read_text()
    assert [name for name in LAYOUTS if f"`{name}`" not in page] == []
