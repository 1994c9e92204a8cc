"""Read Hugging Face data sets from folders on disk, or by their name on the Hub.

Four layouts are read:

- BEIR's three parts, as MTEB publishes them: folders `corpus`, `queries`, and `qrels` or `default`, each a folder of
  parquet files or a data set saved with `save_to_disk`;
- the same parts as configurations of a Hub data set, or of a copy of its repository, whose card (README.md) says which
  files each configuration has;
- one data set saved with `save_to_disk`, whose rows have one of `ROW_FORMATS`;
- a folder of parquet files with such rows, as downloaded from the Hub: SPLIT-00000-of-00002.parquet, also in a folder
  `data`, or SPLIT/0000.parquet of the Hub's own conversion.

A folder is recognised by the three parts, by the files that `save_to_disk` writes, or by the columns of its first
parquet file. All layouts except parquet need the extra `datasets`. No loading script is ever run.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from retroscope.collection.collection import Collection
from retroscope.collection.readers import beir
from retroscope.collection.readers.judgments import JudgmentReader
from retroscope.collection.readers.options import (
    CHOOSE_SPLIT,
    ReadOptions,
    choose_split,
    collection_name,
    queries_are_passages,
)
from retroscope.collection.readers.parts import Parts, RowReader, join_parts
from retroscope.collection.readers.reader import Reader
from retroscope.collection.readers.row_formats.examples import RowFormat, collection_from_rows
from retroscope.collection.readers.row_formats.registry import ROW_FORMATS
from retroscope.collection.readers.rows import Row, RowSource, form_of
from retroscope.collection.readers.shards import Splits, chained_rows, first_of_parquet, parquet_folder, parquet_splits
from retroscope.errors import CollectionError, MissingExtraError
from retroscope.files.reading import foreign, read_whole

JUDGMENTS = ("qrels", "default", "data")  # the configuration that holds them, in order of preference
CHECK_NAME = "check the name and the network, or give the path of a local folder"
SAVED = ("dataset_info.json", "dataset_dict.json")


def recognises(path: Path) -> bool:
    """Return whether a folder has a known layout: of `save_to_disk`, of BEIR's three parts, or known parquet rows."""
    if not path.is_dir():
        return False
    folders = [p.name for p in path.iterdir() if p.is_dir()]
    if _saved(path) or _has_parts(folders):
        return True
    by_card = _has_parts([*_of_card(path)]) and not beir.recognises(path)
    return by_card or bool(_fitting(first_of_parquet(path), {}))


def read(path: Path, options: ReadOptions) -> Collection:
    """Read a data set folder, or a Hub data set if no such folder exists."""
    if not path.is_dir():
        name = path.as_posix()
        parts = _hub_parts(name, options.revision)
        return _from_parts(parts, partial(_hub_splits, name, options.revision), name, options)
    if _saved(path):
        return _from_rows(_saved_splits(path), path, options)
    configurations = _of_card(path)
    if _has_parts([*configurations]):
        return _from_parts([*configurations], lambda part: configurations[part], str(path), options)
    folders = sorted(p.name for p in path.iterdir() if p.is_dir())
    if not _has_parts(folders) and (folder := parquet_folder(path)):
        return _from_rows(parquet_splits(folder), path, options)
    return _from_parts(folders, lambda part: _folder_splits(path / part), str(path), options)


def splits(path: Path) -> Iterable[str]:
    """Return the names of the splits of a data set: those of its qrels, or of its rows if it has no qrels."""
    if not path.is_dir():
        name = path.as_posix()
        return _hub_splits(name, None, _judgment_part(_hub_parts(name, None), name))
    if _saved(path):
        return _saved_splits(path)
    configurations = _of_card(path)
    if _has_parts([*configurations]):
        return configurations[_judgment_part([*configurations], str(path))]
    folders = [p.name for p in path.iterdir() if p.is_dir()]
    if not _has_parts(folders) and (folder := parquet_folder(path)):
        return parquet_splits(folder)
    return _folder_splits(path / _judgment_part(folders, str(path)))


def _saved(path: Path) -> bool:
    return any((path / name).is_file() for name in SAVED)


def _has_parts(names: Sequence[str]) -> bool:
    return {"corpus", "queries"} <= set(names) and any(name in names for name in JUDGMENTS)


def _judgment_part(names: Sequence[str], source: str) -> str:
    """Return the name of the folder or configuration with the judgments: the first of `JUDGMENTS` in `names`."""
    if not _has_parts(names):
        raise CollectionError(
            f"expected parts corpus, queries and one of {', '.join(JUDGMENTS)}; found: {', '.join(names) or 'none'}",
            where=source,
            fix="give a data set in BEIR's layout, or a folder that `Dataset.save_to_disk` wrote",
        )
    return next(name for name in JUDGMENTS if name in names)


def _from_parts(
    names: Sequence[str], splits_of: Callable[[str], Splits], source: str, options: ReadOptions
) -> Collection:
    part = _judgment_part(names, source)
    judgments = splits_of(part)
    split = choose_split(options.split, judgments, f"{source}, {part}")
    reader, judged = RowReader(options.columns), JudgmentReader()
    collection = join_parts(
        collection_name(Path(source)),
        Parts(
            corpus=_only(splits_of("corpus"), "corpus", split, source),
            queries=_only(splits_of("queries"), "queries", split, source),
            judgments=lambda: judged.judgments(judgments[split]()),
        ),
        reader,
        source,
    )
    return replace(
        collection,
        mapping={"format": "hf", "judgments": part, "split": split, **reader.mapping, **judged.mapping},
        notes=(*collection.notes, *judged.notes()),
        ignore_identical_ids=queries_are_passages(source),
    )


