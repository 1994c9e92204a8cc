"""Reader of both versions of Tevatron training data (Gao et al., 2022).

Legacy: rows of `query_id`, `query`, `positive_passages` and `negative_passages`, lists of {`docid`,
`title`, `text`}; recognised by `query` and `positive_passages`. Version 2: rows of `query_id`,
`query_text`, `positive_document_ids`, `negative_document_ids`, recognised by `query_text` and
`positive_document_ids`, and a corpus (`docid`, `text`, `title`) in a file called corpus.jsonl (.parquet, .gz ...) in
the same folder. A column `answers` is kept in both versions.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.places import Places
from retroscope.collection.readers.fields import (
    answers_of,
    id_of,
    ids_of,
    records_of,
    refuse_unknown_words,
    required_text,
    text_of,
)
from retroscope.collection.readers.options import ReadOptions, collection_name
from retroscope.collection.readers.parts import PASSAGE_WORDS, TITLE_WORDS, RowReader
from retroscope.collection.readers.reader import Reader
from retroscope.collection.readers.row_formats.examples import Gathering, RowFormat, TrainingExample, read_rows
from retroscope.collection.readers.rows import Row, file_rows, first_row, form_of
from retroscope.collection.records import Passage, Query
from retroscope.errors import CollectionError

CORPUS_WORDS = (*PASSAGE_WORDS, *TITLE_WORDS)


def recognises(path: Path) -> bool:
    """Return whether the first row has the format of either version."""
    row = first_row(path)
    return LEGACY.fits(row) or VERSION_2.fits(row)


def read(path: Path, options: ReadOptions) -> Collection:
    """Read a file of Tevatron rows. Version 2 needs its corpus file in the same folder."""
    if not VERSION_2.fits(first_row(path)):
        return read_rows(path, LEGACY, options)
    options.refuse_split(VERSION_2.name)
    return read_with_corpus(path, _corpus_beside(path), VERSION_2, options)


def read_with_corpus(path: Path, corpus: Path, form: RowFormat, options: ReadOptions) -> Collection:
    """Read a file of rows that name their passages by ids in a corpus (`docid`, `text`, `title`)."""
    refuse_unknown_words(options.columns, (*form.words, *CORPUS_WORDS))
    reader = RowReader({word: column for word, column in options.columns.items() if word in CORPUS_WORDS})
    gathered, mapping = _gather(path, form, options.columns)
    collection = make_collection(
        collection_name(path),
        reader.passages(file_rows(corpus)),
        gathered.queries,
        gathered.judgments(),
        gathered.candidates(),
        source=str(path),
        places=Places(passages=lambda: reader.places(file_rows(corpus), "passage_id")),
    )
    mapping = {"format": form.name, **mapping, **reader.mapping}
    notes = (*collection.notes, *gathered.notes())
    return replace(collection, rows=gathered.choices(), mapping=mapping, notes=notes)


def _gather(path: Path, form: RowFormat, columns: Mapping[str, str]) -> tuple[Gathering, dict[str, str]]:
    gathered, mapping = Gathering(), dict[str, str]()
    own_columns = {word: column for word, column in columns.items() if word in form.words}
    for row in file_rows(path):
        mapping = mapping or form.resolve(row, own_columns)
        mapping.update(form.later(row, mapping))
        gathered.add(form.example(row, mapping), row.where)
    return gathered, mapping


def _corpus_beside(path: Path) -> Path:
    corpora = [p for p in sorted(path.parent.glob("corpus.*")) if form_of(p)]
    if len(corpora) != 1:
        names = ", ".join(file.name for file in corpora) or "none"
        raise CollectionError(
            f"this file gives passages by id, so exactly one file corpus.* must be in the same folder; found: {names}",
            where=str(path),
            fix="put the passages into the same folder as corpus.jsonl, with docid, text and title",
        )
    return corpora[0]


def _legacy(row: Row, columns: Mapping[str, str]) -> TrainingExample:
    return TrainingExample(
        Query(
            id_of(row, columns.get("query_id")),
            required_text(row, columns["query"]),
            answers_of(row, columns.get("answers")),
        ),
        _passages(row, columns["positive_passages"]),
        _passages(row, columns["negative_passages"]) if columns.get("negative_passages") in row.values else (),
    )


def _passages(row: Row, column: str) -> tuple[Passage, ...]:
    return tuple(
        Passage(id=id_of(p, "docid"), title=text_of(p, "title"), text=required_text(p, "text"))
        for p in records_of(row, column)
    )


def _version_2(row: Row, columns: Mapping[str, str]) -> TrainingExample:
    return TrainingExample(
        Query(
            id_of(row, columns.get("query_id")),
            required_text(row, columns["query_text"]),
            answers_of(row, columns.get("answers")),
        ),
        tuple(Passage(i, "") for i in ids_of(row, columns["positive_document_ids"])),
        tuple(Passage(i, "") for i in ids_of(row, columns["negative_document_ids"]))
        if columns.get("negative_document_ids") in row.values
        else (),
    )


LEGACY = RowFormat(
    name="tevatron",
    required={"query": ["query"], "positive_passages": ["positive_passages"]},
    optional={"query_id": ["query_id"], "negative_passages": ["negative_passages"], "answers": ["answers"]},
    example=_legacy,
)
VERSION_2 = RowFormat(
    name="tevatron version 2",
    required={"query_text": ["query_text"], "positive_document_ids": ["positive_document_ids"]},
    optional={"query_id": ["query_id"], "negative_document_ids": ["negative_document_ids"], "answers": ["answers"]},
    example=_version_2,
)


READER = Reader(layout="file of rows", judgments="each row", recognises=recognises, read=read)
