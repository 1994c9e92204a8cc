"""Exact search, with ties broken by id.

faiss finds the nearest passages in float32; their scores are then computed again in float64
and rounded to float32, so that equal vectors have equal scores wherever they stand in a
matrix product. Equal scores are ordered as trec_eval orders them (the greater id first), so
that any tool that reads our run files computes our numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import faiss
import numpy as np
from jaxtyping import Float, Int

from retroscope.errors import AnalysisError, unknown_name
from retroscope.representations.store import Representations, Vectors

Similarity = Literal["dot", "cosine"]
SIMILARITIES: tuple[Similarity, ...] = ("dot", "cosine")
SPARE = 8  # passages fetched beyond k, so that a tie across the cut is noticed
CHUNK_NUMBERS = 2**24  # numbers of a temporary array


@dataclass(frozen=True, eq=False)
class RankedPassages:
    """The best passages of each query, best first.

    Attributes:
        rows: row of each passage in the passage vectors; as many as there are passages, if these are fewer than k.
        scores: float32 values of the similarity.
    """

    rows: Int[np.ndarray, "query k"]
    scores: Float[np.ndarray, "query k"]


def search(
    queries: Vectors, passages: Representations, k: int, *, similarity: str, layer: int | None = None
) -> RankedPassages:
    """Find the k most similar passages to each query, by the final vectors or by those of one layer.

    Args:
        queries: one row a query.
        passages: read block by block, so that the corpus may be larger than memory.
        k: number of passages kept for each query.
        similarity: "dot" or "cosine" (of a zero vector: 0 with every other).
        layer: the layer to search with; None: the final vectors.

    Raises:
        AnalysisError: if queries and passages have vectors of different sizes.
    """
    if similarity not in SIMILARITIES:
        raise unknown_name("similarity", similarity, SIMILARITIES)
    queries = _prepared(queries, similarity)
    order = id_order(passages.ids)
    best = RankedPassages(np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32))
    start = 0
    for block in passages.blocks(layer):
        _check_sizes(queries, block)
        ranked = _search_block(queries, _prepared(block, similarity), k, order[start : start + len(block)])
        best = _merge(best, RankedPassages(ranked.rows + start, ranked.scores), k, order)
        start += len(block)
    return best


def _check_sizes(queries: Vectors, passages: Vectors) -> None:
    if queries.shape[1] != passages.shape[1]:
        raise AnalysisError(
            f"query vectors have {queries.shape[1]} dimensions and passage vectors {passages.shape[1]}",
            fix="compare vectors of towers with the same size, or the final vectors",
        )


def id_order(ids: Sequence[str]) -> Int[np.ndarray, "passage"]:
    """Return the place of every id when ids are sorted from the greatest to the least."""
    descending = sorted(range(len(ids)), key=ids.__getitem__, reverse=True)
    order = np.empty(len(ids), dtype=np.int64)
    order[descending] = np.arange(len(ids))
    return order


def _prepared(vectors: Vectors, similarity: str) -> Vectors:
    """Return the vectors as they are for the dot product, of unit length for the cosine; a zero vector stays zero."""
    if similarity == "dot":
        return np.ascontiguousarray(vectors)
    out = np.empty(vectors.shape, dtype=np.float32)
    step = max(1, CHUNK_NUMBERS // vectors.shape[1])
    for start in range(0, len(vectors), step):
        part = vectors[start : start + step].astype(np.float64)  # squares of float32 may vanish or overflow
        norms = np.sqrt(np.vecdot(part, part))[:, None]
        out[start : start + step] = part / np.where(norms > 0, norms, 1)
    return out


def _search_block(queries: Vectors, block: Vectors, k: int, order: Int[np.ndarray, "passage"]) -> RankedPassages:
    wanted = min(k + SPARE, len(block))
    rough, rows = faiss.knn(queries, block, wanted, metric=faiss.METRIC_INNER_PRODUCT)
    ranking = _merge(RankedPassages(rows, _exact(queries, block, rows)), None, k, order)
    if wanted < len(block):
        # A passage that faiss left out may tie with, or but for float32 noise beat, the last that is kept.
        noise = _noise(queries, block)
        unsure = np.flatnonzero(rough[:, -1] + noise >= ranking.scores[:, -1])
        if len(unsure):
            _settle(ranking, unsure, (queries, block, noise), order)
    return ranking


def _noise(queries: Vectors, block: Vectors) -> Float[np.ndarray, "query"]:
    """Return the most by which a float32 inner product may err, summed in any order.

    (d + 2) u |q| |p|, u = 2^-24 (Higham, Accuracy and Stability of Numerical Algorithms, eq. 3.5, with
    Cauchy-Schwarz), one u of them for the rounding of the exact score.
    """
    unit = np.finfo(np.float32).eps / 2
    longest = np.linalg.norm(block, axis=1).max()
    return np.asarray((block.shape[1] + 2) * unit * longest * np.linalg.norm(queries, axis=1))


def _settle(
    ranking: RankedPassages,
    unsure: Int[np.ndarray, "n"],
    searched: tuple[Vectors, Vectors, Float[np.ndarray, "query"]],
    order: Int[np.ndarray, "passage"],
) -> None:
    """Rank all passages of the block that could be among the best of the `unsure` queries, in place.

    Equal vectors (all of them, for the first token at layer 0) are scored once.
    """
    queries, block, noise = searched
    k = ranking.rows.shape[1]
    distinct, kind = _distinct(block)
    by_id = np.argsort(order)
    step = max(1, CHUNK_NUMBERS // len(distinct))
    for start in range(0, len(unsure), step):
        chunk = unsure[start : start + step]
        for query, rough in zip(chunk, queries[chunk] @ distinct.T, strict=True):
            near = np.flatnonzero(rough >= ranking.scores[query, -1] - noise[query])
            table = np.full(len(distinct), -np.inf, dtype=np.float32)
            table[near] = _exact(queries[query][None], distinct, near[None])[0]
            scores = table[kind[by_id]]
            top = np.argsort(-scores, kind="stable")[:k]  # already in the order of ids: a tie keeps it
            ranking.rows[query], ranking.scores[query] = by_id[top], scores[top]


def _distinct(block: Vectors) -> tuple[Vectors, Int[np.ndarray, "text"]]:
    """Return the distinct vectors, and which of them each row is."""
    rows = block.view(np.dtype((np.void, block.itemsize * block.shape[1])))[:, 0]
    _, first, kind = np.unique(rows, return_index=True, return_inverse=True)
    return block[first], kind


def _exact(queries: Vectors, block: Vectors, rows: Int[np.ndarray, "query k"]) -> Float[np.ndarray, "query k"]:
    """Return float64 similarities rounded to float32, a chunk of queries at a time.

    One dot product for each pair, so that its value depends on the two vectors alone.
    """
    out = np.empty(rows.shape, dtype=np.float32)
    flat, width = out.reshape(-1), rows.shape[1]
    step = max(1, CHUNK_NUMBERS // queries.shape[1])
    for start in range(0, flat.size, step):
        pairs = np.arange(start, min(start + step, flat.size))
        near = block[rows.reshape(-1)[pairs]].astype(np.float64)
        flat[pairs] = np.vecdot(queries[pairs // width].astype(np.float64), near)
    return out


def _merge(
    one: RankedPassages, two: RankedPassages | None, k: int, order: Int[np.ndarray, "passage"]
) -> RankedPassages:
    """Return the best k of both, by score and then by id."""
    rows = one.rows if two is None else np.concatenate([one.rows, two.rows], axis=1)
    scores = one.scores if two is None else np.concatenate([one.scores, two.scores], axis=1)
    best = np.lexsort((order[rows], -scores), axis=1)[:, :k]
    return RankedPassages(np.take_along_axis(rows, best, 1), np.take_along_axis(scores, best, 1))


def as_run(
    ranking: RankedPassages, query_ids: Sequence[str], passage_ids: Sequence[str], *, skip_identical: bool, k: int
) -> dict[str, list[tuple[str, float]]]:
    """Return query id -> (passage id, score), best first; `skip_identical` drops the query's own id."""
    run: dict[str, list[tuple[str, float]]] = {}
    for query_id, rows, scores in zip(query_ids, ranking.rows, ranking.scores, strict=True):
        hits = ((passage_ids[row], float(score)) for row, score in zip(rows, scores, strict=True))
        run[query_id] = [hit for hit in hits if not (skip_identical and hit[0] == query_id)][:k]
    return run
