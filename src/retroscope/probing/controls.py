"""Controls of probes: queries, labels or weights are changed so that an accuracy above chance is not due to relevance.

A control says which queries the probe uses, which candidate is labelled as correct, and which model's vectors are
probed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
from jaxtyping import Int

from retroscope.probing.splits import Choices

Targets = Int[np.ndarray, "size choice"]
TextNumbers = Int[np.ndarray, "query"]  # index of the distinct text of every query of the task
QueryPairing = Callable[[Choices, np.random.Generator, TextNumbers], Choices]
Labeller = Callable[[Choices, tuple[int, ...], int], Targets]


def own_queries(choices: Choices, rng: np.random.Generator, texts: TextNumbers) -> Choices:
    """Return the probe examples unchanged, each with its own query."""
    return choices


def shuffled_queries(choices: Choices, rng: np.random.Generator, texts: TextNumbers) -> Choices:
    """Replace the query of every probe example by a query with another text, from the same part of the split.

    The replacement is a derangement of texts. An accuracy above chance is then not due to the query. Queries with the
    same text are never exchanged for one another. If all queries of a part have the same text, they stay.
    """
    _, first, of_text = np.unique(texts, return_index=True, return_inverse=True)
    own = first[of_text][choices.query]  # queries of one text have one vector: the first stands for all
    distinct = np.unique(own)
    cycle = rng.permutation(distinct)
    replacement = np.empty_like(distinct)
    replacement[np.searchsorted(distinct, cycle)] = np.roll(cycle, 1)  # one cycle through all: no text keeps its own
    return replace(choices, query=replacement[np.searchsorted(distinct, own)])


def relevance(choices: Choices, sizes: tuple[int, ...], seed: int) -> Targets:
    """Label candidate 0, the relevant passage, as correct in every probe example."""
    return np.zeros((len(sizes), len(choices)), dtype=np.int64)


def hash_labels(choices: Choices, sizes: tuple[int, ...], seed: int) -> Targets:
    """Label as correct, in every probe example, the candidate with the largest hash of passage and seed.

    This is the control task by type of Hewitt & Liang 2019, section 2. The label depends only on the passages, so a
    probe that memorises passages is correct whenever the same passages occur again. A test accuracy above chance means
    that training and test share passages. The accuracy on the training examples shows how much the probe can memorise.
    """
    distinct, places = np.unique(choices.passages, return_inverse=True)
    hashes = np.array([_hash(passage, seed) for passage in distinct.tolist()])
    return np.stack([hashes[places.reshape(choices.passages.shape)][:, :size].argmax(axis=1) for size in sizes])


def independent_examples(tests: Mapping[int, Choices], sizes: tuple[int, ...]) -> dict[int, float]:
    """Return the effective number of independent test examples under `hash_labels`, for every number N of candidates.

    The test examples of all seeds are counted together.

    If a passage is a candidate of many examples (a hub among the hard negatives), its hash decides about the labels of
    all of them. For a probe with fixed predictions, labels by random hashes give an example the variance v = (N - 1) /
    N^2, and two examples that share s candidates a covariance of at most 1 / (2N - s) - 1 / N^2: both predict the same
    shared passage. That is at most s w v, with w = max((N - 1) / (2N - 1), 1 / N). So the mean accuracy of n examples
    has at most the variance of n^2 / (n + w sum of m (m - 1)) independent examples, where m counts the examples of one
    seed that have a passage as a candidate.

    Args:
        tests: seed -> test examples. Every seed has other hashes.
        sizes: the numbers N of candidates.
    """
    n, worth = sum(map(len, tests.values())), {}
    for size in sizes:
        counts = [np.unique(choices.passages[:, :size], return_counts=True)[1] for choices in tests.values()]
        pairs = sum(float((m * (m - 1)).sum()) for m in counts)
        weight = max((size - 1) / (2 * size - 1), 1 / size)
        worth[size] = n**2 / (n + weight * pairs) if n else 0.0
    return worth


def _hash(passage: int, seed: int) -> int:
    digest = blake2b(passage.to_bytes(8, "big"), digest_size=8, salt=seed.to_bytes(16, "big")).digest()
    return int.from_bytes(digest, "big") >> 1  # 63 bits, which fit into int64


@dataclass(frozen=True)
class Control:
    """One control of a probe: how it changes queries, labels or weights.

    Attributes:
        queries: function that replaces the queries of probe examples.
        labels: function that returns, for every number N of candidates, the index of the candidate labelled as correct.
        random_weights: whether to probe the vectors of a copy of the model with random weights.
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
    """The probe examples of one split, with the queries and labels that one or several controls give them.

    The controls of one view use the same queries, so that features are computed once for all of them.

    Attributes:
        controls: names of the controls, in the order of the first axis of `targets`.
        parts: "train", "validation", "test" or "all" -> probe examples, with the queries of these controls.
        targets: part -> (control, N, probe example) index of the candidate that is labelled as correct.
        sizes: the numbers N of candidates, in the order of the second axis of `targets`.
        seed: seed of the split, and of everything random in probes.
    """

    controls: tuple[str, ...]
    parts: Mapping[str, Choices]
    targets: Mapping[str, Int[np.ndarray, "control size choice"]]
    sizes: tuple[int, ...]
    seed: int


def controls_on(names: Sequence[str], *, random_weights: bool) -> list[str]:
    """Return the names of the controls that probe the retriever's vectors or, with `random_weights`, those of its copy.

    Args:
        names: names of controls to choose from.
    """
    return [name for name in names if CONTROLS[name].random_weights == random_weights]


def views(
    parts: Mapping[str, Choices], seed: int, names: Sequence[str], sizes: tuple[int, ...], texts: TextNumbers
) -> list[View]:
    """Group the controls that use the same queries, and return the probe examples of each group.

    Args:
        parts: part name -> probe examples with their own queries.
        names: controls that use the vectors of the same model (see `controls_on`).
        sizes: the numbers N of candidates.
        texts: index of the distinct text of every query.
    """
    pairings = dict.fromkeys(CONTROLS[name].queries for name in names)
    grouped = [tuple(name for name in names if CONTROLS[name].queries is pairing) for pairing in pairings]
    return [_view(parts, seed, group, sizes, texts) for group in grouped]


def _view(
    parts: Mapping[str, Choices], seed: int, names: tuple[str, ...], sizes: tuple[int, ...], texts: TextNumbers
) -> View:
    pairing = CONTROLS[names[0]].queries
    paired = {part: pairing(choices, np.random.default_rng([seed, 2]), texts) for part, choices in parts.items()}
    targets = {
        part: np.stack([CONTROLS[name].labels(choices, sizes, seed) for name in names])
        for part, choices in paired.items()
    }
    return View(names, paired, targets, sizes, seed)
