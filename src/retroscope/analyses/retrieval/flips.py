"""The queries that gained or lost most, with the top passages of both retrievers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from retroscope.analyses.retrieval.result import RankedPassage, RetrievalResult, TopPassages
from retroscope.collection.collection import Collection
from retroscope.collection.records import Run
from retroscope.scores import Scores, align
from retroscope.statistics.difference import Flip, flips
from retroscope.typesetting.subject import AFTER, BEFORE

FLIP_MEASURES = ("RR@10", "RR", "nDCG@10")  # by the first of these that is measured, else the headline
STORED_PASSAGES, STORED_CHARACTERS = 3, 400  # of each ranking, and of a passage
FLIPS_SHOWN = 60
PASSAGES_SHOWN = 3
PASSAGE_CHARACTERS = 320


@dataclass(frozen=True)
class FlippedQuery:
    """A row of the page's table of queries."""

    id: str
    text: str
    before: float
    after: float
    change: float
    tops: tuple[tuple[str, tuple[RankedPassage, ...]], ...]


def flip_measure(measures: Sequence[str]) -> str:
    """Return the measure by which queries are listed as gained or lost."""
    return next((name for name in FLIP_MEASURES if name in measures), measures[0])


def flip_facts(
    scores: Mapping[str, Scores], runs: Mapping[str, Run], collection: Collection, measure: str
) -> dict[str, Any]:
    """Return the texts of the queries that changed, and top passages of those that the page shows, JSON-like.

    Args:
        scores: "before" and "after", over `measure`.
        runs: their rankings.
        collection: for the texts.
        measure: decides what a change is.
    """
    changed = flips(*align(scores[BEFORE], scores[AFTER]), measure=measure)
    return {
        "flip_measure": measure,
        "query_texts": {one.query_id: collection.queries[one.query_id].text for one in changed},
        "top_passages": {
            one.query_id: {side: _top(run, one.query_id, collection) for side, run in runs.items()}
            for one in printed_flips(changed)
        },
    }


def _top(run: Run, query_id: str, collection: Collection) -> list[dict[str, Any]]:
    relevant = collection.qrels.get(query_id, {})
    return [
        {
            "id": passage_id,
            "text": collection.passage_text(passage_id)[:STORED_CHARACTERS],
            "score": score,
            "relevant": relevant.get(passage_id, 0) > 0,
        }
        for passage_id, score in list(run.get(query_id, ()))[:STORED_PASSAGES]
    ]


def top_passages(sides: Mapping[str, Any]) -> TopPassages:
    """Return the top passages of both rankings of one query, from the facts of `flip_facts`."""
    before, after = (tuple(RankedPassage(**hit) for hit in sides[side]) for side in (BEFORE, AFTER))
    return TopPassages(before, after)


def printed_flips(changed: Sequence[Flip]) -> list[Flip]:
    """Return the flips that the page shows, biggest change first; half of them losses where there are as many."""
    losses = [flip for flip in changed if flip.change < 0]
    gains = [flip for flip in changed if flip.change > 0][: FLIPS_SHOWN - min(FLIPS_SHOWN // 2, len(losses))]
    return sorted([*gains, *losses[: FLIPS_SHOWN - len(gains)]], key=lambda flip: (-abs(flip.change), flip.query_id))


def flipped_queries(result: RetrievalResult) -> tuple[FlippedQuery, ...]:
    """Return the queries that changed most, as the page shows them."""
    return tuple(
        FlippedQuery(
            flip.query_id,
            result.query_texts.get(flip.query_id, ""),
            flip.before,
            flip.after,
            flip.change,
            _shortened(result.top_passages.get(flip.query_id)),
        )
        for flip in printed_flips(result.effect.flips(measure=result.flip_measure))
    )


def _shortened(tops: TopPassages | None) -> tuple[tuple[str, tuple[RankedPassage, ...]], ...]:
    if tops is None:
        return ()
    return tuple(
        (side, tuple(RankedPassage(p.id, _short(p.text), p.score, p.relevant) for p in ranking[:PASSAGES_SHOWN]))
        for side, ranking in ((BEFORE, tops.before), (AFTER, tops.after))
    )


def _short(text: str) -> str:
    return text if len(text) <= PASSAGE_CHARACTERS else f"{text[:PASSAGE_CHARACTERS].rstrip()} ..."


def flip_frame(result: RetrievalResult) -> pd.DataFrame:
    """Return one row per query that changed, biggest change first, with its text."""
    rows = [
        (flip.query_id, result.query_texts.get(flip.query_id, ""), flip.before, flip.after, flip.change)
        for flip in result.effect.flips(measure=result.flip_measure)
    ]
    return pd.DataFrame(rows, columns=["query_id", "query", "before", "after", "change"])
