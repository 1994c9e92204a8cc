"""The linear head: it recovers a linear map, and nothing where there is none."""

import numpy as np
import pytest

from retroscope.retrieval.linear_head import PENALTIES, FoldHead, Space, cross_fitted, training_rows, unit_rows

N, DIM = 250, 12
FOLDS = np.arange(N) % 5


def space(queries: np.ndarray, passages: np.ndarray) -> Space:
    return Space(unit_rows(queries), unit_rows(passages), [np.array([i]) for i in range(len(queries))])


def rotated(seed: int = 0) -> Space:
    rng = np.random.default_rng(seed)
    passages = rng.standard_normal((N, DIM))
    turn = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0]
    return space(passages @ turn + 0.1 * rng.standard_normal((N, DIM)), passages)


def first(heads: list[FoldHead], search_space: Space) -> float:
    """Share of queries whose relevant passage comes first."""
    hits = [(head.queries @ search_space.passages.T).argmax(axis=1) == head.rows for head in heads]
    return float(np.concatenate(hits).mean())


def test_a_planted_linear_map_is_recovered_for_queries_that_it_never_saw() -> None:
    turned = rotated()
    assert float((turned.queries @ turned.passages.T).argmax(axis=1).__eq__(np.arange(N)).mean()) < 0.03
    heads = cross_fitted({"raw": turned}, FOLDS)
    assert first(heads, turned) > 0.9
    assert all(np.isfinite(head.penalty) for head in heads)


def test_where_there_is_no_map_nothing_is_gained() -> None:
    """Unrelated vectors: the expected share is 1 / 250, and no more than 6 of 250 come first by luck (p < .0001)."""
    rng = np.random.default_rng(1)
    pair_space = space(rng.standard_normal((N, DIM)), rng.standard_normal((N, DIM)))
    assert first(cross_fitted({"raw": pair_space}, FOLDS), pair_space) <= 6 / N


def test_vectors_that_are_perfect_already_are_left_alone() -> None:
    passages = np.random.default_rng(2).standard_normal((N, DIM))
    pair_space = space(passages, passages)
    heads = cross_fitted({"raw": pair_space}, FOLDS)
    assert [head.penalty for head in heads] == [np.inf] * 5
    for head in heads:
        assert np.array_equal(head.queries, pair_space.queries[head.rows])


def test_the_head_is_the_minimum_of_the_stated_loss() -> None:
    """The gradient of sum |A q - p|^2 + penalty |A - I|^2 vanishes at A, by hand."""
    turned = rotated(3)
    (head, *_) = cross_fitted({"raw": turned}, FOLDS, penalties=(0.3,))
    train, _ = training_rows(FOLDS, 0, 1)
    q, p = turned.queries[train], turned.passages[train]
    penalty = 0.3 * np.linalg.eigvalsh(q.T @ q).mean()
    a = np.linalg.lstsq(turned.queries[head.rows], head.queries, rcond=None)[0].T
    gradient = (q @ a.T - p).T @ q + penalty * (a - np.eye(DIM))
    assert np.abs(gradient).max() < 1e-8 * len(train)


@pytest.mark.parametrize("dim", [20, 149, 150, 400])
def test_with_fewer_queries_than_dimensions_the_head_is_the_same_ridge_regression(dim: int) -> None:
    """The normal equations, solved by numpy, with 150 training queries."""
    rng = np.random.default_rng(dim)
    passages = rng.standard_normal((N, dim))
    noisy = space(passages[:, ::-1] + rng.standard_normal((N, dim)), passages)
    (head, *_) = cross_fitted({"raw": noisy}, FOLDS, penalties=(0.3,))
    train, _ = training_rows(FOLDS, 0, 1)
    q, p = noisy.queries[train], noisy.passages[train]
    penalty = 0.3 * np.trace(q.T @ q) / dim
    shift = np.linalg.solve(q.T @ q + penalty * np.eye(dim), q.T @ (p - q))
    wanted = noisy.queries[head.rows] @ (np.eye(dim) + shift)
    assert np.allclose(head.queries, wanted, rtol=0, atol=1e-10)


def test_the_view_that_helps_is_chosen() -> None:
    turned, rng = rotated(4), np.random.default_rng(5)
    noise = space(rng.standard_normal((N, DIM)), rng.standard_normal((N, DIM)))
    assert {head.space for head in cross_fitted({"noise": noise, "turned": turned}, FOLDS)} == {"turned"}


def test_what_a_fold_is_asked_never_moves_its_head() -> None:
    """Leak test: other relevant passages for the queries of a fold, and its head is the same to the last bit."""
    turned = rotated(6)
    relevant = [np.array([(i + 5) % N]) if FOLDS[i] == 2 else pair for i, pair in enumerate(turned.relevant)]
    moved = Space(turned.queries, turned.passages, relevant)
    one, two = (cross_fitted({"raw": s}, FOLDS) for s in (turned, moved))
    assert np.array_equal(one[2].queries, two[2].queries)
    assert not np.array_equal(one[3].queries, two[3].queries)  # the control: it does move those that train with it


@pytest.mark.parametrize("n", [3, 5])
def test_every_query_is_answered_once_and_trains_nowhere_it_is_asked(n: int) -> None:
    folds = np.arange(40) % n
    for fold in range(n):
        train, chooser = training_rows(folds, fold, (fold + 1) % n)
        asked = np.flatnonzero(folds == fold)
        assert not {*train} & {*asked}
        assert not {*chooser} & {*asked, *train}
        assert len(train) + len(chooser) + len(asked) == 40


def test_several_relevant_passages_count_once_together() -> None:
    passages = np.eye(4)
    search_space = Space(passages[:1], passages, [np.array([1, 2])])
    assert np.allclose(search_space.targets(np.array([0])), [[0, 0.5, 0.5, 0]])


def test_the_largest_penalty_is_tried_first() -> None:
    assert list(PENALTIES) == sorted(PENALTIES, reverse=True)
    assert PENALTIES[0] == np.inf


def test_a_zero_vector_stays_zero() -> None:
    assert np.array_equal(unit_rows(np.array([[0.0, 0.0], [3.0, 4.0]])), [[0, 0], [0.6, 0.8]])
