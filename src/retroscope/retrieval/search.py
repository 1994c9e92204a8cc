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

from retroscope.errors import unknown_name
from retroscope.representations.store import Representations, Vectors

Similarity = Literal["dot", "cosine"]
SIMILARITIES: tuple[Similarity, ...] = ("dot", "cosine")
SPARE = 8  # passages fetched beyond k, so that a tie across the cut is noticed


@dataclass(frozen=True, eq=False)
class Ranking:
    """The best passages of each query, best first.

    Attributes:
        rows: row of each passage in the passage vectors; -1 where there is none.
        scores: float32 values of the similarity; -inf where there is none.
    """

    rows: Int[np.ndarray, "query k"]
    scores: Float[np.ndarray, "query k"]


def search(
    queries: Vectors, passages: Representations, k: int, *, similarity: str, layer: int | None = None
) -> Ranking:
    """The k most similar passages to each query, by the final vectors or by those of one layer.

    Args:
        queries: one row a query.
        passages: read block by block, so that the corpus may be larger than memory.
        k: passages kept a query.
        similarity: "dot" or "cosine".
        layer: None for the final vectors.
    """
    if similarity not in SIMILARITIES:
        raise unknown_name("similarity", similarity, SIMILARITIES)
    queries = _prepared(queries, similarity)
    order = id_order(passages.ids)
    best = Ranking(np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32))
    start = 0
    for block in passages.blocks(layer):
        found = _search_block(queries, _prepared(block, similarity), k, order[start : start + len(block)])
        rows = np.where(found.rows >= 0, found.rows + start, -1)
        best = _merge(best, Ranking(rows, found.scores), k, order)
        start += len(block)
    return best


def id_order(ids: Sequence[str]) -> Int[np.ndarray, "passage"]:
    """The place of every id when ids are sorted from the greatest to the least."""
    descending = sorted(range(len(ids)), key=ids.__getitem__, reverse=True)
    order = np.empty(len(ids), dtype=np.int64)
    order[descending] = np.arange(len(ids))
    return order


def _prepared(vectors: Vectors, similarity: str) -> Vectors:
    if similarity == "dot":
        return np.ascontiguousarray(vectors)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny))


def _search_block(queries: Vectors, block: Vectors, k: int, order: Int[np.ndarray, "passage"]) -> Ranking:
    wanted = min(k + SPARE, len(block))
    rough, rows = faiss.knn(queries, block, wanted, metric=faiss.METRIC_INNER_PRODUCT)
    scores = _exact(queries, block, rows)
    ranking = _merge(Ranking(rows, scores), None, k, order)
    if wanted == len(block):
        return ranking
    # A passage that faiss left out may tie with, or by float32 noise beat, the k-th kept one.
    noise = 4 * np.finfo(np.float32).eps * np.sqrt(queries.shape[1]) * np.abs(rough).max(axis=1)
    unsure = np.flatnonzero(rough[:, -1] >= ranking.scores[:, -1] - noise)
    for query in unsure:
        every = np.arange(len(block))[None]
        exact = _exact(queries[query : query + 1], block, every)
        sure = _merge(Ranking(every, exact), None, k, order)
        ranking.rows[query], ranking.scores[query] = sure.rows[0], sure.scores[0]
    return ranking


def _exact(queries: Vectors, block: Vectors, rows: Int[np.ndarray, "query k"]) -> Float[np.ndarray, "query k"]:
    """Float64 similarities rounded to float32; a chunk of queries at a time."""
    out = np.empty(rows.shape, dtype=np.float32)
    step = max(1, 2**24 // (rows.shape[1] * queries.shape[1]))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        near = block[rows[part]].astype(np.float64)
        out[part] = np.einsum("qd,qkd->qk", queries[part].astype(np.float64), near)
    return out


def _merge(one: Ranking, two: Ranking | None, k: int, order: Int[np.ndarray, "passage"]) -> Ranking:
    """The best k of both, by score and then by id."""
    rows = one.rows if two is None else np.concatenate([one.rows, two.rows], axis=1)
    scores = one.scores if two is None else np.concatenate([one.scores, two.scores], axis=1)
    place = np.where(rows >= 0, order[rows], len(order))
    chosen = np.lexsort((place, -scores), axis=1)[:, :k]
    return Ranking(np.take_along_axis(rows, chosen, 1), np.take_along_axis(scores, chosen, 1))


def as_run(
    ranking: Ranking, query_ids: Sequence[str], passage_ids: Sequence[str], *, skip_identical: bool, k: int
) -> dict[str, list[tuple[str, float]]]:
    """Query id -> (passage id, score), best first; `skip_identical` drops the query's own id."""
    run: dict[str, list[tuple[str, float]]] = {}
    for query_id, rows, scores in zip(query_ids, ranking.rows, ranking.scores, strict=True):
        found = ((passage_ids[row], float(score)) for row, score in zip(rows, scores, strict=True) if row >= 0)
        run[query_id] = [hit for hit in found if not (skip_identical and hit[0] == query_id)][:k]
    return run
