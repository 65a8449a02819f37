"""`smmubench policies search`: the grammar, what is ruled out, and the front."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cli import run
from bench.prove.grammar import Order, bodies, orders
from bench.prove.search import Found, breach, front, price, search
from smmucore import hardware, policies
from smmucore.costs import profile
from smmucore.steps import REPORT, WRITE_RESUME

MMU500 = hardware.find("mmu500")
P8_ORDER = Order("threaded", "FAR", True, "read", ("REPORT", "CLEAR", "RESUME"), (), True)


def test_the_grammar_holds_every_order_once() -> None:
    every = orders()
    # By hand: 3! + 5!/2 without a worker; with one that resumes, 3! + 4! x 2; with REPORT or with CLEAR moved
    # to it, 2 x 2! + 3! x 3! each; of these those with REPORT before RESUME, or before WAKE.
    assert len(every) == len(set(every)) == 2_448
    assert sum(1 for _ in bodies()) == (6 + 60) + (6 + 48) + 2 * (4 + 36)


def test_a_client_is_told_before_its_answer_is_wanted() -> None:
    for order in orders():
        policy = order.policy(0)
        for part in (policy.handler, policy.work):
            ops = [step.op for step in part]
            if REPORT in ops and WRITE_RESUME in ops:
                assert ops.index(REPORT) < ops.index(WRITE_RESUME), order


def test_p8_is_a_sentence_of_the_grammar() -> None:
    assert P8_ORDER in orders()
    made, mainline = P8_ORDER.policy(0), policies.find("P8")
    assert [str(step) for step in made.handler] == [str(step) for step in mainline.handler]


@pytest.mark.parametrize(
    ("order", "defect"),
    [
        (P8_ORDER, ""),
        (Order("threaded", "FSR", False, "read", ("REPORT", "RESUME", "CLEAR"), (), True), "livelock"),
        (
            Order("hard", "FSR", True, "read", ("REPORT", "CLEAR", "WAKE"), ("RESUME",), True),
            "stray",
        ),  # as v5.14
        (Order("hard", "FSR", True, "read", ("REPORT", "CLEAR"), (), False), ""),
    ],
)
def test_what_the_lists_know_is_ruled_out_or_kept(order: Order, defect: str) -> None:
    assert breach(order.policy(0), [MMU500], 3) == defect


def test_a_search_of_a_few_handlers_finds_the_safe_one_whatever_the_threads() -> None:
    few = [
        order
        for order in orders()
        if order.context == "threaded" and order.first == "FAR" and not order.worker
    ]
    few = [order for order in few if len(order.handler) == 3 and order.clear == "read"]
    one, two = (search([MMU500], 2, threads, candidates=few) for threads in (1, 2))
    assert one == two
    assert one.candidates == 6
    assert str(P8_ORDER) in {found.name for found in one.front["threaded"]}
    assert one.front["hard"] == ()
    assert {found.name.split()[0]: found.safe for found in one.beside} == {
        "P1": True,
        "P4": False,
        "P8": True,
        "P9": True,
    }  # fmt: skip  (nobody resumes under P4 where there is no client)


def test_the_order_of_p8_costs_what_p8_costs() -> None:
    costs = profile(console="none")
    assert price(P8_ORDER.policy(0), [MMU500], costs) == price(policies.find("P8"), [MMU500], costs)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20))
def test_the_front_is_what_none_beats(pairs: list[tuple[int, int]]) -> None:
    made = front([Found(str(k), *pair) for k, pair in enumerate(pairs)])
    kept = {(found.cpu_ns, found.lost) for found in made}
    beaten = {p for p in pairs if any(q[0] <= p[0] and q[1] <= p[1] and q != p for q in pairs)}
    assert kept == set(pairs) - beaten
    assert sum(found.alike for found in made) == sum(pair in kept for pair in pairs)


@pytest.mark.slow
def test_p8_stands_on_the_front_of_the_whole_search(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policies", "search", "--faults", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    mainline = next(one for one in found["beside"] if one["name"].startswith("P8"))
    figures = {(one["cpu_ns"], one["lost"]) for one in found["front"]["threaded"]}
    assert (mainline["cpu_ns"], mainline["lost"]) in figures
