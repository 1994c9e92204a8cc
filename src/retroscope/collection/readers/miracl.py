"""Reader of one language of MIRACL (Zhang et al., 2023) in the layout of miracl/miracl and miracl/miracl-corpus.

A folder miracl-v1.0-LANG has topics/topics.miracl-v1.0-LANG-SPLIT.tsv (`qid<TAB>text`) and
qrels/qrels.miracl-v1.0-LANG-SPLIT.tsv (TREC); recognised by these names. The corpus is docs-0.jsonl.gz, docs-1.jsonl.gz
... (`docid`, `title`, `text`), in the same folder or in a folder miracl-corpus-v1.0-LANG. That folder lies inside or
beside miracl-v1.0-LANG, or in a copy of the repository miracl-corpus beside the copy of miracl. The splits are those of
the qrels. The published test sets have no qrels. Each file may be gzipped.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from retroscope.collection.collection import Collection
from retroscope.collection.readers.options import ReadOptions, choose_split, collection_name
from retroscope.collection.readers.parts import Parts, RowReader, join_parts
from retroscope.collection.readers.reader import Reader
from retroscope.collection.readers.shards import chained_rows
from retroscope.collection.readers.trec_files import qrels_lines, read_pairs
from retroscope.errors import CollectionError
from retroscope.files.reading import DOWNLOAD_AGAIN

FILE = r"{role}\.miracl-(?P<version>v[0-9.]+)-(?P<language>[a-z]+)-(?P<split>.+)\.tsv(\.gz)?"
DOCS = re.compile(r"docs-([0-9]+)\.jsonl(\.gz)?")


def recognises(path: Path) -> bool:
    """Return whether a folder has topics and qrels with the file names of MIRACL."""
    return path.is_dir() and all(any(_matches(path, role)) for role in ("topics", "qrels"))


def read(path: Path, options: ReadOptions) -> Collection:
    """Read the queries and judgments of one split, and the whole corpus of its language."""
    if not recognises(path):
        raise CollectionError(
            "this folder has no topics/topics.miracl-v1.0-LANG-SPLIT.tsv or no qrels/qrels.miracl-v1.0-LANG-SPLIT.tsv",
            where=str(path),
            fix="give the folder miracl-v1.0-LANG of one language, e.g. miracl:miracl/miracl-v1.0-sw",
        )
    qrels, topics = _by_split(path, "qrels"), _by_split(path, "topics")
    split = choose_split(options.split, qrels, str(path / "qrels"))
    if split not in topics:
        raise CollectionError(
            f"there are qrels of the split {split!r}, but no topics",
            where=str(path / "topics"),
            fix=f"download the topics of this split; the splits with topics are: {', '.join(topics)}",
        )
    reader = RowReader(options.columns)
    collection = join_parts(
        collection_name(path),
        Parts(
            corpus=partial(chained_rows, _corpus(path)),
            queries=partial(read_pairs, topics[split], "qid", "text"),
            judgments=partial(qrels_lines, qrels[split]),
        ),
        reader,
        str(path),
    )
    return replace(collection, mapping={"format": "miracl", "split": split, **reader.mapping})


def splits(path: Path) -> list[str]:
    """Return the names of the splits that have qrels."""
    return [*_by_split(path, "qrels")]


def _matches(path: Path, role: str) -> Iterator[re.Match[str]]:
    folder = path / role
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    return (match for name in names if (match := re.fullmatch(FILE.format(role=role), name)))


def _by_split(path: Path, role: str) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for match in _matches(path, role):
        earlier = files.setdefault(match["split"], path / role / match[0])
        if earlier.name != match[0]:
            raise CollectionError(
                f"the files {earlier.name} and {match[0]} are both {role} of the split {match['split']!r}",
                where=str(path / role),
                fix="keep one language in the folder, and each file either gzipped or not",
            )
    return files


def _corpus(path: Path) -> list[Path]:
    """Return the files of the corpus, in the order of their numbers.

    Raises:
        CollectionError: if there is no corpus, or two, or a file of it is missing.
    """
    match = next(_matches(path, "qrels"))
    name = f"miracl-corpus-{match['version']}-{match['language']}"
    places = [path, path / name, path.resolve().parent / name, path.resolve().parent.parent / "miracl-corpus" / name]
    corpora = [place for place in places if _documents(place)]
    if len(corpora) != 1:
        raise CollectionError(
            f"exactly one folder must have the corpus docs-0.jsonl.gz, docs-1.jsonl.gz ... of {match['language']!r}; "
            f"found: {', '.join(map(str, corpora)) or 'none'}",
            where=str(path),
            fix=f"copy the folder {name} of miracl/miracl-corpus into this folder, or remove all copies but one",
        )
    files = _documents(corpora[0])
    if [number for number, _ in files] != [*range(len(files))]:
        raise CollectionError(
            f"the files of the corpus must be numbered from 0 without a gap; found: "
            f"{', '.join(file.name for _, file in files)}",
            where=str(corpora[0]),
            fix=f"{DOWNLOAD_AGAIN}: a part is missing, or is there twice",
        )
    return [file for _, file in files]


def _documents(folder: Path) -> list[tuple[int, Path]]:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return sorted((int(match[1]), file) for file in files if (match := DOCS.fullmatch(file.name)))


READER = Reader(layout="folder", judgments="`qrels/`", recognises=recognises, read=read, splits=splits)
