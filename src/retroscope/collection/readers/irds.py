"""Read data sets of ir-datasets.com by their id, e.g. ir_datasets:beir/nq (extra `ir-datasets`).

Data sets are read only with this prefix, because an id like beir/nq is also a plausible path. The text of a document or
query is its field `text`, else its default text. The title is kept if a document has `title` and `text`.
"""

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from retroscope.collection.collection import Collection
from retroscope.collection.places import RecordPlace
from retroscope.collection.readers.numbers import relevance_of
from retroscope.collection.readers.options import ReadOptions, queries_are_passages
from retroscope.collection.readers.parts import Parts, RowReader, join_parts
from retroscope.collection.readers.reader import Reader
from retroscope.collection.readers.rows import Row
from retroscope.collection.records import Judgment
from retroscope.errors import CollectionError, MissingExtraError
from retroscope.files.reading import foreign

CHOOSE_ID = "give an id from https://ir-datasets.com, e.g. ir_datasets:beir/nq/test"


def recognises(path: Path) -> bool:
    """Return False, because only the prefix `ir_datasets:` selects this reader."""
    return False


def read(path: Path, options: ReadOptions) -> Collection:
    """Read the data set whose id is the path."""
    name = path.as_posix()
    options.refuse_split("ir_datasets")
    return irds_collection(_load(name), name)


def irds_collection(dataset: Any, name: str) -> Collection:
    """Convert a loaded ir_datasets data set to a collection."""
    absent = [part for part in ("docs", "queries", "qrels") if not getattr(dataset, f"has_{part}")()]
    if absent:
        raise CollectionError(
            f"this data set of ir_datasets has no {', '.join(absent)}",
            where=name,
            fix="name a subset that has docs, queries and qrels, e.g. ir_datasets:beir/nq/test",
        )
    parts = Parts(
        corpus=lambda: _documents(dataset, name),
        queries=lambda: _queries(dataset, name),
        judgments=lambda: _judgments(dataset, name),
    )
    collection = join_parts(name, parts, RowReader({}), f"ir_datasets:{name}")
    mapping = {"format": "ir_datasets"}
    return replace(collection, mapping=mapping, ignore_identical_ids=queries_are_passages(name))


def _documents(dataset: Any, name: str) -> Iterator[Row]:
    for number, doc in enumerate(dataset.docs_iter(), 1):
        title = doc.title if {"title", "text"} <= {*doc._fields} else ""
        yield Row({"doc_id": doc.doc_id, "title": title, "text": _text(doc)}, name, number, "document")


def _queries(dataset: Any, name: str) -> Iterator[Row]:
    for number, query in enumerate(dataset.queries_iter(), 1):
        yield Row({"query_id": query.query_id, "text": _text(query)}, name, number, "query")


def _judgments(dataset: Any, name: str) -> Iterator[tuple[Judgment, RecordPlace]]:
    for number, judged in enumerate(dataset.qrels_iter(), 1):
        place = RecordPlace(name, f"qrels {number}")
        yield Judgment(judged.query_id, judged.doc_id, relevance_of(judged.relevance, str(place))), place


def _text(record: Any) -> str:
    return str(record.text if "text" in record._fields else record.default_text())


def _load(name: str) -> Any:
    if find_spec("ir_datasets") is None:
        raise MissingExtraError(
            "the library ir_datasets is not installed", where=name, fix="pip install 'retroscope[ir-datasets]'"
        )
    import ir_datasets

    with foreign(CollectionError, "ir_datasets cannot load this data set", name, fix=CHOOSE_ID):
        try:
            return ir_datasets.load(name)
        except KeyError as error:
            raise CollectionError(f"ir_datasets has no data set {name!r}", where=name, fix=CHOOSE_ID) from error


READER = Reader(layout="id", judgments="the data set", recognises=recognises, read=read, is_name=True)
