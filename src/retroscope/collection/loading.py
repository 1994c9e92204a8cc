"""Load a collection from `PREFIX:PATH`, or from a path whose format is recognised by its files."""

from collections.abc import Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from retroscope.collection.collection import Collection
from retroscope.collection.hints import unread
from retroscope.collection.named import named_collection
from retroscope.collection.readers import beir, trec
from retroscope.collection.readers.options import ReadOptions
from retroscope.collection.readers.reader import Reader
from retroscope.collection.readers.registry import READERS
from retroscope.display import shown
from retroscope.errors import CollectionError, SettingsError, did_you_mean, unknown_name
from retroscope.files.reading import PathLike, foreign, path_of, path_or_name


def load_collection(
    spec: PathLike,
    *,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    title_separator: str | None = None,
    limit_queries: int | None = None,
    seed: int = 0,
    ignore_identical_ids: bool | None = None,
    name: str | None = None,
) -> Collection:
    """Read a collection from `PREFIX:PATH` (a prefix of `READERS`), or from a path that one reader recognises.

    Large files show their progress in a terminal and a notebook.

    Args:
        spec: e.g. "beir:data/nq", "data/train.jsonl", "ir_datasets:beir/nq/test".
        split: the split whose judgments are read, by default "test", else the only one.
        columns: name of a field -> the file's column, if its name differs from that of the format.
        title_separator: text between title and passage, by default a space as in BEIR and the ielab set.
        limit_queries: number of queries with a relevant passage to keep, drawn at random. The corpus stays whole.
        seed: seed of that draw.
        ignore_identical_ids: leave the passage that has the query's own id out of the query's ranking. By default, this
            is done for arguana and quora only.
        name: the collection's name in tables, by default that of the file or folder.

    Raises:
        SettingsError: if a prefix, split or field does not exist.
        CollectionError: if no reader, or more than one, recognises the path, or the data are invalid.
    """
    if limit_queries is not None:
        _check_limit(limit_queries)
    mend = "check the files, or fetch them again"
    source = path_or_name(spec)
    known = named_collection(source)
    with shown(None), foreign(CollectionError, "this collection cannot be read", source, fix=mend):
        reader, path = resolve_spec(source)
        options = ReadOptions(split=split, columns=columns or {})
        collection = reader.read(path, options if known is None else known.options(options))
    overrides: dict[str, Any] = {
        "name": name or (known.name if known else None),
        "title_separator": title_separator,
        "ignore_identical_ids": ignore_identical_ids,
    }
    collection = replace(collection, **{key: value for key, value in overrides.items() if value is not None})
    return collection if limit_queries is None else drawn_queries(collection, limit_queries, seed)


def splits_of(spec: PathLike) -> tuple[str, ...]:
    """Return the names of the splits (e.g. train, test) of a data set, or () if they are unknown before it is read."""
    reader, path = resolve_spec(spec)
    return tuple(sorted(reader.splits(path)))


def drawn_queries(collection: Collection, n: int, seed: int = 0) -> Collection:
    """Return the collection with `n` of its judged queries, drawn at random, and the whole corpus.

    Queries are drawn because the first queries of a file may belong to few documents. A larger draw with the same seed
    contains a smaller one.
    """
    _check_limit(n)
    judged = collection.judged_queries
    order = np.random.default_rng(seed).permutation(len(judged))
    drawn_ids = {judged[place] for place in order[:n]}
    note = f"{len(drawn_ids)} of {len(judged)} judged queries kept, drawn at random (seed {seed})"
    return with_queries(collection, drawn_ids, note)


def _check_limit(queries: int) -> None:
    if queries < 1:
        raise SettingsError(
            f"limit_queries must be at least 1, got {queries}",
            fix="give the number of queries to keep, e.g. limit_queries=100, or leave out limit_queries to keep all",
        )


def with_queries(collection: Collection, kept: Set[str], note: str) -> Collection:
    """Return the collection with only the queries whose ids are in `kept`. The corpus stays whole.

    `note` says why, and is added to the notes of the collection.
    """
    return replace(
        collection,
        queries={key: query for key, query in collection.queries.items() if key in kept},
        judgments=tuple(j for j in collection.judgments if j.query_id in kept),
        candidates=tuple(c for c in collection.candidates if c.query_id in kept),
        rows=tuple(c for c in collection.rows if c.query_id in kept),
        notes=(*collection.notes, note),
    )


def resolve_spec(spec: PathLike) -> tuple[Reader, Path]:
    """Return the reader and the path of a spec (`PREFIX:PATH`). Without a prefix, a reader must recognise the path."""
    source = path_or_name(spec)
    known = named_collection(source)
    prefix, path = split_prefix(source if known is None else known.source)
    if prefix is not None and prefix not in READERS:
        raise unknown_name("prefix", prefix, READERS)
    if prefix is None or not READERS[prefix].is_name:
        _check_exists(path)
    return (READERS[prefix] if prefix else detect(path)), path


def split_prefix(spec: str | Path) -> tuple[str | None, Path]:
    """Split a spec `PREFIX:PATH` into its prefix, or None without one, and its path.

    A colon belongs to the path if it follows a drive letter or a slash, or if a path with this name exists.
    """
    text = str(spec)
    prefix, colon, rest = text.partition(":")
    known = prefix in READERS
    plain = len(prefix) == 1 or "/" in prefix or "\\" in prefix or path_of(text, CollectionError).exists()
    if isinstance(spec, Path) or not colon or (plain and not known):
        return None, path_of(text, CollectionError)
    return prefix, path_of(rest, CollectionError)


def detect(path: Path) -> Reader:
    """Return the only reader that recognises a path.

    For a TREC folder that lacks a file, return the reader of TREC, whose error then names the file.

    Raises:
        CollectionError: if several readers recognise the path, or none.
    """
    fitting = recognised(path)
    if len(fitting) == 1:
        return READERS[fitting[0]]
    if fitting:
        raise CollectionError(
            f"several formats fit this path: {', '.join(fitting)}",
            where=str(path),
            fix=f"put the format before the path, e.g. {fitting[0]}:{path}",
        )
    if beir.is_begun(path):
        raise beir.incomplete(path)
    if trec.has_most_files(path):
        return trec.READER  # which names the missing file, or the line that is not one of qrels
    raise unread(path, READERS, recognised)


def recognised(path: Path) -> list[str]:
    """Return the prefixes of the readers that recognise a path."""
    return [prefix for prefix, reader in READERS.items() if reader.recognises(path)]


def _check_exists(path: Path) -> None:
    if not path.exists():
        known = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise CollectionError("no such file or folder", where=str(path), fix=did_you_mean(path.name, known))
