"""Load the models and collections that settings name."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path, PurePath

from retroscope.collection.collection import Collection
from retroscope.collection.loading import load_collection
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.errors import CollectionError, SettingsError, listed
from retroscope.files.reading import file_lines
from retroscope.inputs.settings import DataSettings, ModelSettings

PARQUET = b"PAR1"  # the first bytes of a parquet file


def retriever_of(settings: ModelSettings | None, what: str = "model") -> Retriever:
    """Load the retriever that these settings name."""
    if settings is None:
        raise SettingsError(f"the settings name no {what}", fix=f"give the folder or hub name of the {what}")
    load = {name: value for name, value in asdict(settings.load).items() if value is not None}
    return load_retriever(settings.source, query=settings.query, passage=settings.passage, **load)


def pair_of(
    before: ModelSettings | None, after: ModelSettings | None, backbone: Retriever | None = None
) -> tuple[Retriever, Retriever]:
    """Load the backbone (`before`) and the retriever (`after`).

    If their folders have the same name, the models get distinct names, unless the settings name one of them.

    Args:
        backbone: the backbone, if it is already loaded.
    """
    one, two = backbone or retriever_of(before, "backbone"), retriever_of(after, "retriever")
    if before is None or after is None or one.name != two.name or before.load.name or after.load.name:
        return one, two
    names = distinct_ends(before.source or "", after.source or "")
    return (one, two) if names is None else (replace(one, name=names[0]), replace(two, name=names[1]))


def distinct_ends(one: str, two: str) -> tuple[str, str] | None:
    """Return the shortest endings by which two paths differ, or None if the paths are equal."""
    parts = PurePath(one).parts, PurePath(two).parts
    for length in range(1, max(map(len, parts)) + 1):
        first, second = ("/".join(path[-length:]) for path in parts)
        if first != second:
            return first, second
    return None


def check_ids(collection: Collection) -> None:
    """Refuse ids of queries or passages that contain white space, which a TREC run file cannot represent."""
    wrong = [repr(i) for ids in (collection.queries, collection.passages) for i in ids if i.split() != [i]]
    if wrong:
        raise CollectionError(
            f"these ids contain white space, which a TREC run file cannot represent:{listed(wrong)}",
            where=collection.name,
            fix="rename these ids in the collection",
        )


def collection_of(settings: DataSettings | None) -> Collection:
    """Load the collection that these settings name."""
    if settings is None:
        raise SettingsError("no collection was given", fix="give --data FORMAT:PATH, e.g. --data beir:data/nq")
    options = {name: value for name, value in asdict(settings).items() if name != "source"}
    return load_collection(settings.source, **options)


def refuse_same_texts(first: Collection, other: Collection) -> None:
    """Refuse a second collection that has the same passages as the first.

    Raises:
        CollectionError: if both collections have the same passages, in the same order.
    """
    one, two = first.passages, other.passages
    if len(one) == len(two) and all(mine == theirs for mine, theirs in zip(one.values(), two.values(), strict=True)):
        raise CollectionError(
            f"the collections {other.name} and {first.name} have the same passages",
            where=other.source,
            fix="give a further collection (--also) with other passages",
        )


def _is_parquet(path: Path) -> bool:
    if not path.is_file():  # a pipe can be read only once
        return False
    with path.open("rb") as file:
        return file.read(len(PARQUET)) == PARQUET


class TextLines:
    """The texts of a file, one a line, which are read again whenever they are needed, so that they use no memory."""

    def __init__(self, path: Path) -> None:
        """Read the file once, and count its texts.

        Raises:
            CollectionError: as `read_lines`.
        """
        self._path = path
        self._made = _state(path)
        self._count = sum(1 for _ in _checked_lines(path))

    def __len__(self) -> int:
        """Return the number of texts."""
        return self._count

    def __iter__(self) -> Iterator[str]:
        """Yield the texts in their order.

        Raises:
            CollectionError: if the file has changed.
        """
        if _state(self._path) != self._made:
            raise CollectionError(
                "this file has changed since it was read", where=str(self._path), fix="repeat the command"
            )
        return _checked_lines(self._path)


def _state(path: Path) -> tuple[int, int]:
    """Return the size of a file and the time of its last change."""
    found = path.stat() if path.is_file() else None  # reading says what is wrong with any other path
    return (0, 0) if found is None else (found.st_size, found.st_mtime_ns)


def _checked_lines(path: Path) -> Iterator[str]:
    """Yield the texts of a file, one a line. At the end, refuse lines without text, and a file without lines."""
    if _is_parquet(path):
        raise CollectionError(
            "this is a parquet file, and not one text a line",
            where=str(path),
            fix="write its texts into a text file, one a line",
        )
    empty, number = [], 0
    for number, line in file_lines(path, CollectionError):
        text = line.removesuffix("\n").removesuffix("\r")
        if not text.strip():
            empty.append(f"line {number}")
        yield text
    if empty or not number:
        lines = empty or ["line 1"]
        raise CollectionError(f"these lines have no text:{listed(lines)}", where=str(path), fix="remove these lines")


def read_lines(path: Path) -> list[str]:
    """Return the lines of a file that has one text per line.

    Raises:
        CollectionError: if the file is not UTF-8, cannot be read, or has empty lines.
    """
    return list(_checked_lines(path))
