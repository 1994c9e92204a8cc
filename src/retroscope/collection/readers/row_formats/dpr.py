"""Reader of DPR training data (Karpukhin et al., 2020): a JSON list, or JSON lines, of questions with contexts.

Each object has `question`, `positive_ctxs` and optionally `hard_negative_ctxs` and `negative_ctxs`, lists of {`title`,
`text`, `passage_id`}; recognised by `question` and `positive_ctxs` in the first object. Hard negatives come before
other negatives. In a folder of such files, the word train, dev or test in a file's name is its split. A context's
`passage_id` (or `psg_id`) is kept as its id, and `answers` as those of the query.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from retroscope.collection.collection import Collection
from retroscope.collection.readers.fields import answers_of, id_of, records_of, required_text, text_of
from retroscope.collection.readers.options import ReadOptions, choose_split, collection_name
from retroscope.collection.readers.reader import Reader
from retroscope.collection.readers.row_formats.examples import RowFormat, TrainingExample, read_rows, recognises_rows
from retroscope.collection.readers.rows import Row, form_of
from retroscope.collection.records import Passage, Query
from retroscope.errors import CollectionError

SPLITS = ("train", "dev", "test")  # words of a file name


def recognises(path: Path) -> bool:
    """Return whether a file, or a file in a folder, has DPR's keys (question, positive contexts)."""
    return bool(_splits(path)) if path.is_dir() else recognises_rows(path, FORMAT)


def read(path: Path, options: ReadOptions) -> Collection:
    """Read a JSON list or JSON lines. In a folder, read the file of the split.

    Passages are the contexts of the questions. A file of all passages beside them (psgs_w100.tsv) is not read.
    """
    if not path.is_dir():
        return read_rows(path, FORMAT, options)
    files = _splits(path)
    split = choose_split(options.split, files, str(path))
    collection = read_rows(files[split], FORMAT, replace(options, split=None))
    besides = sorted(file.name for file in path.glob("psgs*"))
    notes = (f"{besides[0]} is not read: the passages are the contexts of the questions",) if besides else ()
    return replace(
        collection,
        name=collection_name(path),
        mapping={**collection.mapping, "split": split, "file": files[split].name},
        notes=(*collection.notes, *notes),
    )


def splits(path: Path) -> list[str]:
    """Return the splits of a folder, or an empty list for a file."""
    return [*_splits(path)] if path.is_dir() else []


def _is_dpr(file: Path) -> bool:
    """Return whether a file has DPR's format. A file that cannot be read does not."""
    with suppress(CollectionError):
        return recognises_rows(file, FORMAT)
    return False


def _splits(folder: Path) -> dict[str, Path]:
    """Return the file of each split in a folder of DPR files.

    Raises:
        CollectionError: if two files are of one split.
    """
    splits: dict[str, Path] = {}
    for file in sorted(p for p in folder.iterdir() if form_of(p) in (".json", ".jsonl")):
        if not _is_dpr(file):
            continue
        words = re.split(r"[^a-z]+", file.name.lower())
        split = next((word for word in SPLITS if word in words), file.name.split(".")[0])
        if split in splits:
            raise CollectionError(
                f"the files {splits[split].name} and {file.name} both belong to the split {split!r}",
                where=str(folder),
                fix=f"give one of the two files instead of the folder, e.g. dpr:{file}",
            )
        splits[split] = file
    return splits


def _example(row: Row, columns: Mapping[str, str]) -> TrainingExample:
    negatives = [columns[word] for word in ("hard_negative_ctxs", "negative_ctxs") if word in columns]
    return TrainingExample(
        Query("", required_text(row, columns["question"]), answers_of(row, columns.get("answers"))),
        _contexts(row, columns["positive_ctxs"]),
        tuple(p for column in negatives if column in row.values for p in _contexts(row, column)),
    )


def _contexts(row: Row, column: str) -> tuple[Passage, ...]:
    return tuple(
        Passage(
            id=id_of(context, "passage_id") or id_of(context, "psg_id"),
            title=text_of(context, "title"),
            text=required_text(context, "text"),
        )
        for context in records_of(row, column)
    )


FORMAT = RowFormat(
    name="dpr",
    required={"question": ["question"], "positive_ctxs": ["positive_ctxs"]},
    optional={
        "hard_negative_ctxs": ["hard_negative_ctxs"],
        "negative_ctxs": ["negative_ctxs"],
        "answers": ["answers"],
    },
    example=_example,
)


READER = Reader(layout="JSON file", judgments="each row", recognises=recognises, read=read, splits=splits)
