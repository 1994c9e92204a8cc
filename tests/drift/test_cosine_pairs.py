"""RSA and common neighbours, against their definitions; of some rows, against the same vectors alone."""

import numpy as np
import pytest
from scipy import stats

from retroscope.drift.pairs import neighbour_overlap, neighbour_overlap_of_rows, rsa, rsa_of_rows
from retroscope.statistics.resampling.jackknife import GROUPS, fewest_texts, jackknife
from synthetic_drift import cloud


def test_rsa_is_the_rank_correlation_of_cosines() -> None:
    x, y = cloud(30), cloud(30, seed=1)
    u, v = (w / np.linalg.norm(w, axis=1, keepdims=True) for w in (x, y))
    pairs = [(u[i] @ u[j], v[i] @ v[j]) for i in range(30) for j in range(i + 1, 30)]
    assert rsa(x, y) == pytest.approx(stats.spearmanr(*zip(*pairs, strict=True)).statistic, abs=1e-6)
    assert rsa(x, 3 * x) == pytest.approx(1)


def test_neighbours() -> None:
    x = cloud(50)
    assert neighbour_overlap(x, 2 * x, k=5) == 1
    order = np.random.default_rng(3).permutation(50)
    shares = [neighbour_overlap(cloud(50, seed=s), cloud(50, seed=s + 500), k=5) for s in range(40)]
    assert neighbour_overlap(x[order], (2 * x)[order], k=5) == 1, "the order of the texts is nothing"
    assert np.mean(shares) == pytest.approx(5 / 49, abs=4 * np.std(shares, ddof=1) / np.sqrt(40))


def test_texts_of_one_vector_have_no_nearest_neighbours() -> None:
    same = np.ones((30, 4), dtype=np.float32)
    assert np.isnan(neighbour_overlap(same, same, k=5))
    assert np.isnan(neighbour_overlap(same, cloud(30), k=5))


def naive_overlap(x: np.ndarray, y: np.ndarray, k: int) -> float:
    """Every text by itself: its neighbours sorted, left out where the k-th is no nearer than the next."""
    shares = []
    for i in range(len(x)):
        nearest = []
        for v in (x, y):
            unit = v.astype(np.float64) / np.linalg.norm(v.astype(np.float64), axis=1, keepdims=True)
            near = sorted(((float(unit[i] @ unit[j]), j) for j in range(len(v)) if j != i), reverse=True)
            nearest.append({j for _, j in near[:k]} if near[k - 1][0] - near[k][0] > 1e-12 else None)
        if None not in nearest:
            shares.append(len(nearest[0] & nearest[1]) / k)
    return float(np.mean(shares))


@pytest.mark.parametrize("repeated", [False, True], ids=["distinct", "repeated vectors"])
def test_some_rows_are_as_those_texts_alone(repeated: bool) -> None:
    """Pairs are sorted once for all texts; vectors that repeat have cosines that tie, and ranks at their mean."""
    x = cloud(60, dim=4)
    if repeated:
        x[30:] = x[:30]
    y = x + cloud(60, dim=4, seed=1)
    of_rsa, of_overlap = rsa_of_rows(x, y), neighbour_overlap_of_rows(x, y, 5)
    for seed in range(5):
        rows = np.flatnonzero(np.random.default_rng(seed).random(60) < 0.8)
        one, two = x[rows], y[rows]
        pairs = np.triu_indices(len(rows), 1)
        unit = [v.astype(np.float64) / np.linalg.norm(v.astype(np.float64), axis=1, keepdims=True) for v in (one, two)]
        cosines = [np.round(u @ u.T, 12)[pairs] for u in unit]
        assert of_rsa(rows) == pytest.approx(stats.spearmanr(*cosines).statistic, abs=1e-4 if repeated else 1e-12)
        assert of_overlap(rows) == naive_overlap(one, two, 5)


def test_texts_that_never_vary_have_no_rank_correlation() -> None:
    same = np.ones((10, 4), dtype=np.float32)
    assert np.isnan(rsa(same, cloud(10)))
    assert np.isnan(rsa(cloud(10), same))


@pytest.mark.parametrize("neighbours", [1, 10, 15, 16, 17, 50, 123])
def test_every_group_left_out_leaves_texts_beyond_the_neighbours(neighbours: int) -> None:
    """One text fewer is too few: all others are neighbours of each other, and every overlap is 1."""
    smallest: list[int] = []

    def left(rows: np.ndarray) -> float:
        smallest.append(len(rows))
        return 0.0

    needed = fewest_texts(neighbours)
    jackknife(left, needed)
    assert min(smallest) >= neighbours + 2
    assert needed == 2 * GROUPS or needed - 1 - -(-(needed - 1) // GROUPS) < neighbours + 2
