"""Other training runs in a study: planned, run, reported beside what is of one training alone."""

from dataclasses import replace
from pathlib import Path

import pytest
from transformers import BertConfig, BertModel

from retroscope.analyses import analyses
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.errors import EncoderError
from retroscope.probing.settings import ProbeSettings
from retroscope.study.planning.plan import plan_study
from retroscope.study.record import recorded_facts
from retroscope.study.reporting.missing import OF_TRAININGS
from retroscope.study.run import compare, forget, run_study
from retroscope.study.study import Study, load_study
from tiny_study import QUICK, Tiny, further_trainings

PROBES = ProbeSettings(probes=("cosine", "passage_only"), controls=("none",), passages=(3,), seeds=2)
KEPT = ("health", "retrieval", "training_runs", "probes")
LEFT_OUT = {name: None for name in analyses() if name not in KEPT}
FAST = replace(QUICK, random_weights=False, analyses={**LEFT_OUT, "probes": PROBES})
SWEEP = SweepSettings(measures=("RR@10",), transplants=("block:1", "block:2"), passages=0, draws=0)
WITHOUT_PROBES = {name: None for name in analyses() if name not in ("health", "retrieval", "training_runs", "weights")}
TRANSPLANTED = replace(FAST, analyses={**WITHOUT_PROBES, "transplants": SWEEP})
ALONE = "this section is about retriever alone."


@pytest.fixture(scope="module")
def further(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Retriever, ...]:
    return further_trainings(tiny, tmp_path_factory.mktemp("trainings"))


@pytest.fixture(scope="module")
def trained(
    backbone: Retriever, retriever: Retriever, further: tuple[Retriever, ...], collection: Collection, cache: Path
) -> Study:
    return compare(backbone, retriever, collection, FAST, trainings=further, cache=cache)


def test_the_report_says_over_how_many_trainings(trained: Study, tmp_path: Path) -> None:
    said = trained.report_contents.verdict
    assert said.headline is not None
    assert "this training run alone" in said.headline.text
    over = [s for s in said.statements if s.topic == "trainings"]
    assert over[0].text.startswith("Over 3 trainings and their queries together, ")
    page = trained.report(tmp_path).read_text("utf-8")
    assert '<section id="training_runs" ' in page
    assert "Retrieval over 3 training runs" in page
    assert 'aria-label="statistics of Over trainings"' in page
    assert load_study(tmp_path).summary()["analyses"] == trained.summary()["analyses"]


def test_transplants_enter_and_every_other_section_says_that_it_is_of_one(
    backbone: Retriever, retriever: Retriever, further: tuple[Retriever, ...], collection: Collection, tmp_path: Path
) -> None:
    def stopped(what: str, done: int, total: int) -> None:
        if what == "transplants of training-2: passage texts":
            raise KeyboardInterrupt

    pair, cache = {"before": backbone, "after": retriever}, tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        run_study(plan_study(pair, [collection], TRANSPLANTED, trainings=further, cache=cache), stopped)
    study = run_study(plan_study(pair, [collection], TRANSPLANTED, trainings=further, cache=cache))
    (document,) = study.summary()["analyses"]["transplants"]
    assert document["trainings"]["names"] == ["retriever", "training-1", "training-2"]
    assert [row["transplant"] for row in document["trainings"]["places"]] == ["block:1", "block:2", "all"]
    said = [s for s in study.report_contents.verdict.statements if s.name.startswith("transplants.restored.trainings")]
    assert said[0].text.startswith("Over 3 trainings and their queries together, restoring all of ")
    page = study.report(tmp_path / "study").read_text("utf-8")
    assert "Transplants over 3 trainings" in page
    sections = [name for name in study.report_contents.sections if not analyses()[name].over_trainings]
    assert {"health", "retrieval", "weights"} <= set(sections)
    assert "Of 3 training" in page
    assert page.count(ALONE) == len(sections)
    answer = study.report_contents.answer
    assert answer is not None
    assert f"{OF_TRAININGS}: weights were measured for retriever alone" in answer.missing_lines()
    assert load_study(tmp_path / "study").summary()["analyses"] == study.summary()["analyses"]
    assert (tmp_path / "study" / "tables" / "transplants_trainings.csv").exists()


def test_one_training_is_reported_as_before(
    backbone: Retriever, retriever: Retriever, collection: Collection, cache: Path, tmp_path: Path
) -> None:
    alone = compare(backbone, retriever, collection, FAST, cache=cache)
    assert "training_runs" not in alone.results
    assert "training_runs" not in alone.measured
    said = alone.report_contents.verdict
    assert said.headline is not None
    assert "this training run alone" not in said.headline.text
    assert not any("further training" in caveat for caveat in alone.facts["caveats"])
    assert ALONE not in alone.report(tmp_path / "alone").read_text("utf-8")
    answer = alone.report_contents.answer
    assert answer is not None
    assert not any(line.startswith(OF_TRAININGS) for line in answer.missing_lines())


