"""Intruder dimensions: planted ones are counted, and a change that only rescales what was there brings none."""

import pytest
import torch

from retroscope.drift.intruders import COSINE, TOP, intruders


def gaussian(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_spectrum(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    """A matrix of singular values 20, 19 ... : each is half a unit or more from the next, so none is a mixture."""
    q, _ = torch.linalg.qr(gaussian(rows, 20, seed=seed))
    p, _ = torch.linalg.qr(gaussian(columns, 20, seed=seed + 1))
    return q @ torch.diag(torch.arange(20, 0, -1, dtype=torch.float64)) @ p.T


def rank_one(rows: int, columns: int, size: float, seed: int = 7) -> torch.Tensor:
    u, v = gaussian(rows, 1, seed=seed), gaussian(columns, 1, seed=seed + 1)
    return size * (u / u.norm()) @ (v / v.norm()).T


def by_definition(before: torch.Tensor, change: torch.Tensor) -> int:
    """Algorithm 1 of the paper, written out."""
    u, _, _ = torch.linalg.svd(before, full_matrices=False)
    y, _, _ = torch.linalg.svd(before + change, full_matrices=False)
    return sum(bool((u.T @ y[:, j]).abs().max() < COSINE) for j in range(TOP))


SHAPES = [(200, 300), (300, 200), (250, 250)]


@pytest.mark.parametrize("shape", SHAPES)
def test_one_large_new_direction_is_one_intruder_and_a_random_change_of_its_size_is_none(
    shape: tuple[int, int],
) -> None:
    """Cosines of a random direction with 200 or more others are below .5 but for odds of 1e-12."""
    intruding = intruders(with_spectrum(*shape), rank_one(*shape, size=40), "w")
    assert (intruding.intruders, intruding.intruders_random, intruding.examined) == (1, 0, TOP)


@pytest.mark.parametrize("shape", [(24, 40), (40, 24)])
def test_a_direction_where_nothing_was_before_is_an_intruder(shape: tuple[int, int]) -> None:
    """A wide matrix of rank 20 has four left vectors of size 0: an arbitrary basis, which others resemble by chance."""
    w = with_spectrum(*shape)
    full, _ = torch.linalg.qr(torch.cat([w[:, :20], gaussian(shape[0], shape[0], seed=5)], dim=1))
    u, v = full[:, 20:21], gaussian(shape[1], 1, seed=9)
    assert (u.T @ w).abs().max() < 1e-9
    assert intruders(w, 40 * u @ (v / v.norm()).T, "w").intruders == 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [-0.9, 0.0, 0.5, 10.0])
def test_a_matrix_that_is_only_scaled_has_none(shape: tuple[int, int], share: float) -> None:
    w = with_spectrum(*shape)
    assert intruders(w, share * w, "w").intruders == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_a_new_direction_that_is_small_is_none(shape: tuple[int, int]) -> None:
    assert intruders(with_spectrum(*shape), rank_one(*shape, size=1), "w").intruders == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_the_count_is_that_of_the_definition(shape: tuple[int, int]) -> None:
    w = gaussian(*shape, seed=3)
    for size in (2, 30, 60):
        change = sum((rank_one(*shape, size=size, seed=100 * k) for k in range(4)), torch.zeros_like(w))
        assert intruders(w, change, "w").intruders == by_definition(w, change)


def test_of_one_size_what_is_in_one_direction_intrudes_and_what_is_in_all_does_not() -> None:
    """The comparison that the paper makes: low rank against full rank, both of the same size."""
    w = with_spectrum(200, 200)
    low, full = rank_one(200, 200, size=30), gaussian(200, 200, seed=5)
    full *= low.norm() / full.norm()
    assert intruders(w, low, "w").intruders == 1
    assert intruders(w, full, "w").intruders == 0


def test_the_random_change_is_known_by_the_name() -> None:
    w, change = gaussian(30, 30), 3 * gaussian(30, 30, seed=1)
    one, two = intruders(w, change, "a"), intruders(w, change, "a")
    assert one == two
    counts = {intruders(w, change, f"tensor {k}").intruders_random for k in range(20)}
    assert len(counts) > 1, "each name draws its own"


def test_a_small_matrix_has_no_more_vectors_than_rows() -> None:
    assert intruders(gaussian(4, 9), gaussian(4, 9, seed=1), "w").examined == 4
