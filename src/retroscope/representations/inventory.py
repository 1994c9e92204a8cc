"""Tokenise all texts once, before anything is encoded, to find their lengths, repeated texts, and a fingerprint.

The result takes 12 bytes per text. Computing it takes about 70 bytes per text.
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
    """Lengths in tokens, repetitions and a fingerprint of the texts of one encoder, known before they are encoded.

    Attributes:
        first: for each text, the position of the first text with the same token ids (its own if it is the first).
        lengths: how many tokens each text has, with special tokens, after truncation.
        truncated: how many texts have the maximum length, i.e. were cut or have exactly this length.
        fingerprint: SHA-256 of the token ids of all texts, in order.
    """

    first: Int[np.ndarray, "text"]
    lengths: Int[np.ndarray, "text"]
    truncated: int
    fingerprint: str

    @property
    def n_distinct(self) -> int:
        """Return how many distinct texts there are. Only these need a forward pass."""
        return int(np.sum(self.first == np.arange(len(self.first))))

    @property
    def tokens(self) -> int:
        """Return how many tokens the distinct texts have together."""
        return int(self.distinct_lengths.sum())

    @property
    def distinct_lengths(self) -> Int[np.ndarray, "distinct"]:
        """Return how many tokens each distinct text has."""
        return np.asarray(self.lengths[self.first == np.arange(len(self.first))])


def take_inventory(encoder: Encoder, texts: Iterable[str], progress: Callable[[int], None] | None = None) -> Inventory:
    """Tokenise every text once, and return lengths, repeated texts and fingerprint.

    Texts with the same token ids (by 128-bit digests) count as the same text, because the model sees only these ids.
    Two texts that differ only after the maximum length therefore have the same vector, and the same score in a search.

    Args:
        progress: called with how many texts have been tokenised so far, first with 0.

    Raises:
        RepresentationError: if there is no text.
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
    """Return, for each key (a row of two numbers), the position of the first key that equals it."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: of equal keys the earliest comes first
    in_order = keys[order]
    starts = np.ones(len(keys), dtype=bool)
    starts[1:] = (in_order[1:] != in_order[:-1]).any(axis=1)
    run_start = np.maximum.accumulate(np.where(starts, np.arange(len(keys)), 0))
    first = np.empty(len(keys), dtype=np.int64)
    first[order] = order[run_start]
    return first


def token_chunks(encoder: Encoder, texts: Iterable[str]) -> Iterator[list[TokenIds]]:
    """Yield the token ids of the texts, in lists of 1,024 texts."""
    stream = iter(texts)
    while chunk := list(islice(stream, CHUNK)):
        yield tokenise(encoder, chunk)


def windows(texts: Iterable[str], size: int) -> Iterator[Sequence[str]]:
    """Yield the texts in lists of `size` consecutive texts. The last list may be shorter."""
    stream = iter(texts)
    while chunk := list(islice(stream, size)):
        yield chunk
