"""Collection: passages, queries and judgments, joined and checked once, when the collection is made."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import TypedDict, Unpack

from retroscope.collection.checks import (
    check_candidates,
    check_empty_passages,
    check_judgments,
    check_passages,
    check_passages_distinct,
    check_queries,
)
from retroscope.collection.passages import store_passages
from retroscope.collection.places import Places
from retroscope.collection.records import Candidates, Judgment, Passage, Query, folded
from retroscope.errors import CollectionError
from retroscope.notebook import html_table


@dataclass(frozen=True, repr=False)
class Collection:
    """A retrieval collection: passages, queries and judgments. Make one with `make_collection`.

    Attributes:
        name: a short name for tables.
        passages: id -> Passage, in the order of the source. The passages may be on disk, so iterate over them and look
            ids up, but do not copy them into a list.
        queries: id -> Query, in the order of the source.
        judgments: graded relevance. Every id in it exists.
        candidates: hard negatives that the source gives. If there are none, they must be mined.
        title_separator: text between a title and its passage (printed in the recipe).
        ignore_identical_ids: leave the passage that has the query's own id out of the query's ranking.
        source: path or name that it was read from.
        mapping: Retroscope's name of a field -> its name in the source; also the format and the split.
        notes: what the reader left out or repaired, with counts, in words.
        rows: probe examples exactly as in the rows of the source, for the published protocol: a negative may occur
            twice or be relevant, and a row may be repeated. Empty for a source without such rows.
    """

    name: str
    passages: Mapping[str, Passage]
    queries: Mapping[str, Query]
    judgments: Sequence[Judgment]
    candidates: Sequence[Candidates] = ()
    title_separator: str = " "
    ignore_identical_ids: bool = False
    source: str = ""
    mapping: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    rows: tuple[Candidates, ...] = ()

    def __str__(self) -> str:
        """Return the collection's name and sizes in one line."""
        sizes = f"{len(self.queries):,} queries, {len(self.passages):,} passages, {len(self.judgments):,} judgments"
        return f"{self.name}: {sizes}"

    def __repr__(self) -> str:
        return f"<Collection {self}>"

    def _repr_html_(self) -> str:
        sizes = {"passages": len(self.passages), "queries": len(self.queries), "judgments": len(self.judgments)}
        rows = [(name, f"{size:,}") for name, size in sizes.items()]
        return html_table(
            f"Collection {self.name}", [*rows, ("source", self.source), *(("note", n) for n in self.notes)]
        )

    def passage_text(self, passage_id: str) -> str:
        """Return title and text of a passage as one string, as it is encoded (without the recipe's prompt)."""
        return join_title(self.passages[passage_id], self.title_separator)

    @cached_property
    def qrels(self) -> dict[str, dict[str, int]]:
        """Return the relevance of every judged pair, as query id -> passage id -> relevance."""
        table: dict[str, dict[str, int]] = {}
        for j in self.judgments:
            table.setdefault(j.query_id, {})[j.passage_id] = j.relevance
        return table

    @cached_property
    def judged_queries(self) -> tuple[str, ...]:
        """Return the ids of the queries with at least one relevant passage, in the collection's order."""
        return tuple(q for q in self.queries if any(r > 0 for r in self.qrels.get(q, {}).values()))

    @cached_property
    def query_texts(self) -> dict[str, int]:
        """Map each query id to a number that stands for its text. Queries with the same text (`folded`) share it."""
        numbers: dict[str, int] = {}
        return {i: numbers.setdefault(folded(q.text), len(numbers)) for i, q in self.queries.items()}

    def texts_of_passages(self, candidates: Iterable[Candidates]) -> dict[str, int]:
        """Map each passage id in `candidates` to a number that stands for its text. Passages of equal text share it."""
        numbers: dict[bytes, int] = {}
        ids = dict.fromkeys(p for c in candidates for p in (c.positive, *c.negatives))
        digests = ((i, blake2b(folded(self.passage_text(i)).encode(), digest_size=16).digest()) for i in ids)
        return {i: numbers.setdefault(digest, len(numbers)) for i, digest in digests}

    @cached_property
    def relevant(self) -> dict[str, tuple[str, ...]]:
        """Return the ids of the relevant passages of each judged query, by query id."""
        return {q: tuple(p for p, grade in self.qrels[q].items() if grade > 0) for q in self.judged_queries}

    @property
    def _uncleaned(self) -> tuple[Candidates, ...]:
        """Return `rows`, or an empty tuple if judgments and candidates contain the same information."""
        if not self.rows:  # a large collection is not listed for nothing
            return ()
        negatives_of = {(c.query_id, c.positive): c.negatives for c in self.candidates}
        pairs = [(j.query_id, j.passage_id) for j in self.judgments]
        same = [(*pair, negatives_of.get(pair, ())) for pair in pairs]
        return () if [(c.query_id, c.positive, c.negatives) for c in self.rows] == same else self.rows

    @cached_property
    def fingerprint(self) -> str:
        """Return the SHA-256 of all ids, texts, answers, query groups, judgments and candidates, in order."""
        digest = hashlib.sha256(repr((self.title_separator, self.ignore_identical_ids)).encode())
        for p in self.passages.values():
            digest.update(repr((p.id, p.title, p.text)).encode())
        for q in self.queries.values():
            digest.update(repr((q.id, q.text, *([q.answers] if q.answers else []))).encode())
            if q.group:
                digest.update(repr({"group": q.group}).encode())
        for j in self.judgments:
            digest.update(repr((j.query_id, j.passage_id, j.relevance)).encode())
        for c in (*self.candidates, *self._uncleaned):
            digest.update(repr((c.query_id, c.positive, c.negatives)).encode())
        return digest.hexdigest()


