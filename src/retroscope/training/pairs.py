"""Make training pairs of query and relevant passage, and check that no held-out query is among them."""

import hashlib
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property

from retroscope.collection.answers import answer_strings
from retroscope.collection.collection import Collection
from retroscope.collection.negatives import hard_negatives
from retroscope.collection.records import folded
from retroscope.errors import TrainingError, listed
from retroscope.training.masking import Relevance, relevance_of_rows


@dataclass(frozen=True)
class Pairs:
    """Training pairs of query and relevant passage, with hard negatives, as columns of texts.

    Attributes:
        queries: query of each pair.
        positives: relevant passage of each pair.
        negatives: one column for the first hard negative of each pair, one for the second, and so on.
        notes: sentences about pairs that were left out, with counts.
        relevant: query text -> texts of all its relevant passages.
        answers: normalised answers of all queries, if the collection has answers.
    """

    queries: tuple[str, ...]
    positives: tuple[str, ...]
    negatives: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    relevant: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    answers: frozenset[str] = field(default=frozenset(), repr=False)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.queries)

    @property
    def columns(self) -> dict[str, list[str]]:
        """Return the columns by name, in the order that sentence-transformers expects: query, positive, negatives."""
        named = {f"negative_{i}": list(texts) for i, texts in enumerate(self.negatives, start=1)}
        return {"query": list(self.queries), "positive": list(self.positives), **named}

    @cached_property
    def relevance(self) -> Relevance | None:
        """Return which in-batch negatives are relevant and must be masked, or None if no negative can be relevant."""
        relevance = relevance_of_rows(self.queries, (self.positives, *self.negatives), self.relevant)
        return relevance if relevance.rows_with_false_negatives else None

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 hash of all texts in order, and of which passages are masked."""
        masked = () if self.relevance is None else (list(map(sorted, self.relevance.relevant)),)
        return hashlib.sha256(repr((self.queries, self.positives, self.negatives, *masked)).encode()).hexdigest()


def training_pairs(collection: Collection, n_negatives: int = 0, how: str = "bm25") -> Pairs:
    """Make one training pair for each judged relevant pair of query and passage, in the order of the collection.

    Args:
        n_negatives: number of hard negatives of each pair. Pairs with fewer are left out, with a note.
        how: source of the hard negatives, "bm25" or "given" (see `hard_negatives`).
    """
    if n_negatives:
        return _with_negatives(collection, n_negatives, how)
    rows = [
        (query, passage)
        for query in collection.judged_queries
        for passage, relevance in collection.qrels[query].items()
        if relevance > 0
    ]
    return Pairs(
        tuple(collection.queries[query].text for query, _ in rows),
        tuple(collection.passage_text(passage) for _, passage in rows),
        relevant=_relevant(collection),
        answers=_answers(collection, collection.judged_queries),
    )


def _answers(collection: Collection, trained: Iterable[str]) -> frozenset[str]:
    """Return the normalised answers of the queries with these ids."""
    return frozenset(a for query in trained for a in answer_strings(collection.queries[query].answers))


def _relevant(collection: Collection) -> dict[str, frozenset[str]]:
    """Map each query text to the texts of its relevant passages, over all queries with this text."""
    relevant: dict[str, set[str]] = {}
    for query in collection.judged_queries:
        texts = relevant.setdefault(collection.queries[query].text, set())
        texts |= {collection.passage_text(p) for p, grade in collection.qrels[query].items() if grade > 0}
    return {query: frozenset(texts) for query, texts in relevant.items()}


def _with_negatives(collection: Collection, n: int, how: str) -> Pairs:
    candidates = hard_negatives(collection, n, how=how).candidates
    complete = [c for c in candidates if len(c.negatives) >= n]
    if not complete:
        raise TrainingError(
            f"no query has {n} hard negatives",
            where=collection.name,
            fix="give a smaller hard_negatives (--hard-negatives), or 0 for none",
        )
    left_out = len(candidates) - len(complete)
    return Pairs(
        tuple(collection.queries[c.query_id].text for c in complete),
        tuple(collection.passage_text(c.positive) for c in complete),
        tuple(tuple(collection.passage_text(c.negatives[i]) for c in complete) for i in range(n)),
        (f"{left_out} of {len(candidates)} pairs have fewer than {n} hard negatives and were left out",)
        if left_out
        else (),
        _relevant(collection),
        _answers(collection, {c.query_id for c in complete}),
    )


def check_held_out(pairs: Pairs, held_out: Iterable[Collection]) -> None:
    """Refuse to train with a query whose text is also a judged query of a held-out collection.

    Texts are compared without case and repeated spaces (`folded`).

    Raises:
        TrainingError: with the ids and texts of these queries.
    """
    trained = {folded(query) for query in pairs.queries}
    for collection in held_out:
        _refuse_shared(trained, collection, "held-out", "the training pairs")


def check_not_chosen_with(dev: Collection, tests: Iterable[Collection]) -> None:
    """Refuse to select a checkpoint by test queries, because this would bias the test score upwards.

    Raises:
        TrainingError: with the ids and texts of these queries.
    """
    selecting = {folded(dev.queries[query].text) for query in dev.judged_queries}
    for collection in tests:
        _refuse_shared(selecting, collection, "test", f"{dev.name}, which chooses the checkpoint")


def _refuse_shared(seen: Set[str], collection: Collection, kind: str, others: str) -> None:
    """Refuse a collection if texts of its queries are already used for training or selection.

    Args:
        seen: texts of the queries that are used for training or selection.
        collection: the held-out or test collection.
        kind: "held-out" or "test", for the message.
        others: what the texts in `seen` are used for, as the message says it.
    """
    leaking = [
        f"{query} ({collection.queries[query].text!r})"
        for query in collection.judged_queries
        if folded(collection.queries[query].text) in seen
    ]
    if leaking:
        raise TrainingError(
            f"{len(leaking)} {kind} queries are also in {others}:{listed(leaking)}",
            where=collection.name,
            fix="remove these queries from one of the two splits",
        )
