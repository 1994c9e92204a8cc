"""Choose held-out queries, which an attribution did not use, to test its top neurons."""

from collections.abc import Sequence
from dataclasses import dataclass

from retroscope.attribution.result import NeuronAttribution
from retroscope.collection.collection import Collection
from retroscope.collection.records import folded
from retroscope.errors import AnalysisError

# target -> the coordinates of the scores that name the passages of an example
PASSAGES_OF = {"norm": (), "score": ("positive",), "margin": ("positive", "negative")}


@dataclass(frozen=True)
class Evaluated:
    """The queries on which ablations are measured, and which of them the attribution used.

    Attributes:
        ids: ids of the queries, in the collection's order.
        attributed: the queries among these that the attribution used.
    """

    ids: tuple[str, ...]
    attributed: frozenset[str] = frozenset()


def evaluated_queries(
    collection: Collection, attribution: NeuronAttribution, *, held_out: bool | None, enough: int = 1
) -> Evaluated:
    """Return the queries to measure: all judged ones or, if held out, those whose texts the attribution did not use.

    A query was used if its own text was attributed, or one of its relevant passages: as an example of the target
    `norm`, as a relevant passage of an attributed query, or as its hard negative. Equal texts count as one text.

    Args:
        held_out: whether to hold queries out. If None, hold out if at least `enough` queries are then left.

    Raises:
        AnalysisError: if no query is held out, or the attribution does not record its passages.
    """
    used = _used(collection, attribution)
    left = len(collection.judged_queries) - len(used)
    if held_out is False or (held_out is None and left < enough):
        return Evaluated(collection.judged_queries, frozenset(used))
    kept = tuple(query for query in collection.judged_queries if query not in used)
    if not kept:
        raise AnalysisError(
            f"all {len(collection.judged_queries)} judged queries were used for the attribution, so no "
            "held-out query is left",
            where=collection.name,
            fix="use a smaller neurons.attribution.limit, or measure all queries (neurons.ablation.held_out=false)",
        )
    return Evaluated(kept)


def _used(collection: Collection, attribution: NeuronAttribution) -> set[str]:
    """Return the judged queries that the attribution used."""
    examples = attribution.scores.query_ids
    if (attribution.recipe["target"], attribution.recipe["tower"]) == ("norm", "passage"):
        queries, passages = set[str](), _passage_texts(collection, examples)
    else:
        known = [query for query in examples if query in collection.queries]
        queries = {folded(collection.queries[query].text) for query in known}
        relevant = [p for query in known for p in _relevant(collection, query)]
        passages = _passage_texts(collection, [*relevant, *_run(attribution)])
    return {
        query
        for query in collection.judged_queries
        if folded(collection.queries[query].text) in queries
        or passages & _passage_texts(collection, _relevant(collection, query))
    }


def _run(attribution: NeuronAttribution) -> list[str]:
    """Return the ids of the passages that the attribution records as used with its queries."""
    run: list[str] = []
    for name in PASSAGES_OF[attribution.recipe["target"]]:
        recorded = attribution.scores.values.coords.get(name)
        if recorded is None:
            raise AnalysisError(
                f"the attribution lacks the ids of the {name} passages of its queries, so no query can be held out",
                where=attribution.scores.name,
                fix="attribute the neurons again with this version of Retroscope",
            )
        run += [str(passage) for passage in recorded.values]
    return run


def _relevant(collection: Collection, query: str) -> list[str]:
    return [passage for passage, grade in collection.qrels.get(query, {}).items() if grade > 0]


def _passage_texts(collection: Collection, ids: Sequence[str]) -> set[str]:
    return {folded(collection.passage_text(i)) for i in ids if i in collection.passages}
