"""List the texts to encode in one pass: their lengths, and their repetitions.

The pass finds repeated inputs, the length of each, and the fingerprint of them all. It keeps 12 bytes a
text, and works in about 70.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from jaxtyping import Int, UInt64

from retroscope.encoders.encode import TokenIds, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.errors import RepresentationError

CHUNK = 1024  # texts tokenised at a time


@dataclass(frozen=True, eq=False)
class Inventory:
    """The distinct inputs among texts, and the length of every text.

    Attributes:
        first: for each text, the position of the first text with the same token ids.
        lengths: tokens of each text, special tokens included.
        truncated: number of texts that reach the maximum length (they are cut there, or have exactly this length).
        fingerprint: SHA-256 over the token ids of every text, in order.
    """

    first: Int[np.ndarray, "text"]
    lengths: Int[np.ndarray, "text"]
    truncated: int
    fingerprint: str

    @property
    def n_distinct(self) -> int:
        """Return the number of distinct texts, each of which needs a forward pass."""
        return int(np.sum(self.first == np.arange(len(self.first))))

    @property
    def tokens(self) -> int:
        """Count the tokens of the distinct texts."""
        return int(self.distinct_lengths.sum())

    @property
    def distinct_lengths(self) -> Int[np.ndarray, "distinct"]:
        """Return the number of tokens of each distinct text."""
        return np.asarray(self.lengths[self.first == np.arange(len(self.first))])


def take_inventory(encoder: Encoder, texts: Iterable[str], progress: Callable[[int], None] | None = None) -> Inventory:
    """Tokenise every text once, and record lengths and repetitions.

    Texts with the same token ids (by their 128-bit digests) count as the same text, because the model sees only these
    ids. Texts that differ only beyond the cut therefore have the same vector, and tie exactly.

    Args:
        progress: called with the number of texts tokenised so far, and with 0 before the first.
    """
    digest = hashlib.sha256()
    keys = bytearray()  # a list of digests would take 60 bytes a text more
    lengths = array("i")
    report = progress or (lambda done: None)
    report(0)
    for rows in token_chunks(encoder, texts):
        for row in rows:
            key = hashlib.blake2b(np.asarray(row, dtype=np.int64).tobytes(), digest_size=16).digest()
            digest.update(key)
            keys += key
            lengths.append(len(row))
        report(len(lengths))
    if not keys:
        raise RepresentationError("no text was given to encode", where=encoder.name, fix="give at least one text")
    sizes = np.array(lengths, dtype=np.int32)
    reached = int(np.sum(sizes >= encoder.recipe.max_length))
    first = first_occurrences(np.frombuffer(keys, dtype=np.uint64).reshape(-1, 2))
    return Inventory(first, sizes, reached, digest.hexdigest())


def first_occurrences(keys: UInt64[np.ndarray, "text 2"]) -> Int[np.ndarray, "text"]:
    """Return, for each key, the position of the first equal key."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: of equal keys the earliest comes first
    in_order = keys[order]
    starts = np.ones(len(keys), dtype=bool)
    starts[1:] = (in_order[1:] != in_order[:-1]).any(axis=1)
    run_start = np.maximum.accumulate(np.where(starts, np.arange(len(keys)), 0))
    first = np.empty(len(keys), dtype=np.int64)
    first[order] = order[run_start]
    return first


def token_chunks(encoder: Encoder, texts: Iterable[str]) -> Iterator[list[TokenIds]]:
    """Yield the token ids of the texts in chunks."""
    stream = iter(texts)
    while chunk := list(islice(stream, CHUNK)):
        yield tokenise(encoder, chunk)


def windows(texts: Iterable[str], size: int) -> Iterator[Sequence[str]]:
    """Yield the texts in consecutive runs of `size`."""
    stream = iter(texts)
    while chunk := list(islice(stream, size)):
        yield chunk
