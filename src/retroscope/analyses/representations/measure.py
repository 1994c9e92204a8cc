"""Compare both models' vectors layer by layer, and search with their whitened vectors."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pandas as pd

from retroscope.analyses.analysis import Instrument, Planned
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.representations.map_sample import map_frames
from retroscope.collection.collection import Collection
from retroscope.collection.records import first_of_each
from retroscope.drift.by_layer import representation_drift
from retroscope.drift.geometry import can_be_whitened, whitened_pair
from retroscope.drift.result import RepresentationDrift
from retroscope.drift.settings import DriftSettings
from retroscope.drift.weights import incomparable_towers
from retroscope.drift.work import representations_seconds, whitening_seconds
from retroscope.progress import Count
from retroscope.representations.vectors import (
    Representations,
    RetrieverRepresentations,
    VectorsRecipe,
    representations_in_memory,
)
from retroscope.retrieval.retrieve import retrieve
from retroscope.scores import Scores
from retroscope.statistics.resampling.jackknife import fewest_texts

TOO_MANY = "retrieval with whitened vectors was not measured: the passage vectors are too large to whiten in memory"


def refusal(context: Context, settings: DriftSettings) -> str:
    """Return the reason why both models' vectors cannot be compared on this collection, or "" if they can."""
    if not context.is_pair:
        return "representations are compared between two models, but only one model is given"
    return incomparable_towers(context.models["before"], context.models["after"]) or _too_few(
        context.collection, fewest_texts(settings.neighbours)
    )


def plan(context: Context, settings: DriftSettings) -> Planned:
    """Plan the comparison of both models' vectors, and estimate its seconds (without the time of encoding)."""
    passage, rate = context.models["before"].passage, context.product_rate
    counts = len(context.collection.queries), len(context.collection.passages)
    seconds = representations_seconds(counts, len(passage.layer_names), passage.width, settings, rate)
    if context.first:
        seconds *= 2 if passage.anatomy.post_norm else 1  # once more without the final norm
        whitening = whitening_seconds(counts[1], passage.width, rate)
        seconds += sum(whitening + context.search_seconds(retriever) for retriever in context.models.values())
    return Planned(seconds=seconds, random_weights=("before",) if context.first else ())


def measure(context: Context, settings: DriftSettings, planned: Planned) -> Measurement:
    """Compare both models' vectors of the same texts: similarity and geometry by layer, and CKA of all pairs of layers.

    On the first collection, also map a sample of texts, compare with control models, repeat the comparison without the
    final norm (frames such as "bare/similarity"), and measure retrieval with whitened vectors (scores such as
    "before/whitened").
    """
    stages = context.stages("representations")
    vectors = _vectors(context)
    stages.ended("encoding of controls")
    drift = _compared(vectors, context.collection, settings, stages.inside("layers"))
    frames, scores = _frames(drift, ""), {}
    bare = vectors.bare() if context.first else None
    if bare is not None:
        without_norm = _compared(bare, context.collection, settings, stages.inside("layers, no norm"))
        frames |= _frames(without_norm, "bare/")
    stages.ended("layers")
    facts: dict[str, object] = {"texts": dict(drift.texts)}
    if context.first:
        mapped, facts["map"] = map_frames(vectors.before, vectors.after, context)
        frames |= mapped
        scores = _whitened(vectors, context)
        stages.ended("whitened retrieval")
    return Measurement(
        scores=scores,
        frames=frames,
        facts=facts,
        caveats=(TOO_MANY,) if context.first and len(scores) < len(context.models) else (),
        seconds=stages.seconds,
    )


@dataclass(frozen=True, eq=False)
class _Vectors:
    before: RetrieverRepresentations
    after: RetrieverRepresentations
    random_weights: RetrieverRepresentations | None
    other_trainings: tuple[RetrieverRepresentations, ...]

    def bare(self) -> "_Vectors | None":
        """Return the vectors of every layer without the final norm, or None if no final norm was applied to them."""
        before, after = self.before.bare(), self.after.bare()
        if before is None or after is None:
            return None
        copy = None if self.random_weights is None else self.random_weights.bare()
        others = (bare for other in self.other_trainings if (bare := other.bare()) is not None)
        return _Vectors(before, after, copy, tuple(others))


