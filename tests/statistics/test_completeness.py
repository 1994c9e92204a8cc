"""Which sites of an attribution are judged by their completeness gap."""

import numpy as np
import pytest

from retroscope.attribution.top_neurons.selection import how_many
from retroscope.statistics.completeness import TOP, site_gaps


@pytest.mark.parametrize("width", [20, 125, 150, 175])
def test_the_top_neurons_are_as_many_as_the_ranking_takes(width: int) -> None:
    """Of two layers the second holds one top neuron, the last of them, and a hundredth of the attribution."""
    n = how_many(TOP, 2 * width)
    shares = np.zeros((2, width))
    shares[0, : n - 1], shares[1, 0] = 2.0, 1.0
    shares[0, n - 1 :] = 0.5
    gap, total = np.array([[[0.001, 0.3]]]), np.array([[[99.0, 1.0]]])
    gaps = site_gaps(gap, total, [shares])
    assert gaps.top[0, 1] == pytest.approx(1 / n)
    assert gaps.judged == (0, 1)
