"""LEACE keeps its promise on pairs; random subspaces have the rank, and where asked the variance, of what is erased."""

import sys

import numpy as np
import pytest
import torch
from concept_erasure import LeaceEraser
from torch import Tensor

from retroscope.errors import MissingExtraError
from retroscope.surgery.erasers import (
    PairVectors,
    Whitened,
    check_erasers_installed,
    components,
    concept_basis,
    held_out_correlations,
    pair_erasure,
    random_erasure,
)

DIM, SHARED, PAIRS = 12, 3, 400


@pytest.fixture(scope="module")
def pairs() -> PairVectors:
    """Queries and passages that share three directions, within vectors of uneven variance."""
    draw = torch.Generator().manual_seed(0)
    meaning = torch.randn(PAIRS, SHARED, generator=draw)
    towers = {}
    for tower in ("query", "passage"):
        mix = torch.randn(SHARED, DIM, generator=draw)
        noise = torch.randn(PAIRS, DIM, generator=draw) * torch.linspace(0.3, 3, DIM)
        towers[tower] = meaning @ mix + noise + 5
    return PairVectors(towers)


def explained(vectors: Tensor, concept: Tensor) -> float:
    """Return the share of the concept's variance that least squares reads."""
    x, z = (np.asarray((one - one.mean(0)).double()) for one in (vectors, concept))
    predicted = x @ np.linalg.lstsq(x, z, rcond=1e-4)[0]  # not from rounding errors
    return float((predicted**2).sum() / (z**2).sum())


def white(x: Tensor) -> np.ndarray:
    exact = np.asarray((x - x.mean(0)).double())
    values, axes = np.linalg.eigh(np.cov(exact.T))
    return exact @ axes / np.sqrt(values) @ axes.T


def leading(pairs: PairVectors, rank: int) -> dict[str, Tensor]:
    """Return the concept of each tower, by numpy: the canonical variables of its partner."""
    q, p = (white(pairs.towers[tower]) for tower in ("query", "passage"))
    u, _, vt = np.linalg.svd(q.T @ p)
    return {"query": torch.from_numpy(p @ vt[:rank].T), "passage": torch.from_numpy(q @ u[:, :rank])}


@pytest.mark.parametrize("tower", ["query", "passage"])
def test_nothing_linear_reads_the_concept_afterwards(pairs: PairVectors, tower: str) -> None:
    concept, erasure = leading(pairs, SHARED)[tower], pair_erasure(pairs, SHARED)
    assert explained(pairs.towers[tower], concept) > 0.2
    assert explained(erasure.erasers[tower](pairs.towers[tower]), concept) < 1e-6
    random = random_erasure(pairs, SHARED, 0)
    assert explained(random.erasers[tower](pairs.towers[tower]), concept) > 0.1, "and random directions leave it"


def test_no_bilinear_probe_tells_pairs_from_unrelated_ones(pairs: PairVectors) -> None:
    """With all directions erased the covariance of pairs vanishes, and with it every mean difference q M p."""
    erasure = pair_erasure(pairs, DIM - 1)
    q, p = (erasure.erasers[tower](pairs.towers[tower]).double() for tower in ("query", "passage"))
    before = np.cov(pairs.towers["query"].T, pairs.towers["passage"].T)[:DIM, DIM:]
    assert np.abs(np.cov(q.T, p.T)[:DIM, DIM:]).max() < 1e-3 * np.abs(before).max()


def test_the_eraser_is_the_packages_own(pairs: PairVectors) -> None:
    """Fitted to the whitened vectors and brought back, it is LEACE fitted to the vectors themselves."""
    concept, x = leading(pairs, SHARED)["query"], pairs.towers["query"]
    theirs = LeaceEraser.fit(x.double(), concept, constrain_cov_trace=False, shrinkage=False, svd_tol=1e-6)
    whitened = Whitened.of(x)
    ours = whitened.eraser(concept_basis(whitened, concept))
    assert torch.allclose(ours(x.double()), theirs(x.double()), atol=1e-6)
    assert torch.allclose(pair_erasure(pairs, SHARED).erasers["query"](x).double(), theirs(x.double()), atol=1e-4)


def test_few_pairs_are_correlated_in_few_components(pairs: PairVectors) -> None:
    """With as many dimensions as pairs the concept is found in any noise: shuffled pairs then share as much."""
    few = PairVectors({tower: vectors[:60] for tower, vectors in pairs.towers.items()})
    assert len(few.whitened["query"].variances) == components(60, DIM) == 6
    assert components(PAIRS, DIM) == DIM
    whitened = few.whitened["passage"]
    assert whitened.total == pytest.approx(float(few.towers["passage"].var(0).sum()), rel=1e-4)
    assert torch.allclose(whitened.coordinates.T @ whitened.coordinates / 59, torch.eye(6).double(), atol=1e-8)
    assert few.allows(6)
    assert not few.allows(7)


def test_held_out_pairs_share_what_is_planted_and_nothing_of_noise(pairs: PairVectors) -> None:
    """Among unrelated vectors the leading correlations are large where they were fitted, and none in other pairs."""
    fit, other = (
        PairVectors({t: v[part] for t, v in pairs.towers.items()}) for part in (slice(0, 200), slice(200, PAIRS))
    )
    real, shuffled = held_out_correlations(fit, other, SHARED)
    assert real > 0.3 > shuffled
    noise = held_out_correlations(fit.shuffled(0), other.shuffled(1), SHARED)
    assert noise[0] < 0.15
    assert 0 < noise[1] < 0.2


def test_random_subspaces_have_the_rank_and_where_asked_the_variance(pairs: PairVectors) -> None:
    erased = pair_erasure(pairs, SHARED)
    alike = [random_erasure(pairs, SHARED, seed, erased) for seed in range(5)]
    free = [random_erasure(pairs, SHARED, seed) for seed in range(40)]
    for tower, x in pairs.towers.items():
        assert all(one.removed[tower] == pytest.approx(erased.removed[tower], rel=1e-3) for one in alike)
        assert np.mean([one.removed[tower] for one in free]) == pytest.approx(SHARED / DIM, abs=0.05)
        for one in (erased, alike[0], free[0]):
            change = one.erasers[tower](x) - x
            assert np.linalg.matrix_rank(np.asarray(change.double()), tol=1e-2) == SHARED
            left = float(one.erasers[tower](x).var(0).sum() / x.var(0).sum())
            assert 1 - left == pytest.approx(one.removed[tower], abs=1e-3), "measured on the vectors themselves"


def test_no_query_keeps_its_passage_when_pairs_are_shuffled(pairs: PairVectors) -> None:
    shuffled = pairs.shuffled(3)
    assert torch.equal(shuffled.towers["query"], pairs.towers["query"])
    same = (shuffled.towers["passage"] == pairs.towers["passage"]).all(1)
    assert not bool(same.any())
    sums = (one.towers["passage"].sum(1).sort().values for one in (shuffled, pairs))
    assert torch.equal(*sums)


def test_vectors_that_are_all_equal_allow_nothing(pairs: PairVectors) -> None:
    assert pairs.allows(DIM)
    assert not PairVectors({**pairs.towers, "query": torch.ones(PAIRS, DIM)}).allows(1)


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "concept_erasure", None)
    with pytest.raises(MissingExtraError, match="retroscope\\[erasure\\]"):
        check_erasers_installed()
