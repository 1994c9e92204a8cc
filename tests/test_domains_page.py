"""The study of domains: its page and its relation of shift to retrieval are those of the committed results."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
COLLECTIONS = [f"c{k}" for k in range(9)]


@pytest.fixture(scope="module")
def made() -> Iterator[ModuleType]:
    """Return benchmarks/domains_page.py as a module."""
    spec = importlib.util.spec_from_file_location("domains_page", BENCHMARKS / "domains_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["domains_page"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["domains_page"]


def test_page_and_relation_are_those_of_the_results(made: ModuleType) -> None:
    results = {name: pd.read_csv(made.HOME / made.DATA / f"{name}.csv") for name in ("retrieval", "shift", "home")}
    relation = made.related(results["retrieval"], results["shift"])
    stored = pd.read_csv(made.HOME / made.DATA / "relation.csv")
    pd.testing.assert_frame_equal(relation, stored, rtol=1e-4)
    page = (made.HOME / made.PAGE).read_text("utf-8")
    tables = made.tables(results["retrieval"], results["shift"], results["home"], relation)
    assert made.filled(page, tables) == page, "run `python benchmarks/domains.py --page`"
    assert all(table in page for table in tables.values())


def test_a_table_that_is_not_of_the_results_is_replaced(made: ModuleType) -> None:
    assert (
        made.filled("<!-- home -->\n\nold\n\n<!-- end -->", {"home": "new"}) == "<!-- home -->\n\nnew\n\n<!-- end -->"
    )


def frames(effect_of_size: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(0)
    sizes = pd.DataFrame(rng.normal(size=(9, 3)), index=COLLECTIONS)
    return sizes, effect_of_size * sizes + rng.normal(size=(9, 3))


def test_a_planted_relation_is_found_and_none_is_not(made: ModuleType) -> None:
    rho, low, _ = made.jackknifed(*frames(-4.0))
    assert rho < -0.8
    assert low < rho
    assert made.permuted(*frames(-4.0)) < 0.001
    none = frames(0.0)
    rho, low, high = made.jackknifed(*none)
    assert low < 0 < high
    assert made.permuted(*none) > 0.05
