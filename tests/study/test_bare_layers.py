"""A comparison of decoders: layers with the final norm on each, and as the blocks leave them beside."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from retroscope.study.compare import compare
from retroscope.study.single import run_probes, run_retrieval
from retroscope.study.summary import summary, write_summary

from retroscope.collection.collection import Collection
from retroscope.drift.representations import DriftSettings
from retroscope.encoders.encode import final_norm
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.representations.extraction import ExtractionSettings
from retroscope.study.embed import plan_embedding
from retroscope.study.settings import ModelSettings, StudySettings
from retroscope.study.study import Study, load_study
from retroscope.study.verdict import verdict
from tiny_study import QUICK
from toys import TEXTS, save_toy

SETTINGS = replace(
    QUICK, neurons=None, transplants=None, drift=DriftSettings(texts=60, cross_texts=20, spectra=False, neighbours=5)
)


def idle(folder: Path, seed: int, name: str) -> Retriever:
    """A decoder whose blocks add nothing: every layer holds what layer 0 does, and the last has the norm besides."""
    found = load_retriever(save_toy("llama", folder, seed), pooling="mean", name=name)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in found.passage.backbone.named_parameters():
            if key.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.zero_()
        weight = final_norm(found.passage).weight
        weight.copy_(10 ** torch.empty(weight.shape).uniform_(-1.5, 1.5, generator=draw))
    return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Retriever, Retriever]:
    home = tmp_path_factory.mktemp("idle")
    return idle(home / "a", 0, "one"), idle(home / "b", 1, "two")


@pytest.fixture(scope="module")
def decoders(pair: tuple[Retriever, Retriever], halves: Collection, cache: Path) -> Study:
    return compare(*pair, halves, SETTINGS, cache=cache)


def test_layers_that_differ_by_the_norm_alone_retrieve_alike_and_without_it_do_not(decoders: Study) -> None:
    """The theorem, and the control that fails: read as the blocks leave them, the last layer seems to be another."""
    for side in ("before", "after"):
        normed, bare = (decoders.scores[f"{side}/{name}"].values for name in ("layers", "bare_layers"))
        for values in (normed.sel(layer=0), normed.sel(layer=1)):
            np.testing.assert_allclose(values, normed.sel(layer=2), atol=1e-12)
        np.testing.assert_array_equal(bare.sel(layer=2), normed.sel(layer=2))
        assert np.abs(bare.sel(layer=0) - bare.sel(layer=2)).max() > 0.05


def test_probes_and_representations_are_read_both_ways(decoders: Study) -> None:
    probed, bare = (decoders.scores[f"after/{name}"].values for name in ("probing", "bare_probing"))
    assert list(bare["control"].values) == ["none"]
    plain = probed.sel(control=["none"], probe=["cosine"])
    np.testing.assert_allclose(bare.sel(probe=["cosine"], layer=2), plain.sel(layer=2), atol=1e-12)
    np.testing.assert_allclose(plain.sel(layer=0), plain.sel(layer=2), atol=1e-12)
    assert not np.allclose(bare.sel(probe=["cosine"], layer=0), bare.sel(probe=["cosine"], layer=2), atol=0.01)
    place = ["tower", "statistic", "layer"]
    normed, found = (
        m.similarity.set_index(place)["value"] for m in (decoders.moved, decoders.bare_moved) if m is not None
    )
    assert normed["passage", "cka", 0] == pytest.approx(normed["passage", "cka", 2], abs=1e-4)
    assert found["passage", "cka", 2] == pytest.approx(normed["passage", "cka", 2], abs=1e-6)
    assert found["passage", "cka", 0] != pytest.approx(found["passage", "cka", 2], abs=1e-2)
    assert decoders.moved is not None
    assert decoders.moved.weights
    assert decoders.bare_moved is not None
    assert not decoders.bare_moved.weights


def test_the_verdict_rests_on_normed_layers_and_names_what_the_bare_ones_would_say(decoders: Study) -> None:
    (said,) = [s.text for s in verdict(decoders.findings()).everything() if s.topic == "layers"]
    assert "(RR@10), the final norm on each, the best is" in said
    assert "With the layers without the final norm, which the last one alone has, the best would be" in said


def test_the_page_the_tables_and_the_summary_hold_both(decoders: Study, tmp_path: Path) -> None:
    page = decoders.report(tmp_path).read_text("utf-8")
    made = write_summary(decoders, tmp_path)
    assert "Layers without the final norm" in page
    for name in ("layer_retrieval_bare", "own_question_bare", "probes_bare", "similarity_bare", "geometry_bare"):
        assert (tmp_path / "figures" / f"{name}.svg").exists()
    assert (tmp_path / "tables" / "layer_retrieval_bare.tex").exists()
    assert len(made["bare"]["layers"]) == len(made["layers"])
    again = load_study(tmp_path)
    assert {k: v for k, v in summary(again).items() if k != "timings"} == {
        k: v for k, v in summary(decoders).items() if k != "timings"
    }
    pd.testing.assert_frame_equal(again.bare_moved.similarity, decoders.bare_moved.similarity)


def test_it_can_be_left_out(
    pair: tuple[Retriever, Retriever], halves: Collection, decoders: Study, cache: Path, tmp_path: Path
) -> None:
    plain = replace(SETTINGS, extraction=ExtractionSettings(norm_each_layer=False), drift=None)
    found = compare(*pair, halves, plain, cache=cache)
    assert found.bare is None
    np.testing.assert_array_equal(found.scores["after/layers"].values, decoders.scores["after/bare_layers"].values)
    decoders.save(tmp_path)
    found.save(tmp_path)
    assert load_study(tmp_path).bare is None, "nothing of the earlier study is left"


def test_a_pair_without_a_final_norm_is_read_once(study: Study) -> None:
    assert study.bare is None
    assert summary(study)["bare"] is None
    (said,) = [s.text for s in verdict(study.findings()).everything() if s.topic == "layers"]
    assert "norm" not in said


def test_single_models_are_read_both_ways(pair: tuple[Retriever, Retriever], halves: Collection, cache: Path) -> None:
    measured, document = run_retrieval(pair[1], halves, SETTINGS, cache)
    assert len(document["bare_layers"]) == len(document["layers"]) == 3 * 2
    assert set(measured.scores) == {"retrieval", "layers", "bare_layers"}
    _, probed = run_probes(pair[1], halves, SETTINGS, cache)
    assert {row["control"] for row in probed["bare_records"]} == {"none"}


def test_embed_writes_every_layer_once(tmp_path: Path) -> None:
    folder = save_toy("llama", tmp_path / "m")
    settings = StudySettings(
        after=ModelSettings(source=str(folder), load=replace(ModelSettings().load, pooling="mean"))
    )
    assert plan_embedding(settings, list(TEXTS), "passage").plan.shape[0] == 3
