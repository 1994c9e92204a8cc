"""The overview of several studies in a browser: it fetches nothing, is accessible, and its choices work."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from test_page import OPEN_ALL, Opened, until

from retroscope.study.overview.comparable import OWN
from retroscope.study.overview.overview import Overview
from retroscope.study.overview.page import write_overview
from synthetic_overview import made_up_overview
from synthetic_subject import EVIL

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def overview(tmp_path_factory: pytest.TempPathFactory) -> Overview:
    return made_up_overview(tmp_path_factory.mktemp("studies"))


@pytest.fixture(scope="module")
def side_by_side(chromium: Any, overview: Overview) -> Iterator[Opened]:
    page = Opened(chromium, write_overview(overview, overview.members[0].folder.parent / "overview.html"))
    page.tab.evaluate(OPEN_ALL)
    page.tab.evaluate("started")
    page.tab.evaluate("Promise.all([...document.querySelectorAll('[data-figure]')].map(draw))")
    yield page
    page.context.close()


def test_nothing_is_fetched_and_every_figure_is_drawn(side_by_side: Opened) -> None:
    assert side_by_side.requests == [side_by_side.address]
    assert side_by_side.messages == []
    figures = side_by_side.tab.locator("[data-figure]").count()
    assert figures == 4, "effects and curves of two groups that may not be compared"
    assert side_by_side.tab.locator("[data-figure] > .chart-wrapper svg, [data-figure] > svg").count() == figures


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_rule_of_accessibility_is_broken(side_by_side: Opened, scheme: str) -> None:
    spec = find_spec("axe_playwright_python")
    if spec is None or spec.origin is None:
        pytest.skip("axe-playwright-python is not installed (the extra `browser`)")
    side_by_side.tab.emulate_media(color_scheme=scheme)
    side_by_side.tab.evaluate(Path(spec.origin).with_name("axe.min.js").read_text("utf-8"))
    found = side_by_side.tab.evaluate("axe.run()")["violations"]
    assert [(one["id"], node["html"][:200]) for one in found for node in one["nodes"]] == []


def test_a_baseline_is_chosen_by_keyboard_and_its_effects_are_those_of_the_table(
    side_by_side: Opened, overview: Overview
) -> None:
    tab, choice = side_by_side.tab, "[data-figure=effects] select[name=chosen_baseline]"
    options = tab.eval_on_selector_all(f"{choice} option", "(all) => all.map((one) => one.textContent)")
    assert options == [OWN, "checkpoint one", "checkpoint two", "checkpoint three"]
    tab.focus(choice)
    tab.press(choice, "ArrowDown")
    until(tab, "views.effects.signal('chosen_baseline') === 'checkpoint one'")
    drawn = tab.evaluate("views.effects.runAsync().then((view) => view.data('data_0'))")
    first = overview.comparables[0]
    expected = first.against("checkpoint one", first.headline)
    shown = {row["model"]: row["effect"] for row in drawn if "effect" in row}
    assert shown == pytest.approx(dict(zip(expected["model"], expected["effect"], strict=True)), abs=1e-4)


def test_studies_that_may_not_be_compared_are_apart_and_named(side_by_side: Opened) -> None:
    tab = side_by_side.tab
    assert "checkpoint other may not be compared with checkpoint one" in tab.inner_text(".cautions")
    assert tab.locator("#collection-1 td", has_text="checkpoint other").count() == 0
    assert tab.locator("#collection-2 td", has_text="checkpoint one").count() == 0
    link = tab.locator("table.answers a", has_text="checkpoint one")
    assert link.get_attribute("href") == "one/report.html"
    assert tab.locator("table.answers a", has_text="checkpoint two").count() == 0, "it has no page"


@pytest.mark.parametrize("width", [1300, 800, 390])
def test_the_page_is_no_wider_than_its_window(side_by_side: Opened, width: int) -> None:
    side_by_side.tab.set_viewport_size({"width": width, "height": 844})
    assert side_by_side.tab.evaluate("document.documentElement.scrollWidth") <= width
    side_by_side.tab.set_viewport_size({"width": 1300, "height": 900})


def test_tables_need_no_script(chromium: Any, overview: Overview) -> None:
    file = write_overview(overview, overview.members[0].folder.parent / "plain.html")
    page = Opened(chromium, file, java_script_enabled=False)
    assert page.tab.locator("table.answers tbody tr").count() == 4
    assert page.tab.locator("#table-own tbody tr").count() == 3 * 3
    assert page.tab.locator("#table-own").is_visible()
    page.context.close()


def test_hostile_names_are_only_text(chromium: Any, tmp_path: Path) -> None:
    evil = made_up_overview(tmp_path / 'a"b', EVIL, EVIL)
    page = Opened(chromium, write_overview(evil, tmp_path / "overview.html"))
    page.tab.evaluate("started")
    page.tab.evaluate("Promise.all([...document.querySelectorAll('[data-figure]')].map(draw))")
    assert page.messages == []
    assert page.tab.locator("img, iframe, object, script[src]").count() == 0
    assert page.tab.inner_text("table.answers tbody th >> nth=0").startswith(EVIL)
    page.context.close()
