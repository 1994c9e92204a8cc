"""Plan the analysis of attention heads: count its forward passes and searches, and estimate their seconds."""

from dataclasses import asdict, dataclass

from retroscope.analyses.analysis import Planned
from retroscope.analyses.context import Context
from retroscope.analyses.heads.settings import HeadSettings
from retroscope.attribution.heads.choice import how_many_top
from retroscope.attribution.heads.sites import find_heads
from retroscope.attribution.heads.work import ATTENTION_PASSES, estimated_passes, exact_heads
from retroscope.encoders.encoder import Retriever
from retroscope.inputs.sampled import is_sampled
from retroscope.number_format import count, estimate
from retroscope.retrieval.work import search_seconds

TEXTS_EACH = {"query": 1, "passage": 2}  # of a margin, by tower


@dataclass(frozen=True)
class HeadSize:
    """Expected numbers of attention heads, queries and searches for one model, and their seconds.

    Attributes:
        heads: number of heads whose effect is estimated to first order.
        queries: number of queries over which these effects are estimated.
        exact: the largest number of heads that are ablated exactly.
        searches: number of searches with heads fixed at their means.
        seconds: estimated seconds of all estimates, ablations and searches.
    """

    heads: int
    queries: int
    exact: int
    searches: int
    seconds: float


def plan_heads(context: Context, settings: HeadSettings) -> Planned:
    """Plan the ablation of attention heads: count the heads and searches of each model, and estimate the seconds."""
    sizes = {side: _size(context, retriever, settings) for side, retriever in context.models.items()}
    lines = [f"attention heads fixed at their means, {' and '.join(settings.towers)} tower"]
    lines += [f"  {side}: {_line(size)}" for side, size in sizes.items()]
    return Planned(tuple(lines), sum(size.seconds for size in sizes.values()),
                   {"heads": {side: asdict(size) for side, size in sizes.items()}})  # fmt: skip


def _line(size: HeadSize) -> str:
    return (
        f"{count(size.heads, 'head')} to first order over {count(size.queries, 'query')}, up to {size.exact} exactly, "
        f"{count(size.searches, 'search')} with heads fixed; about {estimate(size.seconds)}"
    )


def _size(context: Context, retriever: Retriever, settings: HeadSettings) -> HeadSize:
    judged = len(context.collection.judged_queries)
    sites = find_heads(retriever.tower(settings.towers[0]))
    n_heads = len(sites.paths) * sites.heads
    queries = min(settings.limit or judged, judged)
    top = how_many_top(settings.top, n_heads)
    exact = exact_heads(top, settings.sample, settings.controls, n_heads)
    searches = 2 + settings.draws + top
    each = {tower: context.seconds_each(retriever, tower) for tower in TEXTS_EACH}
    margin = sum(TEXTS_EACH[tower] * each[tower] for tower in settings.towers)
    passes = 2 + estimated_passes() + (ATTENTION_PASSES if settings.attention else 0) + exact / 2
    passages = len(context.collection.passages)
    sampled = is_sampled(context.collection, settings.passages)
    numbers = {"query": judged, "passage": settings.passages if sampled else passages}
    search = sum(numbers[tower] * each[tower] for tower in settings.towers)
    measures = settings.measures or context.settings.measures
    search += search_seconds(judged, numbers["passage"], retriever.passage.width, measures, context.product_rate)
    seconds = queries * passes * margin + searches * search
    return HeadSize(n_heads, queries, exact, searches, round(seconds, 3))
