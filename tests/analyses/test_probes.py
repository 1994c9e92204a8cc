"""Probes: planned, measured with their controls, kept, compared."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analyses_one import context_of, measured, reported, subject_of
from idle_decoder import idle_decoder
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.probes import ANALYSIS
from retroscope.analyses.probes.measure import INSTRUMENT
from retroscope.analyses.section import Reading
from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Candidates, Judgment, Passage, Query
from retroscope.errors import SettingsError
from retroscope.inputs.choices import choices_of
from retroscope.inputs.settings import NegativesSettings, StudySettings
from retroscope.probing.settings import ProbeSettings
from retroscope.statistics.settings import ComparisonSettings
from retroscope.typesetting.statements import State
from tiny_study import Tiny

STUDY = StudySettings(measures=("RR@10",), statistics=ComparisonSettings(resamples=200, permutations=200))
PROBES, CONTROLS = ("cosine", "passage_only"), ("none", "shuffled_queries", "random_weights")
QUICK = ProbeSettings(probes=PROBES, controls=CONTROLS, passages=(2, 3), seeds=2)
LEAST = ProbeSettings(probes=("cosine",), controls=("none",), passages=(2,), seeds=1)


def measure(context: Context, settings: ProbeSettings) -> Measurement:
    return INSTRUMENT.measure(context, settings, INSTRUMENT.plan(context, settings))


@pytest.fixture(scope="module")
def context(tiny: Tiny, cache: Path) -> Context:
    return context_of(tiny, cache, STUDY)


@pytest.fixture(scope="module")
def probes(context: Context, tmp_path_factory: pytest.TempPathFactory) -> Measurement:
    return measured(ANALYSIS, context, QUICK, tmp_path_factory.mktemp("probes") / "0")


def test_probes_are_measured_kept_and_reported(context: Context, probes: Measurement) -> None:
    assert set(probes.scores) == {"before", "after"}
    result, section = reported(ANALYSIS, [probes], subject_of(context))
    assert result.similarity == "cosine"
    assert result.effect.table.sizes == {"probe": 2, "control": 3, "passages": 2, "layer": 3}
    assert section.statements[0].text.startswith("The similarity probe (cosine, N=3, chance 0.333) ")
    document = section.document
    asked = {"side", "model", "probe", "control", "n_passages", "layer", "accuracy", "ci_low", "ci_high", "seeds"}
    assert all(asked <= set(row) for row in document["records"])
    cells = {(r["side"], r["probe"], r["control"], r["n_passages"], r["layer"]) for r in document["records"]}
    assert len(cells) == len(document["records"]) == 2 * len(PROBES) * len(CONTROLS) * 2 * 3
    assert {row["seeds"] for row in document["records"]} == {2}
    assert len(document["effects"]) == len(cells) / 2
    assert len(document["split_sizes"]) == 2
    assert document["mdl"] == document["without_final_norm"] == []
    assert set(section.frames) == {"selectivity", "probing", "seed_spread"}


def test_accuracy_is_the_mean_of_its_scores(probes: Measurement) -> None:
    for row in probes.facts["records"]:
        cell = {"probe": row["probe"], "control": row["control"], "passages": row["n_passages"], "layer": row["layer"]}
        values = probes.scores[row["side"]].select(**cell).values
        assert row["accuracy"] == pytest.approx(float(np.nanmean(values)))


def test_what_is_loaded_is_what_was_saved(context: Context, probes: Measurement) -> None:
    fresh = measure(context, QUICK)
    for name, scores in fresh.scores.items():
        assert probes.scores[name].values.equals(scores.values), name
        assert (probes.scores[name].name, probes.scores[name].warnings) == (scores.name, scores.warnings)
    types = {"seed": int}
    pd.testing.assert_frame_equal(
        probes.frames["seeds"].astype(types), fresh.frames["seeds"].astype(types), check_dtype=False
    )
    assert set(probes.frames["seeds"]["side"]) == {"before", "after"}


def test_hash_labels_of_negatives_that_all_queries_share_are_undecided(tiny: Tiny, cache: Path, tmp_path: Path) -> None:
    """As BM25 finds them where queries and passages share function words only: the same passages for every query."""
    context = context_of(tiny, cache, STUDY)
    first = list(context.collection.passages)[:50]
    (tmp_path / "run").write_text(
        "".join(
            f"{q} Q0 {p} {rank} {-rank} run\n"
            for q in context.collection.judged_queries
            for rank, p in enumerate(first)
        )
    )
    shared = replace(STUDY, negatives=NegativesSettings(how="run", run=tmp_path / "run"))
    context = context_of(tiny, cache, shared)
    settings = replace(LEAST, controls=("none", "hash_labels"), passages=(2, 4), seeds=2)
    probes = measured(ANALYSIS, context, settings, tmp_path / "probes")
    result, section = reported(ANALYSIS, [probes], subject_of(context))
    assert {*result.independent_examples} == {2, 4}
    assert max(result.independent_examples.values()) < 12
    (control,) = [s for s in section.statements if s.control == "hash labels"]
    assert control.state == State.NOT_SIGNIFICANT
    assert "too few for this control" in control.text


def test_each_side_has_its_own_random_weights(context: Context) -> None:
    """A copy with another recipe than the side it stands for would be no control of it."""
    after = context.models["after"]
    towers = {
        name: replace(getattr(after, name), recipe=getattr(after, name).recipe.but("test", pooling="cls"))
        for name in ("query", "passage")
    }
    mixed = replace(context, models={**context.models, "after": replace(after, **towers)})
    scores = measure(mixed, replace(LEAST, controls=("none", "random_weights"))).scores
    copies = {side: scores[side].recipe["random_weights"]["recipe"] for side in ("before", "after")}
    for side, pooling in (("before", "mean"), ("after", "cls")):
        assert copies[side]["query"]["recipe"]["pooling"] == pooling


def test_a_study_without_random_weights_probes_none(context: Context) -> None:
    without = replace(context, settings=replace(STUDY, random_weights=False))
    measurement = measure(without, replace(LEAST, controls=None))
    assert set(measurement.scores["after"].values["control"].values) == {"none", "shuffled_queries", "hash_labels"}
    assert measurement.scores["after"].warnings == measurement.caveats
    for named in (("none", "random_weights"), ("random_weights",)):
        with pytest.raises(SettingsError, match="names random_weights, but random_weights is false"):
            INSTRUMENT.plan(without, replace(LEAST, controls=named))


def few(collection: Collection, n: int) -> Collection:
    kept = set(collection.judged_queries[:n])
    return replace(
        collection,
        queries={q: query for q, query in collection.queries.items() if q in kept},
        judgments=tuple(j for j in collection.judgments if j.query_id in kept),
    )


def test_passages_of_equal_text_count_as_one(context: Context, tmp_path: Path) -> None:
    """A copy under another id is a negative of queries of another part, so its text would be on both sides."""
    texts = {p: context.collection.passage_text(p) for p in context.collection.passages}
    copies = {f"{p} copy": Passage(f"{p} copy", "", f" {text.upper()} ") for p, text in texts.items()}
    copied = replace(context.collection, passages={**context.collection.passages, **copies})
    numbers = copied.texts_of_passages([Candidates("q", p, (f"{p} copy",)) for p in texts])
    assert all(numbers[p] == numbers[f"{p} copy"] for p in texts)
    assert len({*numbers.values()}) == len({*texts.values()})
    probes = measure(replace(context, collection=copied, cache=tmp_path), replace(LEAST, passages=(4,)))
    for passages in probes.scores["after"].passages.values():
        assert not {p.removesuffix(" copy") for p in passages if p.endswith(" copy")} & {*passages}


def test_too_few_queries_are_refused_before_anything_is_encoded(context: Context, tmp_path: Path) -> None:
    small = replace(context, collection=few(context.collection, 12), cache=tmp_path / "cache")
    reason = INSTRUMENT.refusal(small, QUICK)
    assert re.search(
        r"too few probe examples are left to train, .*at least 20.*; more queries \(--limit-queries\)", reason
    )
    assert INSTRUMENT.refusal(context, QUICK) == ""
    assert not (tmp_path / "cache").exists()


def test_one_choice_is_refused_under_the_published_protocol(context: Context) -> None:
    published = replace(context, settings=replace(STUDY, protocol="ielab-2025"))
    one = replace(published, collection=few(context.collection, 1))
    settings = ProbeSettings(protocol="ielab-2025", passages=(2,), seeds=1)
    assert (
        "there is only one probe example, which cannot be split into training and test; more queries (--limit-queries)"
        in INSTRUMENT.refusal(one, settings)
    )


def test_a_collection_without_negatives_is_refused_before_anything_is_encoded(context: Context, tmp_path: Path) -> None:
    apart = make_collection(
        name="apart",
        passages=[Passage("p1", "", "arlen"), Passage("p2", "", "boscal")],
        queries=[Query("q1", "arlen"), Query("q2", "boscal")],
        judgments=[Judgment("q1", "p1", 1), Judgment("q2", "p2", 1)],
    )
    reason = INSTRUMENT.refusal(replace(context, collection=apart, cache=tmp_path / "cache"), QUICK)
    assert "no query has the 2 hard negatives that 3 candidate passages need" in reason
    assert not (tmp_path / "cache").exists()


def test_negatives_come_from_where_the_settings_say(context: Context, tmp_path: Path) -> None:
    collection = context.collection
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
    settings = replace(STUDY, negatives=NegativesSettings(how="run", run=str(run), pool=40))
    choices = INSTRUMENT.plan(Context(context.models, collection, settings, tmp_path), QUICK).work
    assert list(choices[0].negatives[:5]) == ranked
    assert INSTRUMENT.plan(context, QUICK).work[0].negatives[:5] != choices[0].negatives[:5]


def test_the_published_protocol_takes_the_negatives_that_were_given_repeated_where_they_are_few(
    context: Context, tmp_path: Path
) -> None:
    passages = [Passage(f"p{k}", text=f"text {k}") for k in range(90)]
    queries = [Query(f"q{k}", f"query {k}") for k in range(30)]
    judgments = [Judgment(f"q{k}", f"p{k}", 1) for k in range(30)]
    given = tuple(Candidates(f"q{k}", f"p{k}", (f"p{30 + k}", f"p{60 + k}")) for k in range(30))
    collection = replace(make_collection("given", passages, queries, judgments), candidates=given)
    published = replace(STUDY, protocol="ielab-2025")
    settings = ProbeSettings(protocol="ielab-2025", passages=(2, 5), seeds=1)
    choices = INSTRUMENT.plan(Context(context.models, collection, published, tmp_path), settings).work
    assert choices[0].negatives == ("p30", "p60", "p30", "p60")
    mined = Context(context.models, collection, published, tmp_path).negatives()
    assert mined.how == "given"
    assert choices_of(mined, settings, "default")[0].negatives == ("p30", "p60")


def test_the_family_of_the_published_protocol_is_the_layers(context: Context, probes: Measurement) -> None:
    subject = subject_of(context)
    result, _ = reported(ANALYSIS, [probes], subject)
    published, _ = reported(ANALYSIS, [probes], replace(subject, protocol="ielab-2025"))
    assert set(result.effect.method["family_sizes"]) == {6}
    assert set(published.effect.method["family_sizes"]) == {3}


def test_code_lengths_are_kept_and_compared(context: Context) -> None:
    both = measure(context, replace(LEAST, probes=("cosine", "mdl")))
    assert set(both.scores) == {"before", "after", "before/mdl", "after/mdl"}
    result, section = reported(ANALYSIS, [both], subject_of(context))
    assert result.mdl.table.sizes == {"control": 1, "passages": 1, "layer": 3}
    assert len(section.document["mdl"]) == 3
    assert section.differences["Online code length"] is result.mdl, "the report names how it was tested"
    alone = measure(context, replace(LEAST, probes=("mdl",)))
    assert set(alone.scores) == {"before/mdl", "after/mdl"}
    result, section = reported(ANALYSIS, [alone], subject_of(context))
    assert result.effect is None
    assert section.document["records"] == []


def test_a_failed_self_test_is_a_warning_of_the_scores_and_no_second_caveat(context: Context, tmp_path: Path) -> None:
    after = context.models["after"]
    broken = replace(after.passage, recipe=replace(after.passage.recipe, pooling="last_column"))
    models = {**context.models, "after": replace(after, query=broken, passage=broken)}
    measurement = measure(replace(context, models=models, cache=tmp_path), LEAST)
    words = "passage tower fails its self-test 'padding_right'"
    assert any(words in warning for warning in measurement.scores["after"].warnings)
    assert measurement.scores["before"].warnings == ()
    assert not any(words in caveat for caveat in measurement.caveats)


def test_one_model_has_records_and_its_caveats(context: Context) -> None:
    one = replace(context, models={"model": context.models["after"]})
    measurement = measure(one, replace(QUICK, probes=("cosine", "mdl")))
    subject = replace(subject_of(context), models={"model": subject_of(context).models["after"]})
    reporter = ANALYSIS.reporter()
    assert reporter.alone is not None
    document = reporter.alone(measurement, Reading(subject)).document
    assert {row["control"] for row in document["records"]} == set(CONTROLS)
    assert "side" not in document["records"][0]
    assert {"bits", "n_passages", "layer", "control"} <= set(document["mdl"][0])
    assert len(document["split_sizes"]) == 2
    assert document["without_final_norm"] == []


def test_layers_are_read_with_the_final_norm_and_without(halves: Collection, tmp_path: Path) -> None:
    """Layers that differ by the norm alone read alike; as the blocks leave them, the last layer seems another."""
    models: dict[str, Any] = {
        "before": idle_decoder(tmp_path / "a", 0, "one"),
        "after": idle_decoder(tmp_path / "b", 1, "two"),
    }
    context = Context(models, halves, STUDY, tmp_path / "cache")
    measurement = measure(context, replace(QUICK, controls=("none", "shuffled_queries")))
    normed, bare = measurement.scores["after"].values, measurement.scores["after/bare"].values
    assert list(bare["control"].values) == ["none"]
    plain = normed.sel(control=["none"], probe=["cosine"])
    np.testing.assert_allclose(bare.sel(probe=["cosine"], layer=2), plain.sel(layer=2), atol=1e-12)
    np.testing.assert_allclose(plain.sel(layer=0), plain.sel(layer=2), atol=1e-12)
    assert not np.allclose(bare.sel(probe=["cosine"], layer=0), bare.sel(probe=["cosine"], layer=2), atol=0.01)
    _, section = reported(ANALYSIS, [measurement], subject_of(context))
    assert {"similarity_probe_bare", "probes_bare"} <= {figure.name for figure in section.figures}
    assert len(section.document["without_final_norm"]) == len(PROBES) * 2 * 3
    one = measure(replace(context, models={"model": models["after"]}), LEAST)
    assert {row["control"] for row in one.facts["bare_records"]} == {"none"}
