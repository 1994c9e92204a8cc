"""Exclude ranked passages from hard negatives if they may be relevant but are not judged for the query."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from retroscope.collection.answers import answer_strings, token_string
from retroscope.collection.collection import Collection
from retroscope.collection.records import folded

ANSWER_ROOM = 100  # ranked passages looked into beyond the pool where answers are known: enough for all but a few


@dataclass(frozen=True)
class LeftOut:
    """Counts of ranked, unjudged passages that are not used as negatives because they may be relevant.

    Attributes:
        with_answer: number of passages that contain an answer of the query.
        of_same_text: number of passages that are relevant to another query with the same text and contain no answer.
        answered: number of queries whose answers the source gives.
    """

    with_answer: int = 0
    of_same_text: int = 0
    answered: int = 0


@dataclass(eq=False)
class Screen:
    """Filter that excludes ranked passages which may be relevant but are not judged for the query, and counts them.

    Attributes:
        relevant: text of a query -> ids of the passages that are relevant to any query with this text.
        tokens: passage id -> its `token_string`, made at first use.
    """

    collection: Collection
    relevant: Mapping[str, set[str]]
    tokens: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def for_query(self, query_id: str) -> Callable[[str], bool]:
        """Return a function that says, for a passage id, whether this passage can be a negative of the query."""
        query = self.collection.queries[query_id]
        needles, relevant = answer_strings(query.answers), self.relevant[folded(query.text)]

        def stays(passage: str) -> bool:
            answered = bool(needles) and any(needle in self._tokens(passage) for needle in needles)
            repeated = not answered and passage in relevant
            self.counts["with_answer"] += answered
            self.counts["of_same_text"] += repeated
            return not (answered or repeated)

        return stays

    def room(self, query_id: str) -> int:
        """Return how many more ranked passages to read for this query, because some of them may be excluded."""
        query = self.collection.queries[query_id]
        return len(self.relevant[folded(query.text)]) + (ANSWER_ROOM if query.answers else 0)

    def left_out(self) -> LeftOut:
        """Return the counts of passages excluded so far."""
        queries = self.collection.queries
        answered = sum(bool(queries[q].answers) for q in self.collection.judged_queries)
        return LeftOut(**self.counts, answered=answered)

    def _tokens(self, passage: str) -> str:
        if passage not in self.tokens:
            self.tokens[passage] = token_string(self.collection.passage_text(passage))
        return self.tokens[passage]


def relevant_by_text(collection: Collection) -> dict[str, set[str]]:
    """Map each query text (`folded`) to the ids of the passages that are relevant to any query with this text."""
    hashes: dict[str, set[str]] = {}
    for query in collection.judged_queries:
        positives = {p for p, grade in collection.qrels[query].items() if grade > 0}
        hashes.setdefault(folded(collection.queries[query].text), set()).update(positives)
    return hashes
