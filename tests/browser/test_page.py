"""The page in a browser: it fetches nothing, is accessible, its controls work, and its numbers are right."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from synthetic_retrieval import retrieval_scores
from synthetic_subject import EVIL, N_QUERIES, query_ids

pytestmark = pytest.mark.browser
OPEN_ALL = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"
SECONDS = 30  # to wait for what a page does
DRAW_ALL = "Promise.all([...document.querySelectorAll('[data-figure]')].map(draw))"


def until(tab: Any, condition: str) -> None:
    """Wait until a condition holds. Playwright's own wait asks again with `eval`, which the page's policy forbids."""
    end = monotonic() + SECONDS
    while not tab.evaluate(condition):
        assert monotonic() < end, f"after {SECONDS} s still not: {condition}"
        tab.wait_for_timeout(20)


class Opened:
    """A page in a tab, and what it asked for and said."""

    def __init__(self, chromium: Any, file: Path, **options: Any) -> None:
        self.context = chromium.new_context(viewport={"width": 1300, "height": 900}, **options)
        self.tab = self.context.new_page()
        self.requests: list[str] = []
        self.messages: list[str] = []
        self.tab.on("request", lambda one: self.requests.append(one.url))
        self.tab.on("console", lambda one: self.messages.append(one.text))
        self.tab.on("pageerror", lambda one: self.messages.append(str(one)))
        self.tab.on("dialog", lambda one: (self.messages.append(one.message), one.dismiss()))
        self.address = file.as_uri()
        self.tab.goto(self.address)

    def ready(self) -> "Opened":
        """Wait until everything is unpacked and drawn."""
        self.tab.evaluate("queriesStarted")
        self.tab.evaluate(OPEN_ALL)
        self.tab.evaluate(DRAW_ALL)
        return self


@pytest.fixture(scope="module")
def opened(chromium: Any, written: Path) -> Iterator[Opened]:
    one = Opened(chromium, written, permissions=["clipboard-read", "clipboard-write"])
    yield one.ready()
    one.context.close()


@pytest.fixture(scope="module")
def attacked(chromium: Any, hostile: Path) -> Iterator[Opened]:
    one = Opened(chromium, hostile)
    yield one.ready()
    one.context.close()


@pytest.fixture(autouse=True)
def top(request: pytest.FixtureRequest) -> None:
    """Begin every test without choices."""
    if "opened" in request.fixturenames:
        tab = request.getfixturevalue("opened").tab
        tab.evaluate("history.replaceState(null, '', location.pathname); form().reset()")
        until(tab, f"chosen.length === {N_QUERIES}")


@pytest.mark.parametrize("which", ["opened", "attacked"])
def test_nothing_is_fetched_and_nothing_goes_wrong(which: str, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue(which)
    assert page.requests == [page.address]
    assert page.messages == []
    figures = page.tab.locator("[data-figure]").count()
    assert figures >= 7
    assert page.tab.locator("[data-figure] > .chart-wrapper svg, [data-figure] > svg").count() == figures
    assert "could not be drawn" not in page.tab.inner_text("main")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_rule_of_accessibility_is_broken(opened: Opened, scheme: str) -> None:
    spec = find_spec("axe_playwright_python")
    if spec is None or spec.origin is None:
        pytest.skip("axe-playwright-python is not installed (the extra `browser`)")
    opened.tab.emulate_media(color_scheme=scheme)
    opened.tab.evaluate("open(document.querySelector('#query-rows tr'), chosen[0], true)")
    opened.tab.evaluate(Path(spec.origin).with_name("axe.min.js").read_text("utf-8"))
    found = opened.tab.evaluate("axe.run()")["violations"]
    assert [
        (one["id"], node["html"][:200], node["failureSummary"][:300]) for one in found for node in one["nodes"]
    ] == []


def test_two_hundred_numbers_are_those_that_are_stored(opened: Opened) -> None:
    opened.tab.evaluate(f"shown = {N_QUERIES}; show()")
    shown = opened.tab.eval_on_selector_all(
        "#query-rows tr",
        "(rows) => rows.map((row) => [row.id, ...[...row.cells].slice(2).map((cell) => cell.textContent)])",
    )
    assert len(shown) == N_QUERIES
    before, after = (scores.select(measure="RR").values for scores in retrieval_scores())
    rng = np.random.default_rng(0)
    for row in rng.choice(N_QUERIES, 67, replace=False):
        name, rank_before, rank_after, _, change = shown[row]
        query = name.removeprefix("query=")
        first, second = float(before.sel(query=query)), float(after.sel(query=query))
        assert (int(rank_before), int(rank_after)) == (round(1 / first), round(1 / second))
        assert float(change.replace("\u2212", "-")) == pytest.approx(second - first, abs=5.1e-4)


def test_queries_are_chosen_by_text_outcome_and_words(opened: Opened) -> None:
    tab = opened.tab
    before, after = (scores.select(measure="RR").values.values for scores in retrieval_scores())
    tab.select_option("select[name=change]", "lost")
    assert tab.evaluate("chosen.length") == int((after < before).sum())
    tab.select_option("select[name=change]", "all")
    tab.fill("input[name=text]", "number 17 happen")
    assert tab.evaluate("chosen.map((row) => row.number)") == [17]
    assert tab.locator("#query-rows tr").count() == 1
    tab.fill("input[name=most]", "3")
    assert tab.inner_text("#chosen").startswith(f"0 of {N_QUERIES}")
    tab.click("#choices button[type=reset]")
    until(tab, f"chosen.length === {N_QUERIES}")


def test_curves_follow_the_queries_that_are_chosen(opened: Opened) -> None:
    opened.tab.fill("input[name=text]", "number 17 happen")
    points = opened.tab.evaluate("views.chosen_layers.runAsync().then((view) => view.data('chosen'))")
    stored = opened.tab.evaluate("layersOf[0].scores.after[layersOf[0].ids.indexOf(chosen[0].id)]")
    assert [one["value"] for one in points if one["series"] == "after"] == stored


def test_a_query_opens_and_is_sorted_by_mouse_and_by_keyboard(opened: Opened) -> None:
    tab, first = opened.tab, "#query-rows tr:first-child button"
    tab.click(first)
    assert tab.get_attribute(first, "aria-expanded") == "true"
    assert tab.locator("tr.details ol").count() == 2
    assert "relevant" in tab.inner_text("tr.details li >> nth=1")
    assert tab.locator("tr.details .number").count() > 7
    query = tab.evaluate("chosen[0].id")
    said = [f"{side} {text} {query}" for side in ("before", "after") for text in ("query", "passage")]
    assert tab.locator("tr.details [aria-label='words that its vectors decode to'] td").all_inner_texts() == said
    tab.focus(first)
    tab.keyboard.press("Enter")
    assert tab.get_attribute(first, "aria-expanded") == "false"
    heading = "#queries th[data-key=before]"
    for press in (lambda: tab.click(f"{heading} button"), lambda: tab.keyboard.press("Enter")):
        press()
        down = tab.get_attribute(heading, "aria-sort") == "descending"
        ranks = tab.evaluate("chosen.map((row) => row.before)")
        assert ranks == sorted(ranks, reverse=down)
    tab.keyboard.press("Tab")
    tab.keyboard.press("Space")
    assert tab.get_attribute("#queries th[data-key=after]", "aria-sort") == "descending"
    shown = tab.locator("#query-rows tr").count()
    tab.focus("#more-queries")
    tab.keyboard.press("Enter")
    assert tab.locator("#query-rows tr").count() == min(N_QUERIES, 2 * shown)


def test_every_choice_of_every_figure_works_by_mouse_and_by_keyboard(opened: Opened) -> None:
    tab = opened.tab
    choices = tab.locator(".vega-bindings select, .vega-bindings input").all()
    assert len(choices) >= 5
    for one in choices:
        figure = one.evaluate("(input) => input.closest('[data-figure]').dataset.figure")
        name, before = one.get_attribute("name"), one.evaluate("(input) => input.value + input.checked")
        signal = f"JSON.stringify(views.{figure}.signal({name!r}))"
        old = tab.evaluate(signal)
        one.focus()
        if one.get_attribute("type") == "checkbox":
            one.press("Space")
            assert tab.evaluate(signal) != old
            one.click()
            assert tab.evaluate(signal) == old
            continue
        options = one.evaluate("(input) => input.options.length")
        one.evaluate("(input) => { input.selectedIndex = 0; input.dispatchEvent(new Event('change')); }")
        first = tab.evaluate(signal)
        one.press("ArrowDown")
        assert options == 1 or tab.evaluate(signal) != first, (figure, name, before)
        one.select_option(index=0)
        assert tab.evaluate(signal) == first


def test_tables_commands_and_figures_can_be_taken_along(opened: Opened) -> None:
    tab = opened.tab
    copied = "navigator.clipboard.readText()"
    for kind, start in (("csv", "measure,"), ("latex", "\\begin{table}")):
        button = tab.locator(f"[data-copy-table=retrieval][data-as={kind}]")
        button.focus()
        button.press("Enter")
        until(tab, f"document.getElementById('said').textContent === 'table as {kind} copied'")
        assert tab.evaluate(copied).startswith(start)
    tab.click("[data-copy-text=command]")
    assert tab.evaluate(copied).startswith("retroscope compare ")
    for kind, magic in (("svg", b"<svg"), ("png", b"\x89PNG")):
        with tab.expect_download() as download:
            tab.locator(f"[data-save-figure=retrieval][data-as={kind}]").press("Enter")
        assert Path(download.value.path()).read_bytes().startswith(magic)


def test_addresses_of_queries_figures_and_rows_open_what_hides_them(chromium: Any, written: Path) -> None:
    page = Opened(chromium, written)
    page.tab.evaluate("queriesStarted")
    for place in ("figure-selectivity", "table-probing-2"):
        page.tab.evaluate(f"location.hash = {place!r}")
        until(page.tab, f"document.getElementById({place!r}).checkVisibility()")
    page.tab.goto(f"{page.address}#query={query_ids()[-1]}")
    page.tab.reload()
    page.tab.wait_for_selector("tr.details ol")
    assert page.tab.get_attribute("tr:has(+ tr.details)", "id") == f"query={query_ids()[-1]}"
    page.context.close()


def test_a_query_is_followed_on_the_map_and_a_layer_is_chosen(opened: Opened) -> None:
    tab, query = opened.tab, "[data-figure=text_map] select[name=query]"
    assert tab.locator(f"{query} option").count() == 7, "six queries, or none"
    tab.select_option(query, index=3)
    tab.select_option("[data-figure=text_map] select[name=side]", "before")
    until(tab, "views.text_map.signal('side') === 'before'")
    assert tab.evaluate("views.text_map.signal('query')") == "3. text 2"
    highlighted = tab.locator("[data-figure=text_map] .layer_3_marks path")
    assert highlighted.count() == 2, "the query and its relevant passage"
    tab.select_option("[data-figure=similarities] select[name=chosen_layer]", index=0)
    said = tab.locator("[data-figure=similarities] svg text", has_text="relevant above")
    assert sorted(said.all_text_contents()) == [
        "after: relevant above 50 % of others",
        "before: relevant above 50 % of others",
    ]


def test_hostile_texts_are_only_text(attacked: Opened) -> None:
    tab = attacked.tab
    tab.evaluate("open(document.querySelector('#query-rows tr'), chosen[0], true)")
    assert tab.locator("img, iframe, object, script[src]").count() == 0
    assert tab.inner_text("h1") == EVIL
    assert tab.inner_text("#query-rows bdi >> nth=0").startswith(EVIL)
    assert tab.inner_text("tr.details bdi >> nth=0").startswith(EVIL)
    assert "{{ 7 * 7 }}" in tab.inner_text(".pair")
    assert "49" not in tab.inner_text(".pair")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert attacked.messages == []


@pytest.mark.parametrize("width", [1300, 800, 390])
def test_the_page_is_no_wider_than_its_window(opened: Opened, width: int) -> None:
    opened.tab.set_viewport_size({"width": width, "height": 844})
    assert opened.tab.evaluate("document.documentElement.scrollWidth") <= width
    opened.tab.set_viewport_size({"width": 1300, "height": 900})


def test_pictures_and_tables_need_no_script(chromium: Any, written: Path) -> None:
    page = Opened(chromium, written, java_script_enabled=False)
    assert page.tab.locator("figure.main noscript svg").first.is_visible()
    page.tab.locator("summary", has_text="changed most").click()
    assert page.tab.locator("table:has(caption:has-text('tables/flips.csv')) tbody tr").count() == 60
    assert not page.tab.locator("#choices").is_visible()
    page.context.close()


def test_print_shows_what_is_folded(chromium: Any, written: Path) -> None:
    page = Opened(chromium, written)
    page.tab.evaluate("queriesStarted")
    page.tab.emulate_media(media="print")
    page.tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.tab.locator("main details:not([open]):not(#statements)").count() == 0
    assert page.tab.pdf()[:4] == b"%PDF"
    assert page.messages == []
    page.context.close()
