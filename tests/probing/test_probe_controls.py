import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import choices

from retroscope.probing.controls import (
    CONTROLS,
    controls_on,
    hash_labels,
    independent_examples,
    shuffled_queries,
    views,
)
from retroscope.probing.splits import Choices, disjoint_split
from retroscope.probing.tasks import build_task


@given(st.lists(st.integers(0, 30), min_size=2, max_size=60), st.integers(0, 1000))
def test_shuffling_leaves_no_query_its_own_and_keeps_a_querys_choices_together(query, seed):
    queries = np.array(query)
    if len(np.unique(queries)) < 2:
        return
    before = Choices(queries, np.zeros((len(queries), 2), dtype=int))
    after = shuffled_queries(before, np.random.default_rng(seed), np.arange(31)).query
    assert not np.any(after == queries)
    assert {*after} == {*queries}
    assert len({*zip(queries.tolist(), after.tolist(), strict=True)}) == len({*queries.tolist()})


@given(st.lists(st.integers(0, 30), min_size=2, max_size=60), st.integers(2, 9), st.integers(0, 1000))
def test_shuffling_gives_no_query_another_of_its_own_text(query, distinct, seed):
    """Ids alone differ: with ten texts among 300 queries the control read .61 where chance is .20."""
    queries, texts = np.array(query), np.arange(31) % distinct
    if len(np.unique(texts[queries])) < 2:
        return
    before = Choices(queries, np.zeros((len(queries), 2), dtype=int))
    after = shuffled_queries(before, np.random.default_rng(seed), texts).query
    assert not np.any(texts[after] == texts[queries])
    assert {*texts[after]} == {*texts[queries]}


def test_hash_labels_depend_on_the_passages_alone_and_are_spread_evenly():
    rng = np.random.default_rng(0)
    sets = np.array([rng.permutation(5000)[:5] for _ in range(3000)])
    right = hash_labels(Choices(np.zeros(3000, dtype=int), sets), (3, 5), seed=1)
    flipped = hash_labels(Choices(np.ones(3000, dtype=int), sets[:, [0, 2, 1, 4, 3]]), (3,), seed=1)
    members = np.take_along_axis(sets, right[0][:, None], axis=1)
    assert np.array_equal(members, np.take_along_axis(sets[:, [0, 2, 1, 4, 3]], flipped[0][:, None], axis=1))
    shares = np.bincount(right[1], minlength=5) / 3000
    assert np.all(np.abs(shares - 0.2) < 4 * (0.2 * 0.8 / 3000) ** 0.5)


def test_the_passage_with_the_largest_hash_wins_in_whatever_company():
    """By type (Hewitt and Liang 2019): one order of all passages decides every choice; a hash of the set does not."""
    rng = np.random.default_rng(1)
    sets = np.array([rng.permutation(30)[:4] for _ in range(2000)])
    right = hash_labels(Choices(np.zeros(2000, dtype=int), sets), (4,), seed=3)[0]
    winners = np.take_along_axis(sets, right[:, None], axis=1)[:, 0]
    beats = {(w, loser) for w, row in zip(winners, sets, strict=True) for loser in row if loser != w}
    assert not any((b, a) in beats for a, b in beats)


def sharing(negatives: int, size: int, n: int = 60) -> Choices:
    """Examples with a passage of their own, `negatives` that all of them share, and others of their own."""
    passages = 100 + np.arange(n * size).reshape(n, size)
    passages[:, 1 : 1 + negatives] = np.arange(negatives)
    return Choices(np.arange(n), passages)


def test_examples_that_share_no_candidate_are_independent():
    assert independent_examples({0: sharing(0, 5), 1: sharing(0, 5)}, (2, 5)) == {2: 120.0, 5: 120.0}


@pytest.mark.parametrize(("shared", "size"), [(4, 5), (2, 5), (2, 3), (1, 2)])
def test_hash_labels_vary_no_more_than_the_independent_examples_say(shared, size):
    """One shared passage is predicted for all: so many accuracies by other hashes have at most the stated variance."""
    examples, draws = sharing(shared, size), 2000
    drawn = [float((hash_labels(examples, (size,), seed)[0] == 1).mean()) for seed in range(draws)]
    worth = independent_examples({0: examples}, (size,))[size]
    bound = (size - 1) / size**2 / worth
    assert np.var(drawn) < bound * (1 + 4 * (2 / draws) ** 0.5)
    assert np.var(drawn) > 5 * (size - 1) / size**2 / len(examples), "as if all were independent would be too narrow"


def test_the_same_candidates_for_all_are_less_than_two_examples():
    same = Choices(np.arange(60), np.tile(np.arange(2), (60, 1)))
    assert 1 <= independent_examples({0: same}, (2,))[2] < 2


def test_another_seed_hashes_otherwise():
    sets = Choices(np.zeros(200, dtype=int), np.arange(1000).reshape(200, 5))
    assert not np.array_equal(hash_labels(sets, (5,), 0), hash_labels(sets, (5,), 1))


def test_controls_that_read_the_same_queries_share_a_view():
    task = build_task(choices(), 3)
    split = disjoint_split(task, 0)
    own, shuffled = views(split.parts, 0, controls_on(tuple(CONTROLS), random_weights=False), (2, 3), task.texts)
    assert own.controls == ("none", "hash_labels")
    assert shuffled.controls == ("shuffled_queries",)
    assert np.array_equal(own.parts["test"].query, split.test.query)
    assert own.targets["train"].shape == (2, 2, len(split.train))
    assert not own.targets["train"][0].any()
    (random_weights,) = views(split.parts, 0, controls_on(tuple(CONTROLS), random_weights=True), (2, 3), task.texts)
    assert random_weights.controls == ("random_weights",)
