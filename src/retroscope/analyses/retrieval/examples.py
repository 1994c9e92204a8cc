"""The queries that flipped, with what both retrievers put on top: something to read beside a mean."""

from collections.abc import Mapping
from typing import Any

from retroscope.collection.collection import Collection
from retroscope.collection.records import Run
from retroscope.statistics.difference import Difference
from retroscope.study.html import shown_flips

TOP = 3  # passages shown of each ranking
LONGEST = 400  # characters shown of a passage


def flip_examples(
    difference: Difference, collection: Collection, runs: Mapping[str, Run], measure: str
) -> dict[str, Any]:
    """Texts of the queries that changed, and top passages of those that the page shows, as JSON-like values.

    Args:
        difference: of retrieval, over `measure`.
        collection: for the texts.
        runs: "before" and "after" -> run.
        measure: the measure that decides what a change is.
    """
    changed = [flip.query_id for flip in difference.flips(measure=measure)]
    shown = [flip.query_id for flip in shown_flips(difference, measure)]
    return {
        "query_texts": {q: collection.queries[q].text for q in changed},
        "top_passages": {q: {side: _top(run, q, collection) for side, run in runs.items()} for q in shown},
    }


def _top(run: Run, query_id: str, collection: Collection) -> list[dict[str, Any]]:
    relevant = collection.qrels.get(query_id, {})
    return [
        {
            "id": passage_id,
            "text": collection.passage_text(passage_id)[:LONGEST],
            "score": score,
            "relevant": relevant.get(passage_id, 0) > 0,
        }
        for passage_id, score in list(run.get(query_id, ()))[:TOP]
    ]
