"""Corrections keep the error they promise, and no more of the power than they must."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from retroscope.errors import SettingsError
from retroscope.statistics import CORRECTIONS, SignFlips, correct, paired_t, sign_flip

LEVEL = 0.05
CELLS = 12
FEW = SignFlips(permutations=399)


pytestmark = pytest.mark.usefixtures("no_collection")


def curves(seed, families, correlation, effect=0.0, queries=40):
    """Differences of `families` layer curves: neighbouring cells share most of a query's noise."""
    random = np.random.default_rng(seed)
    shared = random.normal(size=(families, queries, 1))
    own = random.normal(size=(families, queries, CELLS))
    return np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own + effect


def corrected(name, differences):
    p = paired_t(np.zeros_like(differences), differences)
    return correct(name, p, differences, FEW)


def false_finding_rate(name, data):
    return np.mean([(corrected(name, family) <= LEVEL).any() for family in data])


@pytest.mark.parametrize("name", ["holm", "bonferroni", "max_t"])
@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_one_false_finding_in_a_family_is_as_rare_as_stated(name, correlation):
    rate = false_finding_rate(name, curves(1, 500, correlation))
    assert rate < LEVEL + 4 * np.sqrt(LEVEL * (1 - LEVEL) / 500)


def test_without_correction_false_findings_are_common():
    assert false_finding_rate("none", curves(1, 500, 0.0)) > 0.35  # 1 - .95^12 = .46


def test_max_t_spends_its_level_where_holm_wastes_it():
    data = curves(2, 500, 0.95)
    rate = false_finding_rate("max_t", data)
    assert rate > LEVEL - 4 * np.sqrt(LEVEL * (1 - LEVEL) / 500) > 0
    assert rate > 2 * false_finding_rate("holm", data)


def test_max_t_finds_more_than_holm_when_layers_move_together():
    data = curves(3, 150, 0.9, effect=0.45)
    by_name = {
        name: np.mean([(corrected(name, family) <= LEVEL).mean() for family in data]) for name in ("max_t", "holm")
    }
    assert by_name["max_t"] > by_name["holm"] + 0.05


def test_bh_bounds_the_share_of_false_findings_and_finds_more_than_holm():
    effects = np.where(np.arange(CELLS) < 6, 0.5, 0.0)
    data = curves(4, 600, 0.0) + effects
    shares, by_name = [], {"bh": 0, "holm": 0}
    for family in data:
        hits = corrected("bh", family) <= LEVEL
        shares.append(hits[6:].sum() / max(hits.sum(), 1))
        by_name["bh"] += hits.sum()
        by_name["holm"] += (corrected("holm", family) <= LEVEL).sum()
    assert np.mean(shares) < LEVEL * 6 / CELLS + 4 * np.std(shares) / np.sqrt(len(shares))
    assert by_name["bh"] > 1.1 * by_name["holm"]


def test_holm_is_the_closure_of_bonferroni():
    """Holm's p for a cell = the largest Bonferroni p of any subset that holds it (closed testing)."""
    p = np.random.default_rng(5).random(6) ** 3
    subsets = [s for size in range(1, 7) for s in combinations(range(6), size)]
    closure = [max(min(1, len(s) * p[list(s)].min()) for s in subsets if i in s) for i in range(6)]
    assert correct("holm", p, np.zeros((0, 6)), FEW) == pytest.approx(closure)


def test_bh_agrees_with_scipy():
    p = np.random.default_rng(6).random(30) ** 2
    assert correct("bh", p, np.zeros((0, 30)), FEW) == pytest.approx(stats.false_discovery_control(p))


def test_max_t_of_one_cell_is_its_sign_flip():
    data = curves(7, 1, 0.5, effect=0.3)[0][:, :1]
    p = sign_flip(np.zeros_like(data), data, FEW)
    assert (correct("max_t", p, data, FEW) == p).all()


@pytest.mark.parametrize("seed", range(8))
def test_max_t_is_the_step_down_definition_by_enumeration(seed):
    data = curves(seed, 1, 0.0, effect=0.4, queries=7)[0][:, :3]
    size = np.sqrt((data**2).sum(axis=0))
    observed = np.abs(data.sum(axis=0)) / size
    flipped = np.array([np.abs(np.array(s) @ data) / size for s in product((1, -1), repeat=7)])
    order, expected, largest_yet = np.argsort(-observed), np.empty(3), 0.0
    for k, cell in enumerate(order):
        share = np.mean(flipped[:, order[k:]].max(axis=1) >= observed[cell] - 1e-12)
        expected[cell] = largest_yet = max(largest_yet, share)
    assert correct("max_t", np.zeros(3), data, FEW) == pytest.approx(expected)


@pytest.mark.parametrize("name", CORRECTIONS)
def test_a_correction_never_helps_and_cells_without_p_are_no_part_of_the_family(name):
    data = curves(9, 1, 0.5, effect=0.3)[0]
    p = paired_t(np.zeros_like(data), data)
    whole = correct(name, p, data, FEW)
    assert ((whole >= p) & (whole <= 1)).all()
    padded = correct(name, np.append(p, np.nan), np.column_stack([data, np.full(len(data), np.nan)]), FEW)
    assert (padded[:-1] == whole).all()
    assert np.isnan(padded[-1])
    assert np.isnan(correct(name, np.full(2, np.nan), data[:, :2], FEW)).all()


def test_a_misspelt_correction_is_met_with_advice():
    with pytest.raises(SettingsError, match=r"unknown correction 'hlom'\n  fix: did you mean 'holm'"):
        correct("hlom", np.ones(2), np.zeros((0, 2)), FEW)
