"""Convert rows of texts (a query, its positives, its negatives) to a collection with ids.

Rows with the same query text become one query. Passages with the same title and text become one passage. Ids in the
source take precedence. New ids count in order of first appearance: q0, q1 ... and p0, p1 ...
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.readers.fields import (
    Words,
    later_columns,
    refuse_unknown_words,
    resolve_columns,
    resolve_stems,
)
from retroscope.collection.readers.options import ReadOptions, collection_name
from retroscope.collection.readers.reader import Reader
from retroscope.collection.readers.rows import Row, file_rows, first_row
from retroscope.collection.records import Candidates, Judgment, Passage, Query
from retroscope.errors import CollectionError, excerpt

WITHOUT_RELEVANT = "rows without a relevant passage, left out with their other passages"
ONLY_IN_CORPUS = "rows labelled 0 (not relevant), whose passages are in the corpus without a judgment"


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """A query with its positives and negatives from one row. An empty id is replaced by a generated one.

    Attributes:
        unjudged: passages that the row only adds to the corpus, without a relation to its query.
    """

    query: Query
    positives: tuple[Passage, ...]
    negatives: tuple[Passage, ...] = ()
    unjudged: tuple[Passage, ...] = ()


@dataclass(frozen=True)
class RowFormat:
    """Description of a row format: the columns of its fields, and the function that reads a row.

    Attributes:
        name: name of the format, in messages.
        required: name of a field -> names that its column may have. A row with all required fields has this format.
        optional: the same, for columns that may be absent.
        stems: name of a field -> the stem of its numbered columns ("negative" for negative_1, negative_2 ...).
        in_every_row: optional fields that all rows or no row must have. A row without them has another meaning.
        example: function of a row and its columns (field -> column) that returns a `TrainingExample`.
    """

    name: str
    required: Words
    example: Callable[[Row, Mapping[str, str]], TrainingExample]
    optional: Words = field(default_factory=dict)
    stems: Mapping[str, str] = field(default_factory=dict)
    in_every_row: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """Return the names of the fields whose columns a caller can rename."""
        return (*self.required, *self.optional, *self.stems)

    def resolve(self, row: Row, columns: Mapping[str, str]) -> dict[str, str]:
        """Map each field of the format to its column in this row, or to the stem of its numbered columns.

        Raises:
            CollectionError: if a required column is missing, or two columns could be one field of `in_every_row`.
        """
        for word in self.in_every_row:
            present = [name for name in self.optional[word] if name in row.values]
            if len(present) > 1 and word not in columns:
                raise CollectionError(
                    f"several columns could be the {word}: {', '.join(present)}",
                    where=row.where,
                    fix=f"keep one of these columns, or say which to read: --set data.columns='{{{word}: COLUMN}}'",
                )
        return {
            **resolve_columns(row, self.required, self.optional, columns),
            **resolve_stems(row, self.stems, columns),
        }

    def later(self, row: Row, columns: Mapping[str, str]) -> dict[str, str]:
        """Find optional fields that no earlier row had. Return their columns in this row, by field.

        Raises:
            CollectionError: if this row has a field of `in_every_row` that earlier rows lack.
        """
        new_columns = later_columns(row, self.optional, columns)
        for word in self.in_every_row:
            if word in new_columns:
                raise CollectionError(
                    f"this row has the column {excerpt(new_columns[word])}, but the first row does not",
                    where=row.where,
                    fix=f"give every row a {new_columns[word]}, or none",
                )
        return new_columns

    def fits(self, row: Row | None, columns: Mapping[str, str] | None = None) -> bool:
        """Return whether a row has every required column. `columns` has the caller's own column names, by field."""
        own_columns = columns or {}
        wanted = [[own_columns[word]] if word in own_columns else names for word, names in self.required.items()]
        known = {*own_columns} <= {*self.words}
        return known and row is not None and all(any(n in row.values for n in names) for names in wanted)


def row_reader(form: RowFormat) -> Reader:
    """Return the reader of files whose rows all have one format."""
    return Reader(
        layout="file of rows",
        judgments="each row",
        recognises=lambda path: recognises_rows(path, form),
        read=lambda path, options: read_rows(path, form, options),
    )


def recognises_rows(path: Path, form: RowFormat) -> bool:
    """Return whether the first row of a file has this format."""
    return form.fits(first_row(path))


def read_rows(path: Path, form: RowFormat, options: ReadOptions) -> Collection:
    """Read a file whose rows have the format `form` as a collection."""
    return collection_from_rows(file_rows(path), form, options, name=collection_name(path), source=str(path))


