"""Find the entries of a cache, with the kind (e.g. vectors) and the origin (models, collection) of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from retroscope.analyses import analyses
from retroscope.encoders.token_memory import TOKENS, is_what_its_name_says
from retroscope.errors import DamageError, SettingsError
from retroscope.files.cache_records import RECORD, CacheOrigin, EntryKind, installed, last_used, origin_of, record_of
from retroscope.files.checksums import open_sealed
from retroscope.files.documents import SCHEMA
from retroscope.files.reading import PathLike, path_of
from retroscope.representations.plan import VERSION
from retroscope.representations.repair import damaged_files
from retroscope.study.run import KEPT as MEASUREMENTS


@dataclass(frozen=True)
class CacheEntry:
    """One cached result, e.g. vectors or a measurement: its path, kind, size, last use and origin.

    Attributes:
        kind: what the entry holds, e.g. vectors or measurements, and how it is checked.
        size: size of its files, in bytes.
        used: time at which a run last used it, in seconds since 1970.
        origin: models, collection and analysis for which it was made, or None if they are not recorded.
    """

    path: Path
    kind: EntryKind
    size: int
    used: float
    origin: CacheOrigin | None

    @property
    def is_outdated(self) -> bool:
        """Return whether no run of this version can use the entry: its format is older, or other libraries made it."""
        if self.origin is None:
            return self.kind.recorded
        return self.origin.form != self.kind.form or any(installed(n) != v for n, v in self.origin.software)

    def damages(self) -> list[Path]:
        """Return the damaged files of the entry, or its folder if single files cannot be computed again."""
        return self.kind.damages(self.path)


def _of_measurement(folder: Path) -> list[Path]:
    try:
        damaged = open_sealed(folder, "").damages()
    except DamageError:
        return [folder]
    return [folder] if damaged else []


def _of_tokens(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.glob("*.arrow")) if not is_what_its_name_says(file)]


SHARED_KINDS: Sequence[EntryKind] = (
    EntryKind("vectors", "*.zarr", VERSION, False, damaged_files),
    EntryKind("measurements", f"{MEASUREMENTS}/*", SCHEMA, True, _of_measurement),
    EntryKind("tokens", f"{TOKENS}/*", 1, False, _of_tokens),
)


def entry_kinds() -> list[EntryKind]:
    """Return all kinds of cache entries: kinds that all analyses share (e.g. vectors), and kinds of one analysis."""
    instruments = [analysis.instrument() for analysis in analyses().values() if analysis.instrument is not None]
    return [*SHARED_KINDS, *(kind for instrument in instruments for kind in instrument.keeps)]


def cache_entries(cache: PathLike) -> list[CacheEntry]:
    """Return the entries of a cache, the largest first.

    Raises:
        SettingsError: if the cache folder does not exist.
    """
    folder = path_of(cache)
    if not folder.is_dir():
        raise SettingsError(
            "this cache folder does not exist",
            where=str(folder),
            fix="give the folder of a cache: --cache DIR",
        )
    places = [(path, kind) for kind in entry_kinds() for path in sorted(folder.glob(kind.pattern))]
    entries = [_entry(path, kind) for path, kind in places if _is_entry(path)]
    return sorted(entries, key=lambda entry: (-entry.size, str(entry.path)))


def _is_entry(path: Path) -> bool:
    return not path.name.startswith(".") and not path.name.endswith(RECORD)


def _entry(path: Path, kind: EntryKind) -> CacheEntry:
    size = sum(file.stat().st_size for file in (*_files(path), record_of(path)) if file.exists())
    return CacheEntry(path, kind, size, last_used(path), origin_of(path))


def _files(path: Path) -> Iterator[Path]:
    yield from (file for file in path.rglob("*") if file.is_file()) if path.is_dir() else (path,)
