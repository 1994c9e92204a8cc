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
        attributed: those of `ids` that the attribution used.
    """

    ids: tuple[str, ...]
    attributed: frozenset[str] = frozenset()


def evaluated_queries(
    collection: Collection, attribution: NeuronAttribution, *, held_out: bool | None, enough: int = 1
) -> Evaluated:
    """Return the queries on which ablations are measured: all judged queries, or only those new to the attribution.

    The attribution used a query if it used the text of this query, or of one of its relevant passages. It used a
    passage as an example of the target `norm`, or as the relevant passage or hard negative of an attributed query.
    Equal texts count as one text.

    Args:
        held_out: True to measure only unused queries, False to measure all. None measures only unused queries if there
            are at least `enough`.

    Raises:
        AnalysisError: if no unused query is left, or the attribution does not record its passages.
    """
    used = _used(collection, attribution)
    left = len(collection.judged_queries) - len(used)
    if held_out is False or (held_out is None and left < enough):
        return Evaluated(collection.judged_queries, frozenset(used))
    unused = tuple(query for query in collection.judged_queries if query not in used)
    if not unused:
        raise AnalysisError(
            f"all {len(collection.judged_queries)} judged queries were used for the attribution, so no "
            "held-out query is left",
            where=collection.name,
            fix="use a smaller neurons.attribution.limit, or measure all queries (neurons.ablation.held_out=false)",
        )
    return Evaluated(unused)


def _used(collection: Collection, attribution: NeuronAttribution) -> set[str]:
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
    """Return the ids of the relevant passages and negatives that the attribution used with its queries."""
    passages: list[str] = []
    for name in PASSAGES_OF[attribution.recipe["target"]]:
        recorded = attribution.scores.values.coords.get(name)
        if recorded is None:
            raise AnalysisError(
                f"the attribution lacks the ids of the {name} passages of its queries, so no query can be held out",
                where=attribution.scores.name,
                fix="attribute the neurons again with this version of Retroscope",
            )
        passages += [str(passage) for passage in recorded.values]
    return passages


def _relevant(collection: Collection, query: str) -> list[str]:
    return [passage for passage, grade in collection.qrels.get(query, {}).items() if grade > 0]


def _passage_texts(collection: Collection, ids: Sequence[str]) -> set[str]:
    return {folded(collection.passage_text(i)) for i in ids if i in collection.passages}
