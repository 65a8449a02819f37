"""`smmubench reach`: its table and JSON against the reference TLB, its samples, and its refusals."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from bench.reach import ENTRIES, PAGES
from bench.rows import METADATA_KEY
from tests.bench.conftest import BASE, RW, event, save, tiny_events
from tests.reference.tlb import Tlb
from traces.events import EVENT, EXEC, MAP, READ, TLBI, TLBI_ALL, TLBI_ASID, UNMAP

BITS = {"4K": 12, "16K": 14, "64K": 16, "2M": 21, "1G": 30}
M = 1 << 20
BAD_SAMPLES = ("0", "-1", "2", "x", "1/0", "nan", "1e-9", "20M")


def asked(command, trace, *more):
    status, out, err = command("reach", trace, "--json", *more)
    assert status == 0, err
    return json.loads(out)


def by_page(result):
    return {row["page"]: row for row in result["rows"]}


def hits(events, bits, entries, invalidations=False):
    """Hits of a TLB of one set, by the reference."""
    tlb = Tlb(1, entries)
    for e in events:
        if e["op"] <= EXEC:
            if tlb.lookup(int(e["space"]), int(e["iova"])) is None:
                tlb.insert(int(e["space"]), int(e["iova"]), 1 << bits, None)
        elif not invalidations or e["op"] not in (TLBI, UNMAP):
            continue
        elif e["op"] == TLBI and e["prot"] == TLBI_ALL:
            tlb.invalidate_all()
        elif e["op"] == TLBI and e["prot"] == TLBI_ASID:
            tlb.invalidate_asid(int(e["space"]))
        else:
            tlb.invalidate_range(int(e["iova"]), int(e["size"]), int(e["space"]))
    return tlb.hits


@pytest.mark.parametrize("invalidations", [False, True])
def test_every_column_has_the_hits_of_a_tlb_with_one_set(command, tmp_path, invalidations):
    events = tiny_events()
    middle = events.size // 2
    extra = [event(events["t_ns"][middle], TLBI, 0, size=0, space=s, prot=k)
             for s, k in ((1, TLBI_ASID), (0, TLBI_ALL))]  # fmt: skip
    events = np.concatenate([events[:middle], np.array(extra, EVENT), events[middle:]])
    path = save(tmp_path / "more.parquet", events)
    rows = by_page(asked(command, path, *(["--invalidations"] if invalidations else [])))
    for page, bits in BITS.items():
        for at in (0, 1, 2, 3, 4, 5):
            assert rows[page]["hits"][at] == hits(events, bits, ENTRIES[at], invalidations), (page, at)
    assert rows["mapped"]["hits"] == rows["4K"]["hits"]
    assert bool(rows["4K"]["invalidated"]) is invalidations


def test_totals_add_up_and_hits_rise(command, tiny):
    result = asked(command, tiny)
    assert [row["page"] for row in result["rows"]] == list(PAGES)
    for row in result["rows"]:
        assert row["accesses"] == 300
        assert row["attainable_hits"] + row["cold"] + row["invalidated"] == row["accesses"]
        assert row["hits"] == sorted(row["hits"])
        assert row["hits"][-1] == row["attainable_hits"]
        assert row["distinct_pages"] == row["cold"]
    assert by_page(result)["4K"]["distinct_pages"] == 9
    assert result["manifest"]["kind"] == "synthetic"


def test_mapped_counts_leaves_and_leaves_faults_out(command, tmp_path):
    def read(t, iova):
        return event(t, READ, iova, stream=5)

    events = [
        event(0, MAP, 2 * M, 2 * M, pa=4 * M, prot=RW),
        event(0, MAP, BASE, 8192, pa=M, prot=RW),
        *[read(1, iova) for iova in (2 * M, 3 * M, BASE, BASE + 4096)],
        read(5, 0x5000),  # nothing maps it
        event(6, UNMAP, BASE, 4096),
        read(7, BASE),  # nor this any more
        event(8, READ, 1 << 40, space=1, stream=9),  # beyond the 32 bits of its space
    ]
    result = asked(command, save(tmp_path / "t.parquet", np.array(events, EVENT)))
    rows = by_page(result)
    mapped = rows["mapped"]
    assert (mapped["accesses"], mapped["faults"], mapped["distinct_pages"]) == (4, 2, 3)
    assert (mapped["distinct_bytes"], mapped["attainable_hits"]) == (2 * M + 8192, 1)
    assert rows["4K"]["accesses"] == 6
    assert result["manifest"]["beyond_input_size"] == 1


def test_space_and_stream_choose_accesses(command, tiny):
    assert by_page(asked(command, tiny, "--space", "1"))["4K"]["accesses"] == 30
    assert by_page(asked(command, tiny, "--stream", "5"))["4K"]["accesses"] == 270


@pytest.mark.parametrize("trace", ["qemu-virtio-gpu", "qemu-dma-tiles"])
@pytest.mark.parametrize("sample", ["1/8", "512"])
def test_a_sample_of_a_capture_is_within_the_error_it_reports(command, trace, sample):
    exact, sampled = by_page(asked(command, trace)), by_page(asked(command, trace, "--sample", sample))
    for page, row in sampled.items():
        off = np.abs(np.array(row["hit_ratio"]) - np.array(exact[page]["hit_ratio"]))
        assert np.all(off <= np.array(row["error"]) + 1e-12), (page, off, row["error"])


def test_the_table_fits_80_columns_and_tells_where_the_trace_is_from(command, tiny, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for more in ((), ("--sample", "1/64"), ("--invalidations", "--page", "mapped")):
        status, out, _ = command("reach", tiny, *more)
        assert status == 0
        assert max(len(line) for line in out.splitlines()) <= 80
        for text in ("tiny (synthetic)", "sha256", "entries", "endless", "300 accesses", "reach"):
            assert text in out


def test_the_file_has_a_row_for_each_cell_and_the_manifest(command, tiny):
    result = asked(command, tiny, "--page", "4K", "--page", "2M", "-o", "reach.parquet")
    table = pq.read_table("reach.parquet")
    assert table.num_rows == 2 * len(ENTRIES)
    assert table.column("hits").to_pylist()[: len(ENTRIES)] == result["rows"][0]["hits"]
    assert json.loads(table.schema.metadata[METADATA_KEY])["sha256"] == result["manifest"]["sha256"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--page", "8K"), "unknown page size: --page: expected one of 4K, 16K, 64K, 2M, 1G, mapped"),
        (("--space", "7"), "unknown space: --space: expected one of 0, 1, found '7'"),
        (("--stream", "6"), "unknown stream: --stream: expected one of 5, 9, found '6'"),
        *((("--sample", bad), "not a sample: --sample") for bad in BAD_SAMPLES),
        (("-o", "nowhere/x.parquet"), "an existing folder"),
        (("--space", "-1"), "smmubench reach --help"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_line_and_status_2(command, tiny, more, says):
    status, out, err = command("reach", tiny, *more)
    assert (status, out) == (2, "")
    assert says in err
    assert len(err.splitlines()) == 1


def test_a_map_over_a_leaf_is_refused_with_its_row(command, tmp_path):
    twice = [event(0, READ, 1 << 50, stream=5), *[event(0, MAP, BASE, pa=M, prot=RW)] * 2]
    path = save(tmp_path / "twice.parquet", np.array(twice, EVENT))
    status, _, err = command("reach", path)
    assert status == 2
    assert f"{path}: event 2: expected an IOVA that is not mapped yet" in err
    # The other columns do not look at mappings.
    assert command("reach", path, "--page", "4K")[0] == 0


def test_a_trace_without_accesses_gives_dashes(command, tmp_path):
    path = save(tmp_path / "none.parquet", np.array([event(0, MAP, BASE, pa=M, prot=RW)], EVENT))
    status, out, _ = command("reach", path)
    assert status == 0
    assert "-" in out


def test_several_traces_are_shown_beside_one_another_with_the_ratios_that_each_has_alone(command, tmp_path):
    first = save(tmp_path / "first.parquet", tiny_events())
    second = save(tmp_path / "second.parquet", tiny_events()[::1][:200])
    status, out, err = command("reach", first, second, "--page", "4K", "--json")
    assert status == 0, err
    beside = json.loads(out)["traces"]
    assert beside == [asked(command, path, "--page", "4K") for path in (first, second)]
    status, out, _ = command("reach", first, second, "--page", "4K")
    assert status == 0
    rows = [line.split() for line in out.splitlines() if "synthetic" in line]
    for row, each in zip(rows, beside, strict=True):
        column = each["rows"][0]
        expected = column["hits"][ENTRIES.index(16)] * 1000 // column["accesses"] / 10
        assert row[2] == f"{expected:.1f}%"


def test_curves_of_several_traces_go_into_one_picture_or_one_table(command, tmp_path):
    paths = [save(tmp_path / f"{name}.parquet", tiny_events()) for name in ("a", "b")]
    status, _, err = command("reach", *paths, "-o", tmp_path / "curves.svg")
    assert (status, "picture saved" in err) == (0, True)
    text = (tmp_path / "curves.svg").read_text()
    assert text.startswith("<?xml")
    assert all(f"<!-- {part} -->" in text for part in ("pages of 4K", "pages of 64K", "pages of 2M"))
    status, _, _ = command("reach", *paths, "--page", "4K", "-o", tmp_path / "curves.parquet")
    table = pq.read_table(tmp_path / "curves.parquet")
    assert table.num_rows == 2 * len(ENTRIES)
    assert "trace" in table.column_names
