"""Find the queries whose score changed most by fine-tuning."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from retroscope.analyses.retrieval.result import RetrievalResult
from retroscope.statistics.difference import Flip

FLIP_MEASURES = ("RR@10", "RR", "nDCG@10")  # by the first of these that is measured, else the headline
FLIPS_SHOWN = 60


@dataclass(frozen=True)
class FlippedQuery:
    """A query with its scores before and after fine-tuning, as a row in the table of the most changed queries."""

    id: str
    text: str
    before: float
    after: float
    change: float


def flip_measure(measures: Sequence[str]) -> str:
    """Return the measure whose change decides which queries are listed as changed most.

    It is the first of `FLIP_MEASURES` that is measured, or else the first measure.
    """
    return next((name for name in FLIP_MEASURES if name in measures), measures[0])


def printed_flips(changed: Sequence[Flip]) -> list[Flip]:
    """Return at most `FLIPS_SHOWN` of the changed queries for the report page, largest change first.

    Half of them are losses if there are enough.
    """
    losses = [flip for flip in changed if flip.change < 0]
    gains = [flip for flip in changed if flip.change > 0][: FLIPS_SHOWN - min(FLIPS_SHOWN // 2, len(losses))]
    return sorted([*gains, *losses[: FLIPS_SHOWN - len(gains)]], key=lambda flip: (-abs(flip.change), flip.query_id))


def flipped_queries(result: RetrievalResult) -> tuple[FlippedQuery, ...]:
    """Return the queries whose score changed most, with their texts, as the page shows them."""
    return tuple(
        FlippedQuery(
            flip.query_id,
            result.query_texts.get(flip.query_id, ""),
            flip.before,
            flip.after,
            flip.change,
        )
        for flip in printed_flips(result.effect.flips(measure=result.flip_measure))
    )


def flip_frame(result: RetrievalResult) -> pd.DataFrame:
    """Return a row for each query whose score changed, with its text, largest change first."""
    rows = [
        (flip.query_id, result.query_texts.get(flip.query_id, ""), flip.before, flip.after, flip.change)
        for flip in result.effect.flips(measure=result.flip_measure)
    ]
    return pd.DataFrame(rows, columns=["query_id", "query", "before", "after", "change"])
