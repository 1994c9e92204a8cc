"""Both towers over a collection: the right texts through the right encoder, made once."""

from pathlib import Path

import numpy as np
import pytest

from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.encoders.encode import encode_layers
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.representations.represent import plan_towers, represent
from retroscope.representations.settings import ExtractionSettings
from retroscope.representations.windows import WindowWorker
from toys import save_toy

PASSAGES = [Passage("p1", "the river floods", "Spring"), Passage("p2", "a red mat"), Passage("p3", "", "Moon")]
QUERIES = [Query("q1", "who wrote the book"), Query("q2", "red mat"), Query("q3", "never judged")]
JUDGMENTS = [Judgment("q1", "p1"), Judgment("q2", "p2")]


def collection(separator: str = " ") -> Collection:
    return make_collection("toy", PASSAGES, QUERIES, JUDGMENTS, title_separator=separator)


@pytest.fixture
def retriever(tmp_path: Path) -> Retriever:
    folder = save_toy("bert", tmp_path / "model")
    return load_retriever(folder, pooling="mean", query_prompt="who ", passage_prompt="the ", similarity="cosine")


def test_each_tower_reads_its_own_texts(retriever: Retriever, tmp_path: Path) -> None:
    vectors = represent(retriever, collection(), tmp_path / "cache")
    assert vectors.query.ids == ["q1", "q2", "q3"]
    assert vectors.passage.ids == ["p1", "p2", "p3"]
    queries = encode_layers(retriever.query, [q.text for q in QUERIES])
    passages = encode_layers(retriever.passage, ["Spring the river floods", "a red mat", "Moon "])
    np.testing.assert_allclose(vectors.query.final(), queries.final, atol=1e-5)
    np.testing.assert_allclose(vectors.passage.layer(1), passages.layers[:, 1], atol=1e-5)
    assert (vectors.name, vectors.similarity) == (retriever.name, "cosine")


def test_the_title_separator_is_read_and_keyed(retriever: Retriever, tmp_path: Path) -> None:
    spaced, dashed = (represent(retriever, collection(s), tmp_path / "cache") for s in (" ", " - "))
    assert not np.allclose(spaced.passage.final()[0], dashed.passage.final()[0])
    np.testing.assert_allclose(spaced.passage.final()[1], dashed.passage.final()[1], atol=1e-5)
    assert spaced.recipe["query"]["vectors"] == dashed.recipe["query"]["vectors"]
    assert spaced.recipe["passage"]["vectors"] != dashed.recipe["passage"]["vectors"]


def test_stored_vectors_are_reused(retriever: Retriever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    towers = plan_towers(retriever, collection(), tmp_path / "cache")
    assert not any(tower.is_stored for tower in towers)
    assert all(tower.operations > 0 for tower in towers)
    progress_calls: list[tuple[str, int, int]] = []
    first = represent(retriever, collection(), tmp_path / "cache", progress=lambda *news: progress_calls.append(news))
    assert list(dict.fromkeys(progress_calls)) == [
        ("query", 0, 3),
        ("query", 3, 3),
        ("passage", 0, 3),
        ("passage", 3, 3),
    ]
    towers = plan_towers(retriever, collection(), tmp_path / "cache")
    assert [(tower.is_stored, tower.operations) for tower in towers] == [(True, 0.0), (True, 0.0)]

    def no_window(*args: object) -> None:
        raise AssertionError("the model ran")

    monkeypatch.setattr(WindowWorker, "compute", no_window)
    again = represent(retriever, collection(), tmp_path / "cache")
    np.testing.assert_array_equal(again.passage.final(), first.passage.final())


def test_the_recipe_says_what_made_the_vectors(retriever: Retriever, tmp_path: Path) -> None:
    vectors = represent(retriever, collection(), tmp_path / "cache", ExtractionSettings(dtype="float16"))
    said = vectors.recipe["passage"]
    assert said["recipe"]["prompt"] == "the "
    assert (said["dtype"], said["texts"], said["distinct"], said["at_max_length"]) == ("float16", 3, 3, 0)
    assert said["fingerprint"] == retriever.passage.fingerprint
    assert (tmp_path / "cache" / f"{said['vectors'][:32]}.zarr").is_dir()
