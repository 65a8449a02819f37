"""The report in a real browser: no errors, no requests; it sorts, filters, tells, prints, and reads aloud.

Skipped where there is no Chromium (Debian: chromium) or no Playwright.
"""

from __future__ import annotations

import base64
import csv
import io
import re
import shutil
from pathlib import Path

import pytest

from bench.report import provenance
from bench.report.page import Report, render, section, write
from tests.bench.small_trace import answered, small_trace

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)"
)

QUESTIONS = (1, 2, 4, 5, 12)
#: Waits until a scroll has been told to the page, which hides a tooltip: it comes with the next frame.
DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    answers = [answered(number) for number in QUESTIONS]
    first = answers[0]
    made = Report(
        title="smmubench: a test",
        headline=first.extra["runs"],
        sections=[section(a, "0123456789ab") for a in answers],
        manifest=first.manifest,
        hardware=provenance.hardware(["mmu500"]),
        costs=[provenance.costs("mobile-big", "ring")],
        commit="0123456789ab",
        command="smmubench report",
    )
    return write(render(made), tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        # Chromium's own sandbox wants a user that is not root.
        made = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def opened(browser, page_file):
    """A page, and what it said and asked for."""
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    page = context.new_page()
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(page_file.as_uri())
    yield page
    context.close()


def shown(page, column=0):
    return page.eval_on_selector_all(
        "#runs tbody tr",
        f"rows => rows.filter(r => !r.hidden).map(r => r.cells[{column}].textContent.trim())",
    )


def test_it_loads_without_an_error_and_asks_for_nothing(opened, page_file):
    opened.wait_for_load_state("networkidle")
    assert opened.said == []
    outside = [url for url in opened.asked if not url.startswith("data:")]
    assert outside == [page_file.as_uri()]


def test_it_names_nothing_outside_of_itself(page_file):
    text = page_file.read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#|data:)[^"']+""", text)
    assert "@import" not in text and not re.findall(r"url\((?!#)", text)
    # The names of XML's own vocabularies are no addresses.
    known = ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink")
    assert not [url for url in re.findall(r"https?://[^\s\"'<]+", text) if url not in known]


def test_a_heading_sorts_up_and_then_down(opened):
    heads = opened.locator("#runs thead button")
    names = heads.all_inner_texts()
    column = names.index("spurious")
    before = shown(opened)
    heads.nth(column).click()
    assert opened.locator("#runs thead th").nth(column).get_attribute("aria-sort") == "ascending"
    values = opened.eval_on_selector_all(
        "#runs tbody tr", f"r => r.map(x => Number(x.cells[{column}].dataset.sort))"
    )
    assert values == sorted(values)
    heads.nth(column).click()
    assert opened.locator("#runs thead th").nth(column).get_attribute("aria-sort") == "descending"
    assert shown(opened)[0] == "P6"
    assert sorted(shown(opened)) == sorted(before)


def test_verdicts_sort_from_worst_to_best(opened):
    opened.locator("#runs thead button", has_text="verdict").click()
    words = [text.split()[-1] for text in shown(opened, 2)]
    assert words[0] == "line-disabled" and words[-1] == "safe"


def test_it_filters_by_policy_and_by_hardware(opened):
    everything = shown(opened)
    opened.select_option("#filter-policy", "P8")
    assert shown(opened) == ["P8"]
    assert opened.inner_text("#shown") == f"1 of {len(everything)} runs"
    opened.select_option("#filter-hardware", "mmu500")
    assert shown(opened) == ["P8"]
    opened.click("button[type=reset]")
    opened.wait_for_function(
        f"document.getElementById('shown').textContent.startsWith('{len(everything)} of')"
    )
    assert shown(opened) == everything


def test_a_verdict_has_a_shape_and_a_word_besides_its_colour(opened):
    for text in shown(opened, 2):
        shape, word = text.split()
        assert len(shape) == 1 and not shape.isalnum()
        assert word.replace("-", "").isalpha()


@pytest.mark.parametrize("number", [2, 4, 5, 12])
def test_a_point_tells_what_it_shows(opened, number):
    name = f"q{number}-{answered(number).question.slug}"
    point = opened.locator(f"#{name} [data-tip]").first
    point.scroll_into_view_if_needed()
    opened.evaluate(DRAWN)
    box = point.bounding_box()
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = opened.locator("#tip")
    tip.wait_for(state="visible")
    told = opened.eval_on_selector_all(f"#{name} [data-tip]", "p => p.map(x => x.dataset.tip)")
    assert tip.inner_text() in told
    opened.mouse.move(1, 1)
    tip.wait_for(state="hidden")


def test_arrow_keys_go_through_the_points_and_are_read_aloud(opened):
    plot = opened.locator("#q2-storm .plot")
    plot.focus()
    texts = []
    for _ in range(2):
        opened.keyboard.press("ArrowRight")
        texts.append(opened.inner_text("#told"))
        assert opened.inner_text("#tip") == texts[-1]
    assert texts[0] != texts[1] and "faults/s" in texts[0]
    opened.keyboard.press("Escape")
    assert opened.locator("#tip").is_hidden()


def test_each_figure_has_its_command_and_its_rows_as_a_file(opened):
    for number in QUESTIONS:
        made = answered(number)
        part = opened.locator(f"#q{number}-{made.question.slug}")
        assert part.locator(".get code").inner_text() == made.command
        with opened.expect_download() as waiting:
            part.locator("a[download]").first.click()
        download = waiting.value
        assert download.suggested_filename == f"q{number}-{made.question.slug}.csv"
        rows = list(csv.DictReader(io.StringIO(Path(download.path()).read_text(encoding="utf-8"))))
        assert len(rows) == len(made.frame)
        assert list(rows[0]) == list(made.frame)


def test_provenance_under_a_figure_names_trace_commit_seed_hardware_and_costs(opened):
    part = opened.locator("#q2-storm details", has_text="What it rests on").first
    part.locator("summary").click()
    text = part.inner_text()
    manifest = answered(2).manifest
    for word in (
        "synthetic",
        manifest["sha256"][:16],
        "seed",
        "0123456789ab",
        "mmu500",
        "assumed",
        "measured",
    ):
        assert word in text, word
    part.locator("a", has_text="mmu500").click()
    chip = opened.locator("#hardware-mmu500")
    chip.locator("table").wait_for(state="visible")
    assert "MMU-500 TRM" in chip.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1100])
