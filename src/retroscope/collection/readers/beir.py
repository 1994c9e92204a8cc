"""BEIR: a folder with corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv (Thakur et al. 2021).

Recognised by these names, each plain or gzipped. The records have `_id` (or `id`), `text` and, in the
corpus, `title`. Queries that the split does not judge are left out, as BEIR's own loader does.
"""

from dataclasses import replace
from pathlib import Path

from retroscope.collection.collection import Collection
from retroscope.collection.readers.options import ReadOptions, choose_split, collection_name, queries_are_passages
from retroscope.collection.readers.parts import RowReader, join_parts
from retroscope.collection.readers.rows import rows
from retroscope.collection.readers.trec_files import read_qrels
from retroscope.errors import CollectionError


def recognises(path: Path) -> bool:
    """Whether the folder has a corpus, queries and a folder of qrels."""
    return path.is_dir() and not _absent(path)


def read(path: Path, options: ReadOptions) -> Collection:
    """Read the folder; by default its split "test", else its only one."""
    absent = _absent(path)
    if absent:
        raise CollectionError(
            f"not a BEIR folder: it has no {', '.join(absent)}",
            where=str(path),
            fix="a BEIR folder holds corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv",
        )
    splits = {p.name.split(".tsv")[0]: p for p in sorted((path / "qrels").iterdir()) if ".tsv" in p.name}
    split = choose_split(options.split, splits, str(path / "qrels"))
    reader = RowReader(options.columns)
    name = collection_name(path)
    collection = join_parts(
        name,
        reader.passages(rows(_file(path, "corpus"))),
        reader.queries(rows(_file(path, "queries"))),
        read_qrels(splits[split]),
        str(path),
    )
    mapping = {"format": "beir", "split": split, **reader.mapping}
    return replace(collection, mapping=mapping, ignore_identical_ids=queries_are_passages(name))


def _file(path: Path, stem: str) -> Path:
    packed = path / f"{stem}.jsonl.gz"
    return packed if packed.is_file() else path / f"{stem}.jsonl"


def _absent(path: Path) -> list[str]:
    missing = [f"{stem}.jsonl" for stem in ("corpus", "queries") if not _file(path, stem).is_file()]
    return missing + ([] if (path / "qrels").is_dir() else ["qrels/"])
