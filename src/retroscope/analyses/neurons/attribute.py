"""Compute or plan the attribution of a retriever's FFN neurons on one collection."""

from collections.abc import Sequence
from dataclasses import replace

from retroscope.attribution.attribute import attribute_neurons, plan_attribution
from retroscope.attribution.examples import collection_examples, with_shared_negatives
from retroscope.attribution.plan import AttributionPlan
from retroscope.attribution.published import published_encoder
from retroscope.attribution.result import NeuronAttribution
from retroscope.attribution.settings import AttributionSettings
from retroscope.collection.collection import Collection
from retroscope.collection.negatives import hard_negatives
from retroscope.collection.records import Candidates
from retroscope.display import ShownCount, shown_count
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.settings import PUBLISHED_PROTOCOL
from retroscope.files.reading import PathLike, path_of


def as_measured(retriever: Retriever, protocol: str) -> Retriever:
    """Return the retriever with the pooling, length and prompts that the protocol prescribes for neuron attribution."""
    if protocol != PUBLISHED_PROTOCOL:
        return retriever
    query, passage = (published_encoder(retriever.tower(tower), tower) for tower in ("query", "passage"))
    return replace(retriever, query=query, passage=passage)


def as_asked(settings: AttributionSettings, protocol: str) -> AttributionSettings:
    """Return the attribution settings, without early stopping if the protocol is "ielab-2025".

    This protocol attributes all examples, even if halves of them already agree.
    """
    return replace(settings, agreement=None) if protocol == PUBLISHED_PROTOCOL else settings


def attribute(
    retriever: Retriever,
    collection: Collection,
    settings: AttributionSettings | None = None,
    *,
    state: PathLike | None = None,
    progress: ShownCount = None,
) -> NeuronAttribution:
    """Compute the attribution of every FFN neuron of the query or passage encoder on a collection.

    The examples are the judged queries, with hard negatives by BM25, or texts alone for the target `norm`.

    Args:
        settings: settings of the attribution, e.g. target, tower, quadrature and number of queries.
        state: folder in which progress is saved. After an interruption, the same call continues from there.
        progress: called with (attributed examples, all examples), or True, False, None: see `display.shown`.
    """
    settings = settings or AttributionSettings()
    with shown_count(progress, "neurons") as report:
        candidates = hard_negatives(collection, settings.negatives).candidates
        plan = plan_on_collection(retriever, collection, candidates, settings)
        return attribute_neurons(plan, path_of(state) if state else None, report)


def shared_negatives(
    pair: Sequence[Retriever],
    collection: Collection,
    candidates: Sequence[Candidates],
    settings: AttributionSettings,
    protocol: str = "default",
) -> Sequence[Candidates]:
    """Return each query's relevant passage and the hard negatives with which two retrievers are compared.

    For the target `margin`, each query keeps one negative, which both retrievers use.
    """
    if settings.target != "margin":
        return candidates
    settings = as_asked(settings, protocol)
    return with_shared_negatives([as_measured(r, protocol) for r in pair], collection, candidates, settings)


def plan_on_collection(
    retriever: Retriever,
    collection: Collection,
    candidates: Sequence[Candidates],
    settings: AttributionSettings,
    protocol: str = "default",
) -> AttributionPlan:
    """Plan the attribution of one retriever's FFN neurons over the judged queries of a collection.

    For the target `norm`, the examples are the texts of these queries or of their relevant passages.
    """
    measured, settings = as_measured(retriever, protocol), as_asked(settings, protocol)
    plan = plan_attribution(
        measured.tower(settings.scaled),
        collection_examples(measured, collection, candidates, settings),
        settings,
        cosine=measured.similarity == "cosine",
        padding_pooled=protocol == PUBLISHED_PROTOCOL,
    )
    return replace(plan, collection=collection.name)
