"""Search with every pooling, layer and transformation of the vectors of each model, and with BM25.

The models are the backbone, its copy with random weights, and the retriever.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retroscope.analyses.analysis import Instrument, Planned
from retroscope.analyses.baselines.infer import BESTS, BM25, MODELS, RANDOM, SHUFFLED, VARIANTS
from retroscope.analyses.baselines.result import HEAD
from retroscope.analyses.baselines.settings import BaselineSettings
from retroscope.analyses.baselines.variants import (
    BaselineTask,
    VariantScores,
    baseline_task,
    try_bm25,
    try_shuffled,
    try_variants,
    view_seconds,
)
from retroscope.analyses.baselines.vectors import Views, applicable, repooled
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.drift.geometry import can_be_whitened
from retroscope.encoders.encoder import Retriever
from retroscope.errors import AnalysisError


@dataclass(frozen=True, eq=False)
class BaselineWork:
    """The searches to run with every model, and the backbone with poolings other than the retriever's.

    Attributes:
        task: the searches that are run for every model.
        poolings: poolings of the backbone in addition to the retriever's own.
        left_out: pooling -> why it does not suit this backbone.
        others: the backbone and its copy with random weights ("before", "random_weights"), each with a pooling that
            concatenates the vectors of all `poolings`. Empty if there are no other poolings.
    """

    task: BaselineTask
    poolings: tuple[str, ...]
    left_out: Mapping[str, str]
    others: Mapping[str, Retriever]


def refusal(context: Context, settings: BaselineSettings) -> str:
    """Return the reason why the baselines cannot be measured, or "" if there is none."""
    if not context.is_pair:
        return "baselines compare a retriever with its backbone, but only one model is given"
    dim = int(context.models["before"].passage.backbone.config.hidden_size)
    if not can_be_whitened(len(context.collection.passages), dim):
        distinct = context.towers(context.models["before"])[1].plan.inventory.n_distinct
        if not can_be_whitened(distinct, dim):
            return f"the vectors of {distinct:,} passages ({dim:,} dimensions) are too large to whiten in memory"
    try:
        _task(context, settings)
    except AnalysisError as error:
        return error.what
    return ""


def plan(context: Context, settings: BaselineSettings) -> Planned:
    """Estimate the seconds of all searches, and name the models that encode the texts for the baselines alone.

    A view is one combination of model, pooling and layer. It is searched with raw vectors, with whitened ones, and with
    a linear head.
    """
    before = context.models["before"]
    poolings, left_out = applicable(before, settings.poolings)
    copy = context.with_random_weights("before")
    frozen = {"before": before} if copy is None else {"before": before, RANDOM: copy}
    others = {name: repooled(model, poolings) for name, model in frozen.items()} if poolings else {}
    task = _task(context, settings)
    views = (len(frozen) + 1 + len(others) * len(poolings)) * (before.passage.anatomy.n_blocks + 1)
    searched = views + (1 if task.head else 0)  # once more with shuffled judgments
    seconds = round(searched * view_seconds(task, before.passage.width, context.product_rate), 3)
    how = "raw, whitened and with a linear head" if task.head else "raw and whitened"
    return Planned(
        lines=(f"baselines: {views} combinations of model, pooling and layer are searched, {how}",),
        seconds=seconds,
        document={"views": views, "head": task.head},
        encodes={f"{MODELS[name]}, pooled by {', '.join(poolings)}": model for name, model in others.items()},
        random_weights=("before",),
        work=BaselineWork(task, poolings, left_out, others),
    )


def measure(context: Context, settings: BaselineSettings, planned: Planned) -> Measurement:
    """Return the retrieval scores of each model for every pooling, layer and transformation of vectors (variant).

    For every fold of the queries, the result also has the variant that is best on the other folds, and its scores.
    """
    work: BaselineWork = planned.work
    stages = context.stages("baselines")
    views = _views(context, work)
    stages.ended("encoding of variants")
    tried = {
        model: try_variants(view, work.task, stages.inside(model.replace("_", " "))) for model, view in views.items()
    }
    scores = {VARIANTS[model]: variants.scores for model, variants in tried.items()}
    scores |= {BESTS[model]: variants.best for model, variants in tried.items()}
    scores[BM25] = try_bm25(context.collection, work.task.measures)
    caveats: tuple[str, ...] = ()
    if settings.head:
        try:
            scores[SHUFFLED] = try_shuffled(views["before"], work.task, settings)
        except AnalysisError as error:
            caveats = (f"the linear head has no control by shuffled judgments: {error.what}",)
    stages.ended("search")
    return Measurement(
        scores=scores,
        facts={"left_out": dict(work.left_out), "choices": _choices(tried), "tried": _untrained(work.task, tried)},
        caveats=caveats,
        seconds=stages.seconds,
    )


def _task(context: Context, settings: BaselineSettings) -> BaselineTask:
    return baseline_task(context.collection, context.settings.measures, context.models["after"].similarity, settings)


def _views(context: Context, work: BaselineWork) -> dict[str, Views]:
    """Return model -> its vectors by pooling and layer, for the backbone, its random-weight copy and the retriever."""
    before, after = context.models["before"], context.models["after"]
    own = before.passage.recipe.pooling
    copy = context.random_vectors("before")
    frozen = {"before": context.encoded(before).vectors} | ({} if copy is None else {RANDOM: copy})
    others = {
        name: context.encoded(model, f"baselines ({MODELS[name]})").vectors for name, model in work.others.items()
    }
    views = {
        name: Views(vectors, own, others.get(name), work.poolings if others else ()) for name, vectors in frozen.items()
    }
    return {**views, "after": Views(context.encoded(after).vectors, after.passage.recipe.pooling)}


def _choices(tried: Mapping[str, VariantScores]) -> list[dict[str, Any]]:
    return [{"model": model, **row} for model, variants in tried.items() for row in variants.choices]


def _untrained(task: BaselineTask, tried: Mapping[str, VariantScores]) -> dict[str, int]:
    """Return, for each model, how many variants without a linear head were compared."""
    untrained = [kind for kind in task.kinds if kind != HEAD]
    sizes = {model: variants.scores.values.sizes for model, variants in tried.items()}
    return {model: size["pooling"] * size["layer"] * len(untrained) for model, size in sizes.items()}


INSTRUMENT = Instrument(refusal, plan, measure)
