"""Neurons of a pair and of one model: both towers, the same negatives, kept exactly, reported."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from torch.nn.functional import normalize

from analyses_one import context_of, measured, reported, subject_of
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement, load_measurement
from retroscope.analyses.neurons import ANALYSIS, measure
from retroscope.analyses.neurons.ablation.curves import ablation_curves
from retroscope.analyses.neurons.attribute import attribute
from retroscope.analyses.neurons.measure import INSTRUMENT
from retroscope.analyses.neurons.one_model import plan_texts
from retroscope.analyses.neurons.report import published_files
from retroscope.analyses.neurons.result import AblationCurves, NeuronResult
from retroscope.analyses.neurons.settings import NeuronAblationSettings, NeuronsSettings
from retroscope.analyses.neurons.stored import attributed, stored
from retroscope.analyses.section import Reading, Section
from retroscope.attribution.examples import collection_examples, with_shared_negatives
from retroscope.attribution.result import NeuronAttribution
from retroscope.attribution.settings import AttributionSettings
from retroscope.collection.collection import Collection
from retroscope.collection.negatives import hard_negatives
from retroscope.encoders.encode import encode_layers
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.errors import SettingsError
from retroscope.inputs.settings import ModelSettings, StudySettings
from retroscope.statistics.settings import ComparisonSettings
from tiny_study import Tiny

SIDES = ("before", "after")
STUDY = StudySettings(measures=("RR@10", "R@10"), statistics=ComparisonSettings(resamples=200, permutations=200))
QUICK = NeuronsSettings(
    attribution=AttributionSettings(limit=6, quadrature="gauss:2"),
    ablation=NeuronAblationSettings(draws=2, fractions=(0.01, 0.1)),
)
BOTH = replace(QUICK, attribution=replace(QUICK.attribution, tower="both"))


@pytest.fixture(scope="module")
def context(tiny: Tiny, cache: Path) -> Context:
    return context_of(tiny, cache, STUDY)


@pytest.fixture(scope="module")
def pair(context: Context, tmp_path_factory: pytest.TempPathFactory) -> Measurement:
    return measured(ANALYSIS, context, BOTH, tmp_path_factory.mktemp("pair") / "neurons")


@pytest.fixture(scope="module")
def pair_report(context: Context, pair: Measurement) -> tuple[NeuronResult, Section]:
    return reported(ANALYSIS, [pair], subject_of(context))


@pytest.fixture(scope="module")
def backbone(context: Context) -> Retriever:
    return context.models["before"]


@pytest.fixture(scope="module")
def retriever(context: Context) -> Retriever:
    return context.models["after"]


@pytest.fixture(scope="module")
def collection(context: Context) -> Collection:
    return context.collection


def test_both_towers_are_attributed_and_kept(pair_report: tuple[NeuronResult, Section]) -> None:
    result, section = pair_report
    assert list(result.towers) == ["passage", "query"]
    for tower, neurons in result.towers.items():
        assert list(neurons.sides) == list(SIDES)
        assert all(side.recipe["tower"] == tower for side in neurons.sides.values())
        assert all(ablation.recipe["towers"] == [tower] for ablation in neurons.ablations.values())
    assert section.document["query"]["after"]["recipe"]["tower"] == "query"
    assert {*section.document["passage"]} == {"before", "after", "differences", "overlap"}
    assert not section.left_out


def test_the_margins_of_both_sides_and_towers_are_against_the_same_passage(
    pair: Measurement, pair_report: tuple[NeuronResult, Section]
) -> None:
    found = [side.attribution for neurons in pair_report[0].towers.values() for side in neurons.sides.values()]
    negatives = [made.scores.values.coords["negative"].values.tolist() for made in found]
    assert all(some == negatives[0] for some in negatives)
    assert all("both retrievers" in made.recipe["negative"] for made in found)
    assert pair.caveats == ("neurons: 6 of 90 queries were drawn (seed 0)",)


def test_alone_each_retriever_would_take_another_negative(
    backbone: Retriever, retriever: Retriever, collection: Collection
) -> None:
    """The control: with each side's own hardest the two differ, so that the agreement above is no accident."""
    candidates = hard_negatives(collection, 4).candidates
    alone = [
        [u.negative for u in collection_examples(r, collection, candidates, AttributionSettings())]
        for r in (backbone, retriever)
    ]
    assert alone[0] != alone[1]


