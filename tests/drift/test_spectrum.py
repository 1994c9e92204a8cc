"""The shape of a change, against decompositions of the whole matrix and against what randomness gives."""

import math

import pytest
import torch

from retroscope.drift.spectrum import Directions, dense_directions, gaussian_rank, low_rank_directions, spectrum
from retroscope.encoders.checkpoints.tensors import LowRank


def gaussian(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def reference(change: torch.Tensor, r: int) -> Directions:
    u, s, vt = torch.linalg.svd(change.double(), full_matrices=False)
    return Directions(s, u[:, :r], vt[:r].T)


@pytest.mark.parametrize("shape", [(12, 30), (30, 12), (16, 16)])
def test_directions_are_those_of_the_singular_value_decomposition(shape: tuple[int, int]) -> None:
    change = gaussian(*shape)
    found, expected = dense_directions(change, 4), reference(change, 4)
    torch.testing.assert_close(found.values, expected.values, rtol=1e-9, atol=1e-9)
    before = gaussian(*shape, seed=1)
    for name in ("stable_rank", "effective_rank", "held", "amplification", "amplification_random", "alignment"):
        one, two = (getattr(spectrum(before, d), name) for d in (found, expected))
        assert one == pytest.approx(two, rel=1e-7)


def test_factors_are_the_product() -> None:
    left, right, before = gaussian(20, 3), gaussian(3, 30, seed=1), gaussian(20, 30, seed=2)
    row = spectrum(before, low_rank_directions(LowRank(left, right), 2))
    expected = spectrum(before, reference(left @ right, 2))
    for name in ("stable_rank", "held", "amplification", "amplification_random", "alignment"):
        assert getattr(row, name) == pytest.approx(getattr(expected, name), rel=1e-5)
    assert row.effective_rank <= 3


def test_one_direction_has_rank_one() -> None:
    row = spectrum(gaussian(8, 9), dense_directions(torch.outer(gaussian(8), gaussian(9, seed=1)), 4))
    assert row.stable_rank == pytest.approx(1, abs=1e-6)
    assert row.effective_rank == pytest.approx(1, abs=1e-5)
    assert row.directions == 1, "no direction that the change has not"


def test_equal_directions_count_alike() -> None:
    row = spectrum(gaussian(6, 6), dense_directions(torch.eye(6), 2))
    assert row.stable_rank == pytest.approx(6)
    assert row.effective_rank == pytest.approx(6)


def test_a_change_that_follows_the_matrix_is_aligned_and_a_random_one_is_not() -> None:
    """Of a random change, alignment^2 is a chi-square of r^2 = 64 degrees over 64: sd sqrt(2 / 64), 5 of them."""
    before = gaussian(100, 80)
    before += 40 * torch.outer(gaussian(100, seed=1), gaussian(80, seed=2)) / 90
    follows = spectrum(before, dense_directions(before, 8))
    random = spectrum(before, dense_directions(gaussian(100, 80, seed=3), 8))
    assert random.alignment**2 == pytest.approx(1, abs=5 * math.sqrt(2 / 64))
    assert follows.alignment > 4
    assert follows.amplification < random.amplification


def test_amplification_is_the_change_over_the_matrix_in_the_same_directions() -> None:
    """A change of c times the matrix is c times what was there, in any number of directions and at full rank."""
    before = gaussian(40, 60)
    for r in (1, 8, 40):
        row = spectrum(before, reference(0.2 * before, r))
        assert row.amplification == pytest.approx(0.2, rel=1e-6)  # of .2 in float32
    assert row.held == pytest.approx(1)


def test_of_a_random_change_amplification_is_what_random_directions_give_whatever_their_number() -> None:
    """The whole change over r directions, as it was, falls from 24 to .06 here; the truth is in the control.

    The ratio's square is a chi-square of r^2 degrees over r^2: 5 of its standard deviations, sqrt(2) / r.
    """
    before, change = gaussian(768, 768), gaussian(768, 768, seed=1)
    change = change * (8 / 768) * before.norm() / change.norm()  # the whole of it is as large as 8 directions of before
    whole = dense_directions(change, 128)
    for r in (8, 32, 128):
        row = spectrum(before, Directions(whole.values, whole.left[:, :r], whole.right[:, :r]))
        ratio = row.amplification_random / row.amplification
        assert ratio**2 == pytest.approx(1, abs=5 * math.sqrt(2) / r)
        # Marchenko and Pastur: the largest singular value squared is 4 times the mean one
        assert row.amplification < 1.25 * math.sqrt(4 * r / 768) * 8 / r
    assert row.held < 4 * 128 / 768


@pytest.mark.parametrize("shape", [(300, 300), (100, 400), (400, 100)])
def test_the_rank_of_a_random_change_is_that_of_random_matrices(shape: tuple[int, int]) -> None:
    """The law is that of infinite size: at 100 it is met to 1 %."""
    s = torch.linalg.svdvals(gaussian(*shape).double())
    p = s / s.sum()
    assert gaussian_rank(*shape) == pytest.approx(float((-(p * p.log()).sum()).exp()), rel=0.01)
