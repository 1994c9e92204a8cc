"""Made-up retrievers and collections: who is relevant to whom is planted in the vectors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from retroscope.analyses.section import Reading
from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Candidates, Judgment, Passage, Query
from retroscope.representations.vectors import RetrieverRepresentations, representations_in_memory
from retroscope.scores import QUERY, Scores
from retroscope.statistics.settings import ComparisonSettings
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL, CollectionFacts, Model, Subject

DIM = 16


def collection(queries: int, passages: int) -> Collection:
    """Return a collection in which passage i is relevant to query i; the other passages are relevant to none."""
    return make_collection(
        name="made up",
        passages=[Passage(f"p{i}", f"passage {i}") for i in range(passages)],
        queries=[Query(f"q{i}", f"query {i}") for i in range(queries)],
        judgments=[Judgment(f"q{i}", f"p{i}", 1) for i in range(queries)],
    )


def retriever(queries: np.ndarray, passages: np.ndarray, similarity: str = "dot") -> RetrieverRepresentations:
    """Return representations of arrays (text, layer, dim)."""
    towers = [
        representations_in_memory([f"{letter}{i}" for i in range(len(vectors))], vectors.astype(np.float32))
        for letter, vectors in (("q", queries), ("p", passages))
    ]
    return RetrieverRepresentations("made up", *towers, similarity, {"made": "up"})


def noisy(
    random: np.random.Generator, meaning: np.ndarray, queries: int, noise: float, layers: int = 1
) -> RetrieverRepresentations:
    """Return a retriever that sees the meaning of each text through noise of its own, layer by layer."""
    texts = meaning[:, None] + noise * random.standard_normal((len(meaning), layers, meaning.shape[1]))
    asked = meaning[:queries, None] + noise * random.standard_normal((queries, layers, meaning.shape[1]))
    return retriever(asked, texts)


def choices(random: np.random.Generator, queries: int, negatives: int, others: Sequence[int]) -> list[Candidates]:
    """Return query i with its passage i and negatives drawn from these passages."""
    rows = []
    for i in range(queries):
        drawn = random.permutation([j for j in others if j != i])[:negatives]
        rows.append(Candidates(f"q{i}", f"p{i}", tuple(f"p{j}" for j in drawn)))
    return rows


def scores(values: np.ndarray, recipe: Mapping[str, Any] | None = None, **labels: Sequence[Any]) -> Scores:
    """Return scores of queries q0, q1, ... with these labels of the other dimensions, in order."""
    coords = {QUERY: [f"q{i}" for i in range(len(values))], **{name: list(given) for name, given in labels.items()}}
    return Scores("made up", xr.DataArray(values, coords, tuple(coords)), recipe or {})


def reading(statistics: ComparisonSettings, results: Mapping[str, Any] | None = None) -> Reading:
    """Return what a report is given of made-up models on a made-up collection."""
    models = {side: Model(side, "dot", ()) for side in (BEFORE, AFTER, MODEL)}
    about = CollectionFacts("made up", "", {})
    return Reading(Subject("made up", models, (about,), statistics=statistics), results or {})
