"""Choose the margins of queries that several analyses measure: one hard negative a query, the same for both models."""

from collections.abc import Sequence

from retroscope.analyses.context import Context
from retroscope.attribution.examples import Example, with_shared_negatives
from retroscope.attribution.settings import AttributionSettings
from retroscope.collection.records import Candidates


def chosen_margins(
    context: Context, *, negatives: int, limit: int, seed: int
) -> tuple[AttributionSettings, Sequence[Candidates]]:
    """Return the settings of examples with a margin, and the queries that they are drawn from.

    Args:
        negatives: of each query, among which the hardest is chosen.
        limit: of examples. 0 means all.
        seed: of their draw.
    """
    settings = AttributionSettings(
        target="margin", tower="query", negatives=negatives, limit=limit, seed=seed, agreement=None
    )
    candidates = context.negatives().candidates
    if context.is_pair:
        models = list(context.models.values())
        return settings, with_shared_negatives(models, context.collection, candidates, settings)
    return settings, candidates


def margin_passages(examples: Sequence[Example]) -> dict[str, tuple[str, ...]]:
    """Return query id -> the passages of its margin: the relevant one and the negative.

    Queries that share a negative are not independent: what changes the negative's vector changes all their margins.
    """
    return {one.id: (one.positive, one.negative) for one in examples}
