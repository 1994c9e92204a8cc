"""Rank passages by the final vectors, or by the vectors of every layer, and compute measures of the rankings."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from jaxtyping import Int

from retroscope.collection.collection import Collection
from retroscope.collection.records import Run
from retroscope.display import ShownCount, shown_count
from retroscope.errors import AnalysisError
from retroscope.representations.vectors import RetrieverRepresentations, Vectors
from retroscope.retrieval.measures import DEFAULT_MEASURES, check_computed, depth, measure_queries
from retroscope.retrieval.ranking import RankedPassages
from retroscope.retrieval.runs import first_relevant_ranks
from retroscope.retrieval.search import as_run, search, search_layers
from retroscope.scores import Scores


@dataclass(frozen=True, eq=False)
class Retrieval:
    """The retrieved passages of every query, and the measures of the rankings.

    Attributes:
        scores: (query, measure) values of the measures, for every query with a relevant passage.
        run: the rankings of these queries.
        blind: reason why the ranking does not depend on the content of the texts, or "" if it does. The vectors of all
            passages, or of all queries, may be equal, e.g. for CLS pooling at layer 0, where the token is always the
            same. The reason is also among the warnings of the scores.
    """

    scores: Scores
    run: Run
    blind: str = ""


def check_measures(names: Sequence[str], collection: Collection) -> None:
    """Refuse measures that cannot be computed from the judgments of a collection, before anything is encoded."""
    check_computed(names, _searched(collection))


def _searched(collection: Collection) -> dict[str, dict[str, int]]:
    return {q: collection.qrels[q] for q in collection.judged_queries}


def retrieve(
    vectors: RetrieverRepresentations,
    collection: Collection,
    measures: Sequence[str] = DEFAULT_MEASURES,
    progress: ShownCount = None,
) -> Retrieval:
    """Rank all passages for every judged query by the final vectors, and measure the rankings.

    Args:
        vectors: query and passage vectors of this collection.
        collection: the queries, passages and judgments.
        measures: names of measures in ir-measures.
        progress: called with (passages searched, passages in all), or True, False, None: see `display.shown`.

    Raises:
        AnalysisError: if no passage is judged relevant.
    """
    rows = _judged_rows(vectors, collection)
    queries = vectors.query.final()[rows]
    k, similarity = _fetched(collection, measures), vectors.similarity
    with shown_count(progress, "searching") as report:
        ranking = search(queries, vectors.passage, k, similarity=similarity, progress=report)
    return _measured(queries, ranking, vectors, collection, measures)


def _judged_rows(vectors: RetrieverRepresentations, collection: Collection) -> Int[np.ndarray, "query"]:
    if not collection.judged_queries:
        raise AnalysisError(
            "no query has a relevant passage",
            where=collection.name,
            fix="check the judgments and their split (--split)",
        )
    return vectors.query.rows(collection.judged_queries)


def _fetched(collection: Collection, measures: Sequence[str]) -> int:
    """Return how many passages to retrieve for each query: one more if the query's own passage is dropped later."""
    return depth(measures) + int(collection.ignore_identical_ids)


def _measured(
    queries: Vectors,
    ranking: RankedPassages,
    vectors: RetrieverRepresentations,
    collection: Collection,
    measures: Sequence[str],
) -> Retrieval:
    query_ids, k = collection.judged_queries, depth(measures)
    blind = _ranks_by_id(queries, ranking, {collection.queries[q].text for q in query_ids})
    run = as_run(ranking, query_ids, vectors.passage.ids, skip_identical=collection.ignore_identical_ids, k=k)
    values = measure_queries(run, _searched(collection), measures)
    scores = _scores(values, vectors, collection, k, "retrieval")
    return Retrieval(replace(scores, warnings=(*scores.warnings, *([blind] if blind else []))), run, blind)


