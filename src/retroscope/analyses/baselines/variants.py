"""Search with variants of the frozen backbone: other poolings, other layers, whitening and a linear head.

The model "before" is the backbone with the retriever's pooling. With another pooling, another layer, whitened vectors
or a linear map, the backbone may retrieve better. The gain by fine-tuning is compared with the best of these variants,
which is chosen and reported on different queries. BM25 is reported separately, because it uses no weights of the
backbone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from retroscope.analyses.baselines.result import HEAD, RAW, TRAINED, UNIT, UNTRAINED, WHITENED
from retroscope.analyses.baselines.settings import BaselineSettings
from retroscope.analyses.baselines.vectors import Views
from retroscope.collection.bm25 import BM25_RECIPE, bm25_ranking
from retroscope.collection.collection import Collection
from retroscope.collection.records import Judgment
from retroscope.drift.geometry import whitened_pair
from retroscope.drift.work import whitening_seconds
from retroscope.progress import Count
from retroscope.representations.vectors import RetrieverRepresentations, Vectors, representations_in_memory
from retroscope.retrieval.folds import Folds, folded_text, query_folds, relevant
from retroscope.retrieval.linear_head import Space, cross_fitted, unit_rows
from retroscope.retrieval.measures import depth, measure_queries
from retroscope.retrieval.retrieve import retrieve
from retroscope.retrieval.work import search_seconds
from retroscope.scores import Scores
from retroscope.statistics.chosen import chosen_on_others
from retroscope.statistics.resampling.clusters import Clusters, numbered

BEST = {UNTRAINED: (RAW, UNIT, WHITENED), TRAINED: (RAW, UNIT, WHITENED, HEAD)}
# Of the heads of all folds, penalties and spaces, by benchmarks/plan.py: operations for each width^3, and seconds.
HEAD_WORK, HEAD_SECONDS = 450.0, 0.08
DIMS = ("query", "pooling", "layer", "vectors", "measure")


@dataclass(frozen=True, eq=False)
class BaselineTask:
    """Inputs of the searches, the same for every model: collection, measures, folds of queries and similarity.

    Attributes:
        collection: the collection that is searched.
        measures: retrieval measures. The first one selects the best variant.
        folds: index of the fold of every judged query.
        similarity: the retriever's similarity, "dot" or "cosine". Whitened and mapped vectors are compared by cosine.
        head: whether linear heads are trained.
    """

    collection: Collection
    measures: tuple[str, ...]
    folds: Folds
    similarity: str
    head: bool

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of vectors to search with, in order: raw, of unit length, whitened, with a linear head."""
        unit = (UNIT,) if self.similarity == "dot" else ()  # by cosine, raw vectors are as good as of unit length
        return (RAW, *unit, WHITENED, *((HEAD,) if self.head else ()))

    @property
    def bests(self) -> tuple[str, ...]:
        """Return the labels of the best variants, of which the first is "without training".

        If linear heads are trained, the second is "linear head allowed".
        """
        return (UNTRAINED, TRAINED) if self.head else (UNTRAINED,)


@dataclass(frozen=True, eq=False)
class VariantScores:
    """Retrieval scores of one model for every pooling, layer and kind of vectors, and the best of these for each fold.

    Attributes:
        scores: dims (query, pooling, layer, vectors, measure) (see `BaselineTask.kinds` for the vectors).
        best: dims (query, best, measure): for every query, the score of the variant that is best on the other folds.
        choices: a row for each fold and label of `best`: the variant that was chosen on the other folds.
    """

    scores: Scores
    best: Scores
    choices: list[dict[str, Any]]


def baseline_task(
    collection: Collection, measures: Sequence[str], similarity: str, settings: BaselineSettings
) -> BaselineTask:
    """Divide the queries into folds, and return the inputs of the searches, which are the same for every model.

    Raises:
        AnalysisError: if the queries cannot be divided into independent folds.
    """
    folds = query_folds(collection, settings.folds, settings.seed)
    return BaselineTask(collection, tuple(measures), folds, similarity, settings.head)