def _only(splits: Splits, part: str, split: str, source: str) -> RowSource:
    """Return the rows of the corpus or the queries (`part`): of its only split, or else of the split `split`."""
    name = next(iter(splits)) if len(splits) == 1 else split
    if name not in splits:
        raise CollectionError(
            f"the part {part!r} has no split {split!r}; its splits: {', '.join(splits) or 'none'}",
            where=source,
            fix=f"choose a split that qrels and {part} have: {CHOOSE_SPLIT}; or keep only one split of {part}",
        )
    return splits[name]


def _from_rows(splits: Splits, path: Path, options: ReadOptions) -> Collection:
    split = choose_split(options.split, splits, str(path))
    first = next(splits[split](), None)
    fitting = _fitting(first, options.columns)
    if len(fitting) != 1:
        columns, formats = ", ".join(first.values) if first else "none", " and ".join(form.name for form in fitting)
        raise CollectionError(
            f"the columns must fit exactly one known format, but fit {formats or 'none'}; columns: {columns}",
            where=str(path),
            fix="name the columns of the query and of its relevant text, e.g. --set data.columns='{query: question, "
            "positive: answer}', or rename the columns and save the data set again",
        )
    plain = replace(options, split=None)
    collection = collection_from_rows(splits[split](), fitting[0], plain, name=collection_name(path), source=str(path))
    return replace(collection, mapping={**collection.mapping, "split": split})


def _fitting(row: Row | None, columns: Mapping[str, str]) -> list[RowFormat]:
    return [form for form in ROW_FORMATS.values() if form.fits(row, columns)]


def _folder_splits(folder: Path) -> Splits:
    return _saved_splits(folder) if _saved(folder) else parquet_splits(folder)


def _saved_splits(folder: Path) -> Splits:
    library = _hub(str(folder))
    with foreign(CollectionError, "the library datasets cannot open this folder", folder):
        loaded = library.load_from_disk(str(folder))
    datasets = loaded if (folder / "dataset_dict.json").is_file() else {"all": loaded}
    return {str(name): partial(_numbered, dataset, str(folder)) for name, dataset in datasets.items()}


def _of_card(folder: Path) -> dict[str, Splits]:
    """Map each configuration in the card (README.md) of a hub repository to its splits.

    A card begins with YAML between lines of three dashes. `configs` lists `config_name` and `data_files`.
    Only existing files count.
    """
    card = folder / "README.md"
    if not card.is_file():
        return {}
    _, fence, rest = read_whole(card, CollectionError).partition("---\n")
    mend = "correct the YAML between the lines of ---"
    with foreign(CollectionError, "the YAML of this card cannot be read", card, mend):
        facts = yaml.safe_load(rest.partition("\n---")[0]) if fence else None
    listed = facts.get("configs") if isinstance(facts, dict) else None
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    return {str(row.get("config_name", "default")): _card_splits(folder, row.get("data_files")) for row in rows}


def _card_splits(folder: Path, listed: object) -> Splits:
    """Map each split to its rows: those of all files in the folder that match the patterns of the card."""
    entries = listed if isinstance(listed, list) else [{"split": "train", "path": listed}]
    splits: dict[str, RowSource] = {}
    for entry in (entry for entry in entries if isinstance(entry, dict)):
        paths = entry.get("path")
        patterns = [str(pattern) for pattern in (paths if isinstance(paths, list) else [paths]) if pattern]
        inside = [text for text in patterns if not text.startswith("/") and ".." not in Path(text).parts]
        files = sorted({file for pattern in inside for file in folder.glob(pattern) if form_of(file)})
        if files:
            splits[str(entry.get("split", "train"))] = partial(chained_rows, files)
    return splits


def _hub_parts(name: str, revision: str | None) -> list[str]:
    library = _hub(name)
    with foreign(CollectionError, "cannot get this data set from the hub", name, CHECK_NAME):
        return [*library.get_dataset_config_names(name, revision=revision)]


def _hub_splits(name: str, revision: str | None, part: str) -> Splits:
    library = _hub(name)
    with foreign(CollectionError, "cannot get this part of the data set from the hub", f"{name}, {part}", CHECK_NAME):
        loaded = library.load_dataset(name, part, revision=revision)
    return {str(split): partial(_numbered, dataset, f"{name}, {part}") for split, dataset in loaded.items()}


def _numbered(dataset: Iterable[Mapping[str, Any]], source: str) -> Iterator[Row]:
    with foreign(CollectionError, "the library datasets cannot read these rows", source):
        for number, values in enumerate(dataset, 1):
            yield Row(values, source, number, "row")


def _hub(source: str) -> Any:
    """Import the library `datasets`, or raise an error that says how to install it."""
    if find_spec("datasets") is None:
        raise MissingExtraError(
            "the library datasets is not installed", where=source, fix="pip install 'retroscope[datasets]'"
        )
    import datasets

    return datasets


READER = Reader(
    layout="folder or hub name",
    judgments="`qrels`, `default` or rows",
    recognises=recognises,
    read=read,
    splits=splits,
    is_name=True,
)
