"""Domain shift: 0 between halves of one source, the planted divergence between sources, and the rule on both."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from retroscope.drift.settings import ShiftSettings
from retroscope.drift.shift import (
    ANOTHER,
    EMBEDDINGS,
    NEIGHBOURS,
    SAME,
    UNDECIDED,
    WORDS,
    WORDS_THRESHOLD,
    PassageSample,
    count_words,
    domain_shift,
    gaussian_kernel,
    jensen_shannon,
    median_distance,
    mmd2,
    outcome,
    words_of,
)
from retroscope.errors import AnalysisError

N, WORDS_EACH, VOCABULARY, WIDTH = 200, 40, 300, 8
DRAWS = 20


def source(rng: np.random.Generator, *, first: int = 0, mean: float = 0.0, n: int = N) -> PassageSample:
    """Return passages with words of a Zipf law that starts at word `first`, and normal vectors about `mean`."""
    chances = 1 / np.arange(1, VOCABULARY + 1)
    draws = rng.choice(VOCABULARY, size=(n, WORDS_EACH), p=chances / chances.sum()) + first
    counts = np.zeros((n, VOCABULARY + first), dtype=int)
    np.add.at(counts, (np.repeat(np.arange(n), WORDS_EACH), draws.ravel()), 1)
    before = rng.normal(mean, 1, (n, WIDTH))
    vectors = {"before": before, "after": before + rng.normal(0, 0.1, (n, WIDTH))}
    vocabulary = [f"w{k}" for k in range(VOCABULARY + first)]
    return PassageSample(sparse.csr_array(counts), vocabulary, np.full(n, 2 * WORDS_EACH), np.zeros(n, int), vectors)


def numbers(reference: PassageSample, other: PassageSample | None, seed: int = 0) -> pd.DataFrame:
    rows = domain_shift(reference, other, ShiftSettings(texts=N, neighbours=5, seed=seed))
    return rows.set_index("statistic")


def test_words_are_found_in_scripts_with_and_without_spaces() -> None:
    assert words_of("Don't pay 1,000 €_now") == ["don", "t", "pay", "1", "000", "now"]
    assert words_of("黑豹队 NFL 3分") == ["黑", "豹", "队", "nfl", "3", "分"]
    counts, vocabulary = count_words(["a b a", "b"])
    assert vocabulary == ["a", "b"]
    assert counts.toarray().tolist() == [[2, 1], [0, 1]]


def test_divergence_of_given_distributions() -> None:
    one, other = np.array([1.0, 1, 0]), np.array([0.0, 0, 5])
    assert jensen_shannon(one, 3 * one) == pytest.approx(0)
    assert jensen_shannon(one, other) == pytest.approx(1)
    # half of the mass is shared: 1 - H(1/4, 1/2, 1/4) + ... by hand is one half
    assert jensen_shannon(np.array([1.0, 1, 0]), np.array([0.0, 1, 1])) == pytest.approx(0.5)
    assert np.isnan(jensen_shannon(np.zeros(3), one))


def test_mmd_is_unbiased_under_the_null_and_finds_a_moved_mean() -> None:
    rng = np.random.default_rng(0)

    def estimate(mean: float) -> float:
        x, y = rng.normal(0, 1, (40, WIDTH)), rng.normal(mean, 1, (40, WIDTH))
        width = median_distance(x)
        return mmd2(*(gaussian_kernel(a, b, width) for a, b in ((x, x), (y, y), (x, y))))

    null = np.array([estimate(0.0) for _ in range(DRAWS)])
    assert abs(null.mean()) < 3 * null.std(ddof=1) / np.sqrt(DRAWS)
    assert (null < 0).any()
    assert estimate(1.0) > 5 * np.abs(null).max()


def test_halves_of_one_source_have_no_shift() -> None:
    found = [numbers(source(np.random.default_rng(seed)), None, seed) for seed in range(DRAWS)]
    for statistic in (WORDS, EMBEDDINGS, "length", "fertility", NEIGHBOURS):
        covered = sum(one.loc[statistic, "low"] <= 0 <= one.loc[statistic, "high"] for one in found)
        assert covered >= 15, statistic  # of 20 at 95 %: fewer have a probability below 1e-3
    assert all(outcome(one.loc[WORDS, "low"], one.loc[WORDS, "high"]) == SAME for one in found)


def test_another_source_is_found_and_what_moved_is_named() -> None:
    rng = np.random.default_rng(0)
    here = source(rng)
    other = source(rng, first=VOCABULARY, mean=0.5)
    other = replace(other, tokens=2 * other.tokens, unknown=np.ones(N, dtype=int))
    found = numbers(here, other)
    assert found.loc[WORDS, "shift"] == pytest.approx(1)  # no common word
    assert outcome(found.loc[WORDS, "low"], found.loc[WORDS, "high"]) == ANOTHER
    assert found.loc[EMBEDDINGS, "low"] > 0
    assert found.loc["fertility", "shift"] == pytest.approx(1)  # twice the tokens of a word
    assert found.loc["length", "shift"] == pytest.approx(0)
    assert found.loc["unknown", "shift"] == pytest.approx(1 / (4 * WORDS_EACH))
    assert found.loc[NEIGHBOURS, "low"] <= 0 <= found.loc[NEIGHBOURS, "high"]


def test_the_shift_of_words_hardly_depends_on_the_size_of_the_samples() -> None:
    rng = np.random.default_rng(0)
    large = [source(rng, first=first, n=800) for first in (0, 10)]
    small, whole = (
        domain_shift(*(side.part(0, n) for side in large), ShiftSettings(texts=n, neighbours=5)).iloc[0]
        for n in (100, 800)
    )
    assert small["value"] - whole["value"] > 0.05  # the divergence itself does
    assert abs(small["shift"] - whole["shift"]) < 0.03


def test_neighbours_that_changed_in_one_collection_only_are_seen() -> None:
    rng = np.random.default_rng(0)
    here, other = source(rng), source(rng)
    other = replace(other, vectors={**other.vectors, "after": rng.normal(0, 1, (N, WIDTH))})
    row = numbers(here, other).loc[NEIGHBOURS]
    assert row["high"] < 0
    assert row["here"] < row["reference"] / 4


def test_the_rule_needs_the_whole_interval() -> None:
    t = WORDS_THRESHOLD
    assert [outcome(*ends) for ends in ((t + 0.01, 1), (0, t - 0.01), (t - 0.01, t + 0.01))] == [
        ANOTHER, SAME, UNDECIDED,
    ]  # fmt: skip


def test_too_few_passages_are_refused() -> None:
    few = source(np.random.default_rng(0), n=39)
    with pytest.raises(AnalysisError, match=r"at least 20 passages, but a sample has only 19"):
        numbers(few, few)
