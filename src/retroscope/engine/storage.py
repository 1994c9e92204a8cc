"""Files in a folder, or in an object store by its URL. Each file is written completely or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import collect_aiterator, sync
from zarr.storage import LocalStore, ObjectStore

from retroscope.errors import EngineError, MissingExtraError

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Bucket

Location = str | Path  # of a store: a folder, or a URL such as s3://bucket/prefix


def is_url(place: Location) -> bool:
    """Return whether a location is the URL of an object store, and not a folder."""
    return isinstance(place, str) and "://" in place


def zarr_store(place: Location, *, read_only: bool = False) -> Store:
    """Return the zarr store of a folder or an object store's URL.

    Raises:
        EngineError: if the URL is not that of an object store.
        MissingExtraError: if a URL is given, and the package obstore is not installed.
    """
    if not is_url(place):
        return LocalStore(place, read_only=read_only)
    return ObjectStore(_bucket(str(place)), read_only=read_only)


def _bucket(url: str) -> "Bucket":
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError as error:
        raise MissingExtraError(
            "an object store needs the package obstore",
            where=url,
            fix="pip install 'retroscope[object-store]'",
        ) from error
    try:
        return from_url(url)
    except (BaseError, ValueError) as error:
        raise EngineError(
            f"this URL is not the address of an object store: {_first_line(error)}",
            where=url,
            fix="write e.g. s3://bucket/prefix",
        ) from error


@contextmanager
def failures_named(place: Location) -> Iterator[None]:
    """Convert errors of an object store (e.g. no permission) to `EngineError`. Errors of a folder stay as they are."""
    if not is_url(place):
        yield
        return
    from obstore.exceptions import BaseError

    try:
        yield
    except BaseError as error:
        raise _unanswered(place, error) from error


def _unanswered(place: Location, error: Exception) -> EngineError:
    return EngineError(
        f"access to the object store failed: {_first_line(error)}",
        where=str(place),
        fix="check the bucket, the credentials and the endpoint (AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL ...)",
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


@dataclass(frozen=True)
class Storage:
    """The files below a folder, or below the URL of an object store. Names are relative paths with slashes."""

    place: Location

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, or None if the file does not exist."""
        if self._is_absent():
            return None
        with failures_named(self.place):
            content = sync(zarr_store(self.place, read_only=True).get(name, default_buffer_prototype()))
        return None if content is None else content.to_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Write a file completely or not at all, so that no reader sees a part of it."""
        store, buffer = zarr_store(self.place), default_buffer_prototype().buffer
        try:
            with failures_named(self.place):
                sync(store.set(name, buffer.from_bytes(content)))
        except FileNotFoundError as error:  # of an object store: there is no such bucket
            raise _unanswered(self.place, error) from error

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names of all files below a folder, in order. The folder "" is the whole storage."""
        if self._is_absent():
            return ()
        prefix = f"{folder}/" if folder else ""
        with failures_named(self.place):
            return tuple(sorted(collect_aiterator(zarr_store(self.place, read_only=True).list_prefix(prefix))))

    def remove(self, folder: str) -> None:
        """Remove a folder with all its files, if it exists."""
        if self._is_absent():
            return
        with failures_named(self.place):
            sync(zarr_store(self.place).delete_dir(folder))

    def _is_absent(self) -> bool:
        return not is_url(self.place) and not Path(self.place).is_dir()
