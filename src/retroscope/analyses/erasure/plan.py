"""Plan erasure: check whether it can be measured, choose what is erased, and estimate the time."""

from dataclasses import dataclass

from retroscope.analyses.analysis import Planned
from retroscope.analyses.context import Context
from retroscope.analyses.erasure.examples import ErasureParts, erasure_parts, unrelated_choices
from retroscope.analyses.erasure.settings import ErasureSettings
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.pooling import LINEAR
from retroscope.errors import SettingsError
from retroscope.inputs.choices import too_few_choices
from retroscope.inputs.sampled import sampled
from retroscope.number_format import estimate
from retroscope.probing.settings import ProbeSettings
from retroscope.probing.work import probes_seconds
from retroscope.retrieval.retrieve import check_measures
from retroscope.retrieval.work import search_seconds
from retroscope.surgery.erasers import PAIRS_A_COMPONENT, check_erasers_installed

TOWERS = ("query", "passage")
PROBE = "elementwise"
SPARE = 2  # fewest components of the vectors for each erased direction, so that random directions can be drawn, too


@dataclass(frozen=True)
class ErasureWork:
    """Inputs of erasure that its plan prepares: the split of the queries, and the retrieval measure.

    Attributes:
        parts: training pairs, to which the erasers are fitted, and held-out queries.
        measure: ir-measures name of the retrieval measure.
    """

    parts: ErasureParts
    measure: str


def refusal(context: Context, settings: ErasureSettings) -> str:
    """Return the reason why erasure cannot be measured, or "" if there is none.

    Raises:
        MissingExtraError: without the package that fits erasers.
        SettingsError: for a layer or rank that a model does not have, or a measure that cannot be computed.
    """
    check_erasers_installed()
    check_measures((measure_of(context, settings),), context.collection)
    for retriever in context.models.values():
        _check_model(retriever, settings)
        reason = _unpooled(retriever)
        if reason:
            return reason
    parts, needed = erasure_parts(context.collection, settings), SPARE * PAIRS_A_COMPONENT * max(settings.ranks)
    if len(parts.train) < needed:
        few = f"{len(parts.train)} training pairs are too few to find {max(settings.ranks)} directions"
        return f"{few} (at least {needed}): use more queries, smaller erasure.ranks or a larger erasure.train_share"
    choices = unrelated_choices(context.collection, parts.held_out, settings.seed)
    return too_few_choices(choices, context.collection, probe_settings(settings))


def _check_model(retriever: Retriever, settings: ErasureSettings) -> None:
    for tower in TOWERS:
        encoder = retriever.tower(tower)
        wrong = [k for k in settings.layers or () if k > encoder.anatomy.n_blocks]
        if wrong:
            raise SettingsError(
                f"erasure.layers names layer {wrong[0]}, which this model does not have",
                where=encoder.name,
                fix=f"give layers from 0 to {encoder.anatomy.n_blocks} in erasure.layers",
            )
        if SPARE * max(settings.ranks) > encoder.width:
            raise SettingsError(
                f"rank {max(settings.ranks)} is more than half of the {encoder.width} dimensions of a vector",
                where=encoder.name,
                fix=f"give ranks of at most {encoder.width // SPARE} in erasure.ranks",
            )


def _unpooled(retriever: Retriever) -> str:
    """Return the reason why directions that are erased from tokens stay in pooled vectors, or "" if there is none."""
    for tower in TOWERS:
        recipe = retriever.tower(tower).recipe
        if recipe.pooling not in LINEAR:
            return (
                f"{retriever.name} pools by {recipe.pooling}, so directions that are erased from its tokens are not "
                "erased from its pooled vectors"
            )
        if recipe.normalize_layers:
            return (
                f"{retriever.name} is measured with normalised layers, so the probe would not read the states that "
                "are erased"
            )
    return ""


def measure_of(context: Context, settings: ErasureSettings) -> str:
    """Return the name of the retrieval measure whose loss shows the harm of an erasure."""
    return settings.measure or context.settings.measures[0]


def probe_settings(settings: ErasureSettings) -> ProbeSettings:
    """Return the settings of the probe on erased vectors: one probe, no control."""
    return ProbeSettings(probes=(PROBE,), controls=("none",), passages=(settings.choices,), seeds=settings.seeds)


def layers_of(retriever: Retriever, settings: ErasureSettings) -> tuple[int, ...]:
    """Return the layers at which directions are erased: those in the settings, or all."""
    return settings.layers or tuple(range(retriever.passage.anatomy.n_blocks + 1))


def searched_sample(context: Context, settings: ErasureSettings, parts: ErasureParts, *, ranked: bool) -> Collection:
    """Return the collection that is searched: the held-out queries, and all passages or a sample of them.

    Args:
        ranked: fill a sample from the rankings of the intact models. Without this, only the size of the sample is
            correct, which is enough for a plan.
    """
    rankings = context.whole_search().rankings if ranked else ()
    return sampled(context.collection, parts.held_out, settings.passages, settings.seed, rankings)


def plan(context: Context, settings: ErasureSettings) -> Planned:
    """Plan erasure: count erased subspaces and texts, and estimate the seconds."""
    parts, measure = erasure_parts(context.collection, settings), measure_of(context, settings)
    searched = searched_sample(context, settings, parts, ranked=False)
    sizes = {"query": len(searched.queries), "passage": len(searched.passages)}
    erased = len(settings.ranks) * len(settings.variants)
    seconds, total = 0.0, 0
    for retriever in context.models.values():
        layers, depth = layers_of(retriever, settings), retriever.passage.anatomy.n_blocks
        times = sum(1 + erased * (depth - layer) / depth for layer in layers)
        seconds += sum(n * times * context.seconds_each(retriever, tower) for tower, n in sizes.items())
        width, rate = retriever.passage.width, context.product_rate
        one_search = search_seconds(sizes["query"], sizes["passage"], width, (measure,), rate)
        seconds += len(layers) * erased * one_search
        probed = len(layers) * (1 + 2 * len(settings.ranks))
        seconds += probes_seconds(probe_settings(settings), sizes["query"], width, probed, rate)
        total += len(layers) * erased
    document = {
        "subspaces": total,
        "training_pairs": len(parts.train),
        "queries": sizes["query"],
        "passages": sizes["passage"],
        "seconds": round(seconds, 3),
    }
    line = (
        f"erasure: {total:,} subspaces fitted on {len(parts.train):,} pairs, over {sizes['passage']:,} passages and "
        f"{sizes['query']:,} held-out queries, about {estimate(seconds)}"
    )
    return Planned((line,), seconds, document, work=ErasureWork(parts, measure))
