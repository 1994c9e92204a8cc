"""Looks at draws: the p of all looks has its level wherever the draws were stopped, and without weights it has not."""

import numpy as np
import pytest
from scipy.stats import binomtest

from retroscope.statistics.testing.prediction import prediction_p
from retroscope.statistics.testing.sequential import EARLY, InterimLook, looks, sequential_p

STUDIES = 4000


@pytest.mark.parametrize(("draws", "expected"), [(2, [2]), (5, [5]), (6, [3, 6]), (8, [4, 8]), (9, [4, 9])])
def test_half_of_the_draws_are_looked_at_first(draws: int, expected: list[int]) -> None:
    planned = looks(draws)
    assert [look.draws for look in planned] == expected
    assert sum(look.weight for look in planned) == 1


def test_a_p_of_all_looks_is_never_0_nor_above_1() -> None:
    assert sequential_p([]) == 1, "no look was made"
    assert sequential_p([(InterimLook(4, EARLY), 0.9)]) == 1
    assert 0 < sequential_p([(InterimLook(4, EARLY), 1e-300)]) < 1e-299
    assert sequential_p([(InterimLook(4, EARLY), 0.01), (InterimLook(8, 0.75), 0.003)]) == pytest.approx(0.004)


def rejected(weighted: bool, seed: int) -> int:
    """Studies whose value is one more draw, and is flagged at one of two looks; some stop where a draw does as much."""
    rng, flagged = np.random.default_rng(seed), 0
    for _ in range(STUDIES):
        values = rng.standard_normal(9)
        made = [(look, prediction_p(values[8], values[: look.draws])) for look in looks(8)]
        if values[:4].min() <= values[8]:
            made = made[:1]
        p = sequential_p(made) if weighted else min(p for _, p in made)
        flagged += p < 0.05
    return flagged


def test_the_level_holds_over_all_looks() -> None:
    """Under the null, 4,000 studies; the control: the least p without weights is too small."""
    assert binomtest(rejected(True, 1), STUDIES, 0.05, alternative="greater").pvalue > 0.01
    assert binomtest(rejected(False, 1), STUDIES, 0.05, alternative="greater").pvalue < 0.01
