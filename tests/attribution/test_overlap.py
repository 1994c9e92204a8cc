"""Overlap is at its ceiling for equal retrievers, at chance for unrelated ones, and never above by construction."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retroscope.attribution.result import NeuronAttribution
from retroscope.attribution.top_neurons.overlap import ALL, chance_jaccard, jaccard, overlap, rank_correlation
from retroscope.errors import AnalysisError, SettingsError
from synthetic_attribution import make_attribution

SIZES = {"intermediate": (3, 400), "output": (3, 100)}


def attribution(truth: dict[str, np.ndarray], examples: np.ndarray, **options: object) -> NeuronAttribution:
    """Neurons of a true value, whose halves err by what the examples at hand say: `examples` seeds one error a half."""
    halves = {}
    for number, (part, values) in enumerate(truth.items()):
        errors = [np.random.default_rng([number, int(example)]).standard_normal(values.shape) for example in examples]
        halves[part] = np.stack([values + error for error in errors])
    return make_attribution({part: both.mean(0) for part, both in halves.items()}, halves=halves, **options)


def truth(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {part: 2 * random.standard_normal(shape) for part, shape in SIZES.items()}


def cell(overlapping: object, part: str, layer: int, measure: str) -> dict[str, float]:
    table = overlapping.table
    row = table[(table.part == part) & (table.layer == layer) & (table.measure == measure)]
    assert len(row) == 1
    return row.iloc[0].to_dict()


@pytest.mark.parametrize("by", ["signed", "share"])
def test_a_retriever_has_exactly_its_ceiling_with_itself(by: str) -> None:
    attributed = attribution(truth(0), np.array([1, 2]))
    table = overlap(attributed, attributed, by=by, top=0.05).table
    assert (table.between == table.before_halves).all()
    assert (table.between == table.after_halves).all()
    np.testing.assert_allclose(table.whole, 1.0, atol=1e-12)
    assert len(table) == 2 * (2 * 3 + 2 + 1)
    assert (table.between < 0.999).all()  # the ceiling of noisy halves is not 1


def test_two_retrievers_with_the_same_neurons_reach_their_ceiling_and_the_naive_pairs_exceed_it() -> None:
    """Same truth, same examples, so the same errors. Pairs of the same half, the control, would agree perfectly."""
    same = truth(0)
    before, after = (attribution(same, np.array([1, 2])) for _ in range(2))
    row = cell(overlap(before, after, by="signed"), "intermediate", 1, "spearman")
    assert row["between"] == row["before_halves"] == row["after_halves"]
    halves = [made.neurons["intermediate"]["half_signed"].values[:, 0] for made in (before, after)]
    four = np.mean([rank_correlation(a, b) for a in halves[0] for b in halves[1]])
    assert four > row["before_halves"] + 0.05


def test_independent_errors_reach_the_ceiling_on_average() -> None:
    """Same truth, other errors: the gap to the ceiling is noise around 0; correlation of halves 4 / (4 + 1)."""
    gaps = []
    for seed in range(20):
        before, after = (attribution(truth(seed), np.array([k, k + 1])) for k in (10 * seed + 1, 10 * seed + 3))
        row = cell(overlap(before, after, by="signed"), "all", ALL, "spearman")
        gaps.append(row["between"] - (row["before_halves"] + row["after_halves"]) / 2)
        assert row["whole"] > row["between"]
    # Pearson .8 of two normals is Spearman 6 / pi asin(.4) = .786
    assert row["before_halves"] == pytest.approx(6 / np.pi * np.arcsin(0.4), abs=0.05)
    assert abs(np.mean(gaps)) < 4 * np.std(gaps, ddof=1) / np.sqrt(len(gaps))


def test_unrelated_retrievers_are_at_chance() -> None:
    """Twenty pairs with one set of examples; four standard errors of their mean.

    Errors that come from the same examples make `whole`, the control, higher than chance; `between` shares none.
    """
    pairs = [[attribution(truth(seed), np.array([1, 2])) for seed in (k, 100 + k)] for k in range(20)]
    shareds = [overlap(*pair, by="signed", top=0.1) for pair in pairs]
    for measure in ("jaccard", "spearman"):
        rows = [cell(one, "all", ALL, measure) for one in shareds]
        between, whole = (np.array([row[name] for row in rows]) - rows[0]["chance"] for name in ("between", "whole"))
        assert abs(between.mean()) < 4 * between.std(ddof=1) / np.sqrt(20)
        assert whole.mean() > 4 * whole.std(ddof=1) / np.sqrt(20)
        assert min(row["before_halves"] for row in rows) > rows[0]["chance"] + 0.1


@pytest.mark.parametrize(("n", "k"), [(5, 2), (6, 3), (7, 1), (4, 4)])
def test_chance_is_the_mean_over_all_pairs_of_sets(n: int, k: int) -> None:
    sets = [set(some) for some in combinations(range(n), k)]
    mean = np.mean([len(a & b) / len(a | b) for a in sets for b in sets])
    assert chance_jaccard(n, k) == pytest.approx(mean, abs=1e-12)


@given(st.permutations(range(12)), st.integers(1, 12))
def test_jaccard_and_rank_correlation_ask_for_the_order_only(order: list[int], k: int) -> None:
    one, two = np.arange(12.0), np.array(order, dtype=float)
    stretched = np.exp(two / 3)
    assert jaccard(one, two, k) == jaccard(one, stretched, k) == jaccard(two, one, k)
    assert rank_correlation(one, two) == pytest.approx(rank_correlation(one, stretched), abs=1e-12)
    distance = ((one - two) ** 2).sum()  # Spearman's formula without ties
    assert rank_correlation(one, two) == pytest.approx(1 - 6 * distance / (12 * 143), abs=1e-12)


def test_jaccard_by_hand() -> None:
    assert jaccard(np.array([9.0, 8, 1, 0]), np.array([9.0, 1, 8, 0]), 2) == 1 / 3
    assert jaccard(np.array([9.0, 8, 1, 0]), np.array([1.0, 0, 9, 8]), 2) == 0


def test_without_an_order_there_is_no_overlap() -> None:
    """A matrix that cannot reach F has only zeros, and any top set of it would be the first neurons: a Jaccard of 1."""
    zeros = {"output": np.zeros((2, 50))}
    zeros["output"][0] = np.random.default_rng(0).standard_normal(50)
    made = make_attribution(zeros)
    shared = overlap(made, made, by="signed", top=0.1)
    dead, alive = cell(shared, "output", 2, "jaccard"), cell(shared, "output", 1, "jaccard")
    assert np.isnan([dead["between"], dead["whole"], dead["before_halves"]]).all()
    assert alive["between"] == 1
    assert np.isnan(cell(shared, "output", 2, "spearman")["whole"])
    assert np.isnan(jaccard(np.array([3.0, 2, 2, 1]), np.arange(4.0), 2))
    assert jaccard(np.array([3.0, 2, 2, 1]), np.arange(4.0), 3) == 0.5
    assert np.isnan(jaccard(np.array([3.0, np.nan, 2, 1]), np.arange(4.0), 2))


def test_one_part_has_no_row_for_all_parts() -> None:
    made = make_attribution({"output": np.random.default_rng(0).standard_normal((2, 30))})
    assert set(overlap(made, made).table.part) == {"output"}


def test_what_cannot_be_compared_is_an_error() -> None:
    attributed = attribution(truth(0), np.array([1, 2]))
    smaller = make_attribution({"output": np.ones((3, 100))})
    with pytest.raises(AnalysisError, match=r"cover different neurons(?s:.)*models of the same architecture"):
        overlap(attributed, smaller)
    other = attribution(truth(0), np.array([1, 2]), ids=("q0", "q2"))
    with pytest.raises(
        AnalysisError, match=r"in only one of the two attributions(?s:.)*q1(?s:.)*q2(?s:.)*same collection"
    ):
        overlap(attributed, other)
    turned = attribution(truth(0), np.array([1, 2]), ids=("q1", "q0"))
    with pytest.raises(AnalysisError, match="the same examples in different orders"):
        overlap(attributed, turned)
    seeded = attribution(truth(0), np.array([1, 2]), recipe={"seed": 1})
    with pytest.raises(
        AnalysisError, match=r"different seeds: 0 and 1(?s:.)*halves drawn with different seeds share examples"
    ):
        overlap(attributed, seeded)
    with pytest.raises(SettingsError, match=r"unknown ranking 'shares'(?s:.)*did you mean 'share'"):
        overlap(attributed, attributed, by="shares")
    with pytest.raises(SettingsError, match=r"top is 1(?s:.)*between 0 and 1"):
        overlap(attributed, attributed, top=1)
