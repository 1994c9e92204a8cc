"""All queries with their rankings by both models, as data for the page's script."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from retroscope.analyses.retrieval.result import QueryRankings, RetrievalEffect
from retroscope.files.documents import packed_json
from retroscope.scores import Scores
from retroscope.typesetting.subject import AFTER, BEFORE

QUERY_CHARACTERS = 300  # of a text
CUTS = (320, 220, 150, 100, 70, 40, 0)  # characters of a passage: the first that fits is taken
BUDGET = 1_300_000  # bytes of one collection on the page, packed
DIGITS = 4


def page_queries(effects: Sequence[RetrievalEffect], measure: str) -> list[dict[str, Any]]:
    """Return the queries and rankings of every collection as data for the script of the report page.

    Passages are cut, if necessary to nothing, to keep the data of a collection within `BUDGET` bytes.
    """
    return [
        _fitted(on_collection, on_collection.rankings, measure)
        for on_collection in effects
        if on_collection.rankings is not None
    ]


def _fitted(one: RetrievalEffect, rankings: QueryRankings, measure: str) -> dict[str, Any]:
    page: dict[str, Any] = {}
    for cut in CUTS:
        page = _page(one, rankings, measure, cut)
        if len(packed_json(page)) <= BUDGET:
            break
    return page


def _page(one: RetrievalEffect, rankings: QueryRankings, measure: str, cut: int) -> dict[str, Any]:
    queries, passages = rankings.queries, rankings.passages
    ids = queries["query_id"].tolist()
    scores = {BEFORE: one.effect.before, AFTER: one.effect.after}
    numbers = {passage_id: number for number, passage_id in enumerate(passages["passage_id"])}
    hits = rankings.hits.assign(number=rankings.hits["passage_id"].map(numbers))
    listed = set(hits["query_id"])
    return {
        "collection": one.collection,
        "measure": measure,
        "depth": rankings.depth,
        "listed": len(listed),
        "cut": cut,
        "ids": ids,
        "texts": [_short(text, QUERY_CHARACTERS) for text in queries["text"]],
        "words": queries["words"].tolist(),
        "ranks": {side: queries[f"rank_{side}"].tolist() for side in scores},
        "scores": {side: _values(one_side, measure, ids) for side, one_side in scores.items()},
        "hits": {side: _lists(hits[hits["side"] == side], ids, "number") for side in scores},
        "similarities": {side: _lists(hits[hits["side"] == side], ids, "score") for side in scores},
        "relevant": _lists(hits[hits["relevant"]].drop_duplicates(["query_id", "number"]), ids, "number"),
        "passages": {"ids": list(numbers), "texts": [_short(text, cut) for text in passages["text"]]},
    }


def _values(scores: Scores, measure: str, ids: Sequence[str]) -> list[float | None]:
    values = scores.select(measure=measure).values.to_series().reindex(list(ids))
    return [None if np.isnan(value) else round(float(value), DIGITS) for value in values]


def _lists(hits: pd.DataFrame, ids: Sequence[str], column: str) -> list[list[Any]]:
    """Return the values of a column as one list for each query, in the order of `ids`."""
    values = hits[column].round(DIGITS) if column == "score" else hits[column]
    by_query: dict[str, list[Any]] = {}
    for query_id, value in zip(hits["query_id"].tolist(), values.tolist(), strict=True):
        by_query.setdefault(query_id, []).append(value)
    return [by_query.get(text_id, []) for text_id in ids]


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most].rstrip()} ..."
