"""Retrieval of a collection by the final vectors, and by those of every layer."""

from collections.abc import Sequence
from dataclasses import dataclass

import xarray as xr

from retroscope.collection.collection import Collection
from retroscope.errors import AnalysisError
from retroscope.representations.extraction import Progress
from retroscope.representations.store import RetrieverRepresentations
from retroscope.retrieval.measures import DEFAULT_MEASURES, depth, measure_queries
from retroscope.retrieval.runs import Run
from retroscope.retrieval.search import as_run, search
from retroscope.scores import Scores


@dataclass(frozen=True, eq=False)
class Retrieval:
    """What was retrieved and how good it is.

    Attributes:
        scores: dims (query, measure); every query with a relevant passage.
        run: the ranking itself, for all judged queries.
    """

    scores: Scores
    run: Run


def retrieve(
    vectors: RetrieverRepresentations,
    collection: Collection,
    measures: Sequence[str] = DEFAULT_MEASURES,
    *,
    layer: int | None = None,
) -> Retrieval:
    """Rank all passages for every judged query and measure the rankings.

    Args:
        vectors: both towers' vectors of this collection.
        collection: says what is relevant.
        measures: ir-measures names.
        layer: None searches with the final vectors, k with the pooled vectors of layer k under the
            same similarity (no head).
    """
    query_ids = collection.judged_queries
    if not query_ids:
        raise AnalysisError("no query has a relevant passage", where=collection.name, fix="check the judgments")
    k = depth(measures)
    spare = 1 if collection.ignore_identical_ids else 0
    rows = vectors.query.rows(query_ids)
    queries = (vectors.query.final() if layer is None else vectors.query.layer(layer))[rows]
    ranking = search(queries, vectors.passage, k + spare, similarity=vectors.similarity, layer=layer)
    run = as_run(ranking, query_ids, vectors.passage.ids, skip_identical=collection.ignore_identical_ids, k=k)
    values = measure_queries(run, {q: collection.qrels[q] for q in query_ids}, measures)
    return Retrieval(_scores(values, vectors, collection, k, "retrieval"), run)


def retrieve_layers(
    vectors: RetrieverRepresentations,
    collection: Collection,
    measures: Sequence[str] = DEFAULT_MEASURES,
    progress: Progress | None = None,
) -> Scores:
    """The measures of every layer's pooled vectors, dims (query, layer, measure)."""
    parts: list[xr.DataArray] = []
    depth_in_layers = vectors.passage.n_layers
    for layer in range(depth_in_layers):
        found = retrieve(vectors, collection, measures, layer=layer)
        parts.append(found.scores.values)
        if progress:
            progress(layer + 1, depth_in_layers)
    values = xr.concat(parts, dim=xr.Variable("layer", range(depth_in_layers)))
    ordered = values.transpose("query", "layer", "measure")
    return _scores(ordered, vectors, collection, depth(measures), "layer retrieval")


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
    return Scores(name, values, recipe, vectors.warnings)
