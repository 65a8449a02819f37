"""What the imports are timed with: a sample of every format, of as many units and rows as it says."""

import base64
import re
import struct
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.perf import readings
from bench.perf.samples.registry import SAMPLES
from bench.perf.samples.sample import LINES
from traces.importers.registry import READERS
from traces.importers.run import import_trace
from traces.reader import open_trace
from traces.validate import validate

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"


@pytest.fixture
def written(tmp_path):
    """Write a format's sample; return its path."""

    def write(name):
        folder = tmp_path / name
        folder.mkdir()
        path = folder / SAMPLES[name].file
        SAMPLES[name].write(path)
        return path

    return write


def test_every_format_that_can_be_imported_has_a_sample_and_a_benchmark():
    assert list(SAMPLES) == list(READERS)
    timed = [one for one in readings.benchmarks() if one.name.startswith("import: ")]
    assert [one.name for one in timed] == [f"import: {name}" for name in READERS]
    assert [(one.per, one.unit) for one in timed] == [(SAMPLES[n].units, SAMPLES[n].unit) for n in READERS]


def test_the_page_says_what_each_import_is_divided_by_and_what_it_gives():
    rows = re.findall(r"(?m)^\| `(\w+)` \| ([0-9,]+) (\w+)s \| .* \| ([0-9,]+) \|$", PAGE.read_text())
    said = {name: (int(n.replace(",", "")), unit, int(rows.replace(",", ""))) for name, n, unit, rows in rows}
    assert said == {name: (one.units, one.unit, one.rows) for name, one in SAMPLES.items()}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_taken_for_its_format_and_becomes_a_valid_trace_of_as_many_rows(name, written, tmp_path):
    made = import_trace(written(name), tmp_path / "made.parquet")
    validate(made.path)
    assert made.format == name
    assert open_trace(made.path).rows == made.rows == SAMPLES[name].rows >= LINES // 2


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_the_same_bytes_whenever_it_is_written(name, written, tmp_path):
    path = written(name)
    again = tmp_path / "again"
    again.mkdir()
    SAMPLES[name].write(again / path.name)
    files = sorted(one.name for one in path.parent.iterdir())
    assert files == sorted(one.name for one in again.iterdir())
    assert all((path.parent / file).read_bytes() == (again / file).read_bytes() for file in files)


def test_a_turn_whose_import_has_other_rows_than_the_sample_says_fails(monkeypatch):
    assert readings.importing("csv")() == LINES
    monkeypatch.setitem(SAMPLES, "csv", replace(SAMPLES["csv"], rows=LINES + 1))
    with pytest.raises(AssertionError, match=f"rows={LINES}"):
        readings.importing("csv")()


# --- units, counted by something else than what writes or reads them --------------------------------------


@pytest.mark.parametrize("name", ["qemu", "ftrace", "dmesg", "uvm"])
def test_a_logs_unit_is_a_line_that_is_no_comment(name, written):
    lines = [line for line in written(name).read_text().splitlines() if not line.startswith("#")]
    assert (SAMPLES[name].unit, SAMPLES[name].units) == ("line", len(lines))


def test_a_tables_unit_is_a_row_below_the_heading(written):
    assert (SAMPLES["csv"].unit, SAMPLES["csv"].units) == ("row", len(written("csv").read_text().split()) - 1)
    rows = pq.read_metadata(written("parquet")).num_rows
    assert (SAMPLES["parquet"].unit, SAMPLES["parquet"].units) == ("row", rows)


def test_a_kernels_unit_is_an_instruction(written):
    kernels = written("accelsim").parent.glob("*.traceg")
    found = sum(len(re.findall(r"(?m)^[0-9a-f]{4} [0-9a-f]{8} ", kernel.read_text())) for kernel in kernels)
    assert (SAMPLES["accelsim"].unit, SAMPLES["accelsim"].units) == ("instruction", found)


def packets(memory, iova, dwords, pending=None):
    """Count a stream's packets, and those of what it calls and of the state groups that its draws need."""
    pending = {} if pending is None else pending
    base = max(start for start in memory if start <= iova)
    words = memory[base][(iova - base) // 4 :][:dwords]
    at = n = 0
    while at < len(words):
        head, n = words[at], n + 1
        assert head >> 28 in (4, 7)
        opcode, count = (None, head & 0x7F) if head >> 28 == 4 else (head >> 16 & 0x7F, head & 0x3FFF)
        load = words[at + 1 : at + 1 + count]
        at += 1 + count
        if opcode == 0x3F:
            n += packets(memory, load[0] | load[1] << 32, load[2], pending)
        elif opcode == 0x43:
            pending[load[0] >> 24] = load[1] | load[2] << 32, load[0] & 0xFFFF
        elif opcode == 0x38:
            n += sum(packets(memory, *group) for group in pending.values())
            pending.clear()
    assert at == len(words)
    return n


def test_a_captures_unit_is_a_packet_state_groups_too(written):
    data, memory, at, found, last = written("rd").read_bytes(), {}, 0, 0, 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        words = struct.unpack_from(f"<{size // 4}I", data, at + 8)
        at += 8 + size
        if kind == 3:
            last = words[0] | words[2] << 32
        elif kind == 12:
            memory[last] = words
        elif kind == 6:
            found += packets(memory, words[0] | words[2] << 32, words[1])
    assert (SAMPLES["rd"].unit, SAMPLES["rd"].units) == ("packet", found)


def test_a_dumps_unit_is_a_packet_that_is_left_in_its_ring_or_called_from_it(written):
    text, memory = written("devcore").read_text(), {}
    for iova, data in re.findall(
        r"iova: 0x([0-9a-f]+)\n(?:    .*\n)*?    data: !!ascii85 \|\n     (\S+)\n", text
    ):
        raw = base64.a85decode(data)
        memory[int(iova, 16)] = struct.unpack(f">{len(raw) // 4}I", raw)
    (ring,) = re.findall(r"ringbuffer:\n  - id: 0\n    iova: 0x([0-9a-f]+)", text)
    (wptr,) = re.findall(r"wptr: (\d+)", text)
    assert "rptr: 0\n" in text
    found = packets(memory, int(ring, 16), int(wptr))
    assert (SAMPLES["devcore"].unit, SAMPLES["devcore"].units) == ("packet", found)
