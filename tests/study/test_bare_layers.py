"""A comparison of decoders: layers with the final norm on each, and as the blocks leave them beside."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from idle_decoder import idle_decoder
from retroscope.analyses.weights.settings import WeightSettings
from retroscope.collection.collection import Collection
from retroscope.drift.settings import DriftSettings
from retroscope.encoders.encoder import Retriever
from retroscope.inputs.settings import ModelSettings, StudySettings
from retroscope.representations.settings import ExtractionSettings
from retroscope.study.embed import plan_embedding
from retroscope.study.planning.plan import plan_study
from retroscope.study.run import compare, run_study
from retroscope.study.study import Study, load_study
from tiny_study import QUICK
from toys import TEXTS, save_toy

SETTINGS = replace(
    QUICK,
    analyses={
        **QUICK.analyses,
        "neurons": None,
        "transplants": None,
        "weights": WeightSettings(spectra=False),
        "representations": DriftSettings(texts=60, cross_texts=20, neighbours=5),
    },
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Retriever, Retriever]:
    home = tmp_path_factory.mktemp("idle")
    return idle_decoder(home / "a", 0, "one"), idle_decoder(home / "b", 1, "two")


@pytest.fixture(scope="module")
def decoders(pair: tuple[Retriever, Retriever], halves: Collection, cache: Path) -> Study:
    return compare(*pair, halves, SETTINGS, cache=cache)


def test_layers_that_differ_by_the_norm_alone_retrieve_alike_and_without_it_do_not(decoders: Study) -> None:
    """The theorem, and the control that fails: read as the blocks leave them, the last layer seems to be another."""
    scores = decoders.measured["layers"][0].scores
    for side in ("before", "after"):
        normed, bare = (scores[name].values for name in (side, f"{side}/bare"))
        for values in (normed.sel(layer=0), normed.sel(layer=1)):
            np.testing.assert_allclose(values, normed.sel(layer=2), atol=1e-12)
        np.testing.assert_array_equal(bare.sel(layer=2), normed.sel(layer=2))
        assert np.abs(bare.sel(layer=0) - bare.sel(layer=2)).max() > 0.05


def test_probes_and_representations_are_read_both_ways(decoders: Study) -> None:
    probed, bare = (decoders.measured["probes"][0].scores[name].values for name in ("after", "after/bare"))
    assert list(bare["control"].values) == ["none"]
    plain = probed.sel(control=["none"], probe=["cosine"])
    np.testing.assert_allclose(bare.sel(probe=["cosine"], layer=2), plain.sel(layer=2), atol=1e-12)
    np.testing.assert_allclose(plain.sel(layer=0), plain.sel(layer=2), atol=1e-12)
    assert not np.allclose(bare.sel(probe=["cosine"], layer=0), bare.sel(probe=["cosine"], layer=2), atol=0.01)
    place, drift = ["tower", "statistic", "layer"], decoders["representations"].first
    normed, found = (one.similarity.set_index(place)["value"] for one in (drift.drift, drift.bare))
    assert normed["passage", "cka", 0] == pytest.approx(normed["passage", "cka", 2], abs=1e-4)
    assert found["passage", "cka", 2] == pytest.approx(normed["passage", "cka", 2], abs=1e-6)
    assert found["passage", "cka", 0] != pytest.approx(found["passage", "cka", 2], abs=1e-2)
    assert decoders["weights"].by_tower, "of weights there is one reading"


def test_the_verdict_rests_on_normed_layers_and_names_what_the_bare_ones_would_say(decoders: Study) -> None:
    (statement,) = [s.text for s in decoders.report_contents.verdict.everything() if s.topic == "layers"]
    assert "(the final norm is applied to each layer) reaches the highest RR@10 at" in statement
    assert (
        "If the lower layers are searched as the model itself computes them, without the final norm, the highest RR@10 "
        "is at" in statement
    )


def test_the_page_the_tables_and_the_summary_hold_both(decoders: Study, tmp_path: Path) -> None:
    page = decoders.report(tmp_path).read_text("utf-8")
    assert "Layers without the final norm" in page
    for name in ("layer_retrieval_bare", "similarity_probe_bare", "probes_bare", "similarity_bare", "geometry_bare"):
        assert (tmp_path / "figures" / f"{name}.svg").exists()
    assert (tmp_path / "tables" / "layer_retrieval_bare.tex").exists()
    document = decoders.summary()["analyses"]
    (layers,) = document["layers"]
    assert len(layers["without_final_norm"]) == len(layers["effects"])
    assert {row["control"] for row in document["probes"]["without_final_norm"]} == {"none"}
    again = load_study(tmp_path)
    assert again.summary() == decoders.summary()
    one, two = (study["representations"].first.bare.similarity for study in (again, decoders))
    pd.testing.assert_frame_equal(one, two)


def bare_scores(study: Study) -> list[str]:
    """Return the names of everything that was measured without the final norm."""
    measurements = [one for found in study.measured.values() for one in found]
    return [name for one in measurements for name in (*one.scores, *one.frames) if "bare" in name]


def test_it_can_be_left_out(
    pair: tuple[Retriever, Retriever], halves: Collection, decoders: Study, cache: Path, tmp_path: Path
) -> None:
    left_out = {**SETTINGS.analyses, "representations": None, "weights": None}
    plain = replace(SETTINGS, extraction=ExtractionSettings(norm_each_layer=False), analyses=left_out)
    found = compare(*pair, halves, plain, cache=cache)
    assert bare_scores(found) == []
    one, two = (study.measured["layers"][0].scores for study in (found, decoders))
    np.testing.assert_array_equal(one["after"].values, two["after/bare"].values)
    decoders.save(tmp_path)
    found.save(tmp_path, overwrite=True)
    assert bare_scores(load_study(tmp_path)) == [], "nothing of the earlier study is left"


def test_a_pair_without_a_final_norm_is_read_once(study: Study) -> None:
    assert bare_scores(study) == []
    document = study.summary()["analyses"]
    assert document["layers"][0]["without_final_norm"] == document["probes"]["without_final_norm"] == []
    assert document["representations"][0]["without_final_norm"] is None
    (statement,) = [s.text for s in study.report_contents.verdict.everything() if s.topic == "layers"]
    assert "norm" not in statement


def test_single_models_are_read_both_ways(pair: tuple[Retriever, Retriever], halves: Collection, cache: Path) -> None:
    study = run_study(plan_study({"model": pair[1]}, [halves], SETTINGS, cache=cache))
    layers, probes = (study.summary()["analyses"][name] for name in ("layers", "probes"))
    assert len(layers["without_final_norm"]) == len(layers["layers"]) == 3 * 2
    assert set(study.measured["layers"][0].scores) == {"model", "model/bare"}
    assert {row["control"] for row in probes["without_final_norm"]} == {"none"}


def test_embed_writes_every_layer_once(tmp_path: Path) -> None:
    folder = save_toy("llama", tmp_path / "m")
    settings = StudySettings(
        after=ModelSettings(source=str(folder), load=replace(ModelSettings().load, pooling="mean"))
    )
    assert plan_embedding(settings, list(TEXTS), "passage").plan.shape[0] == 3
