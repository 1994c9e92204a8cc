"""Cache token ids, so that each text is tokenised once per recipe.

Token ids are kept in memory and, from one run to the next, in a folder. Every save writes one file, whose name is the
digest of its content. A file whose content has another digest is removed, and its texts are tokenised again.
"""

import hashlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Int32, Int64, UInt64

from retroscope.files.cache_records import CacheOrigin, used, versions
from retroscope.files.checksums import damaged, note_remade
from retroscope.files.mapped import forget_pages, map_file
from retroscope.files.whole import file_digest, write_whole

TOKENS = "tokens"  # folder of a cache
TOKENS_ORIGIN = CacheOrigin(software=versions(("transformers", "tokenizers")))
BUDGET = 128 * 2**20  # bytes in memory; without a folder, what does not fit is tokenised again
UNSAVED = 16 * 2**20  # bytes in memory that are to be saved; with more, all of them are saved
OVERHEAD = 200  # bytes of a row in memory besides its token ids
TokenRows = dict[bytes, "array[int]"]  # digest of a text -> its token ids


@dataclass(frozen=True, eq=False)
class _Saved:
    """Memory-mapped token ids of one file.

    Attributes:
        keys: digests of the texts as two integers, sorted by the first.
        ends: 0, and then the position in `ids` at which the token ids of each text end.
        ids: token ids of all texts, one text after another.
        mapped: the mapping that contains `ends` and `ids`.
    """

    keys: UInt64[np.ndarray, "text 2"]
    ends: Int64[np.ndarray, "text+1"]
    ids: Int32[np.ndarray, "token"]
    mapped: mmap

    def find(self, keys: Sequence[bytes]) -> dict[bytes, list[int]]:
        """Return the token ids of those of the `keys` that the file contains."""
        wanted = np.frombuffer(b"".join(keys), dtype=np.uint64).reshape(-1, 2)
        at = np.minimum(np.searchsorted(self.keys[:, 0], wanted[:, 0]), len(self.keys) - 1)
        rows: dict[bytes, list[int]] = {}
        for place in np.flatnonzero((self.keys[at] == wanted).all(axis=1)).tolist():
            start, end = self.ends[at[place]], self.ends[at[place] + 1]
            rows[keys[place]] = self.ids[start:end].tolist()
        forget_pages(self.mapped)
        return rows


