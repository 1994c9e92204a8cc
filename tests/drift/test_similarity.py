"""CKA and its kin, against their definitions written out over texts, and against what they must be by symmetry."""

import numpy as np
import pytest
from scipy import stats

from retroscope.drift.geometry import alignment, anisotropy, uniformity, whitening
from retroscope.drift.similarity import (
    cka,
    hsic,
    procrustes,
    procrustes_chance,
    u_centred,
)
from retroscope.errors import AnalysisError
from retroscope.statistics.resampling.jackknife import jackknife
from synthetic_drift import cloud


def naive_hsic(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al. 2012, eq. 5, over texts."""
    n = len(x)
    k, m = (v.astype(np.float64) @ v.astype(np.float64).T for v in (x, y))
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    one = np.ones(n)
    total = (
        np.trace(k @ m) + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ m @ one)
    )
    return float(total / (n * (n - 3)))


def naive_cka(x: np.ndarray, y: np.ndarray) -> float:
    return naive_hsic(x, y) / np.sqrt(naive_hsic(x, x) * naive_hsic(y, y))


@pytest.mark.parametrize(("n", "dim"), [(60, 12), (20, 50), (4, 3), (200, 5)])
def test_cka_is_its_definition_over_texts(n: int, dim: int) -> None:
    x = cloud(n, dim)
    y = np.tanh(x @ np.random.default_rng(1).standard_normal((dim, dim + 3)).astype(np.float32))
    assert hsic(x, y) == pytest.approx(naive_hsic(x, y), rel=1e-6, abs=1e-9 * naive_hsic(x, x))
    assert cka(x, y) == pytest.approx(naive_cka(x, y), abs=1e-5)


def test_cka_is_that_of_an_independent_package() -> None:
    core = pytest.importorskip("ckatorch.core", reason="pip install ckatorch, to compare with it")
    import torch

    x, y = cloud(80), cloud(80, seed=1) + 0.5 * cloud(80)
    theirs = core.cka_base(torch.tensor(x), torch.tensor(y), "linear", unbiased=True, method="fro_norm")
    assert cka(x, y) == pytest.approx(float(theirs), abs=1e-4)


def test_kernels_centred_over_texts_say_the_same() -> None:
    x, y = cloud(40), cloud(40, seed=1) + cloud(40)
    k, m = u_centred(x), u_centred(y)
    assert (k * m).sum() / (40 * 37) == pytest.approx(hsic(x, y), rel=1e-6)
    assert (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum()) == pytest.approx(cka(x, y), abs=1e-9)


def test_cka_does_not_see_rotation_shift_or_scale() -> None:
    x = cloud()
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((12, 12)))[0]
    assert cka(x, (5 * x @ turn + 7).astype(np.float32)) == pytest.approx(1, abs=1e-5)


def aligned(x: np.ndarray, y: np.ndarray) -> float:
    """1 - |X - Y Q|^2 / 2 with the rotation that scipy finds."""
    from scipy.linalg import orthogonal_procrustes

    one, two = (v.astype(np.float64) - v.mean(axis=0, dtype=np.float64) for v in (x, y))
    one, two = one / np.linalg.norm(one), two / np.linalg.norm(two)
    turn, _ = orthogonal_procrustes(two, one)
    return 1 - float(np.square(one - two @ turn).sum()) / 2


@pytest.mark.parametrize(("n", "dim"), [(60, 12), (20, 50)])
def test_procrustes_is_what_is_left_after_the_best_rotation(n: int, dim: int) -> None:
    x, y = cloud(n, dim), cloud(n, dim, seed=1) + 0.5 * cloud(n, dim)
    assert procrustes(x, y) == pytest.approx(aligned(x, y), abs=1e-9)
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((dim, dim)))[0]
    assert procrustes(x, (5 * x @ turn + 7).astype(np.float32)) == pytest.approx(1, abs=1e-5)
    wider = np.hstack([y, np.zeros((n, 3), dtype=np.float32)])
    assert procrustes(x, wider) == pytest.approx(procrustes(x, y), abs=1e-9), "dimensions need not match"


def test_one_large_direction_misleads_cka_and_not_procrustes() -> None:
    """Half of the variance in one direction that both share, the rest unrelated: CKA says alike, Procrustes does not.

    By the population: CKA = .5^2 / (.5^2 + .5^2 / 40) = .976. Procrustes: .5 by the shared direction, and of the other
    half what chance gives, which with 400 texts and 40 dimensions is about .5 * sqrt(40 / 400) * .85 = .13.
    """
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((400, 1)) * np.sqrt(40)
    x, y = (np.hstack([shared, rng.standard_normal((400, 40))]).astype(np.float32) for _ in range(2))
    assert cka(x, y) > 0.95
    assert procrustes(x, y) == pytest.approx(0.63, abs=0.05)
    assert procrustes(x, x) == pytest.approx(1)


def test_a_few_texts_that_moved_far_mislead_cka_and_not_procrustes() -> None:
    """One text in 100 is moved alike in one model (Davari et al. 2023, section 4.1): most of CKA is gone."""
    x = np.random.default_rng(0).standard_normal((400, 40)).astype(np.float32)
    y = x.copy()
    y[:4, 0] += 100
    assert cka(x, y) < 0.2
    assert procrustes(x, y) > cka(x, y) + 0.3
    rest = np.arange(4, 400)
    assert procrustes(x[rest], y[rest]) == pytest.approx(1)


def test_unrelated_vectors_reach_the_procrustes_of_chance() -> None:
    distances = [procrustes(cloud(40, 12, seed=s), cloud(40, 12, seed=1000 + s)) for s in range(100)]
    chance = [procrustes_chance(cloud(40, 12, seed=s), cloud(40, 12, seed=1000 + s), seed=s) for s in range(100)]
    # 4 standard errors of the difference of two means, the second over three shuffles each
    assert np.mean(distances) == pytest.approx(
        np.mean(chance), abs=4 * np.std(distances, ddof=1) * np.sqrt((1 + 1 / 3) / 100)
    )
    assert np.mean(distances) > 0.3, "not 0: the number means nothing without its chance"


def test_unrelated_vectors_have_no_cka_on_average_though_dimensions_outnumber_texts() -> None:
    """Unbiased: the mean of 200 independent draws is 0 within 4 standard errors, where the biased one reads near 1."""
    found = [cka(cloud(20, 100, seed=s), cloud(20, 100, seed=1000 + s)) for s in range(200)]
    assert abs(np.mean(found)) < 4 * np.std(found, ddof=1) / np.sqrt(200)


def test_too_few_texts() -> None:
    with pytest.raises(AnalysisError, match="vectors of 3 texts and of 3 texts cannot be compared"):
        cka(cloud(3), cloud(3))
    with pytest.raises(AnalysisError, match="19 texts are too few for a jackknife with 10 groups"):
        jackknife(lambda rows: float(rows.mean()), 19)


def test_vectors_that_never_vary_have_no_similarity() -> None:
    same = np.ones((10, 4), dtype=np.float32)
    assert np.isnan(cka(same, cloud(10)))
    assert np.isnan(procrustes(same, cloud(10)))


def test_anisotropy_is_the_mean_cosine_of_pairs() -> None:
    x = cloud(30)
    u = x / np.linalg.norm(x, axis=1, keepdims=True)
    pairs = [u[i] @ u[j] for i in range(30) for j in range(30) if i != j]
    assert anisotropy(x) == pytest.approx(np.mean(pairs), abs=1e-6)
    assert anisotropy(np.ones((5, 3), dtype=np.float32)) == pytest.approx(1)


def test_uniformity_is_its_definition() -> None:
    x = cloud(30)
    u = x / np.linalg.norm(x, axis=1, keepdims=True)
    pairs = [np.exp(-2 * np.square(u[i] - u[j]).sum()) for i in range(30) for j in range(30) if i != j]
    assert uniformity(x) == pytest.approx(np.log(np.mean(pairs)), abs=1e-6)
    assert uniformity(np.ones((5, 3), dtype=np.float32)) == pytest.approx(0, abs=1e-6)


def test_alignment_is_the_distance_of_pairs() -> None:
    x = cloud(30)
    assert alignment(x, 2 * x) == pytest.approx(0, abs=1e-12)
    assert alignment(x, -x) == pytest.approx(4)


def test_whitened_vectors_have_the_identity_as_covariance() -> None:
    x = cloud(400, 8)
    mean, matrix = whitening(x)
    np.testing.assert_allclose(np.cov((x - mean) @ matrix, rowvar=False), np.eye(8), atol=1e-4)


def test_the_jackknife_covers_a_mean() -> None:
    """Of 400 samples of 60 the nominal 95 % must cover: binomial, 4 standard errors."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        sample = rng.exponential(size=60)
        _, low, high = jackknife(lambda rows, s=sample: float(s[rows].mean()), 60)
        hits += low <= 1 <= high
    assert hits / 400 > 0.95 - 4 * np.sqrt(0.95 * 0.05 / 400) - 0.01  # .01: 60 skewed values are not normal


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    sample = np.random.default_rng(1).standard_normal(1000)
    mean, low, high = jackknife(lambda rows: float(sample[rows].mean()), 1000)
    assert mean == pytest.approx(sample.mean())
    expected = 2 * stats.t.ppf(0.975, 9) * sample.std(ddof=1) / np.sqrt(1000)
    # the variance of 10 groups has 9 degrees of freedom: its root is within 3.5 sd, 3.5 / sqrt(18), of the truth
    assert (high - low) / expected == pytest.approx(1, abs=3.5 / np.sqrt(18))