def test_it_passes_the_accessibility_check(browser, page_file, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    found = axe.Axe().run(page)
    context.close()
    assert found.violations_count == 0, found.generate_report()


def test_on_a_phone_nothing_but_tables_and_figures_scrolls_sideways(browser, page_file):
    context = browser.new_context(viewport={"width": 360, "height": 800})
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    size = page.eval_on_selector(".plot svg text", "t => t.getBoundingClientRect().height")
    context.close()
    assert size >= 9


def test_in_the_dark_the_page_and_its_figures_are_dark(browser, page_file):
    colours = {}
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        page.goto(page_file.as_uri())
        colours[scheme] = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, "
            "getComputedStyle(document.querySelector('.plot svg text')).fill]"
        )
        context.close()
    (light_paper, light_ink), (dark_paper, dark_ink) = (
        [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours[scheme]]
        for scheme in ("light", "dark")
    )
    assert light_paper > light_ink and dark_paper < dark_ink


def test_in_print_controls_are_gone(browser, page_file):
    context = browser.new_context()
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.emulate_media(media="print")
    assert page.locator(".filters").is_hidden()
    assert page.locator("nav").is_hidden()
    assert page.locator("#runs").is_visible()
    context.close()


def test_a_page_of_saved_runs_shows_them_and_no_more(browser, command, tmp_path):
    rows, out = tmp_path / "mine.parquet", tmp_path / "mine.html"
    words = ("compare", small_trace(), "--policy", "P4", "--policy", "P8", "--hardware", "mmu500")
    assert command(*words, "-o", str(rows))[0] == 0
    status, text, err = command("report", str(rows), "-o", str(out))
    assert status == 0, err
    assert "2 runs" in text
    page = browser.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(out.as_uri())
    assert shown(page) == ["P4", "P8"]
    assert page.locator("figure").count() == 1
    assert said == []
    page.close()


def test_a_folder_of_bursts_at_several_gaps_gives_a_storm_curve(command, tmp_path):
    for gap in ("100us", "10us", "1us"):
        words = ("compare", small_trace(), "--policy", "P4", "--policy", "P8", "--hardware", "mmu500",
                 "--scenario", f"burst:n=20,gap={gap}", "-o", str(tmp_path / f"{gap}.parquet"))  # fmt: skip
        assert command(*words)[0] == 0
    out = tmp_path / "all.html"
    assert command("report", str(tmp_path), "-o", str(out))[0] == 0
    text = out.read_text(encoding="utf-8")
    found = re.search(r'download="storm.csv" href="data:text/csv;charset=utf-8;base64,([^"]+)"', text)
    rows = list(csv.DictReader(io.StringIO(base64.b64decode(found[1]).decode())))
    assert sorted({float(row["faults_per_s"]) for row in rows}) == [1e4, 1e5, 1e6]
    assert text.count("<figure>") == 2
