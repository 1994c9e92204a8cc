"""Passages by id, stored in Arrow columns. Large corpora are stored on disk.

Of a corpus on disk, memory holds 16 bytes for each passage: a hash of the id and a row number.
"""

import hashlib
import tempfile
from bisect import bisect_right
from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from itertools import accumulate, islice
from mmap import mmap
from typing import IO, Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int, UInt64

from retroscope.collection.records import Passage
from retroscope.errors import CollectionError, listed
from retroscope.files.mapped import forget_pages, map_file

IN_MEMORY_BYTES = 8 * 2**20  # a corpus with more text than this goes to a temporary file
BATCH_ROWS = 4096
BATCH_CHARACTERS = 8 * 2**20
SCHEMA = pa.schema([("id", pa.large_string()), ("title", pa.large_string()), ("text", pa.large_string())])


class PassageTable(Mapping[str, Passage]):
    """Mapping from id to passage, in the order of the source. Make one with `store_passages`.

    Iteration reads one batch after another. A look-up finds the hash of the id by binary search, and then compares the
    id itself.
    """

    def __init__(
        self, batches: Sequence[pa.RecordBatch], hashes: UInt64[np.ndarray, "n"], mapped: mmap | None = None
    ) -> None:
        """Store record batches with the columns id, title and text, and the hash of every id, in the same order.

        Args:
            mapped: the mapped file that contains the record batches, if they are on disk.
        """
        self._batches = list(batches)
        self._mapped = mapped
        self._starts: list[int] = [0, *accumulate(b.num_rows for b in batches)]
        self._rows: Int[np.ndarray, "n"] = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._rows]

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: the record batches themselves, without the mapping of their file."""
        return {**self.__dict__, "_mapped": None}

    def __len__(self) -> int:
        """Return the number of passages."""
        return self._starts[-1]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the ids."""
        for batch in self._in_turn():
            yield from batch.column(0).to_pylist()

    def __getitem__(self, key: str) -> Passage:
        """Return the passage of an id."""
        row = self._find(key)
        if row is None:
            raise KeyError(key)
        batch, k = self._locate(row)
        return Passage(id=key, title=batch.column(1)[k].as_py(), text=batch.column(2)[k].as_py())

    def __contains__(self, key: object) -> bool:
        """Return whether a passage has this id, without reading a text."""
        return isinstance(key, str) and self._find(key) is not None

    def values(self) -> ValuesView[Passage]:
        """Iterate over the passages."""
        return _Passages(self)

    def items(self) -> ItemsView[str, Passage]:
        """Iterate over (id, passage)."""
        return _Items(self)

    def stream(self) -> Iterator[Passage]:
        """Iterate over the passages, with one batch in memory at a time."""
        for batch in self._in_turn():
            ids, titles, texts = (column.to_pylist() for column in batch.columns)
            for key, title, text in zip(ids, titles, texts, strict=True):
                yield Passage(id=key, title=title, text=text)

    def _in_turn(self) -> Iterator[pa.RecordBatch]:
        """Yield the record batches. Each leaves the memory of the process before the next is read."""
        for batch in self._batches:
            yield batch
            if self._mapped is not None:
                forget_pages(self._mapped)

    def repeated_ids(self) -> list[str]:
        """Return the ids that several passages have, in the order of their second occurrence."""
        suspects = self._hashes[1:][self._hashes[1:] == self._hashes[:-1]]
        rows = np.sort(self._rows[np.isin(self._hashes, suspects)])
        seen: set[str] = set()
        repeated: dict[str, None] = {}
        for key in map(self._id_at, rows.tolist()):
            if key in seen:
                repeated[key] = None
            seen.add(key)
        return list(repeated)

    def _find(self, key: str) -> int | None:
        wanted = np.uint64(hash_of(key))
        at = int(self._hashes.searchsorted(wanted))
        while at < len(self._hashes) and self._hashes[at] == wanted:
            row = int(self._rows[at])
            if self._id_at(row) == key:
                return row
            at += 1
        return None

    def _locate(self, row: int) -> tuple[pa.RecordBatch, int]:
        batch = bisect_right(self._starts, row) - 1
        return self._batches[batch], row - self._starts[batch]

    def _id_at(self, row: int) -> str:
        batch, k = self._locate(row)
        return str(batch.column(0)[k].as_py())


