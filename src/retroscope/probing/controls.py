"""Controls of probes: with changed queries, labels or weights, a probe must not find relevance.

A control is one row of a visible table: which queries the probe reads, which candidate counts as
right, and whose vectors are probed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
from jaxtyping import Int

from retroscope.probing.splits import Choices

Targets = Int[np.ndarray, "size choice"]
TextNumbers = Int[np.ndarray, "query"]  # number of the distinct text of every query of the task
QueryPairing = Callable[[Choices, np.random.Generator, TextNumbers], Choices]
Labeller = Callable[[Choices, tuple[int, ...], int], Targets]


def own_queries(choices: Choices, rng: np.random.Generator, texts: TextNumbers) -> Choices:
    """Return the probe examples unchanged, each with its own query."""
    return choices


def shuffled_queries(choices: Choices, rng: np.random.Generator, texts: TextNumbers) -> Choices:
    """Replace every query by a query with another text in the same part (a derangement of texts).

    The remaining accuracy does not come from reading the query. Queries with the same text are never exchanged for one
    another. A part with a single text keeps it.
    """
    _, first, of_text = np.unique(texts, return_index=True, return_inverse=True)
    own = first[of_text][choices.query]  # queries of one text have one vector: the first stands for all
    distinct = np.unique(own)
    cycle = rng.permutation(distinct)
    other = np.empty_like(distinct)
    other[np.searchsorted(distinct, cycle)] = np.roll(cycle, 1)  # one cycle through all: no text keeps its own
    return replace(choices, query=other[np.searchsorted(distinct, own)])


def relevance(choices: Choices, sizes: tuple[int, ...], seed: int) -> Targets:
    """Label candidate 0, the relevant passage, as correct in every probe example."""
    return np.zeros((len(sizes), len(choices)), dtype=np.int64)


def hash_labels(choices: Choices, sizes: tuple[int, ...], seed: int) -> Targets:
    """Label as correct, in every probe example, the candidate with the largest hash of passage and seed.

    This is the control task by type of Hewitt & Liang 2019, section 2. The label depends on the passage alone, so a
    probe that memorises passages is correct whenever the same passages occur again. A test accuracy above chance means
    that passages are on both sides of the split. The accuracy on the training examples shows how much the probe can
    memorise.
    """
    distinct, places = np.unique(choices.passages, return_inverse=True)
    hashes = np.array([_hash(passage, seed) for passage in distinct.tolist()])
    return np.stack([hashes[places.reshape(choices.passages.shape)][:, :size].argmax(axis=1) for size in sizes])


def _hash(passage: int, seed: int) -> int:
    """Return a 63-bit hash of a passage number and a seed."""
    digest = blake2b(passage.to_bytes(8, "big"), digest_size=8, salt=seed.to_bytes(16, "big")).digest()
    return int.from_bytes(digest, "big") >> 1


@dataclass(frozen=True)
class Control:
    """One control of a probe: its change of queries, labels or weights.

    Attributes:
        queries: function that gives the query that each probe example reads.
        labels: function that gives the candidate that counts as right.
        random_weights: probe the vectors of the random-weight copy instead of the retriever's.
    """

    queries: QueryPairing = own_queries
    labels: Labeller = relevance
    random_weights: bool = False


CONTROLS: dict[str, Control] = {
    "none": Control(),
    "shuffled_queries": Control(queries=shuffled_queries),
    "hash_labels": Control(labels=hash_labels),
    "random_weights": Control(random_weights=True),
}


@dataclass(frozen=True, eq=False)
class View:
    """The probe examples as seen by all controls that read the same queries. Their features are computed once.

    Attributes:
        controls: names, in the order of the first axis of the targets.
        parts: "train", "validation", "test" ... with the queries that these controls read.
        targets: part -> (control, size, probe example) index of the candidate that counts as right.
        sizes: the numbers N of the second axis.
        seed: seed of everything random.
    """

    controls: tuple[str, ...]
    parts: Mapping[str, Choices]
    targets: Mapping[str, Int[np.ndarray, "control size choice"]]
    sizes: tuple[int, ...]
    seed: int


def controls_on(names: Sequence[str], *, random_weights: bool) -> list[str]:
    """Return the controls that use the random-weight copy's vectors, or those that use the retriever's."""
    return [name for name in names if CONTROLS[name].random_weights == random_weights]


def views(
    parts: Mapping[str, Choices], seed: int, names: Sequence[str], sizes: tuple[int, ...], texts: TextNumbers
) -> list[View]:
    """Group the controls by the queries that they read, and return one view per group.

    Args:
        names: controls on the vectors of one model (see `controls_on`).
        texts: for every query, the number of its distinct text.
    """
    readers = dict.fromkeys(CONTROLS[name].queries for name in names)
    grouped = [tuple(name for name in names if CONTROLS[name].queries is reader) for reader in readers]
    return [_view(parts, seed, group, sizes, texts) for group in grouped]


def _view(
    parts: Mapping[str, Choices], seed: int, names: tuple[str, ...], sizes: tuple[int, ...], texts: TextNumbers
) -> View:
    reader = CONTROLS[names[0]].queries
    read = {part: reader(choices, np.random.default_rng([seed, 2]), texts) for part, choices in parts.items()}
    targets = {
        part: np.stack([CONTROLS[name].labels(choices, sizes, seed) for name in names])
        for part, choices in read.items()
    }
    return View(names, read, targets, sizes, seed)