def try_variants(views: Views, task: BaselineTask, progress: Count | None = None) -> VariantScores:
    """Search with every pooling and layer of a model, with raw and whitened vectors and with a linear head."""
    layers = range(views.own.passage.n_layers)
    shape = (len(task.folds), len(views.poolings), len(layers), len(task.kinds), len(task.measures))
    values = np.full(shape, np.nan)
    for i, pooling in enumerate(views.poolings):
        for k in layers:
            for kind, reached in _variants(views, pooling, k, task).items():
                values[:, i, k, task.kinds.index(kind)] = reached
            if progress:
                progress(i * len(layers) + k + 1, len(views.poolings) * len(layers))
    labels = (task.collection.judged_queries, views.poolings, layers, task.kinds, task.measures)
    coords = {dim: list(names) for dim, names in zip(DIMS, labels, strict=True)}
    scores = _scores("baselines", xr.DataArray(values, coords=coords, dims=DIMS), views, task)
    best, choices = _best(scores.values, task)
    return VariantScores(scores, _scores("best baseline", best, views, task), choices)


def _variants(views: Views, pooling: str, layer: int, task: BaselineTask) -> dict[str, np.ndarray]:
    """Search with the vectors of one pooling and layer: kind of vectors -> values [query, measure]."""
    return _searches(*views.of(pooling, layer, task.collection.judged_queries), task)


def _searches(queries: Vectors, passages: Vectors, task: BaselineTask) -> dict[str, np.ndarray]:
    """Search with frozen vectors as they are and transformed: kind of vectors -> values [query, measure]."""
    by_kind = {RAW: _searched(queries, passages, task.similarity, task)}
    if UNIT in task.kinds:
        by_kind[UNIT] = _searched(queries, passages, "cosine", task)
    even = whitened_pair(queries, passages)
    by_kind[WHITENED] = _searched(*even, "cosine", task)
    if task.head:
        by_kind[HEAD] = _with_head({RAW: (queries, passages), WHITENED: even}, task)
    return by_kind


def _searched(queries: Vectors, passages: Vectors, similarity: str, task: BaselineTask) -> np.ndarray:
    """Search with these vectors and return the values of the measures [query, measure]."""
    towers = [
        representations_in_memory(list(ids), texts_vectors[:, None].astype(np.float32))
        for ids, texts_vectors in ((task.collection.judged_queries, queries), (task.collection.passages, passages))
    ]
    vectors = RetrieverRepresentations("variant", towers[0], towers[1], similarity, {})
    return np.asarray(retrieve(vectors, task.collection, task.measures).scores.values.values)


def _with_head(views: dict[str, tuple[Vectors, Vectors]], task: BaselineTask) -> np.ndarray:
    """Search for each query with the linear head that was trained on the other folds: values [query, measure]."""
    row_of = {passage: row for row, passage in enumerate(task.collection.passages)}
    judged = task.collection.judged_queries
    pairs = [np.array([row_of[p] for p in relevant(task.collection, query)]) for query in judged]
    spaces = {name: Space(unit_rows(q), unit_rows(p), pairs) for name, (q, p) in views.items()}
    heads = cross_fitted(spaces, task.folds)
    values = np.full((len(judged), len(task.measures)), np.nan)
    for name in dict.fromkeys(head.space for head in heads):
        mapped = spaces[name].queries.copy()
        mine = [head for head in heads if head.space == name]
        for head in mine:
            mapped[head.rows] = head.queries
        searched = _searched(mapped, spaces[name].passages, "cosine", task)
        for head in mine:
            values[head.rows] = searched[head.rows]
    return values


def _best(values: xr.DataArray, task: BaselineTask) -> tuple[xr.DataArray, list[dict[str, Any]]]:
    """Return each query's scores under the variant that is best on the other folds by the first measure, and choices.

    The variant that the rest of the study uses (own pooling, last layer, raw vectors) is kept unless another one is
    better.
    """
    sizes = [values.sizes[dim] for dim in DIMS[1:4]]
    table = values.values.reshape(len(task.folds), -1, len(task.measures))
    kinds = np.array(task.kinds)[np.unravel_index(np.arange(table.shape[1]), sizes)[2]]
    as_compared = int(np.ravel_multi_index((0, sizes[1] - 1, 0), sizes))
    queries = Clusters(numbered(np.array([task.collection.query_texts[i] for i in values["query"].values])))
    best, rows = np.full((len(task.folds), len(task.bests), len(task.measures)), np.nan), []
    for i, name in enumerate(task.bests):
        usable = np.where(np.isin(kinds, BEST[name]), table[:, :, 0], np.nan)
        for fold, variant in enumerate(chosen_on_others(usable, task.folds, as_compared, queries)):
            best[task.folds == fold, i] = table[task.folds == fold, variant]
            at = np.unravel_index(variant, sizes)
            labels = {dim: values[dim].values[k].item() for dim, k in zip(DIMS[1:4], at, strict=True)}
            rows.append({"best": name, "fold": fold, **labels, "as_compared": bool(variant == as_compared)})
    coords = {"query": values["query"].values, "best": list(task.bests), "measure": list(task.measures)}
    return xr.DataArray(best, coords=coords, dims=("query", "best", "measure")), rows


