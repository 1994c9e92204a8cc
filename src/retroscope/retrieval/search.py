"""Search exactly by dot product or cosine, with ties broken by id.

The library faiss finds the nearest passages in float32. The scores of all passages that may be among the best are then
computed again in float64 and rounded to float32, so that equal vectors have equal scores, whatever their position in a
matrix product. Passages of equal score are ordered as trec_eval orders them (the greater id first), so that any tool
computes the same measures from our run files.
"""

from collections.abc import Iterable, Sequence

import faiss
import numpy as np
from jaxtyping import Float, Int

from retroscope.encoders.similarity import SIMILARITIES
from retroscope.errors import AnalysisError, unknown_name
from retroscope.progress import Count
from retroscope.representations.vectors import Representations, Vectors
from retroscope.retrieval.ranking import (
    NO_HIT,
    Keys,
    RankedPassages,
    id_order,
    keys_of,
    least_scores,
    merged_keys,
    no_hits,
    ranked_passages,
)

SPARE = 8  # passages retrieved beyond k, so that a tie at rank k is noticed
CHUNK_NUMBERS = 2**18  # numbers of a temporary array that stays in the processor's cache
TABLE_NUMBERS = 2**22  # scores of a table of queries and passages


def search(
    queries: Vectors, passages: Representations, k: int, *, similarity: str, progress: Count | None = None
) -> RankedPassages:
    """Return the k passages that are most similar to each query by the final vectors.

    Args:
        queries: vector of each query.
        passages: passage vectors. They are read block by block, so that the corpus may be larger than memory.
        k: number of passages to return for each query.
        similarity: "dot" or "cosine" (the cosine of a zero vector with any vector is 0).
        progress: receives (passages searched, passages in all).

    Raises:
        AnalysisError: if queries and passages have vectors of different sizes.
    """
    blocks = ([block] for block in passages.final_blocks())
    return _search([queries], blocks, passages.ids, k, similarity=similarity, progress=progress)[0]


def search_layers(
    queries: Sequence[Vectors],
    passages: Representations,
    k: int,
    *,
    similarity: str,
    progress: Count | None = None,
) -> list[RankedPassages]:
    """Return, for every layer, the k passages that are most similar to each query by the vectors of that layer.

    The passage vectors are read only once.

    Args:
        queries: vectors of the queries at layer 0, 1 ...
        passages: as for `search`.
        k: as for `search`.
        similarity: as for `search`.
        progress: as for `search`.

    Raises:
        AnalysisError: if queries and passages have vectors of different sizes, or different numbers of layers.
    """
    if len(queries) != passages.n_layers:
        raise AnalysisError(
            f"the query tower has {len(queries)} layers, but the passage tower has {passages.n_layers}",
            fix="search with the final vectors instead of every layer",
        )
    return _search(queries, passages.layer_blocks(), passages.ids, k, similarity=similarity, progress=progress)


def _search(
    queries: Sequence[Vectors],
    blocks: Iterable[Iterable[Vectors]],
    ids: Sequence[str],
    k: int,
    *,
    similarity: str,
    progress: Count | None = None,
) -> list[RankedPassages]:
    """Search with several sets of vectors at once (e.g. one for each layer), and return one ranking for each.

    Args:
        queries: one array of query vectors for each set.
        blocks: blocks of passages, each with one array of passage vectors for each set, which are read one by one.
        ids: ids of all passages.
    """
    if similarity not in SIMILARITIES:
        raise unknown_name("similarity", similarity, SIMILARITIES)
    prepared = [_prepared(vectors, similarity) for vectors in queries]
    order = id_order(ids)
    best = [no_hits(len(vectors)) for vectors in prepared]
    start = 0
    for block in blocks:
        stop = start
        for layer, vectors in enumerate(block):
            _check_sizes(prepared[layer], vectors)
            stop = start + len(vectors)
            best[layer] = _searched(prepared[layer], _prepared(vectors, similarity), best[layer], k, order[start:stop])
        start = stop
        if progress:
            progress(stop, len(ids))
    return [ranked_passages(keys, order) for keys in best]


def _check_sizes(queries: Vectors, passages: Vectors) -> None:
    if queries.shape[1] != passages.shape[1]:
        raise AnalysisError(
            f"the query vectors have {queries.shape[1]} dimensions, but the passage vectors have {passages.shape[1]}",
            fix="search with vectors of the same size, e.g. the final vectors of both towers",
        )


