"""Read data sets of ir-datasets.com by their id, e.g. ir_datasets:beir/nq (extra `ir-datasets`).

Never recognised by itself, because an id like beir/nq is also a plausible path. Titles stay apart where
a document has `title` and `text`; otherwise the document's default text is read, as for queries.
"""

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from retroscope.collection.collection import Collection
from retroscope.collection.readers.numbers import relevance_of
from retroscope.collection.readers.options import ReadOptions, queries_are_passages
from retroscope.collection.readers.parts import join_parts
from retroscope.collection.readers.reader import Reader
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.errors import CollectionError, MissingExtraError
from retroscope.files.reading import foreign

CHOOSE_ID = "give an id from https://ir-datasets.com, e.g. ir_datasets:beir/nq/test"


def recognises(path: Path) -> bool:
    """Return False: only the prefix `ir_datasets:` selects this reader."""
    return False


def read(path: Path, options: ReadOptions) -> Collection:
    """Read the data set whose id is the path."""
    name = path.as_posix()
    options.refuse_split("ir_datasets")
    return irds_collection(_load(name), name)


def irds_collection(dataset: Any, name: str) -> Collection:
    """Make a collection of a loaded ir_datasets data set."""
    parts = [part for part in ("docs", "queries", "qrels") if not getattr(dataset, f"has_{part}")()]
    if parts:
        raise CollectionError(
            f"this data set of ir_datasets has no {', '.join(parts)}",
            where=name,
            fix="name a subset that has docs, queries and qrels, e.g. ir_datasets:beir/nq/test",
        )
    judgments = [
        Judgment(q.query_id, q.doc_id, relevance_of(q.relevance, f"{name}, qrels {number}"))
        for number, q in enumerate(dataset.qrels_iter(), 1)
    ]
    queries = (Query(q.query_id, q.text if "text" in q._fields else q.default_text()) for q in dataset.queries_iter())
    collection = join_parts(name, _passages(dataset), queries, judgments, f"ir_datasets:{name}")
    mapping = {"format": "ir_datasets"}
    return replace(collection, mapping=mapping, ignore_identical_ids=queries_are_passages(name))


def _passages(dataset: Any) -> Iterator[Passage]:
    for doc in dataset.docs_iter():
        if "title" in doc._fields and "text" in doc._fields:
            yield Passage(doc.doc_id, doc.text, doc.title or "")
        else:
            yield Passage(doc.doc_id, doc.text if "text" in doc._fields else doc.default_text())


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
