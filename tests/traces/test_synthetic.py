"""Synthetic traces: what each kind does, that a seed gives the same events, and what is refused."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from traces.errors import TraceError
from traces.events import EVENT, EXEC, MAP, PROT_READ, PROT_WRITE, READ, WRITE
from traces.reader import open_trace
from traces.synthetic import morton
from traces.synthetic.draws import below, draw, permute
from traces.synthetic.make import BLOCK, digest, plan, write
from traces.synthetic.parts import deal
from traces.synthetic.registry import KINDS, parameters
from traces.synthetic.texture import mip_blocks
from traces.synthetic.zipf import Zipf, bands
from traces.validate import validate

EVERY = [*KINDS, "mix"]
#: Kinds that draw: another seed gives other events.
RANDOM = ["tiled-render", "texture", "chase", "hash-join", "gather", "mix"]

#: SHA-256 of the events of each kind: 5,000 accesses, seed 7, all else by default.
GOLDEN = {
    "tiled-render": "074400b8c2a82826febf516b650f58950de168e302846decbe50d6f27f07d151",
    "texture": "c7f739f39e4e5dae42897fdb334d83e4ebb6d7ffc3c5db3c2a78ca9c807f7799",
    "gemm": "ccfb6a73b88426aab94cdf5f4faafe41a94fe3d6ba03fcc5ba417ced55f37036",
    "copy": "9e8ec4d75654853678430be34f500754606d63bd4a4d54ea2bba470e9c462760",
    "chase": "fad8986ba2d859f23b23bab3ccf1f452b93811f461e48d07cc296146380ee640",
    "hash-join": "b367e25af48680bb0a0cbc26f8bdcb197b90b50bfa0ad5fc10b8a90e69007caa",
    "gather": "6f4627886341bb43750ed5021dd589da742b7a6f48150406b2e8a4b9b57e5f89",
    "scanout": "6d1eb0bc1742f84e7fe581e274039d48c1d7cfda13b3badc577be5e707307644",
    "heartbeat": "c3170fa741830bc747533a7aa4a0072e163f93b892cf030bdd9b06064df8d3e3",
    "mix": "5337e52c626a57fa40ed35585c3106c6bc94af6c366f36a22a694e12783f83ee",
}


def numbers(count):
    return np.arange(count, dtype=np.uint64)


def made(kind, *texts, seed=0):
    return np.concatenate([np.empty(0, EVENT), *plan(kind, texts, seed).blocks()])


def accesses(kind, *texts, seed=0):
    events = made(kind, *texts, seed=seed)
    return events[events["op"] <= EXEC]


# --- the parts ------------------------------------------------------------------------------------------


def test_draws_are_those_of_splitmix64():
    # The published sequence for seed 1234567 (Rosetta Code, "Pseudo-random numbers/Splitmix64").
    want = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431,
            16408922859458223821]  # fmt: skip
    assert draw(1234567, numbers(5)).tolist() == want


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 3000), key=st.integers(0, 2**64 - 1))
def test_permute_sends_every_number_to_a_place_of_its_own(count, key):
    assert sorted(permute(numbers(count), count, key).tolist()) == list(range(count))


@given(limit=st.integers(1, 2**32), key=st.integers(0, 2**64 - 1))
def test_a_scaled_draw_is_below_its_limit(limit, key):
    assert int(below(draw(key, numbers(50)), limit).max()) < limit
    extremes = np.array([0, 2**64 - 1], np.uint64)
    assert below(extremes, limit).tolist() == [0, limit - 1]


def test_morton_numbers_interleave_the_bits_of_x_and_y():
    rng = np.random.default_rng(1)
    x, y = (rng.integers(0, 2**32, 200, np.uint64) for _ in range(2))
    want = [sum((int(a) >> k & 1) << 2 * k | (int(b) >> k & 1) << 2 * k + 1 for k in range(32))
            for a, b in zip(x, y, strict=True)]  # fmt: skip
    got = morton.encode(x, y)
    assert got.tolist() == want
    back = morton.decode(got)
    assert (back[0] == x).all()
    assert (back[1] == y).all()


@given(count=st.integers(1, 100_000))
def test_bands_hold_every_rank_once(count):
    listed = bands(count)
    assert [first for first, _ in listed] == list(np.cumsum([1, *(n for _, n in listed[:-1])]))
    assert sum(n for _, n in listed) == count


@pytest.mark.parametrize("hundredths", [0, 50, 99, 200])
def test_ranks_come_as_often_as_zipf_says(hundredths):
    count, n = 2000, 400_000
    got = np.bincount(Zipf(count, hundredths, 3).ranks(numbers(n)).astype(np.int64), minlength=count)
    weights = np.arange(1, count + 1) ** (-hundredths / 100)
    want = n * weights / weights.sum()
    for first, last in ((0, 1), (1, 2), (2, 10), (10, 100), (100, 256), (256, 1000), (1000, count)):
        expected = want[first:last].sum()
        # Five standard deviations, and what a band's middle rank stands for.
        assert abs(got[first:last].sum() - expected) < 5 * np.sqrt(expected) + expected / 500


@given(units=st.integers(1, 9), tiles=st.integers(1, 20), steps=st.integers(1, 7))
def test_units_do_every_step_of_every_tile_in_turn(units, tiles, steps):
    turn, tile, step, unit = (part.tolist() for part in deal(numbers(2 * tiles * steps), units, tiles, steps))
    assert Counter(zip(turn, tile, step, strict=True)) == Counter(
        (r, t, s) for r in range(2) for t in range(tiles) for s in range(steps)
    )
    want = []
    for r in range(2):
        for first in range(0, tiles, units):
            wave = range(first, min(first + units, tiles))
            want += [(r, t, s, t - first) for s in range(steps) for t in wave]
    assert list(zip(turn, tile, step, unit, strict=True)) == want


# --- every kind ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EVERY)
def test_the_same_seed_gives_the_events_that_it_always_gave(kind):
    assert digest(plan(kind, ["accesses=5000"], 7).blocks()) == GOLDEN[kind]


@pytest.mark.parametrize("kind", RANDOM)
def test_another_seed_gives_other_events(kind):
    assert digest(plan(kind, ["accesses=5000"], 8).blocks()) != GOLDEN[kind]


@pytest.mark.parametrize("kind", sorted(set(EVERY) - set(RANDOM)))
def test_where_nothing_is_drawn_the_seed_changes_nothing(kind):
    assert digest(plan(kind, ["accesses=5000"], 8).blocks()) == GOLDEN[kind]


@pytest.mark.parametrize("kind", EVERY)
def test_a_trace_is_valid_says_how_it_was_made_and_has_what_was_asked_for(kind, tmp_path):
    said = write(plan(kind, ["accesses=3000"], 5), tmp_path / "t.parquet")
    report = validate(tmp_path / "t.parquet")
    m = report.manifest
    assert m == said
    assert m.kind == "synthetic"
    assert not m.clock_is_real
    assert sum(report.counts[op] for op in ("READ", "WRITE", "EXEC")) == 3000
    assert sum(s.accesses for s in m.streams) == 3000
    assert (m.parameters["kind"], m.parameters["seed"], m.parameters["accesses"]) == (kind, 5, 3000)
    # What the manifest says is enough to make it again.
    told = [f"{k}={v}" for k, v in m.parameters.items() if k not in ("kind", "seed")]
    again = plan(m.parameters["kind"], told, m.parameters["seed"])
    assert digest(again.blocks()) == digest(open_trace(tmp_path / "t.parquet").blocks())


def test_two_files_of_one_plan_have_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write(plan("mix", ["accesses=2000"], 1), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_large_trace_is_compressed_less_hard_and_is_the_same(tmp_path, monkeypatch):
    write(plan("chase", ["accesses=3000"]), tmp_path / "hard")
    monkeypatch.setattr("traces.counted.MANY", 2999)
    write(plan("chase", ["accesses=3000"]), tmp_path / "fast")
    assert (tmp_path / "hard").read_bytes() != (tmp_path / "fast").read_bytes()
    hard, fast = (open_trace(tmp_path / name) for name in ("hard", "fast"))
    np.testing.assert_array_equal(hard.read(), fast.read())
    assert hard.manifest == fast.manifest


@pytest.mark.parametrize("kind", EVERY)
def test_a_long_trace_begins_with_a_short_one_and_comes_in_small_blocks(kind):
    long = plan(kind, ["accesses=4294967296"], 3).blocks()
    blocks = list(islice(long, 5))
    assert max(block.size for block in blocks) <= 2 * BLOCK
    first = np.concatenate(blocks)
    n = int((first["op"] <= EXEC).sum())
    np.testing.assert_array_equal(first, made(kind, f"accesses={n}", seed=3))


def _settings(kind):
    """Random settings of a kind: near the low ends, so that buffers stay small."""

    def values(p):
        most = {"accesses": 300, "page": 4096}.get(p.name, min(p.high, max(64 * p.low, p.default)))
        some = st.integers(p.low, most)
        if p.power:
            some = st.sampled_from([1 << k for k in range(40) if p.low <= 1 << k <= most])
        if p.name == "page":
            some = st.sampled_from([1 << 12, 1 << 21, 1 << 30])
        return st.one_of(st.none(), some)

    return st.fixed_dictionaries({p.name: values(p) for p in parameters(kind)}).map(
        lambda chosen: [f"{name}={value}" for name, value in chosen.items() if value is not None]
    )


CASES = st.sampled_from(list(KINDS)).flatmap(lambda kind: st.tuples(st.just(kind), _settings(kind)))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(case=CASES, seed=st.integers(0, 2**63 - 1))
def test_every_access_lies_in_a_buffer_that_allows_it(case, seed):
    kind, texts = case
    try:
        planned = plan(kind, texts, seed)
    except TraceError as error:
        assert error.expected and error.found
        assume(False)
    events = np.concatenate(list(planned.blocks()))
    maps, rest = events[events["op"] == MAP], events[events["op"] != MAP]
    assert rest.size == planned.accesses
    assert (np.diff(events["t_ns"].astype(np.int64)) >= 0).all()
    starts = np.sort(maps["iova"])
    assert (starts == maps["iova"]).all()
    at = np.searchsorted(starts, rest["iova"], side="right") - 1
    assert (at >= 0).all()
    assert (rest["iova"] + rest["size"] <= maps["iova"][at] + maps["size"][at]).all()
    needed = np.where(rest["op"] == WRITE, PROT_WRITE, PROT_READ)
    assert (maps["prot"][at] & needed != 0).all()


@pytest.mark.parametrize("page", [1 << 12, 1 << 21, 1 << 30])
def test_buffers_are_mapped_by_pages_of_the_size_asked_for(page):
    events = made("chase", f"page={page}", "nodes=1000", "accesses=1")
    one = events[0]
    iova, pa, size = (int(one[n]) for n in ("iova", "pa", "size"))
    assert iova % page == pa % page == size % page == 0
    larger = {1 << 12: 1 << 21, 1 << 21: 1 << 30}.get(page)
    assert larger is None or iova % larger != pa % larger


# --- what each kind does ----------------------------------------------------------------------------------


def test_a_tile_is_fetched_in_morton_order_then_colour_and_depth_are_written_row_by_row():
    a = accesses("tiled-render", "accesses=144", "width=64", "height=32", "tile=16", "textures=1",
                 "fetches=16")  # fmt: skip
    colour, _, depth, texture = (0x1_0000_0000 + k * 0x20_0000 for k in range(4))
    tile = a[:48]
    # 16 blocks of 4 x 4 texels, 64 bytes each: the first tile's are the texture's first in Morton order.
    assert tile["iova"][:16].tolist() == [texture + 64 * k for k in range(16)]
    # A frame 64 pixels wide has rows of 256 bytes; the tile's part of one is 64.
    assert tile["iova"][16:32].tolist() == [colour + 256 * y for y in range(16)]
    assert tile["iova"][32:48].tolist() == [depth + 256 * y for y in range(16)]
    assert tile["op"].tolist() == [READ] * 16 + [WRITE] * 32
    # The next tile is to its right, and fetches the four blocks to the right of the first's.
    assert int(a["iova"][64]) == colour + 64
    assert int(a["iova"][48]) == texture + 64 * 16


def test_cores_work_on_neighbouring_tiles_each_through_its_own_stream():
    a = accesses("tiled-render", "accesses=96", "width=64", "height=32", "tile=16", "depth=0", "fetches=0",
                 "streams=3")  # fmt: skip
    colour = 0x1_0000_0000
    assert a["stream"][:6].tolist() == [0, 1, 2] * 2
    assert a["iova"][:6].tolist() == [colour + 256 * y + 64 * x for y in range(2) for x in range(3)]


def test_a_pass_that_loads_reads_its_tile_first():
    a = accesses("tiled-render", "accesses=64", "width=64", "height=32", "tile=16", "fetches=0", "load=1")
    assert a["op"].tolist() == [READ] * 32 + [WRITE] * 32
    assert a["iova"][:32].tolist() == a["iova"][32:].tolist()


def test_mip_levels_follow_one_another_in_a_texture_and_the_coarse_ones_are_rarer():
    blocks = mip_blocks(256)
    ends = 0x1_0000_0000 + np.cumsum([64 * side * side for side in blocks])
    a = accesses("texture", "texture=256", "textures=1", "patch=2", "trilinear=0", "accesses=40k")
    level = np.bincount(np.searchsorted(ends, a["iova"], side="right"), minlength=len(blocks))
    assert level.sum() == 40_000
    for k in range(3):
        assert abs(level[k] / 40_000 - 2.0 ** -(k + 1)) < 0.02


def test_trilinear_sampling_reads_the_next_level_after_every_four_blocks():
    blocks = mip_blocks(256)
    ends = 0x1_0000_0000 + np.cumsum([64 * side * side for side in blocks])
    a = accesses("texture", "texture=256", "textures=1", "patch=2", "levels=1", "accesses=500")
    assert (np.searchsorted(ends, a["iova"], side="right").reshape(-1, 5) == [0, 0, 0, 0, 1]).all()


def test_gemm_reads_a_tile_of_a_and_b_for_each_step_and_writes_c_once():
    m = n = k = 32
    a = accesses("gemm", "m=32", "n=32", "k=32", "tile=16", "bytes=4", "units=1", "accesses=320")
    bases = [0x1_0000_0000 + x * 0x20_0000 for x in range(3)]
    want = []
    for i in range(0, m, 16):
        for j in range(0, n, 16):
            for step in range(0, k, 16):
                want += [(READ, bases[0] + 4 * ((i + y) * k + step)) for y in range(16)]
                want += [(READ, bases[1] + 4 * ((step + y) * n + j)) for y in range(16)]
            want += [(WRITE, bases[2] + 4 * ((i + y) * n + j)) for y in range(16)]
    assert list(zip(a["op"].tolist(), a["iova"].tolist(), strict=True)) == want
    assert (a["size"] == 64).all()


def test_a_copy_reads_some_lines_writes_them_and_goes_round():
    a = accesses("copy", "size=4K", "burst=2", "line=1024", "stride=1024", "accesses=10")
    x, y = 0x1_0000_0000, 0x1_0020_0000
    want = [x, x + 1024, y, y + 1024, x + 2048, x + 3072, y + 2048, y + 3072, x, x + 1024]
    assert a["iova"].tolist() == want
    assert a["op"].tolist() == [READ, READ, WRITE, WRITE] * 2 + [READ, READ]
    assert a["t_ns"].tolist() == list(range(0, 100, 10))


def test_a_chase_visits_every_node_once_a_round_in_the_same_order():
    a = accesses("chase", "nodes=100", "node=64", "accesses=200", seed=9)
    nodes = ((a["iova"] - 0x1_0000_0000) // 64).tolist()
    assert sorted(nodes[:100]) == list(range(100))
    assert nodes[:100] == nodes[100:]
    assert nodes[:100] != list(range(100))


def test_a_hash_join_scans_both_relations_and_probes_at_random():
    # 4 rows a line: 2 lines to build, 3 to probe; a line read, four buckets, and when probing a line written.
    a = accesses("hash-join", "build=8", "probe=12", "buckets=4096", "accesses=28")
    left, right, table, joined = (0x1_0000_0000 + k * 0x20_0000 for k in range(4))
    ops = ([READ] + [WRITE] * 4) * 2 + ([READ] + [READ] * 4 + [WRITE]) * 3
    assert a["op"].tolist() == ops
    assert a["iova"][[0, 5]].tolist() == [left, left + 64]
    assert a["iova"][[10, 16, 22]].tolist() == [right, right + 64, right + 128]
    assert a["iova"][[15, 21, 27]].tolist() == [joined, joined + 64, joined + 128]
    buckets = a["iova"][[1, 2, 3, 4, 6, 7, 8, 9]] - table
    assert (buckets < 4096 * 32).all()
    assert len(set(buckets.tolist())) == 8


def test_a_gather_reads_indices_then_copies_rows_of_which_few_are_popular():
    a = accesses("gather", "rows=1000", "row=128", "accesses=65k", seed=2)
    group = a[:65]  # 16 indices of 4 bytes, each with a row of two lines read and written
    table, indices, out = 0x1_0000_0000, 0x1_0020_0000, 0x1_0040_0000
    assert group["op"].tolist() == [READ] + [READ, READ, WRITE, WRITE] * 16
    assert int(group["iova"][0]) == indices
    assert group["iova"][3:65:4].tolist() == [out + 128 * k for k in range(16)]
    assert (group["iova"][2:65:4] == group["iova"][1:65:4] + 64).all()
    whole = a[:65_000].reshape(-1, 65)
    rows = (whole["iova"][:, 1:65:4].ravel() - table) // 128
    commonest = Counter(rows.tolist()).most_common(2)
    # The sum of k**-0.99 over 1000 ranks is 7.73: the first has 12.9 %.
    assert abs(commonest[0][1] / rows.size - 0.129) < 0.01


def test_a_frame_takes_its_time_and_the_next_is_another_buffer():
    # 4 lines of 2 bursts, one blank line, 1000 Hz: a burst each 100 us, and 200 us between frames.
    a = accesses("scanout", "width=128", "height=16", "lines=20", "bytes=4", "burst=256", "refresh=1000",
                 "accesses=40")  # fmt: skip
    assert a["t_ns"].tolist() == [25_000 * k for k in range(32)] + [1_000_000 + 25_000 * k for k in range(8)]
    assert a["iova"].tolist() == [0x1_0000_0000 + 256 * k for k in range(32)] + [
        0x1_0020_0000 + 256 * k for k in range(8)
    ]


def test_a_heartbeat_reads_and_writes_at_its_period():
    a = accesses("heartbeat", "period=1us", "queue=64", "accesses=9")
    read, written = 0x1_0000_0000, 0x1_0020_0000
    assert a["t_ns"].tolist() == [0, 10, 20, 1000, 1010, 1020, 2000, 2010, 2020]
    want = [read, read + 16, written, read + 32, read + 48, written + 16, read, read + 16, written + 32]
    assert a["iova"].tolist() == want


@pytest.mark.parametrize("spaces", ["own", "shared"])
def test_a_mix_has_all_accesses_of_its_parts_by_time(spaces):
    parts = ["parts=copy+heartbeat+copy", f"spaces={spaces}", "copy.pace=7", "copy2.burst=1"]
    whole = made("mix", "accesses=2000", *parts)
    assert (np.diff(whole["t_ns"].astype(np.int64)) >= 0).all()
    m = plan("mix", parts).manifest
    assert [s.name for s in m.streams] == ["copy: copy engine", "heartbeat: gmu", "copy2: copy engine"]
    assert len(m.spaces) == (3 if spaces == "own" else 1)
    for stream, texts in ((0, ["copy", "pace=7"]), (1, ["heartbeat"]), (2, ["copy", "burst=1"])):
        mine = whole[(whole["op"] <= EXEC) & (whole["stream"] == stream)]
        alone = accesses(*texts, f"accesses={mine.size}")
        assert mine.size > 0
        for name in ("t_ns", "op", "size"):
            assert (mine[name] == alone[name]).all()
        shift = mine["iova"] - alone["iova"]  # elsewhere, but the same places in each buffer
        assert len(set(shift.tolist())) <= 2


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("copy", "size", "traces make --set: not a setting: expected key=value, found 'size'"),
        ("copy", "size=", "expected key=value"),
        ("copy", "colour=3", "unknown parameter: expected one of accesses, page, size, burst"),
        ("copy", "size=big", "bad parameter size: expected a whole number, or one with K, M or G"),
        ("copy", "size=-1", "bad parameter size"),
        ("copy", "size=1.5M", "bad parameter size"),
        ("copy", "burst=0", "bad parameter burst: expected 1 to 1,024 lines, found 0"),
        ("copy", "line=48", "bad parameter line: expected a power of two, found 48"),
        ("copy", "stride=32", "bad parameter stride: expected at least a line, 64 bytes, found 32"),
        ("copy", "page=8K", "bad parameter page: expected 4K, 2M or 1G, found 8192"),
        ("copy", "pace=2m", "bad parameter pace: expected a whole number with ns, us, ms or s"),
        ("copy", "accesses=0", "bad parameter accesses: expected 1 to 4,294,967,296"),
        ("chase", "node=16M", "bad parameter node: expected 16 to 2,097,152 bytes"),
        ("chase", "read=512", "bad parameter read: expected at most a node, 256 bytes, found 512"),
        ("gemm", "m=100", "bad parameter m: expected a multiple of tile, 64, found 100"),
        ("scanout", "lines=1000", "bad parameter lines: expected 1080 (height) to 2160, found 1000"),
        ("scanout", "burst=100", "bad parameter burst: expected a divisor of a line, 7680 bytes"),
        ("heartbeat", "period=20", "bad parameter period: expected at least 3 accesses x pace, 30 ns"),
        ("mix", "parts=copy+mix", "bad parameter parts: expected kinds joined by +"),
        ("mix", "spaces=some", "bad parameter spaces: expected own or shared, found 'some'"),
        ("mix", "copy.size=4K", "unknown parameter: expected parts, spaces, accesses, page, or PART.key"),
        ("mix", "scanout.accesses=3", "unknown parameter: expected one of width"),
    ],
)
def test_a_bad_parameter_is_refused_with_what_was_expected(kind, text, said):
    with pytest.raises(TraceError) as raised:
        plan(kind, [text])
    assert said in str(raised.value)


def test_buffers_that_do_not_fit_are_refused():
    with pytest.raises(TraceError, match="buffers too large"):
        plan("hash-join", ["buckets=1000M", "bucket=64K"])


def test_what_is_set_twice_and_a_kind_and_a_seed_that_are_not_are_refused():
    with pytest.raises(TraceError, match="a parameter set twice"):
        plan("copy", ["burst=1", "burst=2"])
    with pytest.raises(TraceError, match=r"unknown kind of trace.*copy.*'cpoy'"):
        plan("cpoy")
    for seed in (-1, 1 << 63):
        with pytest.raises(TraceError, match="bad seed"):
            plan("copy", seed=seed)