def _vectors(context: Context) -> _Vectors:
    """Return the vectors of both models and, on the first collection, also those of the controls."""
    before, after = (context.encoded(context.models[side]).vectors for side in ("before", "after"))
    if not context.first:
        return _Vectors(before, after, None, ())
    others = tuple(context.encoded(training).vectors for training in context.trainings)
    return _Vectors(before, after, context.random_vectors("before"), others)


def _compared(
    vectors: _Vectors, collection: Collection, settings: DriftSettings, progress: Count | None
) -> RepresentationDrift:
    return representation_drift(
        vectors.before,
        vectors.after,
        judged_pairs(collection),
        random_weights=vectors.random_weights,
        other_trainings=vectors.other_trainings,
        text_of=texts_by_id(collection),
        settings=settings,
        progress=progress,
    )


def judged_pairs(collection: Collection) -> list[tuple[str, str]]:
    """Return every judged query with its first relevant passage."""
    return [
        (query, next(p for p, grade in collection.qrels[query].items() if grade > 0))
        for query in collection.judged_queries
    ]


def texts_by_id(collection: Collection) -> dict[str, Callable[[str], str]]:
    """Return, for "query" and "passage", a function that maps an id to its text. It helps to count equal texts once."""
    return {"query": lambda i: collection.queries[i].text, "passage": collection.passage_text}


def whitened(vectors: RetrieverRepresentations, collection: Collection, measures: tuple[str, ...]) -> Scores | None:
    """Measure retrieval with whitened final vectors of queries and passages.

    Whitening uses the mean and covariance of the passages, and no query.

    Returns:
        The scores, or None if there are too many passages to hold in memory.
    """
    if not can_be_whitened(*map(int, vectors.passage.store.final.shape)):
        return None
    even = whitened_pair(vectors.query.final(), vectors.passage.final())
    query, passage = (
        _in_memory(tower, final) for tower, final in zip((vectors.query, vectors.passage), even, strict=True)
    )
    recipe: VectorsRecipe = {**vectors.recipe, "whitened": "by mean and covariance of the passages"}
    vectors_whitened = RetrieverRepresentations(
        vectors.name, query, passage, vectors.similarity, recipe, vectors.warnings
    )
    return retrieve(vectors_whitened, collection, measures).scores


def _in_memory(tower: Representations, final: np.ndarray) -> Representations:
    single = final.astype(np.float32)
    return representations_in_memory(list(tower.ids), single[:, None], single)


def _whitened(vectors: _Vectors, context: Context) -> dict[str, Scores]:
    sides = (("before", vectors.before), ("after", vectors.after))
    scores_by_side = {side: whitened(v, context.collection, context.settings.measures) for side, v in sides}
    return {f"{side}/whitened": scores for side, scores in scores_by_side.items() if scores is not None}


def _frames(drift: RepresentationDrift, prefix: str) -> dict[str, pd.DataFrame]:
    return {f"{prefix}{name}": getattr(drift, name) for name in ("similarity", "geometry", "layer_map")}


def _too_few(collection: Collection, needed: int) -> str:
    """Return the reason why intervals cannot be computed on this collection, or "" if there is none."""
    ids = {"query": collection.queries, "passage": collection.passages}
    texts = texts_by_id(collection)
    counts = [sum(1 for _ in islice(first_of_each(map(text, ids[tower])), needed)) for tower, text in texts.items()]
    few, tower = min(zip(counts, texts, strict=True))
    return (
        f"{few} distinct {tower} texts are too few for confidence intervals ({needed} are needed)"
        if few < needed
        else ""
    )


INSTRUMENT = Instrument(refusal, plan, measure)
