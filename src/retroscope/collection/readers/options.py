"""Options that every reader takes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from retroscope.errors import CollectionError, SettingsError, unknown_name

# Their queries are themselves passages of the corpus, under the same id; BEIR's and MTEB's evaluation
# drops those. Dropping them elsewhere lowers scores where ids coincide by chance (mteb issue 642).
QUERIES_ARE_PASSAGES = frozenset({"arguana", "quora"})

CHOOSE_SPLIT = "--split NAME (in Python split='NAME')"


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Options of a reader, except the path.

    Attributes:
        split: split of the judgments.
        columns: name of a field -> name of the file's column.
        revision: commit of a hub data set.
    """

    split: str | None = None
    revision: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def refuse_split(self, form: str) -> None:
        """Raise an error if a split is requested from a format without splits."""
        if self.split is not None:
            raise SettingsError(
                f"the format {form} has no splits, but split={self.split!r} was given",
                fix="leave out the split, and give the path or id of this split's files",
            )


def choose_split(wanted: str | None, splits: Collection[str], where: str) -> str:
    """Return the requested split, by default "test", else the only split.

    Raises:
        SettingsError: if there is no such split.
        CollectionError: if no split was given, and there are several splits, none of which is called "test".
    """
    if wanted is not None:
        if wanted not in splits:
            raise unknown_name("split", wanted, splits)
        return wanted
    if "test" in splits:
        return "test"
    if len(splits) == 1:
        return next(iter(splits))
    if not splits:
        raise CollectionError(
            "this source has no judgments (qrels)", where=where, fix="add one qrels file per split, e.g. test.tsv"
        )
    raise CollectionError(
        f"the collection has several splits, none of them named test: {', '.join(sorted(splits))}",
        where=where,
        fix=f"choose a split: {CHOOSE_SPLIT}",
    )


def collection_name(path: Path) -> str:
    """Return a short name for tables: the name of the file or folder without its endings.

    A snapshot in the hub's cache (datasets--OWNER--NAME/snapshots/COMMIT) has the name of its data set.
    """
    if path.parent.name == "snapshots" and path.parent.parent.name.startswith("datasets--"):
        return path.parent.parent.name.rpartition("--")[2]
    name = path.name or path.resolve().name
    return name if path.is_dir() else name.split(".")[0] or name


def queries_are_passages(name: str) -> bool:
    """Return whether the name of a data set shows that its queries are also passages, as in arguana and quora.

    One part of the name (folder, or id with slashes) is then in `QUERIES_ARE_PASSAGES`. A folder of the hub's cache,
    datasets--OWNER--NAME, has the parts OWNER and NAME.
    """
    words = {word for part in PurePath(name).parts for word in part.lower().split("--")}
    return bool(words & QUERIES_ARE_PASSAGES)


def only_file(folder: Path, names: Sequence[str]) -> Path:
    """Return the only file with one of these names in a folder.

    Raises:
        CollectionError: if there are several, because it is unknown which of them is current.
    """
    if len(names) > 1:
        raise CollectionError(
            f"both {' and '.join(names)} are in this folder, so it is unclear which of them to read",
            where=str(folder),
            fix=f"remove {' or '.join(names)}",
        )
    return folder / names[0]
