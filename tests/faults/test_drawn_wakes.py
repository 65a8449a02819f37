"""Wake-ups drawn from a distribution, and threaded consoles, in whole runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smmucore import costs
from smmucore.costs import Lognormal
from smmucore.simulate import Lane

from .twin import COSTS, Case, differences, run

BURST = Lane(requester=0, count=30, gap=40_000, iova=5 << 39)
DRAWN = {"thread_wake": Lognormal(5_000, 50_000), "work_wake": Lognormal(20_000, 4_000_000)}
CASE = Case("P8", "adreno-worker", lanes=(BURST,), drawn=DRAWN, seed=3)


@pytest.mark.parametrize("policy", ["P4", "P7", "P8"])
@pytest.mark.parametrize("names", [("thread_wake",), ("work_wake",), ("thread_wake", "work_wake")])
@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_both_models_draw_the_same_wake_ups(policy: str, names: tuple[str, ...], seed: int) -> None:
    case = replace(CASE, policy=policy, drawn={name: DRAWN[name] for name in names}, seed=seed)
    assert not differences(case)


def test_a_run_repeats_with_its_seed_and_differs_with_another() -> None:
    ends = [run(replace(CASE, seed=seed)).end_ns for seed in (3, 3, 4)]
    assert ends[0] == ends[1] != ends[2]


def test_a_distribution_without_spread_is_the_fixed_cost() -> None:
    same = {name: Lognormal(COSTS[name], COSTS[name]) for name in ("thread_wake", "work_wake")}
    drawn, fixed = run(replace(CASE, drawn=same)), run(replace(CASE, drawn={}))
    assert drawn.counters == fixed.counters
    assert (drawn.histogram == fixed.histogram).all()


PRINTER = {"printer_first": 7, "printer_second": 11, "printer_third": 13, "printer_gpu": 17}


@pytest.mark.parametrize(
    ("policy", "client", "per_report"),
    [("P1", "none", 7), ("P8", "none", 7 + 11 + 13), ("P8", "adreno-inline", 17)],
)
def test_a_printing_thread_is_busy_with_ten_reports_of_thirty_and_holds_up_nobody(
    policy: str, client: str, per_report: int
) -> None:
    case = Case(policy, client, lanes=(BURST,))
    threaded = replace(case, costs=COSTS | PRINTER)
    assert not differences(threaded)
    outcome, without = run(threaded), run(case)
    # Thirty faults within 1.2 ms: the ratelimit lets ten reports through in 5 s.
    assert outcome.counters["console_ns"] == 10 * per_report
    assert outcome.counters | {"console_ns": 0} == without.counters


def test_the_line_that_tells_of_suppressed_reports_is_printed_in_the_background_too() -> None:
    late = Lane(requester=0, count=1, first=6_000_000_000, iova=6 << 39)
    case = Case("P1", "none", lanes=(BURST, late), costs=COSTS | PRINTER | {"printer_summary": 19})
    assert not differences(case)
    assert run(case).counters["console_ns"] == 11 * 7 + 19


@pytest.mark.parametrize("baud", [115_200, 921_600, 1_500_000])
def test_on_a_threaded_console_the_caller_pays_the_ring_and_the_thread_the_wire(baud: int) -> None:
    threaded, serial, ring = (
        costs.profile(console=name).costs for name in (f"threaded-{baud}", f"serial-{baud}", "ring")
    )
    for line in ("first", "second", "third", "gpu", "summary"):
        assert threaded[f"console_{line}"].ns == ring[f"console_{line}"].ns
        assert threaded[f"printer_{line}"].ns == serial[f"console_{line}"].ns
        assert serial[f"printer_{line}"].ns == ring[f"printer_{line}"].ns == 0