class TokenMemory:
    """Cache of token ids by tokenizer, recipe and text. Models with equal tokenizer and recipe share entries."""

    def __init__(self, folder: Path | None = None, budget: int = BUDGET) -> None:
        """Use the token ids saved in a folder. Without a folder, nothing is kept between runs. `budget` is in bytes."""
        self._folder = folder
        self._rows: dict[bytes, TokenRows] = {}
        self._saved: dict[bytes, list[_Saved]] = {}
        self._lasting: set[bytes] = set()
        self._left = budget
        self._unsaved, self._most_unsaved = 0, min(UNSAVED, budget)

    def rows(
        self,
        reading: bytes,
        texts: Sequence[str],
        tokenise: Callable[[list[str]], list[list[int]]],
        *,
        lasting: bool = True,
    ) -> list[list[int]]:
        """Return the token ids of every text, from the cache or by tokenising it.

        Args:
            reading: digest of everything that determines the token ids of a text, at most 64 bytes.
            texts: texts in any order. They may repeat.
            tokenise: called with the texts that are not known yet, each once.
            lasting: whether `reading` has the same meaning in another process. Only then are token ids saved.
        """
        if lasting and self._folder is not None:
            self._lasting.add(reading)
        keys = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=reading, digest_size=16).digest()
                for text in texts]  # fmt: skip
        known = self._known(reading, keys)
        unknown = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        new = dict(zip(unknown, tokenise(list(unknown.values())), strict=True)) if unknown else {}
        for key, row in new.items():
            self._keep(reading, key, row)
        known |= new
        return [list(known[key]) for key in keys]

    def save(self) -> None:
        """Write new token ids from memory to the folder, and read them from there afterwards."""
        self._unsaved = 0
        for reading in self._lasting & {*self._rows}:
            content = _content(self._rows[reading])
            place = self._place(reading) / f"{hashlib.sha256(content).hexdigest()}.arrow"
            with suppress(OSError):  # where nothing can be written they stay in memory: a plan needs no folder
                used(place.parent, TOKENS_ORIGIN)
                write_whole(place, content)
                self._saved[reading] = [*self._files(reading), _read(place)]
                self._left += sum(map(_size, self._rows.pop(reading).values()))

    def _known(self, reading: bytes, keys: Sequence[bytes]) -> dict[bytes, list[int]]:
        rows = self._rows.get(reading, {})
        known = {key: rows[key].tolist() for key in keys if key in rows}
        for saved in self._files(reading):
            missing = [key for key in dict.fromkeys(keys) if key not in known]
            known.update(saved.find(missing))
        return known

    def _keep(self, reading: bytes, key: bytes, row: Sequence[int]) -> None:
        ids = array("i", row)
        if reading in self._lasting:
            if self._unsaved + _size(ids) > self._most_unsaved:
                self.save()
            self._unsaved += _size(ids)
        if _size(ids) <= self._left:
            self._left -= _size(ids)
            self._rows.setdefault(reading, {})[key] = ids

    def _files(self, reading: bytes) -> list[_Saved]:
        """Return the files that earlier runs saved, and remove damaged ones."""
        if reading not in self._lasting:
            return []
        if reading not in self._saved:
            files = sorted(self._place(reading).glob("*.arrow"))
            if files:
                used(self._place(reading), TOKENS_ORIGIN)
            self._saved[reading] = [_read(file) for file in files if _is_whole(file)]
        return self._saved[reading]

    def _place(self, reading: bytes) -> Path:
        if self._folder is None:
            raise ValueError("TokenMemory was made without a folder, so it cannot save token ids: pass `folder`")
        made_of = reading + "".join(number for _, number in TOKENS_ORIGIN.software).encode()
        return self._folder / hashlib.sha256(made_of).hexdigest()[:32]


def _size(row: "array[int]") -> int:
    return OVERHEAD + row.itemsize * len(row)


def _content(rows: Mapping[bytes, "array[int]"]) -> bytes:
    """Return the bytes of a file of token ids: an Arrow table with a row for each text, sorted by digest."""
    keys = np.frombuffer(b"".join(rows), dtype=np.uint64).reshape(-1, 2)
    order = np.argsort(keys[:, 0], kind="stable")
    kept = list(rows.values())
    in_order = [kept[place] for place in order.tolist()]
    ids = np.frombuffer(b"".join(in_order), dtype=np.int32)
    ends = np.concatenate([[0], np.cumsum([len(row) for row in in_order])]).astype(np.int64)
    table = pa.table(
        {
            "first": keys[order, 0],
            "second": keys[order, 1],
            "ids": pa.LargeListArray.from_arrays(pa.array(ends), pa.array(ids)),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def is_what_its_name_says(file: Path) -> bool:
    """Return whether a file's name is the digest of its content."""
    return file_digest(file) == file.stem


def _is_whole(file: Path) -> bool:
    """Return whether a file is intact, and remove it if not."""
    with suppress(OSError):
        if is_what_its_name_says(file):
            return True
        note_remade(damaged(file, ""))
        file.unlink(missing_ok=True)
    return False


def _read(file: Path) -> _Saved:
    with file.open("rb") as content:
        mapped = map_file(content)
    table = pa.ipc.open_file(pa.py_buffer(mapped)).read_all()
    ids = table["ids"].chunk(0)
    keys = np.stack([table[name].chunk(0).to_numpy() for name in ("first", "second")], axis=1)
    return _Saved(keys, ids.offsets.to_numpy(), ids.values.to_numpy(), mapped)
