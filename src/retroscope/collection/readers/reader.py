"""The type `Reader`: functions that recognise a layout on disk and read it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from retroscope.collection.collection import Collection
from retroscope.collection.readers.options import ReadOptions


def _no_splits(path: Path) -> Iterable[str]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reader of one layout of files: recognises it at a path, and reads it as a collection.

    Attributes:
        layout: what the path of this format names, e.g. "folder", for the table of layouts in the documentation.
        judgments: where the judgments come from, for the same table.
        recognises: function that says whether the content at a path has this layout and no other.
        read: function that returns the collection, or raises a CollectionError that says what is wrong and where.
        splits: function that returns the names of the splits at a path, if they are known without reading them.
        is_name: whether the path may be a name that need not exist on disk, e.g. of a Hub data set.
    """

    layout: str
    judgments: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, ReadOptions], Collection]
    splits: Callable[[Path], Iterable[str]] = _no_splits
    is_name: bool = False
