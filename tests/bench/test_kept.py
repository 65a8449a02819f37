"""What is dear to make and kept: made once, whoever asks first, and forgotten when it weighs too much."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from bench import ask, run
from bench.kept import Kept
from smmucore.hardware import PRESETS
from smmucore.policies import POLICIES

THREADS = 8


def test_a_thing_that_many_threads_ask_for_at_once_is_made_once():
    made, together = [], Barrier(THREADS)
    kept = Kept(4)

    def asked(number):
        together.wait()
        return kept.get("it", lambda: made.append(number) or number)

    with ThreadPoolExecutor(THREADS) as pool:
        answers = set(pool.map(asked, range(THREADS)))
    assert answers == set(made)
    assert len(made) == 1


def test_the_thing_asked_for_longest_ago_is_forgotten_first():
    kept = Kept(10, weigh=len)
    # Twelve would be too much, and b's turn was the longest ago.
    for word in ("aaaa", "bbbb", "aaaa", "cccc"):
        kept.get(word, lambda word=word: word)
    made = []
    for word in ("aaaa", "cccc", "bbbb"):
        kept.get(word, lambda word=word: made.append(word) or word)
    assert made == ["bbbb"]


def test_a_thing_that_weighs_too_much_by_itself_is_handed_out_and_forgets_no_other():
    kept = Kept(3, weigh=len)
    kept.get("small", lambda: "a")
    assert [kept.get("large", lambda: "bbbb") for _ in range(2)] == ["bbbb", "bbbb"]
    assert kept.get("small", lambda: "made again") == "a"


def test_what_could_not_be_made_is_tried_again():
    kept = Kept(1)
    with pytest.raises(ZeroDivisionError):
        kept.get("it", lambda: 1 // 0)
    assert kept.get("it", lambda: 1) == 1


@pytest.mark.parametrize(("scenario", "prepared"), [("burst:n=1,gap={}us", 1), ("wild:rate={}%", 5)])
def test_runs_that_have_the_same_events_share_them(monkeypatch, scenario, prepared):
    """Bursts are lanes beside the trace, which stays as it is; strays, drawn four times, are in it."""
    made = []
    monkeypatch.setattr(run, "_PACED", Kept(run.KEEP_PACED))
    monkeypatch.setattr(run, "_FAULTFREE", Kept(1))
    real = run.events
    monkeypatch.setattr(run, "events", lambda *given: made.append(given) or real(*given))
    for number in (1, 2):
        case = ask.case(scenario=scenario.format(number))
        for policy in ("P1", "P8"):
            run.Runner(case).run(POLICIES[policy], PRESETS["mmu500"])
    assert len(made) == prepared
