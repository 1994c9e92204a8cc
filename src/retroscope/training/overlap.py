"""Overlap of held-out queries with the training set beyond equal texts, which are refused.

Lewis et al. (2021, "Question and Answer Test-Train Overlap in Open-Domain Question Answering Datasets"): 60 to 70 % of
test answers and 30 % of test questions of common data sets are in their training sets, and models do far worse on the
rest. Answers are compared where both sources give them, normalised as in the screen of hard negatives.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from retroscope.collection.answers import answer_strings
from retroscope.collection.collection import Collection
from retroscope.collection.records import folded
from retroscope.collection.words import words_of
from retroscope.training.pairs import Pairs

NEAR = 0.8  # token Jaccard from which two queries are near duplicates: one word of ten exchanged. Set without any data
SHOWN = 5


@dataclass(frozen=True)
class NearDuplicate:
    """A held-out query with its nearest training query, and the Jaccard index of their tokens."""

    query_id: str
    text: str
    trained: str
    jaccard: float


@dataclass(frozen=True)
class TrainingOverlap:
    """Overlap of a held-out collection's judged queries with the training pairs.

    Attributes:
        collection: name of the collection.
        n_queries: number of judged queries.
        threshold: token Jaccard from which two queries count as near duplicates.
        near_duplicates: number of queries that reach the threshold with a training query.
        shared_passages: number of queries with a relevant passage whose text (`folded`) is a positive of a training
            pair.
        shared_answers: number of queries that share an answer with a trained query, or None if one side has no answers.
        examples: some of the near duplicates, the nearest first.
    """

    collection: str
    n_queries: int
    threshold: float
    near_duplicates: int
    shared_passages: int
    shared_answers: int | None = None
    examples: tuple[NearDuplicate, ...] = ()

    def words(self) -> str:
        """Describe which queries, passages and answers the held-out collection shares with the training pairs."""
        answers = "; answers are not known"
        if self.shared_answers is not None:
            answers = f", {self.shared_answers:,} share an answer with a training query"
        return (
            f"{self.collection}: of {self.n_queries:,} held-out queries, {self.near_duplicates:,} nearly repeat a "
            f"training query (token Jaccard {self.threshold:g} or more), {self.shared_passages:,} have a relevant "
            f"passage that is in the training pairs{answers}"
        )


def overlap_with(pairs: Pairs, held_out: Collection, threshold: float = NEAR) -> TrainingOverlap:
    """Find near-duplicates, passages and answers that a held-out collection shares with the training pairs.

    Args:
        threshold: token Jaccard, |A and B| / |A or B| over the sets of words (`words_of`), from which two queries count
            as near duplicates.
    """
    nearest = _Nearest(tuple(dict.fromkeys(pairs.queries)), threshold)
    duplicates = []
    for query in held_out.judged_queries:
        text = held_out.queries[query].text
        best = max(nearest.to(text), key=lambda item: item[1], default=None)
        if best is not None:
            duplicates.append(NearDuplicate(query, text, *best))
    positives = {folded(text) for text in pairs.positives}
    shared = sum(
        any(folded(held_out.passage_text(p)) in positives for p, grade in held_out.qrels[query].items() if grade > 0)
        for query in held_out.judged_queries
    )
    examples = tuple(sorted(duplicates, key=lambda near: -near.jaccard)[:SHOWN])
    answers = [set(answer_strings(held_out.queries[query].answers)) for query in held_out.judged_queries]
    known = bool(pairs.answers) and any(answers)
    same_answer = sum(bool(mine & pairs.answers) for mine in answers) if known else None
    n = len(held_out.judged_queries)
    return TrainingOverlap(held_out.name, n, threshold, len(duplicates), shared, same_answer, examples)


class _Nearest:
    """Index of training queries by their rarest words, to find near-duplicates.

    Two sets of Jaccard t or more share a word among the first n - ceil(t n) + 1 of each, in any common order of words
    (prefix filtering, Chaudhuri et al. 2006): rare words first, few candidates remain. Nothing is missed.
    """

    def __init__(self, queries: Sequence[str], threshold: float) -> None:
        self.queries = queries
        self.threshold = threshold
        self.words = [_words(query) for query in queries]
        self.often = Counter(word for words in self.words for word in words)
        self.index: dict[str, list[int]] = defaultdict(list)
        for number, words in enumerate(self.words):
            for word in self._first(words):
                self.index[word].append(number)

    def to(self, text: str) -> Iterator[tuple[str, float]]:
        """Yield the training queries whose Jaccard index with a text reaches the threshold."""
        words = _words(text)
        for number in sorted({n for word in self._first(words) for n in self.index.get(word, ())}):
            jaccard = len(words & self.words[number]) / len(words | self.words[number])
            if jaccard >= self.threshold:
                yield self.queries[number], jaccard

    def _first(self, words: frozenset[str]) -> list[str]:
        kept = len(words) - math.ceil(self.threshold * len(words) - 1e-9) + 1
        return sorted(words, key=lambda word: (self.often[word], word))[:kept]


def _words(text: str) -> frozenset[str]:
    return frozenset(words_of(folded(text)))
