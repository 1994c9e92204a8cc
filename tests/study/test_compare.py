"""A whole comparison: complete, the same twice, the same after an interruption, and honest about its doubts."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from retroscope.study.compare import compare, mine
from retroscope.study.summary import summary, write_summary

from retroscope.analyses.representations.measure import why_not
from retroscope.analyses.transplants.interactions import subset_names
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Candidates, Judgment, Passage, Query
from retroscope.drift.representations import DriftSettings
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.errors import AnalysisError, EncoderError
from retroscope.inputs.load import compared_like
from retroscope.inputs.pairing import recipe_differences
from retroscope.probing.settings import ProbeSettings
from retroscope.study.folder import refuse_other
from retroscope.study.settings import NegativesSettings, RetrievalSettings, StudySettings, plain
from retroscope.study.study import Study, load_study
from retroscope.study.verdict import verdict
from retroscope.surgery.transplant import OUTSIDE
from tiny_study import CONTROLS, PROBES, QUICK, Tiny
from toys import save_toy

LEAST = replace(
    QUICK,
    retrieval=RetrievalSettings(measures=("RR@10",), layers=False),
    probing=ProbeSettings(probes=("cosine",), controls=("none",), passages=(2,), seeds=1),
    transplants=None,
    baselines=None,
)


def numbers(study: Study) -> dict[str, Any]:
    """The summary without what may differ between two runs of the same study."""
    return {name: value for name, value in summary(study).items() if name != "timings"}


def test_the_report_folder_is_complete(study: Study, tmp_path: Path) -> None:
    page = study.report(tmp_path / "out")
    write_summary(study, tmp_path / "out")
    assert page == tmp_path / "out" / "report.html"
    found = {path.name for path in page.parent.iterdir()}
    assert found == {
        "report.html", "tables", "figures", "scores.zarr", "seeds.parquet", "runs", "settings.yaml", "study.json",
        "summary.json", "neurons", "query-neurons", "moved",
    }  # fmt: skip
    assert {path.name for path in (page.parent / "runs").iterdir()} == {"before.run", "after.run"}
    groups = {f"{p.parent.name}/{p.name}" for p in (page.parent / "scores.zarr").glob("*/*") if p.is_dir()}
    assert groups == {
        *(f"{side}/{a}" for side in ("before", "after") for a in ("retrieval", "layers", "probing", "whitened")),
        *(f"{direction}/{a}" for direction in ("rewind", "graft") for a in ("intact", "hybrids", "random")),
        *(f"baselines/{a}{model}" for model in ("before", "after", "random_weights") for a in ("", "best_")),
        "baselines/shuffled", "baselines/bm25",
    }  # fmt: skip


def test_what_cannot_be_compared_is_known_before(tmp_path: Path) -> None:
    """Known before anything is encoded: Fifteen queries are too few for intervals of drift, families do not mix."""
    words = [f"{a} {b}" for a in ("red", "old", "small") for b in ("book", "moon", "cat", "river", "star")]
    passages = [Passage(f"p{i}", f"the {text} number {n}") for n in range(4) for i, text in enumerate(words, 20 * n)]
    queries = [Query(f"q{i}", text) for i, text in enumerate(words)]
    judged = [Judgment(f"q{i}", f"p{i + 20 * n}") for i in range(15) for n in range(4)]
    few = make_collection("few", passages, queries, judged)
    one, two = (load_retriever(save_toy("bert", tmp_path / name), pooling="mean") for name in ("one", "two"))
    assert "15 distinct query texts are too few" in why_not(one, two, few)
    repeated = [Query(f"q{i}", f"{'the'.upper()} {words[i % 15]} " + "  " * (i // 15)) for i in range(45)]
    again = make_collection("few", passages, repeated, judged)
    assert "15 distinct query texts are too few" in why_not(one, two, again), "45 queries of 15 texts"
    other = load_retriever(save_toy("roberta", tmp_path / "other"), pooling="mean")
    assert "one is a bert of 2 blocks, the other a roberta" in why_not(one, other, few)


def test_a_loaded_study_is_the_saved_one(study: Study, tmp_path: Path) -> None:
    study.save(tmp_path)
    loaded = load_study(tmp_path)
    assert loaded.settings == study.settings
    assert loaded.facts == study.facts
    assert set(loaded.scores) == set(study.scores)
    for name, scores in study.scores.items():
        again = loaded.scores[name]
        assert again.values.equals(scores.values), name
        assert (again.name, again.warnings) == (scores.name, scores.warnings)
    assert study.seeds is not None
    assert loaded.seeds is not None
    pd.testing.assert_frame_equal(
        loaded.seeds.astype({"seed": int}), study.seeds.astype({"seed": int}), check_dtype=False
    )
    assert summary(loaded) == summary(study)


def test_the_summary_has_what_transplants_found(study: Study) -> None:
    """The controls and interactions that `transplants.json` has; `null` without transplants."""
    found, document = study.transplants, json.loads(json.dumps(summary(study)))
    assert found is not None
    assert len(found.controls) > 0, "a place with a significant effect, and so a control"
    told = [(row["direction"], row["transplant"], row["beats"]) for row in document["transplant_controls"]]
    assert told == list(zip(*(found.controls[c] for c in ("direction", "transplant", "beats")), strict=True))
    assert document["transplant_interactions"] == {}, "not asked for"
    names = list(subset_names(["1", OUTSIDE]).values())
    hybrids = study.scores["rewind/hybrids"]
    values = hybrids.values.isel(transplant=[0] * 4).assign_coords(transplant=names)
    added = values + xr.DataArray([0.0, -0.1, -0.2, -0.4], {"transplant": names}, ("transplant",))
    asked = replace(study, scores={**study.scores, "rewind/subsets": replace(hybrids, values=added)})
    rows = summary(asked)["transplant_interactions"]["rewind"]
    assert [(r["group"], round(r["effect"], 6)) for r in rows["shapley"]] == [("1", -0.15), (OUTSIDE, -0.25)]
    assert [(r["pair"], round(r["effect"], 6)) for r in rows["pairs"]] == [(f"1 x {OUTSIDE}", -0.1)]
    kept = {name: s for name, s in study.scores.items() if not name.startswith(("rewind/", "graft/"))}
    without = replace(study, scores=kept)
    assert summary(without)["transplant_controls"] is summary(without)["transplant_interactions"] is None


def test_a_saved_study_holds_nothing_of_an_earlier_one(study: Study, tmp_path: Path) -> None:
    study.save(tmp_path)
    kept = {name: scores for name, scores in study.scores.items() if name.endswith("/retrieval")}
    replace(study, scores=kept, seeds=None).save(tmp_path)
    loaded = load_study(tmp_path)
    assert set(loaded.scores) == set(kept)
    assert loaded.seeds is None


def test_an_older_study_is_read(study: Study, tmp_path: Path) -> None:
    """One that knew no transplants, no second collection and no sister: nothing is said to have been measured."""
    study.save(tmp_path)
    for direction in ("rewind", "graft"):
        shutil.rmtree(tmp_path / "scores.zarr" / direction)
    file = tmp_path / "moved" / "similarity.parquet"
    pd.read_parquet(file).drop(columns="sister").rename(columns={"halves": "ceiling"}).to_parquet(file, index=False)
    settings = yaml.safe_load((tmp_path / "settings.yaml").read_text("utf-8"))
    for name in ("transplants", "elsewhere", "sisters"):
        del settings[name]
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    old = load_study(tmp_path)
    assert old.settings.transplants is None
    assert old.findings().transplants is None
    assert old.findings().story is None
    assert old.findings().moved.similarity["sister"].isna().all()
    assert old.findings().moved.similarity["halves"].notna().any()
    refuse_other(tmp_path, replace(study.settings, transplants=SweepSettings()))


def test_a_study_that_was_never_finished_is_not_loaded(study: Study, tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="there is no finished study here"):
        load_study(tmp_path)
    study.save(tmp_path)
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(AnalysisError, match="this is not JSON"):
        load_study(tmp_path)
    (tmp_path / "study.json").write_text('{"schema": 99}')
    with pytest.raises(AnalysisError, match="has schema 99, and this version reads 1"):
        load_study(tmp_path)


def test_a_distance_that_is_not_finite_survives_json(study: Study, tmp_path: Path) -> None:
    facts = json.loads(json.dumps(study.facts))
    facts["before"]["towers"][0]["self_tests"][0].update(passed=False, value=None)
    retrieval = {name: scores for name, scores in study.scores.items() if name.endswith("/retrieval")}
    replace(study, facts=facts, scores=retrieval).save(tmp_path)
    assert load_study(tmp_path).findings().before.towers[0].self_tests[0].value == float("inf")


def test_the_summary_is_json_without_nan(study: Study, tmp_path: Path) -> None:
    write_summary(study, tmp_path)

    def refuse(word: str) -> None:
        raise AssertionError(word)

    document = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert document["schema"] == 1
    assert document["settings"] == plain(QUICK)


def test_the_summary_has_the_promised_shapes(study: Study) -> None:
    document = summary(study)
    assert list(document["retrieval"]) == ["RR@10", "R@10"]
    record = document["retrieval"]["RR@10"]
    for side in ("before", "after"):
        assert set(record[side]) == {"mean", "ci_low", "ci_high"}
        assert record[side]["ci_low"] <= record[side]["mean"] <= record[side]["ci_high"]
    assert {"mean", "ci_low", "ci_high", "p"} <= set(record["difference"])
    assert record["difference"]["mean"] == pytest.approx(record["after"]["mean"] - record["before"]["mean"])
    asked = {"side", "model", "probe", "control", "n_passages", "layer", "accuracy", "ci_low", "ci_high", "seeds"}
    assert all(asked <= set(row) for row in document["probing"])
    cells = {(r["side"], r["probe"], r["control"], r["n_passages"], r["layer"]) for r in document["probing"]}
    assert len(cells) == len(document["probing"]) == 2 * len(PROBES) * len(CONTROLS) * 2 * 3
    assert {row["seeds"] for row in document["probing"]} == {2}
    assert len(document["layers"]) == 3 * 2
    assert {"layer", "measure", "before", "after", "difference"} <= set(document["layers"][0])
    assert len(document["probing_differences"]) == len(cells) / 2


def test_the_numbers_are_those_of_the_scores(study: Study) -> None:
    document = summary(study)
    for side in ("before", "after"):
        scores = study.scores[f"{side}/retrieval"].values
        assert document["retrieval"]["RR@10"][side]["mean"] == pytest.approx(float(scores.sel(measure="RR@10").mean()))
        assert scores.sizes["query"] == document["collection"]["counts"]["judged queries"]


def test_fine_tuning_is_found(study: Study) -> None:
    """The control of everything else: the pair differs, and the study says so."""
    record = summary(study)["retrieval"]["RR@10"]
    assert record["difference"]["ci_low"] > 0
    assert record["difference"]["p_corrected"] < 0.01
    assert any(s.tone == "changed" for s in verdict(study.findings()).everything())


def test_two_runs_give_identical_numbers_and_so_does_one_that_was_interrupted(
    study: Study, backbone: Retriever, retriever: Retriever, collection: Collection, tmp_path: Path
) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if what == "retriever: encoding query texts":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(backbone, retriever, collection, QUICK, cache=tmp_path, progress=interrupt)
    made = set(tmp_path.glob("*.zarr"))
    assert len(made) == 5  # both towers of the twin and of the backbone, and what was interrupted
    assert numbers(compare(backbone, retriever, collection, QUICK, cache=tmp_path)) == numbers(study)
    assert made < set(tmp_path.glob("*.zarr"))


def test_progress_names_side_and_stage(
    backbone: Retriever, retriever: Retriever, collection: Collection, tmp_path: Path
) -> None:
    told: dict[str, list[tuple[int, int]]] = {}
    settings = replace(QUICK, probing=replace(QUICK.probing, probes=("cosine",), seeds=1))
    compare(
        backbone, retriever, collection, settings, cache=tmp_path,
        progress=lambda what, done, total: told.setdefault(what, []).append((done, total)),
    )  # fmt: skip
    stages = ("encoding query texts", "encoding passage texts", "retrieval by layer", "probing")
    assert {f"{side}: {stage}" for side in ("backbone", "retriever") for stage in stages} <= set(told)
    towers = [f"{side}, {tower} tower" for side in ("backbone", "retriever") for tower in ("query", "passage")]
    assert {f"{tower}: {stage}" for tower in towers for stage in ("neurons", "encoding under ablation")} <= set(told)
    assert {"backbone (random weights): encoding passage texts"} <= set(told)
    for steps in told.values():
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)
        assert steps[-1][0] == steps[-1][1]


def without_mask(retriever: Retriever) -> Retriever:
    """Pooling of the last column, padding or not: the published fault."""
    broken = replace(retriever.passage, recipe=replace(retriever.passage.recipe, pooling="last_column"))
    return replace(retriever, query=broken, passage=broken)


def test_a_failed_self_test_marks_every_number_it_touches(
    backbone: Retriever, retriever: Retriever, collection: Collection, tmp_path: Path, study: Study
) -> None:
    settings = replace(LEAST, retrieval=QUICK.retrieval)
    marked = compare(backbone, without_mask(retriever), collection, settings, cache=tmp_path)
    words = "passage tower fails its self-test 'padding_right'"
    for analysis in ("retrieval", "layers", "probing"):
        assert any(words in warning for warning in marked.scores[f"after/{analysis}"].warnings), analysis
        assert marked.scores[f"before/{analysis}"].warnings == ()
    assert any(caveat.startswith("after: ") and words in caveat for caveat in marked.facts["caveats"])
    said = verdict(marked.findings()).everything()
    assert any(s.tone == "alarm" and "self-test" in s.text for s in said)
    assert not any("self-test" in s.text for s in verdict(study.findings()).everything() if s.tone == "alarm")


def test_the_same_model_twice_is_said(backbone: Retriever, collection: Collection, cache: Path) -> None:
    same = compare(backbone, backbone, collection, LEAST, cache=cache)
    assert any("the same model was given twice" in caveat for caveat in same.facts["caveats"])
    assert (same.facts["before"]["name"], same.facts["after"]["name"]) == ("backbone (before)", "backbone (after)")
    difference = summary(same)["retrieval"]["RR@10"]["difference"]
    assert (difference["mean"], difference["wins"], difference["losses"]) == (0, 0, 0)
    assert difference["p"] == 1


def test_different_models_are_not_called_the_same(study: Study) -> None:
    assert not any("given twice" in caveat for caveat in study.facts["caveats"])


def test_different_depths_are_an_error(
    backbone: Retriever, collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = load_retriever(save_toy("bert", tmp_path / "toy"), pooling="mean")
    deeper = replace(toy.passage, anatomy=replace(toy.passage.anatomy, n_blocks=3))
    with pytest.raises(EncoderError, match="backbone has 2 blocks, toy 3: layers cannot be paired"):
        compare(backbone, replace(toy, query=deeper, passage=deeper), collection, QUICK, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def few(collection: Collection, n: int) -> Collection:
    kept = set(collection.judged_queries[:n])
    return replace(
        collection,
        queries={q: query for q, query in collection.queries.items() if q in kept},
        judgments=tuple(j for j in collection.judgments if j.query_id in kept),
    )


def test_too_few_queries_are_an_error_before_anything_is_encoded(
    backbone: Retriever, retriever: Retriever, collection: Collection, tmp_path: Path
) -> None:
    with pytest.raises(AnalysisError, match=r"too few choices remain .*at least 20.*\n  fix: use more queries"):
        compare(backbone, retriever, few(collection, 12), QUICK, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_collection_without_negatives_is_an_error_before_anything_is_encoded(
    backbone: Retriever, retriever: Retriever, tmp_path: Path
) -> None:
    apart = make_collection(
        name="apart",
        passages=[Passage("p1", "", "arlen"), Passage("p2", "", "boscal")],
        queries=[Query("q1", "arlen"), Query("q2", "boscal")],
        judgments=[Judgment("q1", "p1", 1), Judgment("q2", "p2", 1)],
    )
    with pytest.raises(AnalysisError, match="no query has the 2 negatives that a choice among 3 needs"):
        compare(backbone, retriever, apart, QUICK, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


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
    mined = mine(collection, settings)
    assert list(mined.candidates[0].negatives[:5]) == ranked
    assert mine(collection, QUICK).candidates[0].negatives[:5] != mined.candidates[0].negatives[:5]


def test_a_mixture_of_protocols_is_a_caveat(
    backbone: Retriever, retriever: Retriever, collection: Collection, cache: Path
) -> None:
    mixed = compare(backbone, retriever, collection, replace(LEAST, protocol="ielab-2025"), cache=cache)
    assert any("sets probing.protocol to 'ielab-2025', but it is 'default'" in c for c in mixed.facts["caveats"])


def test_truncation_is_a_caveat(tiny: Tiny, backbone: Retriever, collection: Collection, tmp_path: Path) -> None:
    short = load_retriever(tiny.retriever, pooling="mean", max_length=10)
    cut = compare(backbone, short, collection, LEAST, cache=tmp_path)
    assert (
        "after: 180 of 180 passage texts fill the maximum of 10 tokens, so their ends may be cut"
        in (cut.facts["caveats"])
    )
    assert not any(caveat.startswith("before: ") for caveat in cut.facts["caveats"])


def test_probing_accuracy_is_the_mean_of_its_scores(study: Study) -> None:
    for row in study.facts["probing"]:
        cell = {"probe": row["probe"], "control": row["control"], "passages": row["n_passages"], "layer": row["layer"]}
        values = study.scores[f"{row['side']}/probing"].select(**cell).values
        assert row["accuracy"] == pytest.approx(float(np.nanmean(values)))


def test_examples_are_flips_with_their_texts(study: Study, collection: Collection) -> None:
    texts: Mapping[str, str] = study.facts["query_texts"]
    assert texts
    assert all(collection.queries[q].text == text for q, text in texts.items())
    scores = {side: study.scores[f"{side}/retrieval"].values.sel(measure="RR@10") for side in ("before", "after")}
    for q, sides in study.facts["top_passages"].items():
        assert float(scores["before"].sel(query=q)) != float(scores["after"].sel(query=q))
        for side, hits in sides.items():
            first = [hit["id"] for hit in hits]
            assert first == [p for p, _ in study.runs[side][q][: len(first)]]
            assert [hit["relevant"] for hit in hits] == [p in collection.qrels[q] for p in first]


def test_settings_default_to_the_default_protocol() -> None:
    assert StudySettings().protocol == "default"


def test_both_towers_of_a_shared_encoder_are_one_in_the_facts(study: Study) -> None:
    assert [tower["role"] for tower in study.facts["before"]["towers"]] == ["query and passage"]


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
    (said,) = recipe_differences(backbone, replace(retriever, query=shorter, similarity="dot"))
    assert "similarity ('cosine' before, 'dot' after)" in said
    assert "query max_length" in said
    assert "passage" not in said


def test_each_side_has_its_own_random_twin(
    backbone: Retriever, retriever: Retriever, collection: Collection, cache: Path
) -> None:
    """A twin with another recipe than the side it stands for would be no control of it."""
    towers = {
        name: replace(getattr(retriever, name), recipe=getattr(retriever, name).recipe.but("test", pooling="cls"))
        for name in ("query", "passage")
    }
    twins = ProbeSettings(probes=("cosine",), controls=("none", "random_weights"), passages=(2,), seeds=1)
    study = compare(backbone, replace(retriever, **towers), collection, replace(LEAST, probing=twins), cache=cache)
    pooled = {
        side: study.scores[f"{side}/probing"].recipe["twin"]["recipe"]["passage"]["recipe"]["pooling"]
        for side in ("before", "after")
    }
    assert pooled == {"before": "mean", "after": "cls"}
    assert any("passage pooling" in caveat for caveat in study.facts["caveats"])


def test_the_published_protocol_takes_the_negatives_that_were_given_repeated_where_they_are_few() -> None:
    passages = [Passage(f"p{i}", f"common words about item{i}") for i in range(12)]
    queries = [Query(f"q{i}", f"common words item{i}") for i in range(10)]
    judged = [Judgment(f"q{i}", f"p{i}") for i in range(10)]
    given = [Candidates(f"q{i}", f"p{i}", ("p10", "p11")) for i in range(10)]
    collection = make_collection("few", passages, queries, judged, given)
    published = StudySettings(protocol="ielab-2025", probing=ProbeSettings(protocol="ielab-2025"))
    found = mine(collection, published)
    assert found.how == "given"
    assert {c.negatives for c in found.candidates} == {("p10", "p11", "p10", "p11")}
    assert mine(make_collection("none", passages, queries, judged), published).how == "bm25"


def test_the_family_of_the_published_protocol_is_the_layers(study: Study) -> None:
    assert study.probing is not None
    sizes = study.settings.probing.passages
    published = replace(study, settings=replace(study.settings, protocol="ielab-2025")).probing
    assert published is not None
    assert len(published.method["family_sizes"]) == len(sizes) * len(study.probing.method["family_sizes"])


def test_a_similarity_that_is_not_the_backbones_own_is_said(
    backbone: Retriever, retriever: Retriever, collection: Collection, cache: Path
) -> None:
    assert compared_like(backbone, retriever) is backbone
    dotted = replace(retriever, similarity="dot")
    borrowed = compared_like(backbone, dotted)
    assert borrowed.similarity == "dot"
    assert borrowed.query.fingerprint == backbone.query.fingerprint
    study = compare(borrowed, dotted, collection, LEAST, cache=cache)
    assert any("before: compared by dot" in c and "not by its own cosine" in c for c in study.facts["caveats"])


def test_a_second_collection_and_another_training(
    backbone: Retriever, retriever: Retriever, collection: Collection, cache: Path, tmp_path: Path
) -> None:
    """The same collection again gives the same numbers; a sister that is the retriever itself is as alike as can be."""
    quick = replace(QUICK, transplants=None, drift=DriftSettings(texts=60, cross_texts=10, spectra=False))
    elsewhere = replace(collection, name="other")
    sister = replace(retriever, name="sister")
    study = compare(backbone, retriever, collection, quick, elsewhere=elsewhere, sisters=(sister,), cache=cache)
    found = study.findings()
    here, there = found.moved.similarity, found.elsewhere.moved.similarity
    pd.testing.assert_frame_equal(here[["value", "low", "high"]], there[["value", "low", "high"]])
    xr.testing.assert_equal(found.elsewhere.retrieval.table["effect"], found.retrieval.table["effect"])
    np.testing.assert_allclose(here.loc[here["statistic"] == "cka", "sister"], 1, atol=1e-5)
    assert there["sister"].isna().all()
    assert any(s.text.startswith("On other: Fine-tuning") for s in verdict(found).statements)
    page = study.report(tmp_path).read_text("utf-8")
    assert "Retrieval on other" in page
    again = load_study(tmp_path).findings()
    pd.testing.assert_frame_equal(again.elsewhere.moved.similarity, there)
    assert summary(study)["elsewhere"]["collection"] == "other"
    same = f"sister has the weights of {retriever.name}: it is no other training"
    assert any(caveat.startswith(same) for caveat in found.caveats)
    with pytest.raises(AnalysisError, match="a second collection is for what moved, which is not measured"):
        compare(backbone, retriever, collection, replace(quick, drift=None), elsewhere=elsewhere, cache=cache)
    with pytest.raises(
        AnalysisError, match="what moved elsewhere cannot be measured: 3 distinct query texts are too few"
    ):
        compare(backbone, retriever, collection, quick, elsewhere=few(elsewhere, 3), cache=cache)