@pytest.mark.parametrize(("kept", "counted"), [("groups", 1), ("training_runs", 3), ("transplants", 3)])
def test_trainings_count_only_where_they_are_measured(
    backbone: Retriever, retriever: Retriever, further: tuple[Retriever, ...], tmp_path: Path, kept: str, counted: int
) -> None:
    """Another analysis of an input that a study may lack, such as groups of queries, reads no other training run."""
    grouped = make_collection(
        "grouped",
        [Passage("p1", "the cat sat on the mat"), Passage("p2", "a dog ran in the park")],
        [Query("q1", "cat on mat", group="cats"), Query("q2", "dog in park", group="dogs")],
        [Judgment("q1", "p1", 1), Judgment("q2", "p2", 1)],
    )
    left_out = {name: None for name in analyses() if name not in ("health", "retrieval", kept)}
    settings = replace(FAST, analyses=left_out)
    pair = {"before": backbone, "after": retriever}
    plan = plan_study(pair, [grouped], settings, trainings=further, cache=tmp_path)
    assert kept in [step.analysis.name for step in plan.steps if step.planned]
    assert recorded_facts(plan, {}, None)["trainings"] == counted


def test_a_training_that_is_none_and_one_that_cannot_be_paired(
    tiny: Tiny, backbone: Retriever, retriever: Retriever, collection: Collection, cache: Path, tmp_path: Path
) -> None:
    without = replace(FAST, analyses={**FAST.analyses, "probes": None})
    study = compare(backbone, retriever, collection, without, trainings=[retriever], cache=cache)
    says = "retriever (2) has the same weights as retriever: it is not another training run"
    assert any(caveat.startswith(says) for caveat in study.facts["caveats"])
    shape = BertConfig.from_pretrained(tiny.retriever, num_hidden_layers=3)
    BertModel(shape, add_pooling_layer=False).save_pretrained(tmp_path)
    retriever.passage.tokenizer.save_pretrained(tmp_path)
    deep = load_retriever(tmp_path, pooling="mean", name="deep")
    with pytest.raises(EncoderError, match="layers cannot be paired: retriever has 2 blocks, deep has 3"):
        compare(backbone, retriever, collection, FAST, trainings=[deep], cache=cache)


def test_the_plan_counts_the_encodings(
    backbone: Retriever, retriever: Retriever, further: tuple[Retriever, ...], collection: Collection, tmp_path: Path
) -> None:
    pair = {"before": backbone, "after": retriever}
    plan = plan_study(pair, [collection], FAST, trainings=further, cache=tmp_path)
    alone = plan_study(pair, [collection], FAST, cache=tmp_path).document()
    document = plan.document()
    models = {tower["model"] for tower in document["towers"]} - {tower["model"] for tower in alone["towers"]}
    assert models == {"training 2", "training 3"}
    assert document["bytes"] > alone["bytes"]
    assert any(line.startswith("training 3, ") for line in plan.lines())


def test_a_stopped_run_goes_on_with_the_same_rankings_and_forgets_other_probes(
    backbone: Retriever, retriever: Retriever, further: tuple[Retriever, ...], collection: Collection, tmp_path: Path
) -> None:
    def stopped(what: str, done: int, total: int) -> None:
        if what == "training-1 (another training): probing":
            raise KeyboardInterrupt

    pair, cache = {"before": backbone, "after": retriever}, tmp_path / "cache"
    plan = plan_study(pair, [collection], FAST, trainings=further, cache=cache)
    whole = run_study(plan)
    whole.report(tmp_path / "whole")
    forget(plan)
    with pytest.raises(KeyboardInterrupt):
        run_study(plan_study(pair, [collection], FAST, trainings=further, cache=cache), stopped)
    again = run_study(plan_study(pair, [collection], FAST, trainings=further, cache=cache))
    again.report(tmp_path / "again")
    for side in ("before", "after"):
        one, two = (tmp_path / name / "measured" / "retrieval" / "0" / f"{side}.run" for name in ("whole", "again"))
        assert one.read_bytes() == two.read_bytes()
    assert again.summary()["analyses"] == whole.summary()["analyses"]
    other = replace(FAST, analyses={**FAST.analyses, "probes": replace(PROBES, passages=(2,))})
    changed = run_study(plan_study(pair, [collection], other, trainings=further, cache=cache))
    assert changed.measured["training_runs"][0].scores["2/probes"].values["passages"].values.tolist() == [2]
