"""`smmubench sensitivity`: over which part of each cost's range the headline orderings hold."""

import json
import struct
import xml.etree.ElementTree as ET

import pytest

from bench.orderings import METRICS, ORDERINGS, Ordering
from bench.sensitivity import Point, flip, knobs, varied
from smmucore.costs import Cost, Lognormal, profile
from smmucore.policies import POLICIES

SMALL = ("--scenario", "burst:n=12,gap=2us", "--client", "adreno-worker", "--threads", "1")


def answered(command, tiny, *more):
    status, out, err = command("sensitivity", tiny, *SMALL, "--json", *more)
    assert status == 0, err
    return json.loads(out)


def costs_of(tornado):
    return {entry["cost"]: entry for entry in tornado["costs"]}


# --- what is varied


def test_cpi_clock_and_every_assumed_or_cited_cost_are_varied_and_no_counted_one():
    found = {knob.name: knob for knob in knobs(profile())}
    names = "cpi clock utlb_hit tlb_hit walk_cache_hit walk_mem mmio_read mmio_write irq_delivery"
    names += (
        " capture map_page tbu_halt atos soft_walk pm_get pm_put event_read cmd_issue submit_every hangcheck"
    )
    assert list(found) == names.split()
    assert found["cpi"].ends == (1000, 2000, 3000)
    assert found["clock"].ends == (1500, 2200, 3200)
    assert found["mmio_read"].ends == (80, 150, 400)


def test_what_the_user_fixed_is_not_varied_and_what_has_a_range_of_the_users_is():
    made = profile().with_values({"capture": 5}).with_cpu(cpi=2.0)
    made = made.with_costs({"check": Cost(13, 10, 20, "measured", "our board")})
    made = made.with_drawn({"thread_wake": Lognormal(5_000, 50_000)})
    found = {knob.name: knob.ends for knob in knobs(made)}
    assert not {"capture", "cpi", "thread_wake"} & set(found)
    assert found["check"] == (10, 13, 20)
    assert "clock" in found


def test_a_varied_cost_moves_alone_and_cpi_moves_what_was_counted():
    usual = profile()
    found = {knob.name: knob for knob in knobs(usual)}
    read = varied(usual, found["mmio_read"], 400).costs
    assert {name for name in read if read[name].ns != usual.costs[name].ns} == {"mmio_read"}
    slow = varied(usual, found["cpi"], 3000).costs
    # 351 instructions x 3 / 2.2 GHz are 478.6 ns.
    assert (slow["irq_entry_task"].ns, slow["mmio_read"].ns) == (479, 150)
    assert varied(usual, found["clock"], 2200) is usual


# --- the search


@pytest.mark.parametrize("at", [1, 2, 50, 99, 100])
def test_a_flip_is_found_to_the_last_integer(at):
    assert flip(0, 100, lambda value: value >= at) == at - 1


def test_an_ordering_of_what_never_ends():
    never = float("inf")
    strict, lax = Ordering("a", "", "makespan", "P1", "P2"), Ordering("b", "", "makespan", "P1", "P2", False)
    assert strict.holds(5, never) and not strict.holds(never, never) and lax.holds(never, never)
    assert Point(1, never, never, True).difference == 0
    assert Point(1, never, 3, False).to_json() == {
        "value": 1, "less": None, "more": 3, "difference": None, "holds": False,
    }  # fmt: skip


# --- the command


def test_every_ordering_names_policies_and_a_metric_that_exist():
    assert len(ORDERINGS) >= 4
    for name, ordering in ORDERINGS.items():
        assert ordering.name == name and ordering.claim
        assert {ordering.less, ordering.more} <= set(POLICIES)
        assert ordering.metric in METRICS


def test_clearing_before_resume_takes_half_the_interrupts_whatever_things_cost(command, tiny):
    (made,) = answered(command, tiny, "--orderings", "order")["orderings"]
    # Twelve faults, one entry each; RESUME before the clear is ignored by an MMU-500, and costs another.
    assert made["default"] == {"less": 12, "more": 24, "difference": -12, "holds": True}
    for entry in made["costs"]:
        low, high = entry["low"]["value"], entry["high"]["value"]
        assert entry["holds_over"] == [[low, high]]
        assert {entry[at]["difference"] for at in ("low", "default", "high")} == {-12}


