"""Split probe examples into training, validation and test by query text, so that no passage is in two parts.

Hard negatives join nearly all queries and passages into one connected component, so a random split would share
passages. Here the test examples stay exactly as they are. Every other passage is assigned to training or to validation.
Negatives that were assigned to another part are replaced by the next ones of the query's list. If too few probe
examples would be left in a small corpus, the passages are divided into parts instead of the queries. Every part, the
test too, then takes its negatives from its own passages (`Split.own_negatives`).
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
    """Probe examples of one part of a split: queries, and candidates for each query.

    Attributes:
        query: index of the query of each probe example.
        passages: (choice, size) indices, the relevant passage first.
    """

    query: ChoiceRows
    passages: Lists

    def __len__(self) -> int:
        return len(self.query)


@dataclass(frozen=True, eq=False)
class Split:
    """The probe examples of one seed for training, selection (ridge, epoch) and report.

    Attributes:
        seed: seed of everything random in this split.
        own_negatives: whether the negatives of the test come only from the test's passages, so that they are easier.
        repeats: test examples whose query text also occurs in training.
    """

    seed: int
    train: Choices
    validation: Choices
    test: Choices
    own_negatives: bool = False
    repeats: int = 0

    @property
    def parts(self) -> dict[str, Choices]:
        """Map part names to their probe examples."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def sizes(self) -> dict[str, int]:
        """Return the number of probe examples in each part."""
        return {part: len(choices) for part, choices in self.parts.items()}


def disjoint_split(task: Task, seed: int) -> Split:
    """Split the task's probe examples without shared texts or passages.

    Five consecutive seeds (0-4, 5-9 ...) test each query exactly once, or at most once if the passages must be divided
    (`Split.own_negatives`).

    Seeds 0-4 rotate one shuffle of the queries, seeds 5-9 the next, and so on.

    Raises:
        AnalysisError: if too few probe examples remain to train, to validate or to test, even with the passages
            divided.
    """
    start = seed - seed % FOLDS
    if not any(_too_small(_with_all_candidates(task, other)) for other in range(start, start + FOLDS)):
        return _with_all_candidates(task, seed)
    split = _with_own_negatives(
        task, seed
    )  # for all seeds of a rotation or for none, so that each query is tested once
    _check(split)
    return split


def _with_all_candidates(task: Task, seed: int) -> Split:
    """Keep all candidates of the test examples, and divide the other passages between training and validation."""
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

    A query whose relevant passages lie in several parts is in none. Another query with its text may be in another
    part: where one question is asked of many passages, a split by text would keep none. `Split.repeats` counts them.
    """
    shuffle = np.random.default_rng([seed // FOLDS, 0]).permutation(len(task.passage_ids))
    pool = _rotated(shuffle, seed)
    part = pool[task.passages[:, 0]]
    seen = np.zeros((len(task.query_ids), 3), dtype=bool)
    seen[task.query, part] = True
    whole = seen.sum(axis=1)[task.query] == 1
    train, validation, test = (
        _refill(task, whole & (part == side), pool == side) for side in (TRAIN, VALIDATION, TEST)
    )
    return Split(seed, train, validation, test, own_negatives=True, repeats=_repeats(task, train, test))


def _repeats(task: Task, train: Choices, test: Choices) -> int:
    """Count the test examples whose query text also occurs in training."""
    return int(np.isin(task.texts[test.query], task.texts[train.query]).sum())


def _rotated(shuffle: Int[np.ndarray, "n"], seed: int) -> Int[np.ndarray, "n"]:
    """Return the part of each item: fold `seed` of the shuffle is the test part, the next one the validation part."""
    turn = (shuffle - seed) % FOLDS
    return np.asarray(np.select([turn == 0, turn == 1], [TEST, VALIDATION], TRAIN))


def published_split(task: Task, seed: int, train_share: float = 0.99) -> Split:
    """Split as ielab-2025 did: a random share of the *probe examples* for training, the rest for selection and report.

    Raises:
        AnalysisError: for a single probe example, because none would be left for training.
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
    """Return the part of every probe example, as determined by its query's text."""
    text = task.text
    shuffle = np.random.default_rng([seed // FOLDS, 0]).permutation(int(text.max(initial=-1)) + 1)
    return np.asarray(_rotated(shuffle, seed)[text])


def _pools(task: Task, part: ChoiceRows, rng: np.random.Generator) -> Int[np.ndarray, "passage"]:
    """Assign each passage to a part.

    In order: a test candidate to the test; a relevant passage to the part of its query (training
    first); any other to the part that uses it more among its first N-1 negatives, an unused or
    tied one by a coin with the odds of the folds.
    """
    uses = [_uses(task, part == side, slice(1, task.size)) for side in (TRAIN, VALIDATION)]
    coin = np.where(rng.random(len(task.passage_ids)) < 1 / (FOLDS - 1), VALIDATION, TRAIN)
    pool = np.select([uses[0] > uses[1], uses[1] > uses[0]], [TRAIN, VALIDATION], coin)
    for side in (VALIDATION, TRAIN):
        pool[task.passages[part == side, 0]] = side
    pool[task.passages[part == TEST, : task.size]] = TEST
    return np.asarray(pool)


def _uses(task: Task, rows: ChoiceRows, places: slice) -> Int[np.ndarray, "passage"]:
    """Count how often each passage occurs in these slots of these probe examples."""
    return np.bincount(task.passages[rows, places].ravel(), minlength=len(task.passage_ids))


def _refill(task: Task, rows: ChoiceRows, allowed: ChoiceRows) -> Choices:
    """Return the probe examples `rows` with allowed passages only. Each keeps its hardest allowed negatives."""
    query, lists = task.query[rows], task.passages[rows]
    usable = allowed[lists] & (lists != NOBODY)
    hardest_first = np.argsort(~usable, axis=1, kind="stable")[:, : task.size]
    complete = usable[:, 0] & (usable.sum(axis=1) >= task.size)
    passages = np.take_along_axis(lists, hardest_first, axis=1)
    return Choices(query[complete], passages[complete])


def _too_small(split: Split) -> list[str]:
    """List the parts of the split (training, validation, test) with fewer probe examples than `FEWEST` requires."""
    sizes = split.sizes()
    return [f"{sizes[part]} to {part} (at least {least})" for part, least in FEWEST.items() if sizes[part] < least]


def _check(split: Split) -> None:
    short = _too_small(split)
    if short:
        raise AnalysisError(
            "too few probe examples are left, because training, validation and test may not share a query or a "
            f"passage: {', '.join(short)}",
            where=f"split of seed {split.seed}",
            fix="use more queries, a larger corpus, longer lists of hard negatives, or fewer candidate passages "
            "(probes.passages)",
        )
