"""Reader of BEIR folders: corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv (Thakur et al., 2021).

Recognised by these names, each plain or gzipped. The records have `_id` (or `id`), `text` and, in the
corpus, `title`; `answers` of the queries, a list of texts, are kept. Queries that the split does not
judge are left out, as BEIR's own loader does.
"""

import re
from dataclasses import replace
from pathlib import Path

from retroscope.collection.collection import Collection
from retroscope.collection.readers.options import ReadOptions, choose_split, collection_name, queries_are_passages
from retroscope.collection.readers.parts import RowReader, join_parts
from retroscope.collection.readers.reader import Reader
from retroscope.collection.readers.rows import file_rows
from retroscope.collection.readers.trec_files import read_qrels
from retroscope.errors import CollectionError

QRELS = re.compile(r".+\.tsv(\.gz)?")  # and nothing behind it: test.tsv.bak is no split


def recognises(path: Path) -> bool:
    """Return whether the folder has a corpus, queries and a folder of qrels."""
    return path.is_dir() and not _absent(path)


def read(path: Path, options: ReadOptions) -> Collection:
    """Read a BEIR folder: its split "test" by default, else its only split."""
    if _absent(path):
        raise incomplete(path)
    splits = qrels_files(path)
    split = choose_split(options.split, splits, str(path / "qrels"))
    reader = RowReader(options.columns)
    name = collection_name(path)
    collection = join_parts(
        name,
        reader.passages(file_rows(_file(path, "corpus"))),
        reader.queries(file_rows(_file(path, "queries"))),
        read_qrels(splits[split]),
        str(path),
    )
    mapping = {"format": "beir", "split": split, **reader.mapping}
    return replace(collection, mapping=mapping, ignore_identical_ids=queries_are_passages(name))


def qrels_files(path: Path) -> dict[str, Path]:
    """Map split -> qrels file of a BEIR folder: qrels/SPLIT.tsv or qrels/SPLIT.tsv.gz.

    Raises:
        CollectionError: where a split has both.
    """
    files = [p for p in sorted((path / "qrels").iterdir()) if QRELS.fullmatch(p.name)]
    return {
        split: one_of(path / "qrels", f"{split}.tsv") for split in dict.fromkeys(p.name.split(".tsv")[0] for p in files)
    }


def one_of(folder: Path, name: str) -> Path:
    """Return the file of that name, plain or with the ending .gz.

    Raises:
        CollectionError: where both exist: one of them is outdated, and it is unknown which.
    """
    plain, packed = folder / name, folder / f"{name}.gz"
    if plain.is_file() and packed.is_file():
        raise CollectionError(
            f"both {name} and {name}.gz are in this folder, so it is unclear which of them to read",
            where=str(folder),
            fix=f"remove {name} or {name}.gz",
        )
    return packed if packed.is_file() else plain


def _file(path: Path, stem: str) -> Path:
    return one_of(path, f"{stem}.jsonl")


def is_begun(path: Path) -> bool:
    """Return whether a folder has the corpus or the queries of a BEIR folder, but not all of it."""
    return path.is_dir() and bool(_absent(path)) and not {"corpus.jsonl", "queries.jsonl"} <= {*_absent(path)}


def incomplete(path: Path) -> CollectionError:
    """Return the error for a BEIR folder that lacks some of its files."""
    return CollectionError(
        f"this is not a complete BEIR folder: it has no {', '.join(_absent(path))}",
        where=str(path),
        fix="add what is missing; a BEIR folder has corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv",
    )


def _absent(path: Path) -> list[str]:
    missing = [
        f"{stem}.jsonl"
        for stem in ("corpus", "queries")
        if not any((path / f"{stem}.jsonl{end}").is_file() for end in ("", ".gz"))
    ]
    return missing + ([] if (path / "qrels").is_dir() else ["qrels/"])


READER = Reader(layout="folder", judgments="`qrels/SPLIT.tsv`", recognises=recognises, read=read, splits=qrels_files)
