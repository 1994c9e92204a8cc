"""Reader of BEIR folders: corpus.jsonl, queries.jsonl and qrels (Thakur et al., 2021).

Qrels are qrels/SPLIT.tsv, or qrels/SPLIT.jsonl as MTEB publishes them. A split that has both is refused. Recognised by
these names, each plain or gzipped. The records have `_id` (or `id`), `text` and, in the corpus, `title`. `answers` of
the queries, a list of texts, are kept. Queries that the split does not judge are left out, as BEIR's own loader does.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from retroscope.collection.collection import Collection
from retroscope.collection.places import RecordPlace
from retroscope.collection.readers.judgments import JudgmentReader
from retroscope.collection.readers.options import (
    ReadOptions,
    choose_split,
    collection_name,
    only_file,
    queries_are_passages,
)
from retroscope.collection.readers.parts import Parts, RowReader, join_parts
from retroscope.collection.readers.reader import Reader
from retroscope.collection.readers.rows import file_rows, form_of
from retroscope.collection.readers.trec_files import BEIR_LINE, qrels_lines
from retroscope.collection.records import Judgment
from retroscope.errors import CollectionError

QRELS = re.compile(r"(.+)\.(tsv|jsonl)(\.gz)?")  # and nothing behind it: test.tsv.bak is no split


def recognises(path: Path) -> bool:
    """Return whether the folder has a corpus, queries and a folder of qrels."""
    return path.is_dir() and not _absent(path)


def read(path: Path, options: ReadOptions) -> Collection:
    """Read one split of a BEIR folder: the requested split, by default "test", else the only split."""
    if _absent(path):
        raise incomplete(path)
    splits = qrels_files(path)
    _check_some(path / "qrels", splits)
    split = choose_split(options.split, splits, str(path / "qrels"))
    reader, judged = RowReader(options.columns), JudgmentReader()
    name = collection_name(path)
    collection = join_parts(
        name,
        Parts(
            corpus=partial(file_rows, _file(path, "corpus")),
            queries=partial(file_rows, _file(path, "queries")),
            judgments=lambda: _judgments(splits[split], judged),
        ),
        reader,
        str(path),
    )
    return replace(
        collection,
        mapping={"format": "beir", "split": split, **reader.mapping, **judged.mapping},
        notes=(*collection.notes, *judged.notes()),
        ignore_identical_ids=queries_are_passages(name),
    )


def _judgments(file: Path, reader: JudgmentReader) -> Iterator[tuple[Judgment, RecordPlace]]:
    return reader.judgments(file_rows(file)) if form_of(file) == ".jsonl" else qrels_lines(file, BEIR_LINE)


def qrels_files(path: Path) -> dict[str, Path]:
    """Return the qrels file of each split of a BEIR folder: qrels/SPLIT.tsv or qrels/SPLIT.jsonl, plain or with .gz.

    Raises:
        CollectionError: if a split has several files.
    """
    matches = [m for p in sorted((path / "qrels").iterdir()) if (m := QRELS.fullmatch(p.name))]
    files: dict[str, list[str]] = {}
    for match in matches:
        files.setdefault(match[1], []).append(match[0])
    return {split: only_file(path / "qrels", names) for split, names in files.items()}


def _check_some(folder: Path, splits: Mapping[str, Path]) -> None:
    others = sorted(p.name for p in folder.iterdir())
    if others and not splits:
        raise CollectionError(
            f"this folder has no qrels SPLIT.tsv or SPLIT.jsonl; found: {', '.join(others)}",
            where=str(folder),
            fix=f"write the qrels as test.tsv; {BEIR_LINE}",
        )


def _file(path: Path, stem: str) -> Path:
    names = [name for name in (f"{stem}.jsonl", f"{stem}.jsonl.gz") if (path / name).is_file()]
    return only_file(path, names)


def is_begun(path: Path) -> bool:
    """Return whether a folder is an incomplete BEIR folder: it has corpus or queries, but lacks another part."""
    return path.is_dir() and bool(_absent(path)) and not {"corpus.jsonl", "queries.jsonl"} <= {*_absent(path)}


def incomplete(path: Path) -> CollectionError:
    """Return the error for a BEIR folder that lacks some of its files."""
    return CollectionError(
        f"this is not a complete BEIR folder: it has no {', '.join(_absent(path))}",
        where=str(path),
        fix="add what is missing; a BEIR folder has corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv (or .jsonl)",
    )


def _absent(path: Path) -> list[str]:
    missing = [
        f"{stem}.jsonl"
        for stem in ("corpus", "queries")
        if not any((path / f"{stem}.jsonl{end}").is_file() for end in ("", ".gz"))
    ]
    return missing + ([] if (path / "qrels").is_dir() else ["qrels/"])


READER = Reader(
    layout="folder", judgments="`qrels/SPLIT.tsv` or `.jsonl`", recognises=recognises, read=read, splits=qrels_files
)