class _Passages(ValuesView[Passage]):
    def __init__(self, table: PassageTable) -> None:
        super().__init__(table)
        self._table = table

    def __iter__(self) -> Iterator[Passage]:
        return self._table.stream()


class _Items(ItemsView[str, Passage]):
    def __init__(self, table: PassageTable) -> None:
        super().__init__(table)
        self._table = table

    def __iter__(self) -> Iterator[tuple[str, Passage]]:
        return ((p.id, p) for p in self._table.stream())


def hash_of(key: str) -> int:
    """Return a 64-bit BLAKE2b hash of an id.

    Unlike `hash`, it is the same in every process, so that a table can be pickled.
    """
    return int.from_bytes(hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=8).digest(), "little")


def store_passages(passages: Iterable[Passage], *, in_memory_bytes: int = IN_MEMORY_BYTES) -> PassageTable:
    """Store the passages as a table: in memory up to `in_memory_bytes` of text, else in a private temporary file.

    The stream is read once and never kept whole in memory. The file has no name, so it disappears with the table or the
    process, however the process ends.

    Raises:
        CollectionError: if an id or text cannot be written as UTF-8 (a lone surrogate).
    """
    hashes: list[np.ndarray] = []
    with tempfile.TemporaryFile(prefix="retroscope-") as file:
        shelf = _Shelf(in_memory_bytes, file)
        for block in _blocks(passages):
            shelf.add(_as_batch(block))
            hashes.append(np.fromiter((hash_of(p.id) for p in block), dtype=np.uint64, count=len(block)))
        batches, mapped = shelf.close()
    return PassageTable(batches, np.concatenate(hashes) if hashes else np.empty(0, dtype=np.uint64), mapped)


class _Shelf:
    """Store of record batches: in memory while they are few, then in one Arrow IPC file."""

    def __init__(self, in_memory_bytes: int, file: IO[bytes]) -> None:
        self._limit = in_memory_bytes
        self._batches: list[pa.RecordBatch] = []
        self._held = 0
        self._file = file
        self._writer: pa.ipc.RecordBatchFileWriter | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        if self._writer is None:
            self._batches.append(batch)
            self._held += batch.nbytes
            if self._held > self._limit:
                self._spill()
        else:
            self._writer.write_batch(batch)

    def _spill(self) -> None:
        self._writer = pa.ipc.new_file(pa.PythonFile(self._file, mode="w"), SCHEMA)
        for batch in self._batches:
            self._writer.write_batch(batch)
        self._batches = []

    def close(self) -> tuple[list[pa.RecordBatch], mmap | None]:
        """Return all stored record batches, and the mapping that contains them if they are on disk."""
        if self._writer is None:
            return self._batches, None
        self._writer.close()
        self._file.flush()
        mapped = map_file(self._file)
        file = pa.ipc.open_file(pa.py_buffer(mapped))
        return [file.get_batch(k) for k in range(file.num_record_batches)], mapped


def _blocks(passages: Iterable[Passage]) -> Iterator[list[Passage]]:
    """Group passages into lists of at most `BATCH_ROWS` passages and about `BATCH_CHARACTERS` of text."""
    stream = iter(passages)
    while block := list(islice(stream, 1)):
        size = len(block[0].text)
        for passage in islice(stream, BATCH_ROWS - 1):
            block.append(passage)
            size += len(passage.text)
            if size > BATCH_CHARACTERS:
                break
        yield block


def _as_batch(block: Sequence[Passage]) -> pa.RecordBatch:
    try:
        columns = [[p.id for p in block], [p.title for p in block], [p.text for p in block]]
        return pa.record_batch([pa.array(c, type=pa.large_string()) for c in columns], schema=SCHEMA)
    except UnicodeEncodeError as error:
        bad = [repr(p.id) for p in block if not encodable(p.id + p.title + p.text)]
        raise CollectionError(
            f"these passages (by id) contain an incomplete character (a lone UTF-16 surrogate):{listed(bad)}",
            fix="remove these characters, or correct the program that wrote the file",
        ) from error


def encodable(text: str) -> bool:
    """Return whether the text can be written as UTF-8: it has no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
