"""When the wall-clock suite claims a difference, in noise that was recorded."""

import random

import pytest

from bench.perf import files, scripts, verdicts

NOISE = scripts.ROOT / "results" / "noise" / "suite.json"


def recorded():
    """Return the recorded processes of every benchmark, in the order in which they ran."""
    return files.samples(files.load(NOISE))


def taken(samples, chance):
    """Deal processes out to two sides as `perf ab` runs them: A B, B A, ...; which is first is drawn."""
    sides = ({}, {})
    for name, runs in samples.items():
        first = chance.randrange(2)
        for side in (0, 1):
            sides[side][name] = [runs[2 * turn + (side ^ first ^ turn % 2)] for turn in range(len(runs) // 2)]
    return sides


def test_the_recorded_noise_is_worth_the_name():
    samples = recorded()
    assert len(samples) >= 6
    for runs in samples.values():
        assert len(runs) >= 30
        assert max(runs) > 1.02 * min(runs)


def test_a_against_a_is_no_change_in_at_least_95_of_100_comparisons_with_recorded_noise():
    chance = random.Random(100)
    samples = recorded()
    quiet = 0
    for _ in range(100):
        # Twenty processes of those recorded, in their order: ten rounds.
        part = {
            name: [runs[k] for k in sorted(chance.sample(range(len(runs)), 20))]
            for name, runs in samples.items()
        }
        quiet += all(v.verdict == verdicts.SAME for v in verdicts.judge(*taken(part, chance)))
    assert quiet >= 95


def test_a_slowdown_of_half_again_is_told_in_the_same_noise():
    chance = random.Random(7)
    told = 0
    for _ in range(20):
        before, after = taken(recorded(), chance)
        after = {name: [1.5 * value for value in runs] for name, runs in after.items()}
        found = verdicts.judge(before, after)
        assert verdicts.FASTER not in [v.verdict for v in found]
        told += sum(v.verdict == verdicts.SLOWER for v in found) / len(found)
    assert told / 20 > 0.6


def test_a_slowdown_in_quiet_samples_is_told_and_one_below_the_least_effect_is_not():
    chance = random.Random(1)
    before = {"a": [chance.gauss(1, 0.005) for _ in range(10)]}
    for factor, wanted in ((1.2, verdicts.SLOWER), (1 / 1.2, verdicts.FASTER), (1.04, verdicts.SAME)):
        after = {"a": [factor * chance.gauss(1, 0.005) for _ in range(10)]}
        (found,) = verdicts.judge(before, after)
        assert found.verdict == wanted
        assert found.p < 0.01


def test_p_values_are_corrected_over_the_suite_as_benjamini_and_hochberg_have_it():
    from scipy.stats import mannwhitneyu

    chance = random.Random(3)
    sides = [
        {f"b{k}": [chance.gauss(1 + 0.02 * k * side, 0.05) for _ in range(9)] for k in range(6)}
        for side in (0, 1)
    ]
    raw = {name: mannwhitneyu(sides[0][name], sides[1][name]).pvalue for name in sides[0]}
    ranked = sorted(raw.values(), reverse=True)
    wanted, least = {}, 1.0
    for k, p in enumerate(ranked):
        least = min(least, p * len(ranked) / (len(ranked) - k))
        wanted[p] = least
    for found in verdicts.judge(*sides):
        assert found.p == pytest.approx(wanted[raw[found.name]])


def test_too_few_processes_are_no_evidence():
    (found,) = verdicts.judge({"a": [1.0] * 4}, {"a": [2.0] * 9})
    assert (found.verdict, found.p, found.ratio) == (verdicts.FEW, None, 2.0)


def test_the_p_value_that_fewest_processes_can_give_is_small_enough():
    (found,) = verdicts.judge({"a": [1.0, 1.1, 1.2, 1.3, 1.4]}, {"a": [2.0, 2.1, 2.2, 2.3, 2.4]})
    assert found.verdict == verdicts.SLOWER


def test_the_same_noise_not_taken_in_turn_would_be_called_a_difference():
    samples = recorded()
    halves = [{name: runs[k : k + 20] for name, runs in samples.items()} for k in (0, 20)]
    assert {verdicts.SLOWER, verdicts.FASTER} & {v.verdict for v in verdicts.judge(*halves)}