def test_the_shared_negative_has_the_smallest_mean_rank(
    backbone: Retriever, retriever: Retriever, collection: Collection
) -> None:
    candidates = hard_negatives(collection, 4).candidates
    settings = AttributionSettings(limit=5)
    for made in with_shared_negatives((backbone, retriever), collection, candidates, settings):
        given = next(c.negatives for c in candidates if c.query_id == made.query_id)
        ranks = np.zeros(len(given))
        for r in (backbone, retriever):
            texts = [collection.queries[made.query_id].text, *map(collection.passage_text, given)]
            query, *passages = normalize(encode_layers(r.passage, texts).final, dim=-1)
            order = sorted(range(len(given)), key=lambda k: -float(query @ passages[k]))
            ranks += [order.index(k) for k in range(len(given))]
        (negative,) = made.negatives
        assert ranks[given.index(negative)] == ranks.min()


def test_the_report_shows_both_towers(pair_report: tuple[NeuronResult, Section]) -> None:
    _, section = pair_report
    texts = [s.text for s in (*section.statements, *section.unconfirmed)]
    for tower in ("Passage", "Query"):
        assert any(
            text.startswith(f"{tower} tower: ") and "the top neurons (those with the largest attribution)" in text
            for text in texts
        )
        assert any(text.startswith(f"{tower} tower: Completeness") for text in texts)
    assert all(s.doubts for s in section.unconfirmed)
    assert not any(s.doubts for s in section.statements)
    assert {"neuron_ablation", "query_neuron_ablation"} <= {*section.frames}
    assert list(section.large) == ["neurons", "query_neurons"]
    assert section.tables["query_neuron_shares"].caption.startswith("Query tower. ")
    names = [figure.name for figure in section.figures]
    assert names[len(names) // 2 :] == [f"query_{name}" for name in names[: len(names) // 2]]
    assert list(section.methods) == ["Neurons", "Neurons, query tower"]


def test_what_is_measured_is_kept_to_the_last_bit(context: Context, pair: Measurement, tmp_path: Path) -> None:
    first = attributed(pair)
    overlaps = {tower: pair.frames[f"{tower}/overlap"] for tower in first}
    stored(first, overlaps).save(tmp_path / "again")
    again = attributed(load_measurement(tmp_path / "again"))
    assert [*again] == [*first] == ["passage", "query"]
    for tower in first:
        for side in SIDES:
            assert_same(first[tower][side].attribution, again[tower][side].attribution)
            one, two = first[tower][side].ablation, again[tower][side].ablation
            assert one is not None
            assert two is not None
            xr.testing.assert_identical(one.scores.values, two.scores.values)
            xr.testing.assert_identical(one.intact.values, two.intact.values)
            pd.testing.assert_frame_equal(one.table, two.table)
            pd.testing.assert_frame_equal(one.areas, two.areas)
            assert (one.recipe, one.warnings, one.scores.passages) == (two.recipe, two.warnings, two.scores.passages)


def assert_same(one: NeuronAttribution, two: NeuronAttribution) -> None:
    xr.testing.assert_identical(one.scores.values.rename("values"), two.scores.values.rename("values"))
    assert (one.scores.passages, one.scores.warnings) == (two.scores.passages, two.scores.warnings)
    assert [*one.neurons] == [*two.neurons]
    for part, neurons in one.neurons.items():
        xr.testing.assert_identical(neurons, two.neurons[part])
        assert [*neurons.data_vars] == [*two.neurons[part].data_vars]
        assert {n: str(v.dtype) for n, v in neurons.items()} == {n: str(v.dtype) for n, v in two.neurons[part].items()}
    assert (one.examples, one.noise, one.recipe, one.warnings) == (two.examples, two.noise, two.recipe, two.warnings)
    assert one.noise_warned == two.noise_warned


def test_an_attribution_that_was_never_kept_is_the_one_that_was(context: Context, tmp_path: Path) -> None:
    """Against what `measure` returned, not what was loaded: warnings of the side included, which no array carries."""
    settings = replace(BOTH, ablation=None)
    measurement = INSTRUMENT.measure(context, settings, INSTRUMENT.plan(context, settings))
    measurement.save(tmp_path / "kept")
    kept = load_measurement(tmp_path / "kept")
    fresh, loaded = (attributed(one)["passage"]["after"].attribution for one in (measurement, kept))
    assert_same(fresh, loaded)
    assert fresh.scores.passages
    assert (
        fresh.neurons["intermediate"]["count"].dtype.kind == loaded.neurons["intermediate"]["count"].dtype.kind == "i"
    )


def test_one_tower_is_enough_if_it_is_asked_for(context: Context, tmp_path: Path) -> None:
    settings = NeuronsSettings(attribution=replace(QUICK.attribution, tower="query"), ablation=None)
    result, section = reported(ANALYSIS, [measured(ANALYSIS, context, settings, tmp_path / "one")], subject_of(context))
    assert list(result.towers) == ["query"]
    assert result.main.sides["after"].recipe["tower"] == "query"
    assert not result.main.ablations
    assert list(section.document) == ["query"]
    assert "neuron_profile" in section.frames
    assert section.left_out == {"neurons of the passage tower": "--set neurons.attribution.tower=both"}
    assert not any(s.text.startswith("Query tower") for s in (*section.statements, *section.unconfirmed))


def test_what_a_pair_takes_is_said_before(context: Context) -> None:
    planned = INSTRUMENT.plan(context, BOTH)
    roles = [f"{side}, {tower} tower" for side in SIDES for tower in ("passage", "query")]
    assert list(planned.document["neurons"]) == roles
    size = planned.document["neurons"]["after, passage tower"]
    assert (size["ablations"], size["ablation_texts"]) == (2 * (4 + 2) + 2, 180)
    assert planned.lines[0].startswith("neurons: target margin, method weight_path, ")
    assert planned.lines[1].startswith("  before, passage tower: 6 examples at most, about ")
    assert planned.seconds > 0


def single(context: Context) -> Context:
    """The retriever alone."""
    return replace(context, models={"model": context.models["after"]})


@pytest.fixture(scope="module")
def one(context: Context, tmp_path_factory: pytest.TempPathFactory) -> Measurement:
    return measured(ANALYSIS, single(context), QUICK, tmp_path_factory.mktemp("one") / "neurons")


def alone(found: Measurement, context: Context) -> Section:
    reporter = ANALYSIS.reporter()
    assert reporter.alone is not None
    return reporter.alone(found, Reading(subject_of(context)))


def test_one_model_has_one_tower_and_a_document(context: Context, one: Measurement) -> None:
    section = alone(one, single(context))
    assert {*section.document} == {"plan", "examples", "noise", "recipe", "warnings", "ablation", "statistics", "top"}
    assert section.document["recipe"]["tower"] == "passage"
    assert section.document["plan"]["examples"] == 6
    shares = [row["share"] for row in section.document["top"]]
    assert len(shares) == 20
    assert shares == sorted(shares, reverse=True)
    assert {s.rests_on for s in section.statements} == {("model",)}
    assert section.printed == ("neuron_ablation_narrow",)
    assert any(text.startswith("neurons: 6 of 90 queries were drawn") for text in one.caveats)
    assert not section.files


def test_one_model_is_not_asked_for_both_towers(context: Context) -> None:
    with pytest.raises(SettingsError, match=r"one attribution covers one tower(.|\n)*give query or passage"):
        INSTRUMENT.refusal(single(context), BOTH)


def test_the_plan_of_one_model_counts_what_is_run(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan attributes and encodes nothing."""
    settings = replace(QUICK, ablation=None)
    with monkeypatch.context() as patch:
        patch.setattr(measure, "plan_on_collection", lambda *_: pytest.fail("a plan attributes nothing"))
        planned = INSTRUMENT.plan(single(context), settings)
    size = planned.document["neurons"]["model, passage tower"]
    measurement = INSTRUMENT.measure(single(context), settings, planned)
    assert (size["examples"], size["ablations"]) == (measurement.facts["plan"]["examples"], 0)
    assert planned.seconds == size["seconds"] > 0


def test_the_published_protocol_ablates_the_retriever_as_it_searches(
    tiny: Tiny, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published way of embedding is for the neuron counts; retrieval under ablation stays the retriever's own."""
    retriever = load_retriever(str(tiny.retriever), pooling="mean", max_length=32, protocol="ielab-2025")
    context = context_of(tiny, cache, replace(STUDY, protocol="ielab-2025"))
    context = replace(context, models={"model": retriever})
    ablated: list[Retriever] = []

    def watched(retriever: Retriever, *rest: Any, **named: Any) -> AblationCurves:
        ablated.append(retriever)
        return ablation_curves(retriever, *rest, **named)

    monkeypatch.setattr(measure, "ablation_curves", watched)
    neurons = attributed(INSTRUMENT.measure(context, QUICK, INSTRUMENT.plan(context, QUICK)))["passage"]["model"]
    assert ablated == [retriever]
    assert neurons.recipe["recipe"]["pad_to_max"] is False  # the counts are of the published batches
    assert retriever.passage.recipe.pad_to_max is True
    assert neurons.ablation is not None
    assert any("or another recipe" in w for w in neurons.ablation.warnings)


def test_a_file_of_texts_has_counts_and_no_ablation(tiny: Tiny, cache: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("ana is a doctor\nbela is a baker\nana is a doctor\n", "utf-8")
    chosen = NeuronsSettings(
        attribution=AttributionSettings(target="norm", quadrature="gauss:2", thresholds=(0.1,), limit=0)
    )
    model = ModelSettings(source=str(tiny.retriever))
    settings = replace(STUDY, after=model, protocol="ielab-2025", analyses={"neurons": chosen})
    settings = replace(settings, after=replace(model, load=replace(model.load, pooling="mean")))
    plan = plan_texts(settings, texts, cache)
    assert plan.document()["plan"]["examples"] == 2, "equal texts are one"
    measurement = plan.measure()
    measurement.save(tmp_path / "kept")
    neurons = attributed(load_measurement(tmp_path / "kept"))["passage"]["model"]
    assert neurons.ablation is None
    files = published_files(neurons.attribution)
    assert list(files) == ["neurons-0.1.json"]
    counts = files["neurons-0.1.json"]["attributions"]
    assert {*counts} == {f"layer_{k}_{part}" for k in (0, 1) for part in ("intermediate", "output")}
    assert files["neurons-0.1.json"]["encoder_type"] == "mean"
    json.dumps(files)


def test_a_file_of_texts_has_no_margin(tiny: Tiny, cache: Path, tmp_path: Path) -> None:
    settings = replace(STUDY, after=ModelSettings(source=str(tiny.retriever)), analyses={"neurons": QUICK})
    with pytest.raises(SettingsError, match=r"'margin' needs queries and passages(.|\n)*--target norm"):
        plan_texts(settings, tmp_path / "none.txt", cache)


def test_a_retriever_alone_has_one_tower(retriever: Retriever, collection: Collection) -> None:
    attribution = attribute(retriever, collection, AttributionSettings(limit=2, quadrature="gauss:1"))
    assert attribution.recipe["tower"] == "passage"
    with pytest.raises(SettingsError, match=r"one attribution covers one tower(.|\n)*give query or passage"):
        attribute(retriever, collection, AttributionSettings(limit=2, tower="both"))


def test_settings_name_the_towers_of_a_comparison() -> None:
    assert AttributionSettings(tower="both").towers == ("passage", "query")
    assert NeuronsSettings().attribution.towers == AttributionSettings(tower="query").towers == ("query",)
    assert AttributionSettings(tower="passage").towers == ("passage",)
    with pytest.raises(SettingsError, match="unknown tower"):
        AttributionSettings(tower="left")
