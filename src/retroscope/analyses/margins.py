"""Choose the score margins that several analyses measure: score of the relevant passage minus score of a negative."""

from collections.abc import Sequence

from retroscope.analyses.context import Context
from retroscope.attribution.examples import Example, with_shared_negatives
from retroscope.attribution.settings import AttributionSettings
from retroscope.collection.records import Candidates


def chosen_margins(
    context: Context, *, negatives: int, limit: int, seed: int
) -> tuple[AttributionSettings, Sequence[Candidates]]:
    """Return settings for attributing score margins, and the queries with candidates from which examples are drawn.

    A margin is the score of the relevant passage minus the score of a hard negative.

    Both models of a pair get the same hard negative for each query.

    Args:
        negatives: how many negatives of each query are considered. The hardest of them is chosen.
        limit: largest number of examples (queries) that are drawn. 0 means all.
        seed: seed of the random sample of examples.
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
    """Return, for each query id, the two passages of its margin: the relevant one and the negative.

    Queries that share a negative are not independent: a change of its vector changes the margins of all of them.
    """
    return {example.id: (example.positive, example.negative) for example in examples}
