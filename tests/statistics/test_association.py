"""Odds ratios: statsmodels as oracle, planted confounding, and what cannot be estimated."""

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import StratifiedTable, Table2x2

from retroscope.statistics.association import by_quantile, mantel_haenszel, odds_ratio


def draw(n: int, *, effect: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two outcomes that a stratum drives, and the first the second by `effect` (log odds)."""
    rng = np.random.default_rng(seed)
    stratum = rng.integers(3, size=n)
    first = rng.random(n) < np.array([0.2, 0.5, 0.8])[stratum]
    logit = np.array([-2.0, 0.0, 2.0])[stratum] + effect * first
    return first, rng.random(n) < 1 / (1 + np.exp(-logit)), stratum


def tables(first: np.ndarray, second: np.ndarray, strata: np.ndarray) -> list[np.ndarray]:
    return [
        np.array([[(a & b & (strata == s)).sum() for b in (second, ~second)] for a in (first, ~first)])
        for s in np.unique(strata)
    ]


def test_independent_items_agree_with_statsmodels() -> None:
    first, second, strata = draw(4000, effect=0.8)
    crude = odds_ratio(first, second, np.arange(4000))
    (table,) = tables(first, second, np.zeros(4000))
    oracle = Table2x2(table.astype(float) + 0.5)
    assert crude.value == pytest.approx(oracle.oddsratio)
    assert (crude.low, crude.high) == pytest.approx(oracle.oddsratio_confint(), rel=0.01)
    within = mantel_haenszel(first, second, strata, np.arange(4000))
    oracle = StratifiedTable([t.astype(float) for t in tables(first, second, strata)])
    assert within.value == pytest.approx(oracle.oddsratio_pooled)
    assert (within.low, within.high) == pytest.approx(oracle.oddsratio_pooled_confint(), rel=0.01)
    assert within.strata == 3


def test_a_confounder_makes_a_crude_ratio_and_none_within_strata() -> None:
    first, second, strata = draw(4000, effect=0.0)
    clusters = np.arange(4000)
    crude, within = odds_ratio(first, second, clusters), mantel_haenszel(first, second, strata, clusters)
    assert crude.low > 2
    assert crude.p < 1e-6
    assert within.low < 1 < within.high
    assert within.p > 0.05


def test_items_of_one_cluster_widen_the_interval() -> None:
    first, second, _ = draw(300, effect=1.0)
    once = odds_ratio(first, second, np.arange(300))
    repeated = odds_ratio(np.tile(first, 4), np.tile(second, 4), np.tile(np.arange(300), 4))
    naive = odds_ratio(np.tile(first, 4), np.tile(second, 4), np.arange(1200))
    assert repeated.high / repeated.low == pytest.approx(once.high / once.low, rel=0.05)
    assert naive.high / naive.low < 0.8 * repeated.high / repeated.low


def test_what_does_not_vary_has_no_ratio() -> None:
    yes, some = np.ones(10, dtype=bool), np.arange(10) % 2 == 0
    for first, second in ((yes, some), (some, ~yes)):
        assert np.isnan(odds_ratio(first, second, np.arange(10)).value)
        assert np.isnan(mantel_haenszel(first, second, np.zeros(10), np.arange(10)).value)
    assert np.isnan(mantel_haenszel(some, some, np.zeros(10), np.arange(10)).value)  # infinite
    assert odds_ratio(some, some, np.arange(10)).value > 50  # finite by the correction
    assert mantel_haenszel(some, some, np.zeros(10), np.arange(10)).n == 10
    rare = np.arange(10) < 4
    assert np.isnan(odds_ratio(rare, some, np.arange(10)).value)  # too few


def test_an_empty_cell_leaves_the_one_table_without_an_interval() -> None:
    first = np.repeat([True, False], [47, 265])
    second = np.concatenate([np.zeros(47, dtype=bool), np.arange(265) < 13])  # 0 of 47 against 13 of 265
    crude = odds_ratio(first, second, np.arange(312))
    assert crude.value == pytest.approx(0.197, abs=0.001)
    assert np.isnan([crude.low, crude.high, crude.p]).all(), "Fisher's exact test gives .23, the jackknife gave 1e-4"


def test_independent_outcomes_are_associated_at_the_nominal_rate_even_where_one_is_rare() -> None:
    rng, found = np.random.default_rng(4), []
    for _ in range(1000):
        first, second = rng.random(300) < 0.15, rng.random(300) < 0.05
        found.append(odds_ratio(first, second, np.arange(300)).p)
    assert np.isnan(found).any()
    assert np.mean(np.array(found) < 0.05) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 1000)


def test_quantiles_keep_equal_values_together() -> None:
    assert by_quantile(np.array([0.0, 0.0, 0.0, 0.0]), 3).tolist() == [0, 0, 0, 0]
    parts = by_quantile(np.arange(9.0), 3)
    assert np.bincount(parts).tolist() == [3, 3, 3]
