"""Tables of all queries with their rankings by both models, as a study stores them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from retroscope.collection.collection import Collection
from retroscope.collection.records import Run
from retroscope.retrieval.runs import first_relevant_ranks
from retroscope.scores import Scores, align
from retroscope.typesetting.subject import AFTER, BEFORE

PASSAGES = 10  # of each ranking
CHARACTERS = 400  # of a text
MOST_LISTED = 4000  # queries whose rankings are stored


def query_frames(
    scores: Mapping[str, Scores], runs: Mapping[str, Run], collection: Collection, measure: str
) -> dict[str, pd.DataFrame]:
    """Return three tables: "queries", "hits" (top passages of their rankings) and "passages" (texts of the hits).

    Args:
        scores: scores of the models "before" and "after", (query, measure).
        runs: rankings by the same two models.
        collection: the collection, for its texts and judgments.
        measure: if there are more than `MOST_LISTED` queries, they are chosen by their change of this measure.
    """
    before, after = (one.select(measure=measure) for one in align(scores[BEFORE], scores[AFTER]))
    change = np.asarray(after.values - before.values, dtype=np.float64)
    ids = before.query_ids
    ranks = {side: first_relevant_ranks(run, collection.qrels) for side, run in runs.items()}
    queries = pd.DataFrame({
        "query_id": ids,
        "text": [collection.queries[i].text[:CHARACTERS] for i in ids],
        "words": [len(collection.queries[i].text.split()) for i in ids],
        **{f"rank_{side}": [ranks[side].get(i, 0) for i in ids] for side in runs},
    })  # fmt: skip
    hits = _hits([ids[row] for row in listed_rows(change)], runs, collection)
    passage_ids = list(dict.fromkeys(hits["passage_id"]))
    texts = [collection.passage_text(i)[:CHARACTERS] for i in passage_ids]
    return {"queries": queries, "hits": hits, "passages": pd.DataFrame({"passage_id": passage_ids, "text": texts})}


def listed_rows(change: np.ndarray, most: int = MOST_LISTED) -> list[int]:
    """Return the row indices of the queries whose rankings are stored, in order: all queries, or a sample.

    One half of a sample are the queries whose score changed most. The other half is drawn from the other queries, with
    seed 0.
    """
    if len(change) <= most:
        return list(range(len(change)))
    by_size = np.argsort(-np.abs(np.nan_to_num(change)), kind="stable")
    first, rest = by_size[: most // 2], by_size[most // 2 :]
    drawn = np.random.default_rng(0).choice(rest, most - len(first), replace=False)
    return sorted(int(row) for row in (*first, *drawn))


def _hits(ids: Sequence[str], runs: Mapping[str, Run], collection: Collection) -> pd.DataFrame:
    rows = [
        (query_id, side, rank, passage_id, float(score), collection.qrels.get(query_id, {}).get(passage_id, 0) > 0)
        for query_id in ids
        for side, run in runs.items()
        for rank, (passage_id, score) in enumerate(list(run.get(query_id, ()))[:PASSAGES], start=1)
    ]
    return pd.DataFrame(rows, columns=["query_id", "side", "rank", "passage_id", "score", "relevant"])
