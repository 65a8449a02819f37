"""The figures: one style, units on axes, something told of each point, nothing by colour alone."""

from __future__ import annotations

import re

import matplotlib.image
import pytest
from matplotlib.figure import Figure

from bench import pictures, plots
from bench.answers import QUESTIONS
from bench.plots.style import COLOURS, policy_looks, tips
from bench.report.svg import inline
from smmucore.policies import POLICIES
from tests.bench.small_trace import answered

ALL = tuple(QUESTIONS)
#: What an axis measures without a unit: a count or a share says of what.
BARE = (
    "faults",
    "share",
    "hit ratio",
    "TLB entries",
    "walks",
    "deadlines",
    "accesses",
    "cool-down",
    "time from",
    "entries",
)
UNIT = re.compile(r"\[(.+)\]|\ba (second|us)\b|10 ms")


@pytest.mark.parametrize("number", ALL)
def test_a_plot_takes_a_frame_and_returns_a_figure_with_named_axes(number):
    figure = answered(number).figure()
    assert isinstance(figure, Figure)
    named = [text for axis in figure.axes for text in (axis.get_xlabel(), axis.get_ylabel()) if text]
    assert named
    for text in named:
        assert UNIT.search(text) or text.startswith(BARE) or any(word in text for word in BARE), text


@pytest.mark.parametrize("number", ALL)
def test_logarithmic_axes_say_so(number):
    for axis in answered(number).figure().axes:
        for side in (axis.xaxis, axis.yaxis):
            text = side.get_label_text()
            if side.get_scale() in ("log", "symlog") and text:
                assert "log" in text, text


@pytest.mark.parametrize("number", ALL)
def test_every_point_that_is_told_of_is_in_the_svg(number):
    made = answered(number)
    figure = made.figure()
    told = tips(figure)
    expected = sum(1 if isinstance(texts, str) else len(texts) for texts in told.values())
    assert expected
    text = inline(figure, "name", "what it shows")
    assert text.count("data-tip=") == expected
    # Colours follow the page's theme; what is left is the heat map's own.
    assert not {c.lower() for c in COLOURS} & set(re.findall(r"#[0-9a-f]{6}\b", text.lower()))
    assert all(name.startswith("name-") for name in re.findall(r' id="([^"]+)"', text))
    assert all(name.startswith("name-") for name in re.findall(r'(?:url\(|href=")#([^)"]+)', text))


def test_equal_rows_give_equal_pictures(tmp_path):
    files = [pictures.save(answered(2).figure(), tmp_path / f"{k}.svg") for k in (1, 2)]
    assert files[0].read_bytes() == files[1].read_bytes()
    png = pictures.save(answered(2).figure(), tmp_path / "q.png")
    assert matplotlib.image.imread(png).shape[2] == 4


def test_no_two_policies_of_a_figure_look_the_same():
    some = list(POLICIES)[:18]
    looks = policy_looks(some)
    assert len({(str(each.color), str(each.linestyle)) for each in looks.values()}) == len(some)
    assert policy_looks(["P8", "P4"])["P4"] == policy_looks(["P4"])["P4"]


def test_the_percentiles_of_a_table_are_those_of_its_rows():
    made = answered(1)
    table = plots.maps.percentiles(made.frame)
    runs = made.extra["runs"].set_index("policy")
    for policy in table.index:
        for name in ("p50", "p99", "p99.9"):
            asked = runs.loc[policy, f"{name}_ns"]
            assert table.loc[policy, name] <= asked <= table.loc[policy, name] * 65 / 64 + 1
    assert isinstance(plots.percentile_table(made.frame), Figure)
