"""Find the file and line of a record for an error message, by reading the source of the collection again."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from retroscope.errors import SHOWN

MOST_PLACES = 3  # of one record, in a message

Key = TypeVar("Key", bound=Hashable)


class RecordPlace(NamedTuple):
    """Location of a record: its file (or the name of its source), and the line, row or item in it."""

    file: str
    spot: str

    def __str__(self) -> str:
        return f"{self.file}, {self.spot}"


Placed = Iterable[tuple[Hashable, RecordPlace]]


def _nowhere() -> Placed:
    return ()


@dataclass(frozen=True)
class Places:
    """Functions that read the source of a collection again, and yield the key and the location of every record.

    Attributes:
        passages: yields the id and the location of each passage.
        queries: yields the id and the location of each query.
        judgments: yields (query id, passage id) and the location of each judgment.
    """

    passages: Callable[[], Placed] = _nowhere
    queries: Callable[[], Placed] = _nowhere
    judgments: Callable[[], Placed] = _nowhere


def located(keys: Sequence[Key], source: Callable[[], Placed], shown: Callable[[Key], str] = repr) -> list[str]:
    """Describe records for an error message, one text for each key. The first `SHOWN` texts also name the locations.

    `source` is read only if there are keys.
    """
    places_of: dict[Hashable, list[RecordPlace]] = {key: [] for key in keys[:SHOWN]}
    if places_of:
        for key, place in source():
            if key in places_of and place not in places_of[key]:
                places_of[key].append(place)
    return [f"{shown(key)}{_listed(places_of.get(key, []))}" for key in keys]


def _listed(places: Sequence[RecordPlace]) -> str:
    """Format the locations of a record for an error message: the first few by file, and a count of the rest."""
    spots: dict[str, list[str]] = {}
    for place in places[:MOST_PLACES]:
        spots.setdefault(place.file, []).append(place.spot)
    texts = [f"{file}, {' and '.join(some)}" for file, some in spots.items()]
    more = [f"{len(places) - MOST_PLACES} more"] if len(places) > MOST_PLACES else []
    return f": {'; '.join([*texts, *more])}" if texts else ""
