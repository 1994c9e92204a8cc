import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retroscope.probing.accuracy import choice_accuracy, tie_tolerance


@pytest.mark.parametrize("n", [2, 3, 4, 5, 7])
def test_all_equal_scores_are_worth_exactly_one_nth(n):
    assert choice_accuracy(np.full((6, n), 3.7)).tolist() == [1 / n] * 6


@pytest.mark.parametrize(
    ("scores", "right", "credit"),
    [
        ([2.0, 1.0, 0.0], 0, 1.0),
        ([1.0, 2.0, 0.0], 0, 0.0),
        ([2.0, 2.0, 0.0], 0, 0.5),
        ([0.0, 2.0, 2.0], 0, 0.0),  # others tie: still wrong
        ([0.0, 2.0, 2.0], 2, 0.5),
        ([0.0, 1.0, 2.0], 2, 1.0),
    ],
)
def test_credit(scores, right, credit):
    assert choice_accuracy(np.array([scores]), right=right).tolist() == [credit]


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=6))
def test_the_credits_of_all_candidates_sum_to_one(scores):
    one = np.array([scores], dtype=float)
    total = sum(choice_accuracy(one, right=place)[0] for place in range(len(scores)))
    assert total == pytest.approx(1.0)


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_is_irrelevant(scores, random):
    order = list(range(len(scores)))
    random.shuffle(order)
    shuffled = np.array([[scores[place] for place in order]], dtype=float)
    assert choice_accuracy(shuffled, right=order.index(0)) == choice_accuracy(np.array([scores], dtype=float))


def test_candidates_that_are_not_valid_never_win():
    scores = np.array([[1.0, 9.0, 0.0]])
    assert choice_accuracy(scores, np.array([[True, False, True]])).tolist() == [1.0]


@pytest.mark.parametrize("dim", [16, 384, 4096])
def test_rounding_differences_between_equal_vectors_are_ties(dim):
    """The same product summed in another order differs by rounding; that must not decide."""
    rng = np.random.default_rng(0)
    vector, query = rng.normal(size=(2, dim)).astype(np.float32)
    orders = [rng.permutation(dim) for _ in range(200)]
    sums = [np.cumsum(vector[order] * query[order], dtype=np.float32)[-1] for order in orders]
    scores = np.array(sums, dtype=np.float64).reshape(-1, 5)
    naive = choice_accuracy(scores)
    assert set(np.unique(naive)) - {0.2}, "rounding should separate at least some of these"
    scale = float(np.linalg.norm(vector) * np.linalg.norm(query))
    assert np.all(choice_accuracy(scores, tolerance=tie_tolerance(scale, dim)) == 0.2)


def test_the_tolerance_is_too_small_to_tie_what_differs():
    assert tie_tolerance(1.0, 4096) < 1e-5