def test_more_deadlines_are_missed_only_if_the_capture_outlasts_them(command, tiny):
    # 200 stalled reads are more than a TBU has slots; P4 resumes none before its worker has captured the
    # dump, so the beats at 20, 40 and 60 us wait for about as long as that takes, and have 10 ms.
    asked = ("--scenario", "burst:n=200,gap=50ns+heartbeat:n=4,every=20us,deadline=10ms")
    status, out, err = command(
        "sensitivity", tiny, *asked, "--threads", "2", "--orderings", "deadlines", "--json"
    )
    assert status == 0, err
    (made,) = json.loads(out)["orderings"]
    assert made["default"]["holds"] is True
    capture = costs_of(made)["capture"]
    assert [capture[at]["holds"] for at in ("low", "default", "high")] == [False, True, True]
    ((first, last),) = capture["holds_over"]
    assert last == 500_000_000
    # The capture and what is printed, queued and resumed around it have to exceed the deadline.
    assert 9_000_000 < first < 10_100_000
    for ns, holds in ((first, True), (first - 1, False)):
        cells = ("--policy", "P4", "--policy", "P8", "--hardware", "mmu500", "--set", f"capture={ns}")
        _, out, _ = command("compare", tiny, *asked, *cells, "--json", "-o", "x.parquet")
        p4, p8 = (row["counters"]["watchdogs"] for row in json.loads(out)["rows"])
        assert (p8 < p4) is holds


def test_the_answer_is_that_of_single_comparisons(command, tiny):
    (made,) = answered(command, tiny, "--orderings", "thread")["orderings"]
    high = costs_of(made)["cpi"]["high"]
    _, out, _ = command("compare", tiny, *SMALL, "--policy", "P2", "--policy", "P8", "--hardware", "mmu500",
                        "--cpi", "3", "--json", "-o", "x.parquet")  # fmt: skip
    rows = json.loads(out)["rows"]
    assert [high["less"], high["more"]] == [row["counters"]["makespan_ns"] for row in rows]


def test_threads_do_not_change_a_byte(command, tiny):
    made = [answered(command, tiny, "--orderings", "interrupts", "--threads", n) for n in ("1", "2")]
    assert made[0] == made[1]


def test_bars_come_by_their_swing_and_say_what_they_are(command, tiny):
    data = answered(command, tiny, "--orderings", "cpu", "--hardware", "ideal", "--hardware", "mmu500")
    assert [t["hardware"] for t in data["orderings"]] == ["ideal", "mmu500"]
    assert data["manifest"]["varied"]["cpi"] == [1000, 2000, 3000, "cycles/1000"]
    for tornado in data["orderings"]:
        found = [[entry[at]["difference"] for at in ("low", "default", "high")] for entry in tornado["costs"]]
        swings = [max(d) - min(d) for d in found]
        assert swings == sorted(swings, reverse=True)
        assert {entry["is"] for entry in tornado["costs"]} == {"assumed", "cited"}
        assert all(entry["source"] for entry in tornado["costs"])


def test_the_table_says_what_holds_where(command, tiny):
    status, out, _ = command("sensitivity", tiny, *SMALL, "--orderings", "order", "--orderings", "interrupts")
    assert status == 0
    words = " ".join(out.split())
    assert "P2 < P2b in hard interrupts: 12 and 24, difference -12; with the default costs it holds" in words
    assert "no effect cpi, clock, utlb_hit" in words
    assert "capture assumed 2ms 20ms 500ms" in words
    assert "all of it" in words
    assert "tiny (synthetic)" in words


def test_the_picture_is_whole_has_every_claim_and_repeats(command, tiny, tmp_path):
    for name in ("a.svg", "b.svg", "c.png"):
        answered(command, tiny, "--orderings", "cpu", "--orderings", "order", "-o", name)
    svg = (tmp_path / "a.svg").read_bytes()
    assert svg == (tmp_path / "b.svg").read_bytes()
    assert ET.fromstring(svg).tag.endswith("svg")
    png = (tmp_path / "c.png").read_bytes()
    assert png.startswith(b"\x89PNG") and png.endswith(b"IEND\xaeB\x60\x82")
    width, height = struct.unpack(">II", png[16:24])
    assert width > 800 and height > 300
    assert sorted(p.name for p in tmp_path.iterdir() if p.name[0] == ".") == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--orderings", "nicest"), "unknown ordering: --orderings: expected one of interrupts, order"),
        (("-o", "picture.gif"), "not a picture: --out picture.gif: expected a name in .png or .svg"),
        (("-o", "no/where.png"), "cannot be written"),
        (("--hardware", "mmu9"), "mmu500"),
        (("--costs", "cheap"), "mobile-big"),
    ],
)
def test_bad_usage_is_one_line(command, tiny, arguments, says):
    status, out, err = command("sensitivity", tiny, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert says in err
