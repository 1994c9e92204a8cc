"""Build a BM25 index that is too large for memory, in files that bm25s memory-maps.

To make an index, the library bm25s holds the tokens of all passages in memory, and three numbers for each word of each
passage. This module counts the words of one batch of passages after another, and writes the scores to files. The scores
equal those of bm25s, bit by bit.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

BATCH = 10_000  # passages counted at a time
FILES = {"data": np.float32, "indices": np.int32, "indptr": np.int64}  # of bm25s: NAME.csc.index.npy


@dataclass(frozen=True, eq=False)
class Counted:
    """Word counts of a batch of passages, sorted by word and then by passage.

    Attributes:
        words, passages, counts: word id, index of the passage in the corpus, and how often the word occurs in it.
        lengths: number of words of each passage, repeated words included.
    """

    words: Int[np.ndarray, "pair"]
    passages: Int[np.ndarray, "pair"]
    counts: Int[np.ndarray, "pair"]
    lengths: Int[np.ndarray, "passage"]


def write_index(passages: Iterable[list[int]], folder: Path, *, k1: float, b: float) -> int:
    """Write a BM25 index to files that `bm25s.BM25.load_scores` reads. Each passage is a list of word ids.

    Lucene's variant, as in bm25s (Kamphuis et al. 2020, table 1): log(1 + (N - df + 1/2) / (df + 1/2)) x tf /
    (tf + k1 (1 - b + b l / mean l)), in float32.

    Returns:
        The number of passages.
    """
    batches, lengths, frequency = _written_counts(passages, folder)
    ends = np.concatenate([[0], np.cumsum(frequency)])
    data, indices = (_new_file(folder, name, int(ends[-1])) for name in ("data", "indices"))
    _new_file(folder, "indptr", len(ends))[:] = ends
    rarity = _rarity(frequency, len(lengths))
    saturation = k1 * ((1 - b) + b * lengths / lengths.mean())
    heads = ends[:-1].copy()  # where the next passage of each word goes
    for file in batches:
        with np.load(file) as counted:
            words, rows, counts = counted["words"], counted["passages"], counted["counts"]
        place = heads[words] + _rank_in_run(words)
        indices[place] = rows
        data[place] = rarity[words] * (counts / (saturation[rows] + counts))
        heads[: words[-1] + 1] += np.bincount(words)
        file.unlink()
    return len(lengths)


def _written_counts(
    passages: Iterable[list[int]], folder: Path
) -> tuple[list[Path], Int[np.ndarray, "passage"], Int[np.ndarray, "word"]]:
    """Write the word counts of each batch of passages to a file.

    Returns:
        The files, the length of every passage, and the document frequency of every word.
    """
    files: list[Path] = []
    lengths: list[Int[np.ndarray, "passage"]] = []
    frequency = np.zeros(0, dtype=np.int64)
    for counted in _counted(passages):
        files.append(folder / f"{len(files)}.npz")
        np.savez(files[-1], words=counted.words, passages=counted.passages, counts=counted.counts)
        lengths.append(counted.lengths)
        frequency = _sum(frequency, np.bincount(counted.words))
    return files, np.concatenate(lengths), frequency


def _counted(passages: Iterable[list[int]]) -> Iterator[Counted]:
    stream, start = iter(passages), 0
    while batch := list(islice(stream, BATCH)):
        lengths = np.array([len(words) for words in batch], dtype=np.int64)
        words = np.fromiter(chain.from_iterable(batch), dtype=np.int64, count=int(lengths.sum()))
        passage = np.repeat(np.arange(len(batch)), lengths)
        pairs, counts = np.unique(words * len(batch) + passage, return_counts=True)
        word, place = np.divmod(pairs, len(batch))
        yield Counted(word, place + start, counts, lengths)
        start += len(batch)


def _sum(first: Int[np.ndarray, "n"], second: Int[np.ndarray, "m"]) -> Int[np.ndarray, "k"]:
    """Add two count vectors, the shorter padded with zeros."""
    total = np.zeros(max(len(first), len(second)), dtype=np.int64)
    total[: len(first)] += first
    total[: len(second)] += second
    return total


def _new_file(folder: Path, name: str, size: int) -> np.ndarray:
    return np.lib.format.open_memmap(folder / f"{name}.csc.index.npy", mode="w+", dtype=FILES[name], shape=(size,))


def _rarity(frequency: Int[np.ndarray, "word"], passages: int) -> Float[np.ndarray, "word"]:
    """Return the inverse document frequency of every word, or 0 for a word that occurs in no passage."""
    values = [math.log(1 + (passages - n + 0.5) / (n + 0.5)) if n else 0.0 for n in frequency.tolist()]
    return np.array(values, dtype=np.float32)


def _rank_in_run(words: Int[np.ndarray, "pair"]) -> Int[np.ndarray, "pair"]:
    """Number equal words of a sorted array from 0: [7, 7, 9] gives [0, 1, 0]."""
    starts = np.flatnonzero(np.concatenate([[True], words[1:] != words[:-1]]))
    run = np.diff(np.concatenate([starts, [len(words)]]))
    return np.arange(len(words)) - np.repeat(starts, run)
