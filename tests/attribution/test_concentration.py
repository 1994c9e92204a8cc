"""Concentration is 1 for one neuron, 0 for all alike, and asks neither for a scale nor for an order."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retroscope.attribution.top_neurons.concentration import gini, participation_ratio, top_share
from retroscope.attribution.top_neurons.selection import how_many

MEASURES = {"gini": gini, "participation": participation_ratio, "top_share": top_share}

rows = st.lists(st.floats(0.0, 1e6, width=32), min_size=2, max_size=40).filter(lambda row: max(row) > 1e-3)


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float32)


@pytest.mark.parametrize("n", [1, 2, 7, 300])
def test_one_neuron_holds_everything(n: int) -> None:
    one_hot = torch.eye(n, dtype=torch.float32)
    assert gini(one_hot).numpy() == pytest.approx(1 - 1 / n, abs=1e-12)
    assert participation_ratio(one_hot).numpy() == pytest.approx(1 / n, abs=1e-12)
    assert top_share(one_hot).tolist() == [1.0] * n


@pytest.mark.parametrize("n", [1, 2, 7, 300])
def test_all_neurons_alike(n: int) -> None:
    alike = torch.full((2, n), 0.1)
    assert gini(alike).numpy() == pytest.approx(0, abs=1e-12)
    assert participation_ratio(alike).numpy() == pytest.approx(1, abs=1e-12)
    assert top_share(alike).numpy() == pytest.approx(how_many(0.01, n) / n, abs=1e-12)


def test_values_worked_out_by_hand() -> None:
    """1, 2, 3, 4: mean absolute difference of two draws 20 / 16, over twice the mean 5; (10)^2 / 30 / 4."""
    assert gini(row(3, 1, 4, 2)).item() == pytest.approx((20 / 16) / 5, abs=1e-12)
    assert participation_ratio(row(3, 1, 4, 2)).item() == pytest.approx(100 / 30 / 4, abs=1e-12)
    assert top_share(row(3, 1, 4, 2), 0.5).item() == pytest.approx(0.7, abs=1e-12)


@given(rows)
def test_gini_is_half_the_relative_mean_difference(values: list[float]) -> None:
    """The definition, in its slow form: mean |x_i - x_j| over twice the mean. Tolerance: n additions in float64."""
    x = np.array(values)
    slow = np.abs(x[:, None] - x[None]).mean() / (2 * x.mean())
    assert gini(row(*values)).item() == pytest.approx(slow, abs=1e-12)


@pytest.mark.parametrize("name", MEASURES)
@given(values=rows, power=st.integers(-40, 40), seed=st.integers(0, 99))
def test_neither_scale_nor_order_matters(name: str, values: list[float], power: int, seed: int) -> None:
    """Scaling by a power of two is exact in float32, as long as nothing falls below the smallest number."""
    measure = MEASURES[name]
    given_row = row(*values)
    scaled = given_row * 2.0**power
    if torch.equal(scaled / 2.0**power, given_row):
        assert measure(scaled).item() == pytest.approx(measure(given_row).item(), abs=1e-12)
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed))
    assert measure(given_row[:, order]).item() == pytest.approx(measure(given_row).item(), abs=1e-12)


@given(rows)
def test_a_transfer_to_a_richer_neuron_concentrates(values: list[float]) -> None:
    """Pigou and Dalton's principle; the control is that the opposite of each inequality fails for a real transfer."""
    before = row(*sorted(values))
    moved = before[0, 0] / 2
    after = before.clone()
    after[0, 0] -= moved
    after[0, -1] += moved
    noise = 1e-6  # the sum of float32 values changes by a rounding of the largest
    assert gini(after) >= gini(before) - noise
    assert participation_ratio(after) <= participation_ratio(before) + noise
    assert top_share(after) >= top_share(before) - noise
    if moved > 1e-2 * before.max():
        assert gini(after) > gini(before)


@pytest.mark.parametrize("name", MEASURES)
def test_a_row_of_zeros_has_no_concentration_and_spoils_no_other(name: str) -> None:
    measure = MEASURES[name]
    values = torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0], [float("nan"), 1.0, 2.0]])
    measurement = measure(values)
    assert measurement.isnan().tolist() == [True, False, True]
    assert measurement[1].item() == measure(values[1:2]).item()


@pytest.mark.parametrize("name", MEASURES)
def test_squares_of_tiny_values_do_not_vanish(name: str) -> None:
    tiny = row(1, 2, 3, 4) * 2.0**-120
    assert MEASURES[name](tiny).item() == pytest.approx(MEASURES[name](row(1, 2, 3, 4)).item(), abs=1e-12)


@pytest.mark.parametrize(("share", "n", "k"), [(0.01, 384, 4), (0.01, 1536, 15), (0.01, 20, 1), (0.5, 4, 2), (1, 3, 3)])
def test_a_share_is_the_nearest_number_and_one_at_least(share: float, n: int, k: int) -> None:
    assert how_many(share, n) == k
