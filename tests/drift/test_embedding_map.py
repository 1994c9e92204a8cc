"""The map of two embedding spaces: exact where a plane holds everything, and its loss is stated where it does not."""

import numpy as np
import pytest

from retroscope.drift.embedding_map import embedding_map


def flat(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    """Points in a plane of a space of more dimensions."""
    axes = np.linalg.qr(rng.standard_normal((dim, 2)))[0]
    return np.asarray(rng.standard_normal((n, 2)) @ axes.T)


def test_a_plane_is_mapped_without_loss() -> None:
    rng = np.random.default_rng(0)
    before = flat(rng, 60, 16)
    found = embedding_map(before, 2 * before, cosine=False)
    assert found.variance_before == pytest.approx(1)
    assert found.distances_after == pytest.approx(1)
    np.testing.assert_allclose(found.before, found.after, atol=1e-12, err_msg="by dot, each side has its own unit")


def test_noise_of_many_dimensions_is_lost_and_that_is_stated() -> None:
    rng = np.random.default_rng(1)
    one, two = rng.standard_normal((2, 200, 64))
    found = embedding_map(one, two, cosine=True)
    assert found.variance_before < 0.15
    assert found.variance_after < 0.15
    assert found.distances_before < 0.6


def test_what_moved_alone_is_what_moves_on_the_map() -> None:
    rng = np.random.default_rng(2)
    before = flat(rng, 50, 8) + 5
    after = before.copy()
    after[7] += before[3] - before[7]
    found = embedding_map(before, after, cosine=False)
    moved = np.linalg.norm(found.after - found.before, axis=1)
    assert moved.argmax() == 7
    assert moved[7] > 5 * np.median(moved)


def test_a_common_shift_is_taken_out_and_stated() -> None:
    rng = np.random.default_rng(3)
    before = flat(rng, 50, 8)
    found = embedding_map(before, before + 0.01, cosine=False)
    assert found.shift > 0.01
    assert np.abs(found.after - found.before).max() < 0.01
    assert embedding_map(before, before, cosine=False).shift == pytest.approx(0, abs=1e-12)


def test_equal_vectors_have_no_distances() -> None:
    same = np.ones((5, 4))
    found = embedding_map(same, same, cosine=True)
    assert np.isnan([found.variance_before, found.distances_before, found.shift]).all()
