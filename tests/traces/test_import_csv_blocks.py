"""Rows parsed many at once are the rows parsed one by one, whatever stands in the table."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traces.errors import TraceError
from traces.importers import csv_table, source
from traces.importers.run import import_trace
from traces.reader import open_trace

PLAIN = st.builds(
    "{},{},{}".format, st.integers(0, 9), st.sampled_from(["r", "w", "READ", ""]), st.integers(0, 99)
)
ODD = st.sampled_from(
    ["", " ", "#", "# a,b,c", "1,r", "1,r,2,3", '1,"r",2', '1,"r,2', "1,r,0x40\r", "1,\r,5", "\ufeff1,r,5",
     "1,r,\ufffd", "1,r,x", "99,r,5", "1,r,-5", "1,q,5", "1, r , 7 ", ",,", "1,r," + "0" * 200, "1,r,0"]
)  # fmt: skip


def outcome(folder, text, salvage):
    try:
        made = import_trace(folder / "t.csv", folder / "out.parquet", "csv", salvage)
    except TraceError as error:
        return error.what if salvage else "refused"
    dropped = sorted((line.split(" x ")[0], line.split(" x ")[1].split(";")[0]) for line in made.dropped)
    return open_trace(made.path).read().tobytes(), dropped, made.manifest.notes[1:] if not dropped else None


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    lines=st.lists(st.one_of(PLAIN, PLAIN, PLAIN, ODD), max_size=40), ended=st.booleans(),
    step=st.sampled_from([7, 60, 1 << 18]), salvage=st.booleans(),
)  # fmt: skip
def test_rows_at_once_are_rows_one_by_one(tmp_path_factory, lines, ended, step, salvage):
    folder = tmp_path_factory.mktemp("csv")
    text = "\n".join(["t_ns,op,iova", *lines]) + "\n" * ended
    (folder / "t.csv").write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        for module in (source, csv_table):
            patch.setattr(module, "LONGEST_LINE", 100)
        patch.setattr(source, "STEP", step)
        patch.setattr(source, "HEAD", step)
        fast = outcome(folder, text, salvage)
        patch.setattr(csv_table, "_columns", lambda *_: None)
        slow = outcome(folder, text, salvage)
    assert fast == slow


def test_plain_rows_are_parsed_at_once(tmp_path, monkeypatch):
    text = "t_ns,op,iova\n" + "".join(f"{n},r,{n * 64}\n" for n in range(60_000))
    (tmp_path / "t.csv").write_text(text)
    counted = []
    before = csv_table._columns
    monkeypatch.setattr(csv_table, "_columns", lambda *a: counted.append(before(*a)) or counted[-1])
    made = import_trace(tmp_path / "t.csv", tmp_path / "out.parquet")
    assert made.rows == 60_000
    assert len(counted) > 1
    assert None not in counted
