"""Reader of a language of Mr. TyDi (Zhang et al., 2021) as castorini/mr-tydi publishes it, with its corpus.

A folder of train, dev and test.jsonl.gz, each with rows of Tevatron's legacy format, and corpus.jsonl.gz (`docid`,
`title`, `text`) of castorini/mr-tydi-corpus in the same folder; each gzipped or not. Recognised by the rows. Train, dev
and test are splits. A folder without the corpus is refused: the relevant passages alone would make retrieval trivial.
"""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from retroscope.collection.collection import Collection
from retroscope.collection.readers.options import ReadOptions, choose_split, collection_name, only_file
from retroscope.collection.readers.reader import Reader
from retroscope.collection.readers.row_formats.examples import recognises_rows
from retroscope.collection.readers.row_formats.tevatron import LEGACY, read_with_corpus
from retroscope.errors import CollectionError

SPLITS = ("train", "dev", "test")
ENDINGS = (".jsonl", ".jsonl.gz")


def recognises(path: Path) -> bool:
    """Return whether a folder has a train.jsonl, dev.jsonl or test.jsonl whose rows are of Tevatron's legacy format."""
    if not path.is_dir():
        return False
    with suppress(CollectionError):  # a file without rows is of no format
        return any(recognises_rows(path / name, LEGACY) for split in SPLITS for name in _files(path, split))
    return False


def read(path: Path, options: ReadOptions) -> Collection:
    """Read a split with all passages of the corpus."""
    files = split_files(path)
    split = choose_split(options.split, files, str(path))
    if not _files(path, "corpus"):
        raise CollectionError(
            "this folder has no corpus.jsonl or corpus.jsonl.gz",
            where=str(path),
            fix="put the corpus of the same language from castorini/mr-tydi-corpus into this folder; to search only "
            f"the passages of the rows, e.g. for training, give a file: tevatron:{files[split]}",
        )
    collection = read_with_corpus(files[split], only_file(path, _files(path, "corpus")), LEGACY, options)
    return replace(
        collection,
        name=collection_name(path),
        source=str(path),
        mapping={**collection.mapping, "format": "mrtydi", "split": split, "file": files[split].name},
    )


def split_files(path: Path) -> dict[str, Path]:
    """Map the name of each split in the folder (train, dev, test) to its file."""
    return {split: only_file(path, _files(path, split)) for split in SPLITS if _files(path, split)}


def _files(folder: Path, stem: str) -> list[str]:
    return [f"{stem}{ending}" for ending in ENDINGS if (folder / f"{stem}{ending}").is_file()]


READER = Reader(layout="folder", judgments="each row", recognises=recognises, read=read, splits=split_files)
