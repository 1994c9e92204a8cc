import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from planted import choices

from retroscope.collection.records import Candidates
from retroscope.errors import AnalysisError
from retroscope.probing.splits import disjoint_split, published_split
from retroscope.probing.tasks import build_task


@st.composite
def crowded(draw):
    """Candidates that share passages: several relevant ones a query, shared gold, lists of any length."""
    n = draw(st.integers(80, 140))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    gold = rng.integers(0, n, size=(n, draw(st.integers(1, 2))))
    longest = draw(st.integers(30, 60))
    rows = []
    for i in range(n):
        others = [j for j in rng.permutation(n + 50) if j not in gold[i]]
        rows += [
            Candidates(f"q{i}", f"p{g}", tuple(f"p{j}" for j in others[: rng.integers(10, longest)]))
            for g in {*gold[i].tolist()}
        ]
    return rows


@settings(max_examples=40)
@given(crowded(), st.integers(2, 4), st.integers(0, 11))
def test_no_query_and_no_passage_is_on_two_sides(candidates, size, seed):
    task = build_task(candidates, size)
    try:
        split = disjoint_split(task, seed)
    except AnalysisError:  # a crowded world may leave too little, and then says so (tested below)
        reject()
    parts = list(split.parts.values())
    for first, second in [(0, 1), (0, 2), (1, 2)]:
        assert not {*parts[first].query} & {*parts[second].query}
        assert not {*parts[first].passages.ravel()} & {*parts[second].passages.ravel()}


@settings(max_examples=20)
@given(st.integers(0, 2**16), st.integers(0, 3))
def test_the_choices_of_every_part_are_true_choices(world, block):
    """Relevant passage first, distinct negatives from the query's own list, hardest first."""
    candidates = choices(250, seed=world)
    task = build_task(candidates, 4)
    lists = {c.query_id: (c.positive, *c.negatives) for c in candidates}
    for part in disjoint_split(task, block).parts.values():
        for query, row in zip(part.query, part.passages, strict=True):
            places = [lists[task.query_ids[query]].index(task.passage_ids[p]) for p in row]
            assert places[0] == 0
            assert places == sorted({*places})


@pytest.mark.parametrize("first", [0, 5])
def test_five_seeds_test_every_query_once_on_its_own_candidates(first):
    task = build_task(choices(), 5)
    splits = [disjoint_split(task, seed) for seed in range(first, first + 5)]
    tested = np.concatenate([split.test.query for split in splits])
    assert sorted(tested) == list(range(300))
    for split in splits:
        assert np.array_equal(split.test.passages, task.passages[split.test.query, :5])


def test_the_next_five_seeds_use_another_shuffle():
    task = build_task(choices(), 5)
    assert not np.array_equal(disjoint_split(task, 0).test.query, disjoint_split(task, 5).test.query)


def test_a_split_is_reproducible():
    task = build_task(choices(), 5)
    first, second = disjoint_split(task, 3), disjoint_split(task, 3)
    for part in first.parts:
        assert np.array_equal(first.parts[part].passages, second.parts[part].passages)


def test_too_few_choices_say_which_and_what_to_do():
    with pytest.raises(AnalysisError, match="too few probe examples are left") as caught:
        disjoint_split(build_task(choices(30, negatives=4), 5), 0)
    assert "longer lists of hard negatives" in caught.value.fix


def test_a_small_corpus_is_divided_and_every_query_still_tested_once():
    """400 queries over 60 passages: the test's candidates alone would be the whole corpus."""
    rng = np.random.default_rng(0)
    lists = [rng.permutation(60) for _ in range(400)]
    task = build_task([Candidates(f"q{i}", f"p{x[0]}", tuple(f"p{j}" for j in x[1:])) for i, x in enumerate(lists)], 5)
    splits = [disjoint_split(task, seed) for seed in range(5)]
    assert all(split.own_negatives for split in splits)
    assert sorted(np.concatenate([split.test.query for split in splits])) == list(range(400))
    for split in splits:
        train, validation, test = ({*part.passages.ravel()} for part in split.parts.values())
        assert not (train & validation)
        assert not (train & test)
        assert not (validation & test)
    assert not any(disjoint_split(build_task(choices(), 5), seed).own_negatives for seed in range(5))


def test_a_query_with_relevant_passages_in_two_parts_is_in_none():
    rng = np.random.default_rng(1)
    rows = []
    for i in range(400):
        order = rng.permutation(60)
        rows += [Candidates(f"q{i}", f"p{g}", tuple(f"p{j}" for j in order[2:])) for g in order[:2]]
    split = disjoint_split(build_task(rows, 3), 0)
    assert split.own_negatives
    train, validation, test = ({*part.query} for part in split.parts.values())
    assert not (train & validation)
    assert not (train & test)
    assert not (validation & test)


def test_the_published_split_reports_what_it_selects_on():
    split = published_split(build_task(choices(), 5), 42)
    assert split.sizes() == {"train": 297, "validation": 3, "test": 3}
    assert split.validation is split.test
    assert not {*split.train.query} & {*split.test.query}


def test_queries_of_one_text_are_on_one_side():
    """Every text is asked by two queries; by query ids half of the test's texts would be trained on."""
    candidates = [Candidates(f"q{i}", f"p{i}", tuple(f"x{(7 * i + k) % 400}" for k in range(30))) for i in range(200)]
    texts = {f"q{i}": i // 2 for i in range(200)}
    task = build_task(candidates, 3, texts)
    for split in (disjoint_split(task, seed) for seed in range(5)):
        trained, validated, tested = (set(task.texts[part.query].tolist()) for part in split.parts.values())
        assert not split.own_negatives
        assert tested
        assert not tested & trained
        assert not tested & validated
        assert not validated & trained
    apart = build_task(candidates, 3)
    by_id = disjoint_split(apart, 0)
    assert {q // 2 for q in by_id.test.query.tolist()} & {q // 2 for q in by_id.train.query.tolist()}


def test_a_divided_corpus_counts_the_texts_that_training_asks_too():
    rng = np.random.default_rng(0)
    lists = [rng.permutation(60) for _ in range(400)]
    candidates = [Candidates(f"q{i}", f"p{x[0]}", tuple(f"p{j}" for j in x[1:])) for i, x in enumerate(lists)]
    task = build_task(candidates, 5, {f"q{i}": i // 2 for i in range(400)})
    split = disjoint_split(task, 0)
    known = np.isin(task.texts[split.test.query], task.texts[split.train.query])
    assert split.own_negatives
    assert split.repeats == known.sum() > 0
    assert disjoint_split(build_task(candidates, 5), 0).repeats == 0