def join_title(passage: Passage, separator: str) -> str:
    """Return title and text as one string, or the text alone if there is no title."""
    return f"{passage.title}{separator}{passage.text}" if passage.title else passage.text


class CollectionSettings(TypedDict, total=False):
    """Keyword arguments of `make_collection` that become the attributes of `Collection` with the same names."""

    title_separator: str
    ignore_identical_ids: bool
    source: str
    mapping: Mapping[str, str]
    notes: tuple[str, ...]


class MakingSettings(CollectionSettings, total=False):
    """All keyword arguments of `make_collection`. `places` finds the file and line of a record for an error message."""

    places: Places


def make_collection(
    name: str,
    passages: Iterable[Passage],
    queries: Iterable[Query],
    judgments: Iterable[Judgment],
    candidates: Iterable[Candidates] = (),
    **settings: Unpack[MakingSettings],
) -> Collection:
    """Make a checked collection from passages, queries, judgments and candidates.

    Every iterable is read once, the passages first.

    Passages without title and text are left out, and a note counts them. A judgment of such a passage is an error.

    Raises:
        CollectionError: for repeated ids, empty texts, repeated judgments, judgments with unknown ids, no query with a
            relevant passage, or probe examples whose negatives repeat a passage or contain the positive. One error
            lists all problems of one kind.
    """
    empty: list[str] = []
    places = settings.pop("places", Places())
    try:
        table = store_passages(check_passages(passages, empty))
        check_passages_distinct(table, empty, places)
        query_table = check_queries(queries, places)
        checked_judgments, checked_candidates = tuple(judgments), tuple(candidates)
        settings["notes"] = (
            *settings.get("notes", ()),
            *check_empty_passages(empty, checked_judgments, checked_candidates, places),
        )
        check_judgments(checked_judgments, query_table, table, places)
        check_candidates(checked_candidates, checked_judgments, table)
    except CollectionError as error:
        error.where = error.where or settings.get("source", "") or name
        raise
    collection_settings: CollectionSettings = settings
    return Collection(name, table, query_table, checked_judgments, checked_candidates, **collection_settings)
