"""A headless Chromium, and pages of made-up studies in it; skips where there is no browser."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retroscope.analyses.retrieval.stored import CHARACTERS
from retroscope.study.reporting.report import render
from synthetic_drift import mapped
from synthetic_report import report_of
from synthetic_retrieval import rankings, retrieval_result
from synthetic_subject import EVIL, model, subject, tower
from synthetic_vocabulary import vocabulary_result

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "chromium-headless-shell")
TEMPLATE, BIDI = "{{ 7 * 7 }} {% raw %} ${7*7} \\input{x}", "\u202eright to left\u202c"
HOSTILE = (f"{EVIL} {TEMPLATE} {BIDI} " + "w" * 1_000_000)[:CHARACTERS]  # as a study stores texts


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Return a browser that may not reach the network."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (the extra `browser`)")
    found = os.environ.get("RETROSCOPE_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium is installed (apt-get install chromium, or set RETROSCOPE_CHROMIUM to its path)")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a page of a made-up study."""
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render(report_of(representations=mapped(), vocabulary=vocabulary_result())), "utf-8")
    return file


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a page whose every name and text is hostile."""
    about = subject(
        title=EVIL,
        models={"before": model(EVIL, towers=(tower(EVIL, failed=True),)), "after": model(f"{BIDI} {TEMPLATE}")},
        caveats=(HOSTILE,),
        command=EVIL,
        settings={EVIL: EVIL},
    )
    file = tmp_path_factory.mktemp("hostile") / "report.html"
    found, says = retrieval_result(rankings=rankings(HOSTILE, HOSTILE)), vocabulary_result(HOSTILE)
    evil = report_of(about, retrieval=found, representations=mapped(HOSTILE), vocabulary=says)
    file.write_text(render(evil), "utf-8")
    return file
