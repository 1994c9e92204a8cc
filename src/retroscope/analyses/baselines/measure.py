"""The baselines of a comparison: the backbone under every variant, the retriever and a random-weight copy likewise."""

from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

from retroscope.analyses.baselines.summary import BASELINES, BESTS, BM25, RANDOM, SHUFFLED, VARIANTS
from retroscope.analyses.baselines.variants import HEAD, Trial, Tried, trial, try_bm25, try_shuffled, try_variants
from retroscope.analyses.baselines.vectors import Views, applicable, repooled
from retroscope.analyses.representations.measure import MOST_WHITENED
from retroscope.collection.collection import Collection
from retroscope.errors import AnalysisError
from retroscope.progress import Progress, Stages
from retroscope.representations.store import RetrieverRepresentations
from retroscope.study.extras import Extra
from retroscope.study.measure import Measured, encode
from retroscope.study.settings import StudySettings


def already_there(
    sides: Mapping[str, Measured],
    twin: RetrieverRepresentations | None,
    collection: Collection,
    settings: StudySettings,
    cache: Path,
    *,
    progress: Progress | None = None,
) -> Extra:
    """Measure what the backbone retrieves at its best, and what a random-weight copy and the retriever do likewise.

    Args:
        sides: "before" and "after", measured.
        twin: vectors of the backbone's random-weight copy; None where that control was left out.
        collection: that is searched.
        settings: of the study.
        cache: folder of the vector stores.
        progress: told (what, done, total).
    """
    chosen, before, after = settings.baselines, sides["before"], sides["after"]
    if chosen is None:
        return Extra()
    texts, _, dim = before.vectors.passage.store.vectors.shape
    if texts * dim > MOST_WHITENED:
        return _not_measured(f"{texts:,} passages of {dim:,} numbers are too many to hold")
    try:
        asked = trial(collection, settings.retrieval.measures, after.retriever.similarity, chosen)
    except AnalysisError as error:
        return _not_measured(error.what)
    start = perf_counter()
    names, reasons = applicable(before.retriever, chosen.poolings)
    stages = Stages("baselines", progress)
    others = None
    if names:
        others, _ = encode(repooled(before.retriever, names), collection, cache, settings, stages)
    views = {
        "before": Views(before.vectors, before.retriever.passage.recipe.pooling, others, names),
        "after": Views(after.vectors, after.retriever.passage.recipe.pooling),
    }
    if twin is not None:
        views[RANDOM] = Views(twin, before.retriever.passage.recipe.pooling)
    tried = {model: try_variants(v, asked, stages.inside(model.replace("_", " "))) for model, v in views.items()}
    scores = {VARIANTS[model]: t.scores for model, t in tried.items()}
    scores |= {BESTS[model]: t.best for model, t in tried.items()} | {BM25: try_bm25(collection, asked.measures)}
    caveats = []
    if chosen.head:
        try:
            scores[SHUFFLED] = try_shuffled(views["before"], asked, chosen)
        except AnalysisError as error:
            caveats = [f"the linear head has no control by shuffled judgments: {error.what}"]
    facts = {BASELINES: {"left_out": reasons, "chosen": _chosen(tried), "variants": _variants(asked, tried)}}
    return Extra(scores, caveats, {BASELINES: perf_counter() - start}, facts)


def _not_measured(reason: str) -> Extra:
    return Extra(caveats=[f"the baselines were not measured: {reason}"])


def _chosen(tried: Mapping[str, Tried]) -> list[dict[str, object]]:
    return [{"model": model, **row} for model, found in tried.items() for row in found.chosen]


def _variants(asked: Trial, tried: Mapping[str, Tried]) -> dict[str, int]:
    """How many variants of each model there were to choose from, without heads."""
    untrained = [kind for kind in asked.kinds if kind != HEAD]
    sizes = {model: found.scores.values.sizes for model, found in tried.items()}
    return {model: size["pooling"] * size["layer"] * len(untrained) for model, size in sizes.items()}
