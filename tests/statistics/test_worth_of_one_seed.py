"""Worth in labels is claimed over trainings, so that one training of each claims none."""

from types import SimpleNamespace

import numpy as np

from retroscope.statistics.resampling.intervals import IntervalSettings
from retroscope.statistics.worth import Worth, worth
from retroscope.study.training.grid_report import worth_in_words

LABELS = (100, 300, 1000)


def found(seeds: int, better: float) -> list[Worth]:
    """Curves that rise with the labels, of which one is better everywhere."""
    rng = np.random.default_rng(0)
    curve = np.array([0.3, 0.4, 0.6])[None, :, None]
    had, lacked = (curve + rng.normal(0, 0.05, (seeds, 3, 80)) for _ in range(2))
    return worth(had + better, lacked, LABELS, IntervalSettings(resamples=200))


def test_one_training_of_each_claims_nothing_and_several_do() -> None:
    assert [one.shown for one in found(1, 0.1)] == [False] * 3
    assert found(5, 0.1)[0].shown
    assert "from a single seed, so this is not tested" in worth_in_words(SimpleNamespace(**vars(found(1, 0.1)[0])))
    assert "not tested" not in worth_in_words(SimpleNamespace(**vars(found(5, 0.1)[0])))
