"""Split queries into training pairs for erasure and held-out queries, and choose the candidates of the probe."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retroscope.analyses.erasure.settings import ErasureSettings
from retroscope.collection.collection import Collection
from retroscope.collection.records import Candidates, folded

OTHERS = 40  # candidates for each query that are relevant to other queries; a split keeps those of its own queries


@dataclass(frozen=True)
class ErasureParts:
    """Split of the queries into training and held-out queries that share neither a text nor a relevant passage.

    Attributes:
        train: one pair (query, relevant passage) for each training query.
        held_out: queries on which retrieval and probes are measured.
    """

    train: tuple[tuple[str, str], ...]
    held_out: tuple[str, ...]


def erasure_parts(collection: Collection, settings: ErasureSettings) -> ErasureParts:
    """Split the judged queries by text into training pairs and held-out queries.

    A training query is paired with its first relevant passage whose text is not that of a passage relevant to a
    held-out query. Without such a passage, it has no pair.
    """
    queries, texts = collection.judged_queries, collection.query_texts
    distinct = sorted({texts[query] for query in queries})
    order = np.random.default_rng(settings.seed).permutation(distinct)
    trained = {*order[: round(settings.train_share * len(order))].tolist()}
    held_out = tuple(query for query in queries if texts[query] not in trained)
    kept_out = {folded(collection.passage_text(p)) for query in held_out for p in collection.relevant[query]}
    pairs = []
    for query in queries:
        free = (p for p in collection.relevant[query] if folded(collection.passage_text(p)) not in kept_out)
        passage = next(free, None) if texts[query] in trained else None
        if passage is not None:
            pairs.append((query, passage))
    return ErasureParts(tuple(pairs), held_out)


def unrelated_choices(collection: Collection, queries: Sequence[str], seed: int) -> tuple[Candidates, ...]:
    """Return each query's first relevant passage and, as other candidates, passages relevant to other queries.

    The other candidates are in random order. All candidates are relevant to some query, so the passages alone do not
    reveal the right one.
    """
    relevant = {query: collection.relevant[query] for query in queries}
    pool = np.array(list(dict.fromkeys(passages[0] for passages in relevant.values())))
    rng = np.random.default_rng([seed, 1])
    choices = []
    for query, passages in relevant.items():
        others = [str(p) for p in rng.permutation(pool) if p not in passages]
        choices.append(Candidates(query, passages[0], tuple(others[:OTHERS])))
    return tuple(choices)
