"""Split probe examples into training, validation and test by query text, so that no passage is in two parts.

By their hard negatives, nearly all queries and passages are connected, so the parts of a random split would share
passages. Here the test examples keep their candidates. Every other passage is assigned to training or to validation. A
negative that belongs to another part is replaced by the next negative in the query's list. In a small corpus, too few
probe examples may be left. Then the passages are divided into parts instead of the queries, and every part, the test,
too, takes its negatives from its own passages (`Split.own_negatives`).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from retroscope.errors import AnalysisError
from retroscope.probing.tasks import NOBODY, ChoiceRows, Lists, Task

FOLDS = 5  # test one, validate on one, train on three
FEWEST = {"train": 20, "validation": 5, "test": 1}  # choices without which a split says nothing
TRAIN, VALIDATION, TEST = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Choices:
    """Probe examples, each with the index of its query and the indices of its candidate passages.

    Attributes:
        query: index in `Task.query_ids` of each probe example's query.
        passages: (probe example, candidate) indices in `Task.passage_ids`, the relevant passage first.
    """

    query: ChoiceRows
    passages: Lists

    def __len__(self) -> int:
        return len(self.query)


@dataclass(frozen=True, eq=False)
class Split:
    """The probe examples of one seed, divided into training, validation (selection of ridge or epoch) and test.

    Attributes:
        seed: seed of everything random in this split.
        own_negatives: whether test negatives come only from the passages of the test part, so that they are easier.
        repeats: number of test examples whose query text also occurs in training.
    """

    seed: int
    train: Choices
    validation: Choices
    test: Choices
    own_negatives: bool = False
    repeats: int = 0

    @property
    def parts(self) -> dict[str, Choices]:
        """Map "train", "validation" and "test" to their probe examples."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def sizes(self) -> dict[str, int]:
        """Return the number of probe examples in each part."""
        return {part: len(choices) for part, choices in self.parts.items()}


def disjoint_split(task: Task, seed: int) -> Split:
    """Split probe examples into training, validation and test, which share no query texts and no passages.

    Five consecutive seeds (0-4, 5-9 ...) test each query exactly once: they use the same shuffled folds of the queries,
    and each seed takes another fold for the test. If the passages must be divided instead (`Split.own_negatives`), each
    query is tested at most once, and parts may share query texts.

    Raises:
        AnalysisError: if too few probe examples remain in a part, even if the passages are divided.
    """
    start = seed - seed % FOLDS
    if not any(_too_small(_with_all_candidates(task, each_seed)) for each_seed in range(start, start + FOLDS)):
        return _with_all_candidates(task, seed)
    split = _with_own_negatives(
        task, seed
    )  # for all seeds of a rotation or for none, so that each query is tested once
    _check(split)
    return split


def _with_all_candidates(task: Task, seed: int) -> Split:
    """Split by query text: test examples keep all candidates; other passages are for training or validation."""
    part = _parts(task, seed)
    pool = _pools(task, part, np.random.default_rng([seed, 1]))
    test = part == TEST
    return Split(
        seed=seed,
        train=_refill(task, part == TRAIN, pool == TRAIN),
        validation=_refill(task, part == VALIDATION, pool == VALIDATION),
        test=Choices(task.query[test], task.passages[test, : task.size]),
    )