def _prepared(vectors: Vectors, similarity: str) -> Vectors:
    """Return float32 vectors whose dot product is the similarity: unchanged for "dot", of unit length for "cosine"."""
    if similarity == "dot":
        return np.ascontiguousarray(vectors, dtype=np.float32)
    out = np.empty(vectors.shape, dtype=np.float32)
    step = max(1, CHUNK_NUMBERS // vectors.shape[1])
    for start in range(0, len(vectors), step):
        part = vectors[start : start + step].astype(np.float64)  # squares of float32 may vanish or overflow
        norms = np.sqrt(np.vecdot(part, part))[:, None]
        out[start : start + step] = part / np.where(norms > 0, norms, 1)
    return out


def _searched(queries: Vectors, block: Vectors, best: Keys, k: int, order: Int[np.ndarray, "passage"]) -> Keys:
    """Search a block of passages, and merge its best k hits with the best hits so far.

    A passage is scored exactly only if its float32 score, plus the largest possible rounding error, reaches the score
    of the k-th best hit so far.

    Args:
        best: keys of the best hits so far.
        order: ranks of the ids of the block's passages (see `id_order`).
    """
    depth = min(k + SPARE, len(block))
    rough, rows = faiss.knn(queries, block, depth, metric=faiss.METRIC_INNER_PRODUCT)
    noise = _noise(queries, block)
    near = np.nonzero(rough + noise[:, None] >= least_scores(best, k)[:, None])
    keys = np.full(rough.shape, NO_HIT)
    keys[near] = keys_of(_exact(queries, block, near[0], rows[near]), order[rows[near]])
    after = merged_keys(best, keys, k)
    if depth < len(block):
        # A passage that faiss did not return may tie with the k-th hit, or exceed it by less than the float32 error.
        unsure = np.flatnonzero(rough[:, -1] + noise >= least_scores(after, k))
        if len(unsure):
            after[unsure] = merged_keys(best[unsure], _settled(queries[unsure], block, k, order), k)
    return after


def _noise(queries: Vectors, block: Vectors) -> Float[np.ndarray, "query"]:
    """Return, for each query, a bound on the rounding error of its float32 dot products, summed in any order.

    The bound is (d + 2) u |q| |p| with u = 2^-24 (Higham, Accuracy and Stability of Numerical Algorithms, eq. 3.5, with
    Cauchy-Schwarz). It includes one u for the rounding of the exact score.
    """
    unit = np.finfo(np.float32).eps / 2
    return np.asarray((block.shape[1] + 2) * unit * _lengths(block).max() * _lengths(queries))


def _lengths(vectors: Vectors) -> Float[np.ndarray, "text"]:
    return np.asarray(np.sqrt(np.vecdot(vectors, vectors)))


def _settled(queries: Vectors, block: Vectors, k: int, order: Int[np.ndarray, "passage"]) -> Keys:
    """Return the keys of the best k passages of a block, for queries for which float32 scores do not determine them.

    Products in float64 select the passages that may be among the best k after rounding to float32. Only these are
    scored by `_exact`. Equal vectors are scored once; with CLS pooling at layer 0, all vectors are equal.
    """
    distinct, distinct_of_row = _distinct(block)
    wide = distinct.astype(np.float64).T
    noise = _lengths(queries)[:, None] * _lengths(distinct).max() * (np.finfo(np.float32).eps / 2)
    count = min(k, len(distinct))
    best = np.empty((len(queries), min(k, len(block))), dtype=np.int64)
    step = max(1, TABLE_NUMBERS // len(block))
    for start in range(0, len(queries), step):
        chunk = slice(start, start + step)
        rough = queries[chunk].astype(np.float64) @ wide
        cut = np.partition(rough, -count, axis=1)[:, -count][:, None]
        near = np.nonzero(rough >= cut - 3 * noise[chunk])
        scores = np.full(rough.shape, -np.inf, dtype=np.float32)
        scores[near] = _exact(queries[chunk], distinct, *near)
        best[chunk] = np.partition(keys_of(scores[:, distinct_of_row], order), -best.shape[1], axis=1)[
            :, -best.shape[1] :
        ]
    return best


def _distinct(block: Vectors) -> tuple[Vectors, Int[np.ndarray, "text"]]:
    """Return the distinct vectors of a block, and for each row the index of its distinct vector."""
    rows = block.view(np.dtype((np.void, block.itemsize * block.shape[1])))[:, 0]
    _, first, distinct_of_row = np.unique(rows, return_index=True, return_inverse=True)
    return block[first], distinct_of_row


def _exact(
    queries: Vectors, block: Vectors, asked: Int[np.ndarray, "pair"], rows: Int[np.ndarray, "pair"]
) -> Float[np.ndarray, "pair"]:
    """Compute the dot product of each pair of a query and a passage in float64, and round it to float32.

    Each dot product is computed separately, so that its value depends only on the two vectors.

    Args:
        asked, rows: indices of the query and of the passage of each pair.
    """
    out = np.empty(len(rows), dtype=np.float32)
    step = max(1, CHUNK_NUMBERS // queries.shape[1])
    for start in range(0, len(rows), step):
        pairs = slice(start, start + step)
        out[pairs] = np.vecdot(queries[asked[pairs]].astype(np.float64), block[rows[pairs]].astype(np.float64))
    return out


def as_run(
    ranking: RankedPassages, query_ids: Sequence[str], passage_ids: Sequence[str], *, skip_identical: bool, k: int
) -> dict[str, list[tuple[str, float]]]:
    """Convert rankings to a run: query id -> the best k pairs (passage id, score), best first.

    Args:
        query_ids: ids of the queries, in the order of the ranking.
        passage_ids: ids of the passages, by their indices in the ranking.
        skip_identical: leave out a passage whose id is that of the query.
        k: number of passages for each query.
    """
    run: dict[str, list[tuple[str, float]]] = {}
    for query_id, rows, scores in zip(query_ids, ranking.rows, ranking.scores, strict=True):
        hits = ((passage_ids[row], float(score)) for row, score in zip(rows, scores, strict=True))
        run[query_id] = [hit for hit in hits if not (skip_identical and hit[0] == query_id)][:k]
    return run
