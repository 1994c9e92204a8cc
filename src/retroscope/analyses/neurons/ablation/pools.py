"""Groups of queries, each with its own passages, so that sets of neurons can be measured on one group first.

An ablation of the passage tower encodes passages, so a measurement on a third of the queries saves time only if these
queries search a third of the passages. All groups have about equally many queries, and a query's scores do not depend
on how many groups are measured.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from retroscope.analyses.neurons.result import AblationRecipe
from retroscope.analyses.neurons.settings import ENOUGH, NeuronAblationSettings
from retroscope.collection.collection import Collection
from retroscope.inputs.sampled import HARD, Ranked, is_sampled, sampled, stratified

# Number of passages in a pool for each judged passage. Further passages would be the intact models' own top results: an
# ablation moves those down more often than up, so its harm would look smaller.
PER_JUDGED = 1 + HARD


def pools_of(
    collection: Collection, queries: Sequence[str], settings: NeuronAblationSettings, rankings: Sequence[Ranked]
) -> tuple[Collection, ...]:
    """Split the queries into groups and return the collection that is searched for each group.

    All queries form one group if the corpus is not sampled, or if each group would have fewer than `ENOUGH` queries.

    Args:
        queries: ids of the queries to divide into groups.
        rankings: rankings of the whole corpus, from which the pools are filled (see `inputs.sampled`).
    """
    number = settings.groups if len(queries) >= settings.groups * ENOUGH else 1
    if number == 1 or not is_sampled(collection, settings.passages):
        return (sampled(collection, queries, settings.passages, settings.seed, rankings),)
    judged = [len(collection.qrels[query]) for query in queries]
    order = stratified(queries, judged, np.random.default_rng(settings.seed))
    pools = []
    for group in range(number):
        members = {*order[group::number]}
        some = [query for query in queries if query in members]
        passages = {p for query in some for p in collection.qrels[query]}
        size = max(1, min(settings.passages // number, round(PER_JUDGED * len(passages))))  # 0 is the whole corpus
        pools.append(sampled(collection, some, size, settings.seed, rankings))
    return tuple(pools)


def relevant_in(pools: Sequence[Collection]) -> Mapping[str, tuple[str, ...]]:
    """Return query id -> its relevant passages, over the queries of all groups."""
    return {query: passages for pool in pools for query, passages in pool.relevant.items()}


def pool_counts(pools: Sequence[Collection], collection: Collection) -> AblationRecipe:
    """Count the queries and searched passages of each group of queries, and the passages of all groups together."""
    return {
        "passages": len({p for pool in pools for p in pool.passages}),
        "of_passages": len(collection.passages),
        "pools": [len(pool.passages) for pool in pools],
        "groups": [len(pool.queries) for pool in pools],
    }