def _with_own_negatives(task: Task, seed: int) -> Split:
    """Split the probe examples by their relevant passages instead of their query texts.

    A query whose relevant passages are in several parts is left out. Two queries with the same text may be in different
    parts: if many queries with one text have different relevant passages, a split by text would keep none of these
    queries. `Split.repeats` counts the test examples whose query text is also in training.
    """
    shuffle = np.random.default_rng([seed // FOLDS, 0]).permutation(len(task.passage_ids))
    pool = _rotated(shuffle, seed)
    part = pool[task.passages[:, 0]]
    occurs_in = np.zeros((len(task.query_ids), 3), dtype=bool)
    occurs_in[task.query, part] = True
    whole = occurs_in.sum(axis=1)[task.query] == 1
    train, validation, test = (
        _refill(task, whole & (part == side), pool == side) for side in (TRAIN, VALIDATION, TEST)
    )
    return Split(seed, train, validation, test, own_negatives=True, repeats=_repeats(task, train, test))


def _repeats(task: Task, train: Choices, test: Choices) -> int:
    """Count the test examples whose query text also occurs in training."""
    return int(np.isin(task.texts[test.query], task.texts[train.query]).sum())


def _rotated(shuffle: Int[np.ndarray, "n"], seed: int) -> Int[np.ndarray, "n"]:
    """Return the part (TRAIN, VALIDATION or TEST) of each item: one of five folds is the test, the next the validation.

    Args:
        shuffle: a permutation of the items; the fold of an item is its value modulo 5.
        seed: the test is fold `seed` modulo 5.
    """
    turn = (shuffle - seed) % FOLDS
    return np.asarray(np.select([turn == 0, turn == 1], [TEST, VALIDATION], TRAIN))


def published_split(task: Task, seed: int, train_share: float = 0.99) -> Split:
    """Split as the published study (ielab-2025) did: a random share trains, the rest serves as validation and as test.

    Queries and passages of the two parts overlap.

    Raises:
        AnalysisError: for a single probe example, which cannot be divided.
    """
    if len(task.query) < 2:
        raise AnalysisError(
            "there is only one probe example, which cannot be split into training and test",
            where=f"split of seed {seed}",
            fix="use more judged queries",
        )
    order = np.random.default_rng(seed).permutation(len(task.query))
    cut = min(round(train_share * len(order)), len(order) - 1)
    train, rest = (Choices(task.query[rows], task.passages[rows, : task.size]) for rows in (order[:cut], order[cut:]))
    return Split(seed=seed, train=train, validation=rest, test=rest, repeats=_repeats(task, train, rest))


def _parts(task: Task, seed: int) -> ChoiceRows:
    """Return the part (TRAIN, VALIDATION or TEST) of every probe example, by the text of its query."""
    text = task.text
    shuffle = np.random.default_rng([seed // FOLDS, 0]).permutation(int(text.max(initial=-1)) + 1)
    return np.asarray(_rotated(shuffle, seed)[text])


def _pools(task: Task, part: ChoiceRows, rng: np.random.Generator) -> Int[np.ndarray, "passage"]:
    """Assign each passage to training, validation or test.

    A candidate of a test example is assigned to the test. Of the other passages, a relevant passage is assigned to the
    part of its query (to training if both parts have such a query). Any other passage is assigned to the part that has
    it more often among its first N-1 negatives. If both have it equally often, the part is drawn at random, with the
    probabilities 3/4 for training and 1/4 for validation.
    """
    uses = [_uses(task, part == side, slice(1, task.size)) for side in (TRAIN, VALIDATION)]
    coin = np.where(rng.random(len(task.passage_ids)) < 1 / (FOLDS - 1), VALIDATION, TRAIN)
    pool = np.select([uses[0] > uses[1], uses[1] > uses[0]], [TRAIN, VALIDATION], coin)
    for side in (VALIDATION, TRAIN):
        pool[task.passages[part == side, 0]] = side
    pool[task.passages[part == TEST, : task.size]] = TEST
    return np.asarray(pool)


def _uses(task: Task, rows: ChoiceRows, places: slice) -> Int[np.ndarray, "passage"]:
    """Count how often each passage is a candidate of some probe examples.

    Args:
        rows: mask of the probe examples.
        places: range of candidates that count, e.g. the first N-1 negatives.
    """
    return np.bincount(task.passages[rows, places].ravel(), minlength=len(task.passage_ids))


def _refill(task: Task, rows: ChoiceRows, allowed: ChoiceRows) -> Choices:
    """Return the selected probe examples, each with its hardest negatives among the allowed passages.

    A probe example is left out if its relevant passage is not allowed, or if too few negatives are.

    Args:
        rows: mask of the probe examples.
        allowed: mask of the passages.
    """
    query, lists = task.query[rows], task.passages[rows]
    usable = allowed[lists] & (lists != NOBODY)
    hardest_first = np.argsort(~usable, axis=1, kind="stable")[:, : task.size]
    complete = usable[:, 0] & (usable.sum(axis=1) >= task.size)
    passages = np.take_along_axis(lists, hardest_first, axis=1)
    return Choices(query[complete], passages[complete])


def _too_small(split: Split) -> list[str]:
    """List the parts with fewer probe examples than `FEWEST` requires, such as "train: 3 (at least 20)"."""
    sizes = split.sizes()
    return [f"{part}: {sizes[part]} (at least {least})" for part, least in FEWEST.items() if sizes[part] < least]


def _check(split: Split) -> None:
    short = _too_small(split)
    if short:
        raise AnalysisError(
            "too few probe examples are left to train, validate or test the probes, because these parts may not share "
            f"passages: {', '.join(short)}",
            where=f"split of seed {split.seed}",
            fix="use more queries, a larger corpus, longer lists of hard negatives, or fewer candidate passages "
            "(probes.passages)",
        )
