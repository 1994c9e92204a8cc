"""Compute histograms of query-passage similarities at every layer, for relevant passages and for other passages."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from retroscope.collection.collection import Collection
from retroscope.representations.vectors import RetrieverRepresentations, Vectors

QUERIES, OTHERS = 300, 700  # queries and other passages in a sample, at most
EACH = 5  # relevant passages of a query, at most
BINS = 30
BYTES = 256 * 2**20  # of the vectors of one side
RELEVANT, OTHER = "relevant", "other"


@dataclass(frozen=True)
class PairSample:
    """Ids of sampled queries, their relevant passages and random passages.

    Attributes:
        queries: ids of judged queries.
        passages: ids of their relevant passages, then of random ones. Each passage is compared with every query.
    """

    queries: tuple[str, ...]
    passages: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Separation:
    """Histograms of query-passage similarities by layer, for relevant and for other passages.

    Attributes:
        counts: the histograms, with one row for each model, layer, group of passages and bin: side (name of the model),
            layer, passages ("relevant" or "other"), low and high (ends of the bin), count.
        above: table with the columns side, layer, above. The column "above" is the share of other passages that are
            less similar to the query than a relevant passage, averaged over queries. Ties count one half.
        sample: the compared queries and passages.
    """

    counts: pd.DataFrame
    above: pd.DataFrame
    sample: PairSample


def separation_by_layer(
    sides: Mapping[str, RetrieverRepresentations], collection: Collection, *, seed: int = 0
) -> Separation:
    """Compute histograms of query-passage similarities for one or several models, on a sample of queries and passages.

    If all models use the cosine, they have the same bins at a layer. Otherwise each model has its own bins.

    Args:
        sides: name of a model, e.g. "before" -> its vectors of this collection; all with the same number of layers.
        collection: the collection whose judgments say which passages are relevant.
        seed: seed of the sample.
    """
    first = next(iter(sides.values()))
    sample = pair_sample(collection, seed, most=_affordable(sides.values()))
    relevant, counted = _masks(sample, collection)
    vectors = {name: _read(side, sample) for name, side in sides.items()}
    shared = all(side.similarity == "cosine" for side in sides.values())
    counts: list[pd.DataFrame] = []
    above: list[dict[str, object]] = []
    for layer in range(first.passage.n_layers):
        values = {name: similarities(query[:, layer], passage[:, layer], sides[name].similarity)
                  for name, (query, passage) in vectors.items()}  # fmt: skip
        edges = {name: _edges([v[counted] for v in (values.values() if shared else [values[name]])]) for name in sides}
        for name, of_pairs in values.items():
            parts = {RELEVANT: of_pairs[relevant], OTHER: of_pairs[counted & ~relevant]}
            counts += [_counts(part, edges[name]).assign(side=name, layer=layer, passages=kind)
                       for kind, part in parts.items()]  # fmt: skip
            above.append({"side": name, "layer": layer, "above": _above(of_pairs, relevant, counted)})
    frame = pd.concat(counts, ignore_index=True)
    return Separation(frame[["side", "layer", "passages", "low", "high", "count"]], pd.DataFrame(above), sample)


def pair_sample(collection: Collection, seed: int, most: int = QUERIES + OTHERS) -> PairSample:
    """Draw judged queries and passages at random. A smaller sample consists of the first texts of a larger one.

    Args:
        most: approximate maximum of sampled texts. At most three tenths of them are queries.
    """
    rng = np.random.default_rng(seed)
    judged, passages = list(collection.judged_queries), list(collection.passages)
    queries = [judged[i] for i in rng.permutation(len(judged))[: min(QUERIES, max(1, most * 3 // 10))]]
    relevant = [p for q in queries for p in collection.relevant[q][:EACH]]
    drawn = [passages[i] for i in rng.permutation(len(passages))[: min(OTHERS, max(1, most - 2 * len(queries)))]]
    return PairSample(tuple(queries), tuple(dict.fromkeys([*relevant, *drawn])))


def similarities(query: Vectors, passage: Vectors, similarity: str) -> Float[np.ndarray, "query passage"]:
    """Return the similarity of every query with every passage.

    Args:
        similarity: "cosine" or "dot".
    """
    if similarity == "cosine":
        query, passage = of_unit_length(query), of_unit_length(passage)
    return np.asarray(query @ passage.T)


def of_unit_length(vectors: Vectors) -> Vectors:
    """Scale vectors to length 1. A vector of length 0 stays as it is."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1))


def _affordable(sides: Iterable[RetrieverRepresentations]) -> int:
    """Return how many texts may be sampled, so that their vectors of all layers take at most `BYTES` of memory.

    The result is at least 100.
    """
    widest = max(side.passage.n_layers * int(side.passage.store.vectors.shape[-1]) for side in sides)
    return max(100, BYTES // (4 * widest))


def _read(side: RetrieverRepresentations, sample: PairSample) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors of the sample's queries and of its passages at all layers, (text, layer, dim) each."""
    return side.query.texts(side.query.rows(sample.queries)), side.passage.texts(side.passage.rows(sample.passages))


def _masks(
    sample: PairSample, collection: Collection
) -> tuple[Bool[np.ndarray, "query passage"], Bool[np.ndarray, "query passage"]]:
    """Return two masks [query, passage]: which passages are relevant, and which are compared at all.

    A passage with the id of the query is not compared if the collection ignores identical ids.
    """
    place = {passage: n for n, passage in enumerate(sample.passages)}
    relevant = np.zeros((len(sample.queries), len(sample.passages)), dtype=bool)
    counted = np.ones_like(relevant)
    for row, query in enumerate(sample.queries):
        relevant[row, [place[p] for p in collection.relevant[query] if p in place]] = True
        if collection.ignore_identical_ids and query in place:
            counted[row, place[query]] = False
    return relevant & counted, counted


def _edges(values: Sequence[np.ndarray]) -> np.ndarray:
    low, high = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
    return np.linspace(low, high if high > low else low + 1e-6, BINS + 1)


def _counts(values: np.ndarray, edges: np.ndarray) -> pd.DataFrame:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "count": counts})


def _above(
    values: Float[np.ndarray, "query passage"], relevant: Bool[np.ndarray, "query passage"], counted: np.ndarray
) -> float:
    """Return the share of other passages that score below a relevant one, averaged over relevant passages and queries.

    The mean over a query's relevant passages is taken first. A tie counts one half.
    """
    shares = []
    for row, mine, all_counted in zip(values, relevant, counted, strict=True):
        others = row[all_counted & ~mine]
        if mine.any() and len(others):
            shares.append(float(np.mean((row[mine][:, None] > others) + 0.5 * (row[mine][:, None] == others))))
    return float(np.mean(shares)) if shares else float("nan")
