"""Wake-ups that are drawn: the generator, the quantiles, and that a seed decides them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smmucore.costs import profile
from smmucore.draws import draw, product, splitmix64, total
from smmucore.wakes import DRAWN, LONGEST_P99, Lognormal, table

pytestmark = pytest.mark.nojit

WORD = st.integers(0, 2**64 - 1)


def test_the_generator_is_the_published_one() -> None:
    # Outputs of splitmix64 for seed 1234567, as the reference C program prints them (Rosetta Code).
    published = (6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431)
    made = [int(splitmix64(np.uint64(1234567), np.uint64(n))) for n in range(4)]
    assert tuple(made) == published


@settings(deadline=None)  # the first call compiles
@given(WORD, WORD)
def test_products_and_sums_wrap_without_a_warning(a: int, b: int) -> None:
    assert int(product(np.uint64(a), np.uint64(b))) == a * b % 2**64
    assert int(total(np.uint64(a), np.uint64(b))) == (a + b) % 2**64


def test_half_the_quantiles_are_below_the_median_and_one_in_a_hundred_above_the_99th() -> None:
    made = Lognormal(5_000, 50_000).quantiles()
    assert made == sorted(made)
    # 512 of 1024 midpoints are below one half; (k + 0.5) / 1024 > 0.99 from k = 1014 on: ten of them.
    assert sum(ns < 5_000 for ns in made) == 512
    assert sum(ns > 50_000 for ns in made) == 10


def test_a_median_that_is_the_99th_percentile_is_a_fixed_time() -> None:
    assert set(Lognormal(700, 700).quantiles()) == {700}


def test_the_longest_distribution_stays_far_below_int64() -> None:
    assert max(Lognormal(1, LONGEST_P99).quantiles()) < 2**53


@pytest.mark.parametrize(("p50", "p99"), [(0, 1), (2, 1), (1, LONGEST_P99 + 1)])
def test_a_distribution_that_cannot_be_is_refused(p50: int, p99: int) -> None:
    with pytest.raises(ValueError, match="p50 <= p99"):
        Lognormal(p50, p99)


def test_the_seed_decides_what_is_drawn_and_about_half_is_below_the_median() -> None:
    made = table(dict.fromkeys(DRAWN, 7), {"work_wake": Lognormal(5_000, 50_000)})
    drawn = [[int(draw(made, 1, np.uint64(seed), n)) for n in range(400)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert 160 < sum(ns < 5_000 for ns in drawn[0]) < 240
    assert {int(draw(made, 0, np.uint64(1), n)) for n in range(5)} == {7}


def test_fixed_wake_ups_need_no_table() -> None:
    assert profile().wakes().tolist() == [[1337], [2085]]  # 1471 and 2293 instructions x 2 / 2.2 GHz


def test_a_drawn_cost_has_its_median_and_range_and_a_value_set_later_replaces_it() -> None:
    made = profile().with_drawn({"thread_wake": Lognormal(5_000, 50_000)})
    cost = made.costs["thread_wake"]
    assert (cost.ns, cost.tag) == (5_000, "assumed")
    assert cost.low < 5_000
    assert cost.high > 50_000
    assert made.wakes().shape == (2, 1024)
    assert made.with_values({"thread_wake": 9}).drawn == {}
    assert made.with_cpu(cpi=1).costs["thread_wake"] == cost
    with pytest.raises(KeyError, match="work_wake"):
        profile().with_drawn({"mmio_read": Lognormal(1, 2)})
