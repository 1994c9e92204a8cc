"""Estimate sizes and times of attributions and ablations before they start."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from retroscope.analyses.analysis import Planned
from retroscope.analyses.context import Context
from retroscope.analyses.neurons.attribute import plan_on_collection
from retroscope.analyses.neurons.settings import AblationSettings, NeuronsSettings
from retroscope.attribution.plan import AttributionPlan, facts
from retroscope.attribution.settings import AttributionSettings
from retroscope.collection.collection import Collection
from retroscope.collection.records import Candidates
from retroscope.encoders.encoder import Retriever
from retroscope.inputs.sampled import is_sampled, sampled
from retroscope.inputs.texts import a_few, seconds_each, texts_of

GIB = 2**30
SAMPLED_EXAMPLES = 8  # that the time of an attribution is estimated from


def towers_of(context: Context, settings: NeuronsSettings) -> tuple[str, ...]:
    """Return the towers that are attributed: both of a pair unless one is asked for, one of a model alone.

    Raises:
        SettingsError: if both are asked for of one model.
    """
    attribution = settings.attribution
    return attribution.towers if context.is_pair else (attribution.scaled,)


def plan_of_pair(context: Context, settings: NeuronsSettings) -> Planned:
    """Return what every side and tower takes, estimated from a few examples."""
    sizes = {
        f"{side}, {tower} tower": _expected(context, retriever, settings, tower)
        for side, retriever in context.models.items()
        for tower in towers_of(context, settings)
    }
    seconds = sum(size["seconds"] + size["ablation_seconds"] for size in sizes.values())
    return Planned(tuple(_line(role, size) for role, size in sizes.items()), seconds, {"neurons": sizes})


def _line(role: str, size: Mapping[str, Any]) -> str:
    cost = f"{size['seconds']:,.0f} s and {size['bytes'] / GIB:,.1f} GiB"
    again = f"; for ablation {size['ablation_texts']:,} texts are encoded {size['ablations']} times more, "
    again += f"about {size['ablation_seconds']:,.0f} s"
    return f"{role}: neurons of {size['examples']:,} examples, about {cost}{again if size['ablations'] else ''}"


def _expected(context: Context, retriever: Retriever, settings: NeuronsSettings, tower: str) -> dict[str, Any]:
    """Estimate examples, seconds and bytes of one attribution, and of its ablation."""
    attribution, collection = replace(settings.attribution, tower=tower), context.collection
    some = facts(_of_a_few(retriever, collection, attribution, context.settings.protocol))
    judged = len(collection.judged_queries)
    examples = min(attribution.limit or judged, judged)
    return {
        "examples": examples,
        "seconds": some["seconds"] * examples / some["examples"],
        "bytes": some["bytes"],
        **ablation_size(retriever, collection, settings.ablation, tower),
    }


def _of_a_few(
    retriever: Retriever, collection: Collection, attribution_settings: AttributionSettings, protocol: str
) -> AttributionPlan:
    """Return the plan of a few examples.

    Their negatives are other queries' relevant passages: as long as real ones, and found at once.
    """
    judged = collection.judged_queries
    relevant = [next(p for p, grade in collection.qrels[query].items() if grade > 0) for query in judged]
    pairs = zip(judged, relevant, [*relevant[1:], *relevant[:1]], strict=True)
    candidates = [Candidates(query, positive, (other,)) for query, positive, other in pairs]
    sample = replace(attribution_settings, limit=min(SAMPLED_EXAMPLES, attribution_settings.limit or SAMPLED_EXAMPLES))
    return plan_on_collection(retriever, collection, candidates, sample, protocol)


def ablation_size(
    retriever: Retriever, collection: Collection, settings: AblationSettings | None, tower: str
) -> dict[str, Any]:
    """Return how often how many texts are encoded under ablation, and how long that takes."""
    if settings is None:
        return {"ablations": 0, "ablation_texts": 0, "ablation_seconds": 0.0}
    runs, searched = settings.ablations + 2, collection
    if is_sampled(collection, settings.passages):
        searched = sampled(collection, collection.judged_queries, settings.passages, settings.seed)
    encoded = len(searched.passages) if tower == "passage" else len(searched.judged_queries)
    each = seconds_each(texts_of(retriever, a_few(collection), tower, None))
    return {"ablations": runs, "ablation_texts": encoded, "ablation_seconds": round(runs * encoded * each, 1)}


def plan_of_one(context: Context, settings: NeuronsSettings) -> Planned:
    """Return the plan of one model's attribution itself, which is then carried out."""
    (retriever,) = context.models.values()
    mined, protocol = context.negatives().candidates, context.settings.protocol
    return planned(plan_on_collection(retriever, context.collection, mined, settings.attribution, protocol))


def planned(work: AttributionPlan) -> Planned:
    """Return what an attribution takes, in words and JSON-like."""
    size, attribution = facts(work), work.settings
    lines = (
        f"neurons of {work.encoder.name}, {attribution.scaled} tower: {attribution.method} of {attribution.target} by "
        f"{attribution.rule}, {len(work.sites)} matrices",
        f"  {size['examples']:,} examples, {size['texts']:,} texts, {size['tokens']:,} tokens; about "
        f"{size['seconds']:,.0f} s and {size['bytes'] / GIB:,.2f} GiB",
    )
    document = {
        "model": work.encoder.name,
        "recipe": work.encoder.recipe.as_dict(),
        "plan": size,
        "settings": asdict(attribution),
    }
    return Planned(lines, size["seconds"], document, work=work)