def _ranks_by_id(queries: Vectors, ranking: RankedPassages, texts: Set[str]) -> str:
    """Return the reason why the ranking does not depend on the content of the texts, or "" if it does.

    Either all retrieved passages of every query have equal scores, so that only ids order them, or all queries have the
    same vector although their texts differ.

    Args:
        texts: the distinct texts of the queries.
    """
    if ranking.scores.shape[1] > 1 and bool((ranking.scores[:, 0] == ranking.scores[:, -1]).all()):
        return f"for every query, the first {ranking.scores.shape[1]:,} passages have equal scores: only ids order them"
    if len(texts) > 1 and bool((queries == queries[0]).all()):
        return f"{len(texts):,} different queries have the same vector, so all of them have the same ranking"
    return ""


@dataclass(frozen=True, eq=False)
class LayerRetrieval:
    """Measures of the rankings by every layer's vectors, and the ranks of the first relevant passages.

    Attributes:
        scores: (query, layer, measure) values of the measures.
        ranks: (query, layer) rank of the first relevant passage, or 0 if the ranking contains none.
        notes: remarks about layer 0 that are expected and no reason to doubt the other layers, e.g. that only ids order
            the passages there.
    """

    scores: Scores
    ranks: xr.DataArray
    notes: tuple[str, ...] = ()


def retrieve_layers(
    vectors: RetrieverRepresentations,
    collection: Collection,
    measures: Sequence[str] = DEFAULT_MEASURES,
    progress: ShownCount = None,
) -> Scores:
    """Rank all passages by every layer's pooled vectors, and return the measures, (query, layer, measure).

    Arguments and errors are those of `rank_by_layers`, which also returns the ranks of relevant passages.
    """
    return rank_by_layers(vectors, collection, measures, progress).scores


def rank_by_layers(
    vectors: RetrieverRepresentations,
    collection: Collection,
    measures: Sequence[str] = DEFAULT_MEASURES,
    progress: ShownCount = None,
) -> LayerRetrieval:
    """Rank all passages for every judged query by every layer's vectors, and measure the rankings.

    Every layer is searched with the similarity of the retriever, without its head (e.g. dense layers).

    Args:
        vectors: as for `retrieve`.
        collection: as for `retrieve`.
        measures: as for `retrieve`.
        progress: as for `retrieve`.

    Raises:
        AnalysisError: if no passage is judged relevant.
    """
    queries = list(vectors.query.texts(_judged_rows(vectors, collection)).swapaxes(0, 1))
    k, similarity = _fetched(collection, measures), vectors.similarity
    with shown_count(progress, "searching all layers") as report:
        rankings = search_layers(queries, vectors.passage, k, similarity=similarity, progress=report)
    parts: list[xr.DataArray] = []
    ranks: list[list[int]] = []
    notes: list[str] = []
    warnings: list[str] = []
    for layer, ranking in enumerate(rankings):
        measured = _measured(queries[layer], ranking, vectors, collection, measures)
        parts.append(measured.scores.values)
        first = first_relevant_ranks(measured.run, collection.qrels)
        ranks.append([first.get(query_id, 0) for query_id in collection.judged_queries])
        # a token that every text has (CLS, EOS) has one embedding: layer 0 cannot but rank by id
        messages = notes if layer == 0 and len(queries) > 1 else warnings
        messages += [f"retrieval by layer {layer}: {measured.blind}"] if measured.blind else []
    values = xr.concat(parts, dim=xr.Variable("layer", range(len(parts))))
    ordered = values.transpose("query", "layer", "measure")
    scores = _scores(ordered, vectors, collection, depth(measures), "layer retrieval")
    coords = {"query": list(collection.judged_queries), "layer": range(len(parts))}
    by_layer = xr.DataArray(np.array(ranks, dtype=np.int64).T, coords=coords, dims=("query", "layer"))
    return LayerRetrieval(replace(scores, warnings=(*scores.warnings, *warnings)), by_layer, tuple(notes))


def _scores(
    values: xr.DataArray, vectors: RetrieverRepresentations, collection: Collection, k: int, name: str
) -> Scores:
    recipe = {
        "retriever": vectors.recipe,
        "collection": collection.fingerprint,
        "similarity": vectors.similarity,
        "depth": k,
        "ties": "by id, the greater first (trec_eval)",
        "ignore_identical_ids": collection.ignore_identical_ids,
    }
    scores = Scores(name, values, recipe, vectors.warnings, passages=collection.relevant)
    return scores.with_texts(collection.query_texts)
