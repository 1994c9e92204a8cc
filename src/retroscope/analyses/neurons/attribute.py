"""Which neurons carry it, of one retriever on one collection or on a file of texts."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from retroscope.attribution.attribute import attribute_neurons, plan_attribution
from retroscope.attribution.plan import AttributionPlan, facts
from retroscope.attribution.published import published_document, published_encoder
from retroscope.attribution.result import NeuronAttribution
from retroscope.attribution.settings import NeuronSettings
from retroscope.attribution.units import collection_units, text_units, with_shared_negatives
from retroscope.collection.collection import Collection
from retroscope.collection.negatives import hard_negatives
from retroscope.collection.records import Candidates
from retroscope.documents import SCHEMA
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.errors import SettingsError
from retroscope.progress import Count

GIB = 2**30
# pooling -> what the published files call it
ENCODER_TYPES = {"cls": "CLS", "pooler": "CLS", "mean": "mean", "last_column": "eos", "last_token": "eos"}


PUBLISHED = "ielab-2025"


def as_measured(retriever: Retriever, protocol: str) -> Retriever:
    """The retriever under the recipe that the protocol attributes neurons with."""
    if protocol != PUBLISHED:
        return retriever
    query, passage = (published_encoder(retriever.tower(tower), tower) for tower in ("query", "passage"))
    return replace(retriever, query=query, passage=passage)


def attribute(
    retriever: Retriever,
    collection: Collection,
    settings: NeuronSettings | None = None,
    *,
    state: str | Path | None = None,
    progress: Count | None = None,
) -> NeuronAttribution:
    """Attribute every FFN neuron of one tower over the judged queries of a collection; negatives by BM25.

    Args:
        settings: target, tower, quadrature, how many queries ...
        state: folder in which an interrupted run is kept, so that the same call goes on from there.
        progress: told (units done, units in all).
    """
    settings = settings or NeuronSettings()
    candidates = hard_negatives(collection, settings.negatives).candidates
    plan = plan_on_collection(retriever, collection, candidates, settings)
    return attribute_neurons(plan, Path(state) if state else None, progress)


def shared_negatives(
    pair: Sequence[Retriever],
    collection: Collection,
    candidates: Sequence[Candidates],
    settings: NeuronSettings,
    protocol: str = "default",
) -> Sequence[Candidates]:
    """The candidates of a comparison: under `margin` with one negative a query, the same for both retrievers."""
    if settings.target != "margin":
        return candidates
    return with_shared_negatives([as_measured(r, protocol) for r in pair], collection, candidates, settings)


def plan_on_collection(
    retriever: Retriever,
    collection: Collection,
    candidates: Sequence[Candidates],
    settings: NeuronSettings,
    protocol: str = "default",
) -> AttributionPlan:
    """The plan of an attribution over the judged queries of a collection, or over their texts."""
    measured = as_measured(retriever, protocol)
    return plan_attribution(
        measured.tower(settings.scaled),
        collection_units(measured, collection, candidates, settings),
        settings,
        cosine=measured.similarity == "cosine",
        padding_pooled=protocol == PUBLISHED,
    )


def plan_on_texts(
    retriever: Retriever, texts: Sequence[str], settings: NeuronSettings, protocol: str = "default"
) -> AttributionPlan:
    """The plan of an attribution over texts, which have no query: target `norm` only.

    Raises:
        SettingsError: if the target asks for queries.
    """
    check_target(settings)
    kept = texts[: settings.limit] if settings.limit else texts
    units = text_units([str(i) for i in range(len(kept))], kept)
    encoder = as_measured(retriever, protocol).tower(settings.scaled)
    return plan_attribution(encoder, units, settings, padding_pooled=protocol == PUBLISHED)


def check_target(settings: NeuronSettings) -> None:
    """Refuse a target that texts alone do not have."""
    if settings.target != "norm":
        raise SettingsError(
            f"the target {settings.target!r} compares a query with passages, and a file of texts has neither",
            fix="give --data SPEC, or --target norm",
        )


def describe_neurons(plan: AttributionPlan) -> str:
    """The plan in two lines."""
    said, chosen = facts(plan), plan.settings
    return (
        f"neurons of {plan.encoder.name}, {chosen.scaled} tower: {chosen.method} of {chosen.target} by "
        f"{chosen.rule}, {len(plan.sites)} matrices\n"
        f"  {said['units']:,} units, {said['texts']:,} texts, {said['tokens']:,} tokens; about "
        f"{said['seconds']:,.0f} s and {said['bytes'] / GIB:,.2f} GiB"
    )


def published_files(made: NeuronAttribution, encoder: Encoder) -> dict[str, dict[str, Any]]:
    """File name -> the counts in the published layout, one file a threshold."""
    files = {}
    for threshold in made.recipe["thresholds"]:
        counts = {
            f"layer_{layer - 1}_{part}": neurons["count"].sel(threshold=threshold, layer=layer).values.tolist()
            for layer in made.scores.values.coords["layer"].values.tolist()
            for part, neurons in made.neurons.items()
        }
        files[f"neurons-{threshold:g}.json"] = published_document(
            counts, model=encoder.name, encoder_type=ENCODER_TYPES.get(encoder.recipe.pooling, encoder.recipe.pooling),
            threshold=threshold,
        )  # fmt: skip
    return files


def plan_document(plan: AttributionPlan) -> dict[str, Any]:
    """What `neurons --dry-run --json` says."""
    return {
        "schema": SCHEMA,
        "model": plan.encoder.name,
        "recipe": plan.encoder.recipe.as_dict(),
        "plan": facts(plan),
        "settings": asdict(plan.settings),
    }
