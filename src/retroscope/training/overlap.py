"""Overlap of held-out queries with the training pairs: near-duplicate queries, common passages, common answers.

Held-out queries whose text equals a training query are refused elsewhere (`pairs.check_held_out`). Lewis et al. (2021,
"Question and Answer Test-Train Overlap in Open-Domain Question Answering Datasets") found that 60 to 70 % of the test
answers and 30 % of the test questions of common data sets are also in the training sets, and that models are far worse
on the other questions. Answers are compared if both collections have them, normalised as in `answer_strings`.
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
    """A held-out query with its most similar training query (`trained`), and the Jaccard index of their words."""

    query_id: str
    text: str
    trained: str
    jaccard: float


@dataclass(frozen=True)
class TrainingOverlap:
    """How much the judged queries of a held-out collection overlap with the training pairs.

    Attributes:
        collection: name of the collection.
        n_queries: number of judged queries in the held-out collection.
        threshold: smallest Jaccard index of words at which two queries count as near duplicates.
        near_duplicates: number of held-out queries that are near duplicates of a training query.
        shared_passages: number of held-out queries with a relevant passage that is also the positive of a training
            pair, compared without case and spaces (`folded`).
        shared_answers: number of held-out queries that share an answer with a training query; None if the training
            pairs or the collection have no answers.
        examples: some of the near duplicates, the most similar first.
    """

    collection: str
    n_queries: int
    threshold: float
    near_duplicates: int
    shared_passages: int
    shared_answers: int | None = None
    examples: tuple[NearDuplicate, ...] = ()

    def words(self) -> str:
        """Return a sentence that counts the near duplicates, shared passages and shared answers."""
        answers = "; answers are not known"
        if self.shared_answers is not None:
            answers = f", {self.shared_answers:,} share an answer with a training query"
        return (
            f"{self.collection}: of {self.n_queries:,} held-out queries, {self.near_duplicates:,} nearly repeat a "
            f"training query (token Jaccard {self.threshold:g} or more), {self.shared_passages:,} have a relevant "
            f"passage that is in the training pairs{answers}"
        )


def overlap_with(pairs: Pairs, held_out: Collection, threshold: float = NEAR) -> TrainingOverlap:
    """Return how much the judged queries of a held-out collection overlap with the training pairs.

    Args:
        threshold: smallest Jaccard index |A and B| / |A or B| of the sets of words (`words_of`) at which two queries
            count as near duplicates.
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
    has_answers = bool(pairs.answers) and any(answers)
    same_answer = sum(bool(mine & pairs.answers) for mine in answers) if has_answers else None
    n = len(held_out.judged_queries)
    return TrainingOverlap(held_out.name, n, threshold, len(duplicates), shared, same_answer, examples)


class _Nearest:
    """Index of the training queries by their rarest words, to find the near duplicates of a text.

    If the words of each set are sorted in one common order, two sets with a Jaccard index of t or more share one of the
    first n - ceil(t n) + 1 words of each set of n words (prefix filtering, Chaudhuri et al. 2006). With the rarest
    words first, few candidates remain, and no near duplicate is missed.
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
        """Yield the training queries whose Jaccard index with a text is at least the threshold, with this index."""
        words = _words(text)
        for number in sorted({n for word in self._first(words) for n in self.index.get(word, ())}):
            jaccard = len(words & self.words[number]) / len(words | self.words[number])
            if jaccard >= self.threshold:
                yield self.queries[number], jaccard

    def _first(self, words: frozenset[str]) -> list[str]:
        n_first = len(words) - math.ceil(self.threshold * len(words) - 1e-9) + 1
        return sorted(words, key=lambda word: (self.often[word], word))[:n_first]


def _words(text: str) -> frozenset[str]:
    return frozenset(words_of(folded(text)))
