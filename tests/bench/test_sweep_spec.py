"""A sweep's file: what it may say, and one line for what cannot be meant."""

import json
from pathlib import Path

import pytest

from bench.sweeps.plan import AXES
from bench.sweeps.ranges import Range
from bench.sweeps.spec import read_cost
from tests.bench.sweep_samples import SPEC, rows_of


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('["P4", "P8"]', '["P4",\n  "P99"]', "line 7: axes.policy[2]: expected one of P0"),
        ('"mmu500", "ideal"', '"mmu500", "mmu501"', "line 7: axes.hardware[2]"),
        ("burst:n=3,gap={}us", "burst:m=3,gap={}us", "line 8: axes.scenario"),
        ("factor = 2", "factor = 1", "line 8: axes.scenario"),
        ("factor = 2", "step = 1, factor = 2", "expected step or factor, not both"),
        ("from = 10, to = 40", "from = 40, to = 10", "expected from <= to"),
        ("each = \"burst:n=3,gap={}us\"", "each = \"burst\"", "{} in each"),
        ("from = 0, to = 1", "from = 0, too = 1", "'too'"),
        ("from = 0, to = 1", 'from = 0, to = "x"', "line 9: axes.seed"),
        ("seed = {from = 0, to = 1}", "seed = -1", "line 9: axes.seed: expected 0 to 2^63 - 1"),
        ("seed = {from = 0, to = 1}", "seed = []", "empty axis"),
        ("seed = {from = 0, to = 1}", "seed = 1.5", "line 9: axes.seed"),
        ("seed = {from = 0, to = 1}", "seed = {from = 0, to = 4000000000}", "at most 1,000,000 values"),
        ("seed =", "sead =", "line 9: axes.sead: expected one of trace"),
        ('"tiny.parquet"', '"huge.parquet"', "line 5: axes.trace"),
        ("[axes]", 'cost = "mobile-big"\n[axes]', "line 4: cost: expected one of name"),
        ("[axes]", '[axes]\ncost = ["mobile-big", "mobile-big,mmio=3"]', "line 5: axes.cost[2]"),
        ("[axes]", '[axes]\ncost = "mobile-big,cpi=fast"', "line 5: axes.cost"),
        ("[axes]", 'pace = "never"\n[axes]', "axes.trace"),
        ("[axes]", 'cpus = "gpu=1"\n[axes]', "line 4: cpus"),
        ("[axes]", 'policy_files = ["none.toml"]\n[axes]', "line 4: policy_files"),
        ("[axes]", "[axes", "not TOML"),
        ('name = "small"', 'name = "../up"', "line 2: name"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_meant_is_refused_with_its_line(command, spec, old, new, says):
    assert old in SPEC
    spec.write_text(SPEC.replace(old, new))
    status, _, err = command("sweep", spec)
    assert status == 2, err
    assert says in err
    assert str(spec) in err
    assert not Path("runs").exists()


def test_all_means_every_one_and_what_is_left_out_is_as_in_compare(command, tmp_path, tiny):
    from smmucore.policies import POLICIES

    (tmp_path / "all.toml").write_text('[axes]\ntrace = "tiny.parquet"\nhardware = "all"\n')
    size = json.loads(command("sweep", "check", "all.toml", "--json")[1])
    assert size["axes"]["policy"] == len(POLICIES)
    assert size["axes"]["hardware"] == 7
    assert size["first"]["client"] == "adreno-worker"
    assert size["name"] == "all"


def test_a_users_policy_takes_part_and_is_kept_whole(command, spec):
    from bench.policy_files import to_words
    from smmucore.policies import POLICIES

    words = to_words(POLICIES["P8"]).replace('id = "P8"', 'id = "mine"').replace("threaded-resume", "my-own")
    (spec.parent / "mine.toml").write_text(words)
    spec.write_text('policy_files = ["mine.toml"]\n' + SPEC.replace('["P4", "P8"]', '["P8", "mine"]'))
    assert command("sweep", spec)[0] == 0
    by = {
        (r["policy"], r["hardware"], r["scenario"], r["seed"]): r["makespan_ns"]
        for r in rows_of("runs/small")
    }
    assert all(by["mine", *rest] == value for (policy, *rest), value in by.items() if policy == "P8")
    assert "mine" in json.loads(Path("runs/small/plan.json").read_text())["own_policies"]


def test_ranges_hold_their_ends():
    assert list(Range.model_validate({"from": 5, "to": 5}).words()) == ["5"]
    assert list(Range.model_validate({"from": 1, "to": 100, "factor": 10, "each": "a{}b"}).words()) == [
        "a1b", "a10b", "a100b",
    ]  # fmt: skip


def test_a_cost_is_a_profile_with_changes():
    asked = read_cost("server,cpi=1.25,clock=2,console=none,dsb=5ns,thread_wake=lognormal:p50=5us,p99=50us")
    assert (asked.costs, asked.cpi, asked.clock, asked.console) == ("server", 1.25, 2.0, "none")
    assert asked.changes == ("dsb=5ns", "thread_wake=lognormal:p50=5us,p99=50us")


def test_the_axes_of_a_row_are_the_plans():
    assert set(AXES) == {"trace", "policy", "hardware", "client", "scenario", "cost", "seed"}


def test_the_example_in_the_documentation_is_a_sweep(command):
    example = Path(__file__).parents[2] / "docs" / "examples" / "storm-dial.toml"
    size = json.loads(command("sweep", "check", example, "--json")[1])
    # Five policies on four parts and v3-iopf on the fifth, seven gaps, two cost profiles.
    assert size["cells"] == (5 * 4 + 1) * 7 * 2
    assert f"runs {size['cells']} cells" in example.read_text()