def _scores(name: str, values: xr.DataArray, views: Views, task: BaselineTask) -> Scores:
    recipe = {
        "retriever": views.own.recipe,
        "collection": task.collection.fingerprint,
        "folds": int(task.folds.max()) + 1,
        "similarity": f"{RAW}: {task.similarity}; the others: cosine",
    }
    scores = Scores(name, values, recipe, views.own.warnings, passages=task.collection.relevant)
    return scores.with_texts(task.collection.query_texts)


def shuffled_judgments(collection: Collection, seed: int) -> Collection:
    """Return the collection with the judgments permuted at random among the query texts.

    Queries with the same text get the same judgments. Otherwise, their judgments would link the passages of many
    queries, and the queries could no longer be divided into independent folds.
    """
    judged: dict[str, dict[str, int]] = {}
    for query in collection.judged_queries:
        judged.setdefault(folded_text(collection, query), {}).update(collection.qrels[query])
    texts = list(judged)
    order = np.random.default_rng([seed, 1]).permutation(len(texts))
    shuffled = {text: judged[texts[at]] for text, at in zip(texts, order, strict=True)}
    judgments = tuple(
        Judgment(query, passage, grade)
        for query in collection.judged_queries
        for passage, grade in shuffled[folded_text(collection, query)].items()
        if not (collection.ignore_identical_ids and passage == query)
    )
    return replace(collection, judgments=judgments, candidates=(), rows=())


def try_shuffled(views: Views, task: BaselineTask, settings: BaselineSettings) -> Scores:
    """Score retrieval against shuffled judgments, with raw vectors and with a linear head: (query, vectors, measure).

    The head is trained on the shuffled judgments of other folds. It can predict those of its own fold only if the folds
    are not independent.
    """
    other = baseline_task(shuffled_judgments(task.collection, settings.seed), task.measures, task.similarity, settings)
    by_kind = _variants(views, views.pooling, views.own.passage.n_layers - 1, other)
    kinds = [RAW, HEAD]
    values = np.stack([by_kind[kind] for kind in kinds], axis=1)
    coords = {"query": list(other.collection.judged_queries), "vectors": kinds, "measure": list(task.measures)}
    labelled = xr.DataArray(values, coords=coords, dims=("query", "vectors", "measure"))
    return _scores("shuffled judgments", labelled, views, other)


def try_bm25(collection: Collection, measures: Sequence[str]) -> Scores:
    """Search with BM25, and return its retrieval scores, (query, measure)."""
    ranking, k = bm25_ranking(collection), depth(measures)
    spare = 1 if collection.ignore_identical_ids else 0
    run = {}
    for query in collection.judged_queries:
        ids = [p for p in ranking(query, k + spare) if not (spare and p == query)][:k]
        run[query] = [(passage, float(-place)) for place, passage in enumerate(ids)]
    values = measure_queries(run, {q: collection.qrels[q] for q in run}, measures)
    recipe = {**BM25_RECIPE, "collection": collection.fingerprint, "depth": k}
    return Scores("BM25", values, recipe, passages=collection.relevant).with_texts(collection.query_texts)


def view_seconds(task: BaselineTask, width: int, product_rate: float) -> float:
    """Estimate the seconds for one pooling and layer of one model: searches, whitening and linear heads."""
    queries, passages = len(task.folds), len(task.collection.passages)
    searches = len(task.kinds) + (1 if task.head else 0)  # heads of both spaces, where folds choose differently
    seconds = searches * search_seconds(queries, passages, width, task.measures, product_rate)
    seconds += whitening_seconds(passages, width, product_rate)
    return seconds + (HEAD_SECONDS + HEAD_WORK * width**3 / product_rate if task.head else 0.0)
