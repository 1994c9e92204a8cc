"""Drift of representations: a planted change of one layer of one tower is found there and nowhere else."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from retroscope.collection.records import first_of_each
from retroscope.drift.by_layer import representation_drift
from retroscope.drift.result import RepresentationDrift
from retroscope.drift.settings import DriftSettings
from retroscope.errors import AnalysisError, SettingsError
from retroscope.representations.vectors import RetrieverRepresentations, representations_in_memory

N, LAYERS, DIM = 80, 4, 10
QUICK = DriftSettings(texts=60, cross_texts=30, neighbours=5)


def vectors(seed: int) -> np.ndarray:
    """Layers that are alike, as those of a residual stream: each adds a little."""
    rng = np.random.default_rng(seed)
    steps = rng.standard_normal((N, LAYERS, DIM)) * np.array([1.0, 0.3, 0.3, 0.3])[:, None]
    return (steps.cumsum(axis=1) + 2).astype(np.float32)


def retriever(query: np.ndarray, passage: np.ndarray, name: str = "r") -> RetrieverRepresentations:
    towers = [
        representations_in_memory([f"{letter}{i}" for i in range(len(v))], v)
        for letter, v in (("q", query), ("p", passage))
    ]
    return RetrieverRepresentations(name, *towers, "cosine", {})


def planted() -> tuple[RetrieverRepresentations, RetrieverRepresentations]:
    query, passage = vectors(0), vectors(1)
    moved = passage.copy()
    moved[:, 2] = np.random.default_rng(5).standard_normal((N, DIM))
    return retriever(query, passage), retriever(query, moved)


@pytest.fixture(scope="module")
def planted_drift() -> RepresentationDrift:
    pairs = [(f"q{i}", f"p{i}") for i in range(N)]
    copy = retriever(vectors(7), vectors(8))
    return representation_drift(*planted(), pairs, random_weights=copy, settings=QUICK)


def test_a_planted_change_is_found_and_nothing_else(planted_drift: RepresentationDrift) -> None:
    table = planted_drift.similarity.set_index(["tower", "layer", "statistic"])
    for place, row in table.iterrows():
        if place[:2] == ("passage", 2):
            assert row["value"] < row["halves"] + 0.2
            assert row["low"] - 0.05 <= row["chance"] <= row["high"] + 0.05, place
        else:
            assert row["value"] == pytest.approx(1, abs=1e-6), place
    assert set(table["value"].index.get_level_values("statistic")) == {"cka", "procrustes", "rsa", "neighbours"}
    assert planted_drift.texts == {"query": 60, "passage": 60}


def test_controls(planted_drift: RepresentationDrift) -> None:
    cka = planted_drift.similarity[planted_drift.similarity["statistic"] == "cka"]
    assert (cka["chance"] == 0).all()
    assert (cka["random_weights"].abs() < 0.5).all(), "another random model is unrelated"
    neighbours = planted_drift.similarity[planted_drift.similarity["statistic"] == "neighbours"]
    assert neighbours["chance"].iloc[0] == pytest.approx(5 / 59)


def test_two_nearly_equal_models_exceed_the_split_half_reference_and_not_the_ceiling() -> None:
    """Dimensions of their own information: halves of a model say little of one another, whatever moved."""
    rng = np.random.default_rng(3)
    base = [rng.standard_normal((N, LAYERS, DIM)).astype(np.float32) for _ in range(2)]
    near = [[v + 0.02 * rng.standard_normal(v.shape).astype(np.float32) for v in base] for _ in range(3)]
    one, two, *trainings = (retriever(*towers) for towers in (base, *near))
    planted_drift = representation_drift(one, two, other_trainings=trainings, settings=QUICK).similarity
    cka = planted_drift[planted_drift["statistic"] == "cka"]
    assert (cka["value"] > 0.99).all()
    assert (cka["halves"] < 0.5).all(), "a value of .99 is above it: no ceiling"
    assert (cka["value"] < cka["other_training"] + 0.002).all(), (
        "the ceiling: trainings that differ as much as these two do"
    )
    single = representation_drift(one, two, other_trainings=trainings[:1], settings=QUICK).similarity
    both = [
        representation_drift(one, two, other_trainings=[s], settings=QUICK).similarity["other_training"]
        for s in trainings
    ]
    np.testing.assert_allclose(planted_drift["other_training"], sum(both) / 2, rtol=1e-9)
    assert not np.allclose(single["other_training"], planted_drift["other_training"], rtol=1e-9)


def test_shape_of_both_sides(planted_drift: RepresentationDrift) -> None:
    shape = planted_drift.geometry.set_index(["side", "tower", "layer", "statistic"])["value"]
    assert shape["before", "query", 1, "anisotropy"] == shape["after", "query", 1, "anisotropy"]
    assert shape["before", "passage", 2, "anisotropy"] > 0.5
    assert abs(shape["after", "passage", 2, "anisotropy"]) < 0.1, "the planted cloud has no mean"
    assert shape["after", "both", 2, "alignment"] > shape["before", "both", 2, "alignment"]
    assert len(planted_drift.geometry) == 2 * 2 * LAYERS * 3 + 2 * LAYERS


def test_every_layer_against_every_other(planted_drift: RepresentationDrift) -> None:
    cross = planted_drift.layer_map.set_index(["tower", "layer_before", "layer_after"])["cka"]
    assert len(cross) == 2 * LAYERS**2
    assert cross["query", 1, 1] == pytest.approx(1)
    assert cross["query", 1, 2] > cross["query", 0, 3] > 0.2
    assert cross["passage", 2, 2] < 0.5


def test_the_same_seed_gives_the_same_table(planted_drift: RepresentationDrift) -> None:
    again = representation_drift(*planted(), settings=QUICK).similarity.drop(columns="random_weights")
    assert again.equals(planted_drift.similarity.drop(columns="random_weights"))


def test_what_cannot_be_paired() -> None:
    one, _ = planted()
    fewer = retriever(vectors(0)[:50], vectors(1))
    with pytest.raises(AnalysisError, match="cannot be paired"):
        representation_drift(one, fewer, settings=QUICK)
    with pytest.raises(SettingsError, match="texts is 10"):
        replace(QUICK, texts=10)
    with pytest.raises(SettingsError, match=f"texts is {N}"):
        replace(QUICK, texts=N, neighbours=N)
    with pytest.raises(
        AnalysisError, match=f"{N} distinct queries or passages are too few for intervals with {N} neigh"
    ):
        representation_drift(one, one, settings=replace(QUICK, texts=10 * N, neighbours=N))


def test_identical_texts_count_once() -> None:
    """Every text five times: the table is that of the texts alone; as distinct texts, every interval is narrower."""
    pairs = [(f"q{i}", f"p{i}") for i in range(N)]
    one, two = planted()
    alone = representation_drift(one, two, pairs, settings=replace(QUICK, texts=N))
    copies = [retriever(*(np.tile(t.texts(np.arange(N)), (5, 1, 1)) for t in (r.query, r.passage))) for r in (one, two)]
    many = [(f"q{i}", f"p{i}") for i in range(5 * N)]
    text_of = {tower: lambda i: f"Text  {int(i[1:]) % N}" for tower in ("query", "passage")}
    known, unknown = (
        representation_drift(*copies, many, text_of=t, settings=replace(QUICK, texts=5 * N)) for t in (text_of, None)
    )
    assert known.texts == alone.texts == {"query": N, "passage": N}
    assert unknown.texts["query"] == 5 * N
    for table in ("similarity", "geometry", "layer_map"):
        pd.testing.assert_frame_equal(getattr(known, table), getattr(alone, table))
    moved, naive = (
        f.similarity.set_index(["tower", "layer", "statistic"]).loc["passage", 2, "rsa"] for f in (known, unknown)
    )
    assert naive["high"] - naive["low"] < 0.7 * (moved["high"] - moved["low"])


def test_texts_are_compared_without_case_and_white_space() -> None:
    assert list(first_of_each(["A b", "c", " a  B", "C", "d"])) == [0, 1, 4]
