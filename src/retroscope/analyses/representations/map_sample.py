"""Sample texts for the map of the embedding space, and compute their positions under both models."""

from typing import Any

import numpy as np
import pandas as pd

from retroscope.analyses.context import Context
from retroscope.collection.collection import Collection
from retroscope.drift.embedding_map import EmbeddingMap, embedding_map
from retroscope.representations.vectors import RetrieverRepresentations

QUERIES, EACH, PASSAGES = 40, 2, 260  # queries drawn, relevant passages of each, and passages in all
CHARACTERS = 120  # of a text
DIGITS = 4
SEED = 0


def map_frames(
    before: RetrieverRepresentations, after: RetrieverRepresentations, context: Context
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Return a map of sampled texts as data frames, and numbers on how faithful this map is.

    The frame "map" has text_id, kind ("query", "relevant", "other"), text, and the positions x and y under both models.
    The frame "map_links" has query_id and passage_id of every query of the map and its relevant passages.
    """
    collection = context.collection
    queries, links, passages = sample_of_map(collection)
    vectors = [_last_layer(side, queries, passages) for side in (before, after)]
    cosine = all(one.similarity == "cosine" for one in (before, after))
    embedding = embedding_map(*vectors, cosine=cosine)
    relevant = {passage for _, passage in links}
    places = np.round(np.concatenate([embedding.before, embedding.after], axis=1), DIGITS) + 0.0  # no -0.0
    frame = pd.DataFrame(places, columns=["before_x", "before_y", "after_x", "after_y"]).assign(
        text_id=[*queries, *passages],
        kind=["query"] * len(queries) + ["relevant" if p in relevant else "other" for p in passages],
        text=[*(collection.queries[q].text[:CHARACTERS] for q in queries),
              *(collection.passage_text(p)[:CHARACTERS] for p in passages)],
    )  # fmt: skip
    columns = ["text_id", "kind", "text", "before_x", "before_y", "after_x", "after_y"]
    frames = {"map": frame[columns], "map_links": pd.DataFrame(links, columns=["query_id", "passage_id"])}
    return frames, {
        "queries": len(queries),
        "passages": len(passages),
        "of": len(collection.passages),
        **_fidelity(embedding),
    }


def _fidelity(embedding: EmbeddingMap) -> dict[str, float]:
    """Return how faithful the map is: for each model, how much variance and which distances its plane keeps.

    The last value is the distance between the two models' mean vectors, which the map does not show.
    """
    names = ("variance_before", "variance_after", "distances_before", "distances_after", "shift")
    return {name: float(vars(embedding)[name]) for name in names}


def sample_of_map(collection: Collection) -> tuple[list[str], list[tuple[str, str]], list[str]]:
    """Sample queries and passages for the map; return queries, pairs (query, relevant passage), and all passages."""
    rng = np.random.default_rng(SEED)
    judged, everything = list(collection.judged_queries), list(collection.passages)
    queries = [judged[i] for i in rng.permutation(len(judged))[:QUERIES]]
    links = [(q, p) for q in queries for p in collection.relevant[q][:EACH]]
    drawn = [everything[i] for i in rng.permutation(len(everything))[:PASSAGES]]
    passages = list(dict.fromkeys([*(p for _, p in links), *drawn]))[:PASSAGES]
    return queries, links, passages


def _last_layer(side: RetrieverRepresentations, queries: list[str], passages: list[str]) -> np.ndarray:
    """Return the last layer's vectors of these queries, then of these passages."""
    return np.concatenate([tower.texts(tower.rows(ids))[:, -1]
                           for tower, ids in ((side.query, queries), (side.passage, passages))])  # fmt: skip
