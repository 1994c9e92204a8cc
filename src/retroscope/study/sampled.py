"""A sample of a collection: what is measured many times over need not search the whole corpus each time."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from retroscope.collection.collection import Collection
from retroscope.collection.records import Passage


def sampled(collection: Collection, queries: Sequence[str], passages: int, seed: int) -> Collection:
    """These queries and the whole corpus where it is no larger than `passages` (0: whatever its size), else a sample.

    Queries are drawn until their relevant passages are half of the sample; passages that are relevant to none of them
    make up the rest. Measures are higher than over the whole corpus: fewer passages compete.
    """
    if not passages or len(collection.passages) <= passages:
        return _narrowed(collection, queries, collection.passages)
    rng = np.random.default_rng(seed)
    kept, chosen = set[str](), set[str]()
    for at in rng.permutation(len(queries)):
        relevant = {p for p, grade in collection.qrels[queries[at]].items() if grade > 0}
        if chosen and len(chosen | relevant) > passages // 2:
            continue
        kept.add(queries[at])
        chosen |= relevant
    others = [p for p in collection.passages if p not in chosen]
    chosen |= {others[at] for at in rng.permutation(len(others))[: max(0, passages - len(chosen))]}
    held = {p: passage for p, passage in collection.passages.items() if p in chosen}
    return _narrowed(collection, [q for q in queries if q in kept], held)


def _narrowed(collection: Collection, queries: Sequence[str], passages: Mapping[str, Passage]) -> Collection:
    """The collection with these queries and passages, and the judgments between them."""
    asked = {*queries}
    return replace(
        collection,
        queries={query: collection.queries[query] for query in queries},
        passages=passages,
        judgments=tuple(j for j in collection.judgments if j.query_id in asked and j.passage_id in passages),
        candidates=(),
    )
