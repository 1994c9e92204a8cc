"""Make a collection from its parts: rows of passages, rows of queries, and judgments."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.places import Places, RecordPlace
from retroscope.collection.readers.fields import (
    Words,
    answers_of,
    id_of,
    later_columns,
    query_group,
    refuse_unknown_words,
    required_id,
    required_text,
    resolve_columns,
    text_of,
)
from retroscope.collection.readers.rows import Row, RowSource
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.number_format import count

PASSAGE_WORDS = {
    "passage_id": ["_id", "id", "docid", "doc_id", "document_id", "pid"],
    "passage_text": ["text", "contents", "content", "document_text"],
}
TITLE_WORDS = {"title": ["title"]}
ANSWER_WORDS = {"answers": ["answers"]}
QUERY_WORDS = {"query_id": ["_id", "id", "query_id", "qid"], "query_text": ["text", "query", "query_text"]}
WORDS = {**PASSAGE_WORDS, **TITLE_WORDS, **QUERY_WORDS, **ANSWER_WORDS}


@dataclass
class RowReader:
    """Converter of rows to passages and queries. `mapping` records the column of each field."""

    columns: Mapping[str, str]
    mapping: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        refuse_unknown_words(self.columns, WORDS)

    def passages(self, rows: Iterable[Row]) -> Iterator[Passage]:
        """Convert each row to a passage. The first row decides which columns are read."""
        for row in rows:
            if "passage_id" not in self.mapping:
                self._resolve(row, PASSAGE_WORDS, TITLE_WORDS)
            yield Passage(
                id=required_id(row, self.mapping["passage_id"]),
                title=text_of(row, self.mapping.get("title", "title")),
                text=required_text(row, self.mapping["passage_text"]),
            )

    def queries(self, rows: Iterable[Row]) -> Iterator[Query]:
        """Convert each row to a query."""
        for row in rows:
            if "query_id" not in self.mapping:
                self._resolve(row, QUERY_WORDS, ANSWER_WORDS)
            self.mapping.update(later_columns(row, ANSWER_WORDS, self.mapping))
            yield Query(
                required_id(row, self.mapping["query_id"]),
                required_text(row, self.mapping["query_text"]),
                answers_of(row, self.mapping.get("answers")),
                query_group(row),
            )

    def places(self, rows: Iterable[Row], word: str) -> Iterator[tuple[str, RecordPlace]]:
        """Yield id and location of every row. `word` is the field of the id: "passage_id" or "query_id"."""
        for row in rows:
            yield id_of(row, self.mapping[word]), row.place

    def _resolve(self, row: Row, required: Words, optional: Words) -> None:
        self.mapping.update(resolve_columns(row, required, optional, self.columns))


@dataclass
class Judged:
    """Filter that keeps queries with a judgment, as BEIR's loader does, and counts queries without one."""

    judgments: Sequence[Judgment]
    left_out: int = 0

    def among(self, queries: Iterable[Query]) -> Iterator[Query]:
        """Yield the queries that have a judgment, and count those without one."""
        judged = {j.query_id for j in self.judgments}
        for query in queries:
            if query.id in judged:
                yield query
            else:
                self.left_out += 1

    def notes(self) -> tuple[str, ...]:
        """Return a note of how many queries without a judgment were left out."""
        if not self.left_out:
            return ()
        return (f"left out {count(self.left_out, 'query')} without a judgment in these qrels, e.g. of other splits",)


@dataclass(frozen=True)
class Parts:
    """Functions that read the passages, queries and judgments of a collection.

    They are called again if an error must name the line of a record.
    """

    corpus: RowSource
    queries: RowSource
    judgments: Callable[[], Iterator[tuple[Judgment, RecordPlace]]]


def join_parts(name: str, parts: Parts, reader: RowReader, source: str) -> Collection:
    """Read passages, queries and judgments into a collection. Queries without a judgment are left out and counted."""
    judgments = [judgment for judgment, _ in parts.judgments()]
    judged = Judged(judgments)
    places = Places(
        passages=lambda: reader.places(parts.corpus(), "passage_id"),
        queries=lambda: reader.places(parts.queries(), "query_id"),
        judgments=lambda: (((j.query_id, j.passage_id), place) for j, place in parts.judgments()),
    )
    passages, queries = reader.passages(parts.corpus()), judged.among(reader.queries(parts.queries()))
    collection = make_collection(name, passages, queries, judgments, source=source, places=places)
    return replace(collection, notes=(*collection.notes, *judged.notes()))
