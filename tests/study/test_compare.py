"""A whole comparison: complete, the same twice, the same after an interruption, and honest about its doubts."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from altair.utils.schemapi import validate_jsonschema
from jsonschema import ValidationError

from retroscope.analyses import analyses
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.representations.measure import INSTRUMENT as REPRESENTATIONS
from retroscope.analyses.transplants.interactions import subset_names
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Candidates, Judgment, Passage, Query
from retroscope.drift.settings import DriftSettings
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.errors import AnalysisError, CollectionError, DamageError, EncoderError
from retroscope.inputs.choices import choices_of
from retroscope.inputs.pairing import compared_like, recipe_differences
from retroscope.inputs.settings import NegativesSettings, StudySettings
from retroscope.probing.settings import ProbeSettings
from retroscope.study.planning.plan import plan_study
from retroscope.study.run import KEPT, compare, run_study
from retroscope.study.settings import as_values
from retroscope.study.study import Study, load_study
from retroscope.surgery.transplant import OUTSIDE
from tiny_study import CONTROLS, PROBES, QUICK, Tiny
from toys import save_toy

LEAST = replace(
    QUICK,
    measures=("RR@10",),
    analyses={
        **QUICK.analyses,
        "layers": None,
        "probes": ProbeSettings(probes=("cosine",), controls=("none",), passages=(2,), seeds=1),
        "transplants": None,
        "baselines": None,
        "neurons": None,
        "representations": None,
    },
)


def but(settings: StudySettings, **analyses: Any) -> StudySettings:
    """Return the settings with others of some analyses; None leaves one out."""
    return replace(settings, analyses={**settings.analyses, **analyses})


def but_measured(study: Study, name: str, **changes: Any) -> Study:
    """Return the study with another measurement of one analysis on the first collection."""
    first, *others = study.measured[name]
    return replace(study, measured={**study.measured, name: (replace(first, **changes), *others)})


def numbers(study: Study) -> dict[str, Any]:
    """The summary without what may differ between two runs of the same study."""
    return {name: value for name, value in study.summary().items() if name != "timings"}


def test_the_report_folder_is_complete(study: Study, tmp_path: Path) -> None:
    page = study.report(tmp_path / "out")
    assert page == tmp_path / "out" / "report.html"
    file_names = {path.name for path in page.parent.iterdir()}
    assert file_names == {"report.html", "tables", "figures", "measured", "settings.yaml", "study.json", "summary.json"}
    measured = {f"{path.parent.name}/{path.name}" for path in (page.parent / "measured").glob("*/*")}
    assert measured == {
        "retrieval/0", "layers/0", "probes/0", "weights/0", "representations/0", "neurons/0", "transplants/0",
        "baselines/0",
    }  # fmt: skip
    runs = {path.name for path in (page.parent / "measured" / "retrieval" / "0").glob("*.run")}
    assert runs == {"before.run", "after.run"}
    assert {name: set(study.measured[name][0].scores) for name in ("retrieval", "layers", "probes")} == {
        name: {"before", "after"} for name in ("retrieval", "layers", "probes")
    }
    assert set(study.measured["representations"][0].scores) == {"before/whitened", "after/whitened"}
    assert set(study.measured["transplants"][0].scores) == {
        f"{direction}/{name}" for direction in ("restored", "grafted") for name in ("intact", "hybrids", "random")
    }
    models = ("before", "after", "random_weights")
    assert set(study.measured["baselines"][0].scores) == {
        *(f"{kind}/{model}" for kind in ("variants", "best") for model in models), "shuffled", "bm25",
    }  # fmt: skip


def test_every_figure_is_vega_lite_as_its_schema_has_it(study: Study) -> None:
    specifications = [s for one in study.report_contents.figures for s in (one.specification, one.paper_specification)]
    assert len(specifications) > 20
    schema = alt.load_schema()
    for specification in {id(one): one for one in specifications}.values():
        validate_jsonschema(specification, schema)  # `Chart.from_dict` checks each part again
    broken = {**specifications[0], "layer": [{"mark": "no such mark"}]}
    with pytest.raises(ValidationError, match="no such mark"):
        validate_jsonschema(broken, schema)


def test_what_cannot_be_compared_is_known_before(tmp_path: Path) -> None:
    """Known before anything is encoded: Fifteen queries are too few for intervals of drift, families do not mix."""
    words = [f"{a} {b}" for a in ("red", "old", "small") for b in ("book", "moon", "cat", "river", "star")]
    passages = [Passage(f"p{i}", f"the {text} number {n}") for n in range(4) for i, text in enumerate(words, 20 * n)]
    queries = [Query(f"q{i}", text) for i, text in enumerate(words)]
    judged = [Judgment(f"q{i}", f"p{i + 20 * n}") for i in range(15) for n in range(4)]
    few = make_collection("few", passages, queries, judged)
    one, two = (load_retriever(save_toy("bert", tmp_path / name), pooling="mean") for name in ("one", "two"))

    def refused(second: Retriever, collection: Collection) -> str:
        pair = {"before": one, "after": second}
        return REPRESENTATIONS.refusal(Context(pair, collection, QUICK, tmp_path), DriftSettings())

    assert "15 distinct query texts are too few" in refused(two, few)
    repeated = [Query(f"q{i}", f"{'the'.upper()} {words[i % 15]} " + "  " * (i // 15)) for i in range(45)]
    again = make_collection("few", passages, repeated, judged)
    assert "15 distinct query texts are too few" in refused(two, again), "45 queries of 15 texts"
    other = load_retriever(save_toy("roberta", tmp_path / "other"), pooling="mean")
    assert "one is a bert of 2 blocks, the other a roberta" in refused(other, few)


def same_measurement(one: Measurement, two: Measurement) -> None:
    assert set(one.scores) == set(two.scores)
    for name, scores in one.scores.items():
        assert two.scores[name].values.equals(scores.values), name
        assert (two.scores[name].name, two.scores[name].warnings) == (scores.name, scores.warnings)
    assert set(one.frames) == set(two.frames)
    for name, frame in one.frames.items():
        pd.testing.assert_frame_equal(frame, two.frames[name])
    assert set(one.datasets) == set(two.datasets)
    for name, dataset in one.datasets.items():
        xr.testing.assert_equal(dataset, two.datasets[name])
    assert (one.facts, one.caveats, one.seconds, one.collection) == (
        two.facts,
        two.caveats,
        two.seconds,
        two.collection,
    )


def test_a_loaded_study_is_the_saved_one(study: Study, tmp_path: Path) -> None:
    study.save(tmp_path)
    loaded = load_study(tmp_path)
    assert loaded.settings == study.settings
    assert loaded.facts == study.facts
    assert set(loaded.measured) == set(study.measured)
    for name, measurements in study.measured.items():
        for one, two in zip(measurements, loaded.measured[name], strict=True):
            same_measurement(one, two)
    assert loaded.summary() == study.summary()


def test_the_summary_has_what_transplants_found(study: Study) -> None:
    """The controls and interactions; no key without transplants."""
    found, (document,) = study["transplants"].first, study.summary()["analyses"]["transplants"]
    assert len(found.controls) > 0, "a place with a significant effect, and so a control"
    listed = [(row["direction"], row["transplant"], row["beats"]) for row in document["controls"]]
    assert listed == list(zip(*(found.controls[c] for c in ("direction", "transplant", "beats")), strict=True))
    assert document["interactions"] == {}, "not asked for"
    names = list(subset_names(["1", OUTSIDE]).values())
    scores = study.measured["transplants"][0].scores
    hybrids = scores["restored/hybrids"]
    values = hybrids.values.isel(transplant=[0] * 4).assign_coords(transplant=names)
    added = values + xr.DataArray([0.0, -0.1, -0.2, -0.4], {"transplant": names}, ("transplant",))
    subsets = {**scores, "restored/subsets": replace(hybrids, values=added)}
    (asked,) = but_measured(study, "transplants", scores=subsets).summary()["analyses"]["transplants"]
    rows = asked["interactions"]["restored"]
    assert [(r["group"], round(r["effect"], 6)) for r in rows["shapley"]] == [("1", -0.15), (OUTSIDE, -0.25)]
    assert [(r["pair"], round(r["effect"], 6)) for r in rows["pairs"]] == [(f"1 x {OUTSIDE}", -0.1)]
    kept = {name: one for name, one in study.measured.items() if name != "transplants"}
    assert "transplants" not in replace(study, measured=kept).summary()["analyses"]


def test_a_saved_study_holds_nothing_of_an_earlier_one(study: Study, tmp_path: Path) -> None:
    study.save(tmp_path)
    replace(study, measured={"retrieval": study.measured["retrieval"]}).save(tmp_path)
    loaded = load_study(tmp_path)
    assert set(loaded.measured) == {"retrieval"}
    assert [path.name for path in (tmp_path / "measured").iterdir() if path.is_dir()] == ["retrieval"]


def test_a_study_of_before_the_schema_was_raised_is_refused(study: Study, tmp_path: Path) -> None:
    """With what wrote it and what to do, whatever else the folder holds."""
    study.save(tmp_path)
    facts = json.loads((tmp_path / "study.json").read_text("utf-8"))
    del facts["checksum"]  # early versions wrote none
    old = {**facts, "schema": 1, "versions": {**facts["versions"], "retroscope": "0.0.9"}}
    (tmp_path / "study.json").write_text(json.dumps(old), "utf-8")
    says = r"schema 1, written by retroscope 0\.0\.9, but this version reads only schema 2.*\n  fix: .*0\.0\.9.*repeat"
    with pytest.raises(AnalysisError, match=f"(?s){says}"):
        load_study(tmp_path)


def test_a_study_that_was_never_finished_is_not_loaded(study: Study, tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="this folder holds no study"):
        load_study(tmp_path)
    with pytest.raises(AnalysisError, match="this folder does not exist"):
        load_study(tmp_path / "study")
    study.save(tmp_path)
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(DamageError, match="this file is damaged: its content does not match its checksum"):
        load_study(tmp_path)
    (tmp_path / "study.json").write_text('{"schema": 99}')
    with pytest.raises(AnalysisError, match="has schema 99, but this version reads only schema 2"):
        load_study(tmp_path)


def test_a_distance_that_is_not_finite_survives_json(study: Study, tmp_path: Path) -> None:
    facts = json.loads(json.dumps(study.facts))
    facts["models"]["before"]["towers"][0]["self_tests"][0].update(passed=False, value=None)
    replace(study, facts=facts, measured={"retrieval": study.measured["retrieval"]}).save(tmp_path)
    assert load_study(tmp_path).subject.before.towers[0].self_tests[0].value == float("inf")


def test_the_summary_is_json_without_nan(study: Study, tmp_path: Path) -> None:
    study.report(tmp_path)

    def refuse(word: str) -> None:
        raise AssertionError(word)

    document = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert document["schema"] == 2
    assert document["settings"] == as_values(QUICK)


def test_the_summary_has_the_promised_shapes(study: Study) -> None:
    document = study.summary()["analyses"]
    (retrieval,) = document["retrieval"]
    assert list(retrieval["measures"]) == ["RR@10", "R@10"]
    record = retrieval["measures"]["RR@10"]
    for side in ("before", "after"):
        assert set(record[side]) == {"mean", "ci_low", "ci_high"}
        assert record[side]["ci_low"] <= record[side]["mean"] <= record[side]["ci_high"]
    assert {"mean", "ci_low", "ci_high", "p"} <= set(record["difference"])
    assert record["difference"]["mean"] == pytest.approx(record["after"]["mean"] - record["before"]["mean"])
    probes = document["probes"]
    asked = {"side", "model", "probe", "control", "n_passages", "layer", "accuracy", "ci_low", "ci_high", "seeds"}
    assert all(asked <= set(row) for row in probes["records"])
    cells = {(r["side"], r["probe"], r["control"], r["n_passages"], r["layer"]) for r in probes["records"]}
    assert len(cells) == len(probes["records"]) == 2 * len(PROBES) * len(CONTROLS) * 2 * 3
    assert {row["seeds"] for row in probes["records"]} == {2}
    assert len(probes["effects"]) == len(cells) / 2
    (layers,) = document["layers"]
    assert len(layers["effects"]) == 3 * 2
    assert {"layer", "measure", "before", "after", "difference"} <= set(layers["effects"][0])


def test_the_numbers_are_those_of_the_scores(study: Study) -> None:
    record = study.summary()["analyses"]["retrieval"][0]["measures"]["RR@10"]
    for side in ("before", "after"):
        scores = study.measured["retrieval"][0].scores[side].values
        assert record[side]["mean"] == pytest.approx(float(scores.sel(measure="RR@10").mean()))
        assert scores.sizes["query"] == study.subject.collection.counts["judged queries"]


def test_fine_tuning_is_found(study: Study) -> None:
    """The control of everything else: the pair differs, and the study says so."""
    difference = study.summary()["analyses"]["retrieval"][0]["measures"]["RR@10"]["difference"]
    assert difference["ci_low"] > 0
    assert difference["p_corrected"] < 0.01
    assert any(s.state == "significant" for s in study.report_contents.verdict.everything())


STOPS = (  # in the order in which they are reached
    "retriever: encoding query texts", "backbone: retrieval by layer", "retriever: probing",
    "backbone, query tower: neurons", "transplants",
)  # fmt: skip


def test_two_runs_give_identical_numbers_and_so_does_one_that_was_interrupted_again_and_again(
    study: Study, backbone: Retriever, retriever: Retriever, collection: Collection, tmp_path: Path
) -> None:
    kept: list[int] = []
    for stop in STOPS:

        def interrupt(what: str, done: int, total: int, stop: str = stop) -> None:
            if what.startswith(stop):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            compare(backbone, retriever, collection, QUICK, cache=tmp_path, progress=interrupt)
        if stop == STOPS[0]:
            made = set(tmp_path.glob("*.zarr"))
            assert len(made) == 5, "both towers of the backbone under two poolings, and what was interrupted"
        kept.append(len([*(tmp_path / KEPT).glob("*/measurement.json")]))
    assert kept == sorted(kept)
    assert kept[0] == 1, "the weights, which need no text"
    assert kept[-1] > kept[1] > 0
    assert numbers(compare(backbone, retriever, collection, QUICK, cache=tmp_path)) == numbers(study)
    assert made < set(tmp_path.glob("*.zarr"))


def test_progress_names_side_and_stage(
    backbone: Retriever, retriever: Retriever, collection: Collection, tmp_path: Path
) -> None:
    calls_of: dict[str, list[tuple[int, int]]] = {}
    settings = but(QUICK, probes=replace(QUICK.analyses["probes"], probes=("cosine",), seeds=1))
    compare(
        backbone, retriever, collection, settings, cache=tmp_path,
        progress=lambda what, done, total: calls_of.setdefault(what, []).append((done, total)),
    )  # fmt: skip
    stages = ("encoding query texts", "encoding passage texts", "retrieval by layer", "probing")
    assert {f"{side}: {stage}" for side in ("backbone", "retriever") for stage in stages} <= set(calls_of)
    towers = [f"{side}, {tower} tower" for side in ("backbone", "retriever") for tower in ("query", "passage")]
    assert {f"{tower}: {stage}" for tower in towers for stage in ("neurons", "encoding under ablation")} <= set(
        calls_of
    )
    assert {"backbone (random weights): encoding passage texts"} <= set(calls_of)
    for steps in calls_of.values():
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)
        assert steps[-1][0] == steps[-1][1]


def without_mask(retriever: Retriever) -> Retriever:
    """Pooling of the last column, padding or not: the published fault."""
    broken = replace(retriever.passage, recipe=replace(retriever.passage.recipe, pooling="last_column"))
    return replace(retriever, query=broken, passage=broken)


def test_a_failed_self_test_marks_every_number_it_touches(
    backbone: Retriever, retriever: Retriever, collection: Collection, tmp_path: Path, study: Study
) -> None:
    settings = replace(LEAST, analyses={name: one for name, one in LEAST.analyses.items() if name != "layers"})
    marked = compare(backbone, without_mask(retriever), collection, settings, cache=tmp_path)
    words = "passage tower fails its self-test 'padding_right'"
    for analysis in ("retrieval", "layers", "probes"):
        scores = marked.measured[analysis][0].scores
        assert any(words in warning for warning in scores["after"].warnings), analysis
        assert scores["before"].warnings == ()
    assert any(caveat.startswith("after: ") and words in caveat for caveat in marked.facts["caveats"])
    concluded = marked.report_contents.verdict.everything()
    assert any(s.failed and "self-test" in s.text for s in concluded)
    sound = study.report_contents.verdict.everything()
    assert not any("self-test" in s.text for s in sound if s.failed)


def test_the_same_model_twice_is_said(backbone: Retriever, collection: Collection, cache: Path) -> None:
    same = compare(backbone, backbone, collection, LEAST, cache=cache)
    assert any("the same model was given twice" in caveat for caveat in same.facts["caveats"])
    assert [one["name"] for one in same.facts["models"].values()] == ["backbone (before)", "backbone (after)"]
    difference = same.summary()["analyses"]["retrieval"][0]["measures"]["RR@10"]["difference"]
    assert (difference["mean"], difference["wins"], difference["losses"]) == (0, 0, 0)
    assert difference["p"] == 1
    captions = [table.caption for table in same.report_contents.tables.values()]
    assert any("backbone (before) and backbone (after)" in caption for caption in captions)
    assert not any("(before) (before)" in caption for caption in captions)


def test_different_models_are_not_called_the_same(study: Study) -> None:
    assert not any("given twice" in caveat for caveat in study.facts["caveats"])


def test_different_depths_are_an_error(
    backbone: Retriever, collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = load_retriever(save_toy("bert", tmp_path / "toy"), pooling="mean")
    deeper = replace(toy.passage, anatomy=replace(toy.passage.anatomy, n_blocks=3))
    with pytest.raises(EncoderError, match="layers cannot be paired: backbone has 2 blocks, toy has 3"):
        compare(backbone, replace(toy, query=deeper, passage=deeper), collection, QUICK, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def few(collection: Collection, n: int) -> Collection:
    kept = set(collection.judged_queries[:n])
    return replace(
        collection,
        queries={q: query for q, query in collection.queries.items() if q in kept},
        judgments=tuple(j for j in collection.judgments if j.query_id in kept),
    )


def test_too_few_queries_for_the_probes_are_known_from_the_plan_and_the_rest_is_measured(
    backbone: Retriever, retriever: Retriever, collection: Collection, tmp_path: Path
) -> None:
    models, again = {"before": backbone, "after": retriever}, replace(retriever, name="again")
    plan = plan_study(models, [few(collection, 12)], LEAST, trainings=[again], cache=tmp_path / "cache")
    (refused,) = [step.refused for step in plan.refused if step.analysis.name == "probes"]
    assert "too few probe examples are left" in refused
    assert "more queries (--limit-queries)" in refused
    study = run_study(plan)
    assert "probes" not in study.measured
    assert set(study.measured["training_runs"][0].scores) == {"2/retrieval"}
    assert any(
        caveat.startswith("not measured: probes, since too few probe examples are left")
        for caveat in study.facts["caveats"]
    )
    with pytest.raises(AnalysisError, match=r"probes: this analysis cannot run, since too few probe examples are left"):
        plan_study(models, [few(collection, 12)], LEAST, asked=["probes"], cache=tmp_path / "cache")


def test_negatives_come_from_where_the_settings_say(collection: Collection, tmp_path: Path) -> None:
    query = collection.judged_queries[0]
    ranked = [p for p in collection.passages if p not in collection.qrels[query]][:5]
    run = tmp_path / "a.run"
    run.write_text(
        "".join(
            f"{q} Q0 {p} {rank} {10 - rank} tag\n"
            for q in collection.judged_queries
            for rank, p in enumerate([p for p in collection.passages if p not in collection.qrels[q]][:40], start=1)
        )
    )
    settings = replace(QUICK, negatives=NegativesSettings(how="run", run=str(run), pool=40))
    mined = Context({}, collection, settings, tmp_path).negatives()
    assert list(mined.candidates[0].negatives[:5]) == ranked
    others = Context({}, collection, QUICK, tmp_path).negatives()
    assert others.candidates[0].negatives[:5] != mined.candidates[0].negatives[:5]


def test_a_mixture_of_protocols_is_a_caveat(
    backbone: Retriever, retriever: Retriever, collection: Collection, cache: Path
) -> None:
    mixed = compare(backbone, retriever, collection, replace(LEAST, protocol="ielab-2025"), cache=cache)
    assert any("sets probes.protocol to 'ielab-2025', but it is 'default'" in c for c in mixed.facts["caveats"])


def test_truncation_is_a_caveat(tiny: Tiny, backbone: Retriever, collection: Collection, tmp_path: Path) -> None:
    short = load_retriever(tiny.retriever, pooling="mean", max_length=10)
    cut = compare(backbone, short, collection, LEAST, cache=tmp_path)
    assert (
        "after: 180 of 180 passage texts fill the maximum of 10 tokens, so their ends may be cut"
        in (cut.facts["caveats"])
    )
    assert not any(caveat.startswith("before: ") for caveat in cut.facts["caveats"])


def test_probing_accuracy_is_the_mean_of_its_scores(study: Study) -> None:
    measured = study.measured["probes"][0]
    for row in measured.facts["records"]:
        cell = {"probe": row["probe"], "control": row["control"], "passages": row["n_passages"], "layer": row["layer"]}
        values = measured.scores[row["side"]].select(**cell).values
        assert row["accuracy"] == pytest.approx(float(np.nanmean(values)))


def test_settings_default_to_the_default_protocol() -> None:
    assert StudySettings().protocol == "default"


def test_both_towers_of_a_shared_encoder_are_one_in_the_facts(study: Study) -> None:
    assert [tower["role"] for tower in study.facts["models"]["before"]["towers"]] == ["query and passage"]


def test_different_towers_are_two_in_the_facts(tiny: Tiny, backbone: Retriever, collection: Collection) -> None:
    from retroscope.inputs.encoding import tested
    from retroscope.inputs.provenance import model_facts

    two = load_retriever(query=tiny.backbone, passage=tiny.retriever, pooling="mean")
    facts = model_facts(two, tested(two))
    assert [tower["role"] for tower in facts["towers"]] == ["query", "passage"]
    assert isinstance(two.query, Encoder)
    assert facts["towers"][0]["fingerprint"] != facts["towers"][1]["fingerprint"]
    assert facts["name"] == "backbone + retriever"


def test_recipes_that_differ_are_said_before_any_number(backbone: Retriever, retriever: Retriever) -> None:
    assert recipe_differences(backbone, retriever) == []
    shorter = replace(retriever.query, recipe=retriever.query.recipe.but("test", max_length=7))
    (differences,) = recipe_differences(backbone, replace(retriever, query=shorter, similarity="dot"))
    assert "similarity ('cosine' before, 'dot' after)" in differences
    assert "query max_length" in differences
    assert "passage" not in differences


def test_each_side_has_its_own_random_weight_control(
    backbone: Retriever, retriever: Retriever, collection: Collection, cache: Path
) -> None:
    """A copy with another recipe than the side it stands for would be no control of it."""
    towers = {
        name: replace(getattr(retriever, name), recipe=getattr(retriever, name).recipe.but("test", pooling="cls"))
        for name in ("query", "passage")
    }
    copies = ProbeSettings(probes=("cosine",), controls=("none", "random_weights"), passages=(2,), seeds=1)
    study = compare(backbone, replace(retriever, **towers), collection, but(LEAST, probes=copies), cache=cache)
    scores = study.measured["probes"][0].scores
    pooled = {
        side: scores[side].recipe["random_weights"]["recipe"]["passage"]["recipe"]["pooling"]
        for side in ("before", "after")
    }
    assert pooled == {"before": "mean", "after": "cls"}
    assert any("passage pooling" in caveat for caveat in study.facts["caveats"])


def test_the_published_protocol_takes_the_negatives_that_were_given_repeated_where_they_are_few(tmp_path: Path) -> None:
    passages = [Passage(f"p{i}", f"common words about item{i}") for i in range(12)]
    queries = [Query(f"q{i}", f"common words item{i}") for i in range(10)]
    judged = [Judgment(f"q{i}", f"p{i}") for i in range(10)]
    given = [Candidates(f"q{i}", f"p{i}", ("p10", "p11")) for i in range(10)]
    collection = make_collection("few", passages, queries, judged, given)
    probes = ProbeSettings(protocol="ielab-2025")
    published = StudySettings(protocol="ielab-2025", analyses={"probes": probes})
    mined = Context({}, collection, published, tmp_path).negatives()
    assert mined.how == "given"
    assert {c.negatives for c in choices_of(mined, probes, "ielab-2025")} == {("p10", "p11", "p10", "p11")}
    none = make_collection("none", passages, queries, judged)
    assert Context({}, none, published, tmp_path).negatives().how == "bm25"


def test_the_family_of_the_published_protocol_is_the_layers(study: Study) -> None:
    sizes = QUICK.analyses["probes"].passages
    published = replace(study, settings={**study.settings, "protocol": "ielab-2025"})["probes"].effect
    assert published is not None
    assert len(published.method["family_sizes"]) == len(sizes) * len(study["probes"].effect.method["family_sizes"])


def test_the_backbone_takes_the_similarity_of_the_retriever(
    backbone: Retriever, retriever: Retriever, collection: Collection, cache: Path
) -> None:
    """It does so through every door, and the report says so."""
    dotted = replace(retriever, similarity="dot")
    study = compare(backbone, dotted, collection, LEAST, cache=cache)
    assert study.facts["models"]["before"]["similarity"] == "dot"
    words = "before: vectors are compared by dot (as retriever is), not by the model's own similarity, cosine"
    assert words in study.facts["caveats"]


def test_a_similarity_that_the_user_gave_stays(backbone: Retriever, retriever: Retriever) -> None:
    assert compared_like(backbone, retriever) is backbone
    dotted = replace(retriever, similarity="dot")
    borrowed = compared_like(backbone, dotted)
    assert (borrowed.similarity, borrowed.own_similarity) == ("dot", "cosine")
    assert borrowed.query.fingerprint == backbone.query.fingerprint
    back = compared_like(borrowed, retriever)
    assert (back.similarity, back.own_similarity) == ("cosine", None)
    given = replace(backbone, similarity_source="user")
    assert compared_like(given, dotted) is given


def renamed(collection: Collection, name: str) -> Collection:
    """Return the same texts as a collection of another name, whose passages have other ids in the same order."""
    ids = {old: f"{name}-{old}" for old in collection.passages}
    return make_collection(
        name,
        [replace(passage, id=ids[passage.id]) for passage in collection.passages.values()],
        list(collection.queries.values()),
        [replace(judgment, passage_id=ids[judgment.passage_id]) for judgment in collection.judgments],
    )


@pytest.fixture(scope="module")
def drifted() -> StudySettings:
    """Everything that is measured on every collection, and nothing else."""
    drift = DriftSettings(texts=60, cross_texts=10, neighbours=5)
    off = dict.fromkeys(("neurons", "probes", "baselines", "weights"))
    sweep = SweepSettings(measures=("RR@10",), shares=(), directions=("restored",), transplants=("all", "block:1"))
    return but(QUICK, **off, representations=drift, transplants=replace(sweep, draws=0))


@pytest.fixture(scope="module")
def elsewhere(
    backbone: Retriever, retriever: Retriever, collection: Collection, cache: Path, drifted: StudySettings
) -> Study:
    also = [renamed(collection, "other"), replace(few(renamed(collection, "third"), 60), name="other")]
    again = replace(retriever, name="again")
    return compare(backbone, retriever, collection, drifted, also=also, trainings=(again,), cache=cache)


def test_every_analysis_that_says_so_is_measured_on_each_collection(elsewhere: Study) -> None:
    names = [collection.name for collection in elsewhere.subject.collections]
    assert names == [elsewhere.subject.collection.name, "other", "other (2)"]
    several = {name for name, one in analyses().items() if one.every_collection}
    assert several == {"retrieval", "shift", "layers", "representations", "transplants"}
    for name, measurements in elsewhere.measured.items():
        assert [one.collection for one in measurements] == (names if name in several else names[:1]), name
    for name in several:
        document = elsewhere.summary()["analyses"][name]
        assert [one["collection"] for one in document] == names, name


def test_plan_and_progress_name_the_collection(
    backbone: Retriever, retriever: Retriever, collection: Collection, drifted: StudySettings, tmp_path: Path
) -> None:
    collections = [collection, few(renamed(collection, "other"), 60)]
    settings = but(replace(drifted, random_weights=False), representations=None, layers=None)
    plan = plan_study({"before": backbone, "after": retriever}, collections, settings, cache=tmp_path)
    planned = [line for line in plan.lines() if "transplants: " in line]
    assert [line.partition(": transplants: ")[0] for line in planned] == [collection.name, "other"]
    reported = set()
    run_study(plan, lambda what, done, total: reported.add(what))
    assert {"transplants: passage texts", "other: transplants: passage texts"} <= reported
    again = plan.context.on(collections[1], first=False).told(lambda what, done, total: reported.add(what))
    inside = again.stages("backbone").inside("retrieval by layer")
    assert inside is not None
    inside(1, 1)
    assert "other: backbone: retrieval by layer" in reported


def test_the_same_texts_again_give_the_same_numbers(elsewhere: Study) -> None:
    """And a training that is the retriever itself is as alike as can be."""
    here, there, fewer = (one.drift.similarity for one in elsewhere["representations"].by_collection)
    pd.testing.assert_frame_equal(here[["value", "low", "high"]], there[["value", "low", "high"]])
    assert not here["value"].equals(fewer["value"])
    for name in ("retrieval", "layers"):
        first, second, _ = elsewhere[name].by_collection
        xr.testing.assert_equal(first.effect.table["effect"], second.effect.table["effect"])
    first, second, _ = elsewhere["transplants"].by_collection
    pd.testing.assert_frame_equal(first.table(), second.table())
    np.testing.assert_allclose(here.loc[here["statistic"] == "cka", "other_training"], 1, atol=1e-5)
    assert there["other_training"].isna().all()
    same = f"again has the same weights as {elsewhere.subject.after.name}: it is not another training run"
    assert any(caveat.startswith(same) for caveat in elsewhere.subject.caveats)


def test_further_collections_are_reported_and_read_again(elsewhere: Study, tmp_path: Path) -> None:
    statements = elsewhere.report_contents.verdict.statements
    for name in ("other", "other (2)"):
        assert any(s.text.startswith(f"On {name}: Fine-tuning") for s in statements), name
    page = elsewhere.report(tmp_path).read_text("utf-8")
    assert "Retrieval on other" in page
    assert "other (2)" in page
    again = load_study(tmp_path)
    assert again.summary() == elsewhere.summary()
    pd.testing.assert_frame_equal(
        again["representations"].by_collection[1].drift.similarity,
        elsewhere["representations"].by_collection[1].drift.similarity,
    )


def test_the_same_passages_are_no_further_collection(
    backbone: Retriever, retriever: Retriever, collection: Collection, tmp_path: Path
) -> None:
    same = replace(collection, name="other")
    with pytest.raises(CollectionError, match=r"other and collection have the same passages\n  fix: give a"):
        compare(backbone, retriever, collection, LEAST, also=[same], cache=tmp_path)
    with pytest.raises(CollectionError, match="have the same passages"):
        compare(backbone, retriever, collection, LEAST, also=[renamed(collection, "other")] * 2, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["first", "further"])
def test_what_one_collection_refuses_is_a_caveat(
    place: str, backbone: Retriever, retriever: Retriever, collection: Collection, cache: Path, drifted: StudySettings,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Three queries are too few for the intervals of drift: a caveat names the collection, and the rest is measured.

    What the first collection refuses is measured on none, or a further one would stand for the first.
    """
    small, whole = few(renamed(collection, "small"), 3), collection
    first, other = (small, whole) if place == "first" else (whole, small)
    settings = but(drifted, transplants=None, layers=None)
    study = compare(backbone, retriever, first, settings, also=[other], cache=cache)
    on = "" if place == "first" else " on small"
    assert (
        f"not measured: representations{on}, since 3 distinct query texts are too few for confidence intervals (20 are "
        "needed)" in (study.facts["caveats"])
    )
    measured = [one.collection for one in study.measured.get("representations", ())]
    assert measured == ([] if place == "first" else [whole.name])
    assert [one.collection for one in study.measured["retrieval"]] == [first.name, other.name]
    study.report(tmp_path)
    assert load_study(tmp_path).summary() == study.summary()