def collection_from_rows(
    stream: Iterable[Row], form: RowFormat, options: ReadOptions, *, name: str, source: str
) -> Collection:
    """Make a collection from rows of one format. The rows are read once.

    Raises:
        CollectionError: if a column is missing, an id has two texts, or the collection is invalid.
    """
    options.refuse_split(form.name)
    refuse_unknown_words(options.columns, form.words)
    columns: dict[str, str] = {}
    gathered = Gathering()

    def passages() -> Iterator[Passage]:
        for row in stream:
            if not columns:
                columns.update(form.resolve(row, options.columns))
            columns.update(form.later(row, columns))
            yield from gathered.add(form.example(row, columns), row.where)

    # `make_collection` exhausts the passages before it looks at the rest, which they fill.
    collection = make_collection(
        name, passages(), gathered.queries, gathered.judgments(), gathered.candidates(), source=source
    )
    mapping = {"format": form.name, **columns}
    return replace(collection, rows=gathered.choices(), mapping=mapping, notes=(*collection.notes, *gathered.notes()))


@dataclass
class Names:
    """Assignment of ids to texts: the id in the source if there is one, else `prefix` and a number.

    It keeps 16 bytes for every text, not the text itself.
    """

    prefix: str
    by_text: dict[bytes, str] = field(default_factory=dict)
    by_id: dict[str, bytes] = field(default_factory=dict)

    def name(self, given: str, content: tuple[str, ...], where: str) -> tuple[str, bool]:
        """Return the id of a text, and whether the text is new. `given` is its id in the source, or "" without one."""
        digest = hashlib.blake2b(repr(content).encode(errors="surrogatepass"), digest_size=16).digest()
        own = given or self.by_text.setdefault(digest, f"{self.prefix}{len(self.by_text)}")
        known = self.by_id.setdefault(own, digest)
        if known != digest:
            raise CollectionError(
                f"two different texts have the id {own!r}",
                where=where,
                fix="give every text an id of its own",
            )
        return own, known is digest


@dataclass
class Gathering:
    """Builder of a collection from rows. It keeps the queries, judgments and negatives read so far."""

    queries: list[Query] = field(default_factory=list)
    query_names: Names = field(default_factory=lambda: Names("q"))
    passage_names: Names = field(default_factory=lambda: Names("p"))
    negatives: dict[tuple[str, str], dict[str, None]] = field(default_factory=dict)
    rows: list[Candidates] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    places: dict[str, int] = field(default_factory=dict)

    def add(self, example: TrainingExample, where: str) -> list[Passage]:
        """Add one row, and return the passages in it that no earlier row had."""
        fresh: list[Passage] = []
        for passage in example.unjudged:
            self._name(passage, fresh, where)
        if not example.positives:
            self.left_out[ONLY_IN_CORPUS if example.unjudged else WITHOUT_RELEVANT] += 1
            return fresh
        if not example.query.text.strip():  # at once: a small file may hold millions of such rows
            raise CollectionError("a query has no text", where=where, fix="remove this row, or give its query a text")
        query_id, new = self.query_names.name(example.query.id, (example.query.text,), where)
        if new:
            self.places[query_id] = len(self.queries)
            self.queries.append(Query(query_id, example.query.text))
        self._add_answers(query_id, example.query.answers)
        positives = [self._name(p, fresh, where) for p in example.positives]
        negatives = [self._name(p, fresh, where) for p in example.negatives]
        self.rows += [Candidates(query_id, positive, tuple(negatives)) for positive in positives]
        for positive in dict.fromkeys(positives):
            self._join(self.negatives.setdefault((query_id, positive), {}), negatives, set(positives))
        return fresh

    def _add_answers(self, query_id: str, answers: tuple[str, ...]) -> None:
        place = self.places[query_id]
        query = self.queries[place]
        if not {*answers} <= {*query.answers}:
            self.queries[place] = replace(query, answers=tuple(dict.fromkeys((*query.answers, *answers))))

    def _name(self, passage: Passage, fresh: list[Passage], where: str) -> str:
        own, new = self.passage_names.name(passage.id, (passage.title, passage.text), where)
        if new:
            fresh.append(Passage(own, passage.text, passage.title))
        return own

    def _join(self, known: dict[str, None], negatives: Iterable[str], positives: set[str]) -> None:
        for negative in negatives:
            if negative in positives:
                self.left_out[
                    "negatives that are a positive of the same row, which the default protocol leaves out"
                ] += 1
            elif negative in known:
                self.left_out[
                    "negatives given twice for a query and positive, which the default protocol uses once"
                ] += 1
            else:
                known[negative] = None

    def judgments(self) -> Iterator[Judgment]:
        """Yield a judgment (relevant) for every pair of a query and a positive."""
        for query, positive in self.negatives:
            yield Judgment(query, positive)

    def candidates(self) -> Iterator[Candidates]:
        """Yield one `Candidates` for every (query, positive) pair that has negatives."""
        for pair, negatives in self.negatives.items():
            if negatives:
                yield Candidates(*pair, tuple(negatives))

    def choices(self) -> tuple[Candidates, ...]:
        """Return the query, positive and negatives of every row as they were read, or () if no row has a negative."""
        return tuple(self.rows) if any(row.negatives for row in self.rows) else ()

    def notes(self) -> tuple[str, ...]:
        """Return notes that say how many rows and negatives were left out, and why."""
        return tuple(f"{count} {what}" for what, count in sorted(self.left_out.items()))
