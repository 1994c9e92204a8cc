"""Baselines: the best of planted vectors is found, nothing is found in noise, and a leak is an alarm."""

import json
from dataclasses import dataclass, replace
from functools import cache as remembered
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from analyses_one import context_of, measured, reported, subject_of
from retroscope.analyses.analysis import NoSettings
from retroscope.analyses.baselines import ANALYSIS
from retroscope.analyses.baselines import measure as measuring
from retroscope.analyses.baselines.card import cards
from retroscope.analyses.baselines.measure import INSTRUMENT, refusal
from retroscope.analyses.baselines.result import TRAINED, UNTRAINED, BaselineResult
from retroscope.analyses.baselines.settings import BaselineSettings
from retroscope.analyses.baselines.variants import (
    HEAD,
    RAW,
    UNIT,
    WHITENED,
    BaselineTask,
    VariantScores,
    baseline_task,
    shuffled_judgments,
    try_bm25,
    try_shuffled,
    try_variants,
)
from retroscope.analyses.baselines.vectors import BOTH_WAYS, CAUSAL_CLS, NO_CLS, Views, applicable, repooled
from retroscope.analyses.baselines.words import share_left
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.retrieval import ANALYSIS as RETRIEVAL
from retroscope.analyses.section import Reading, Section
from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.encoders.encode import encode_layers
from retroscope.encoders.loading import load_retriever
from retroscope.encoders.pooling import POOLINGS, pooling
from retroscope.errors import SettingsError
from retroscope.inputs.settings import StudySettings
from retroscope.representations.vectors import RetrieverRepresentations, representations_in_memory
from retroscope.retrieval import linear_head
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.settings import ComparisonSettings
from retroscope.typesetting.page import SectionPage, fill
from retroscope.typesetting.statements import Estimate, Kind, State
from synthetic_drift import weight_drift
from tiny_study import Tiny
from toys import save_toy

N, DIM = 200, 16
MEASURES = ("RR@10", "R@10")
CHANCE = 1 / 20  # of R@10


@remembered
def toy() -> Collection:
    passages = [Passage(f"p{i}", f"passage {i}") for i in range(N)]
    queries = [Query(f"q{i}", f"question {i}") for i in range(N)]
    return make_collection("toy", passages, queries, [Judgment(f"q{i}", f"p{i}") for i in range(N)])


def representations(queries: np.ndarray, passages: np.ndarray, similarity: str = "cosine") -> RetrieverRepresentations:
    """Two layers: noise, then these vectors."""
    rng = np.random.default_rng(99)
    towers = []
    for letter, both_sides in (("q", queries), ("p", passages)):
        layers = np.stack([rng.standard_normal(both_sides.shape), both_sides], axis=1)
        towers.append(representations_in_memory([f"{letter}{i}" for i in range(N)], layers))
    query, passage = towers
    return RetrieverRepresentations("toy", query, passage, similarity, {})


def noise(seed: int, dim: int = DIM) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((N, dim))


def task(similarity: str = "cosine") -> BaselineTask:
    return baseline_task(toy(), MEASURES, similarity, BaselineSettings())


def best(both_sides: VariantScores, name: str, measure: str = "R@10") -> float:
    return float(both_sides.best.values.sel(best=name, measure=measure).mean())


def variant(both_sides: VariantScores, vectors: str, layer: int = 1) -> float:
    return float(both_sides.scores.values.sel(layer=layer, vectors=vectors, measure="R@10").isel(pooling=0).mean())


def test_where_only_mean_pooling_retrieves_it_is_chosen() -> None:
    meaning = noise(0)
    own = representations(noise(1), noise(2))
    others = representations(np.hstack([meaning + 0.3 * noise(3), noise(4)]), np.hstack([meaning, noise(5)]))
    variants = try_variants(Views(own, "cls", others, ("mean", "max")), task())
    assert {(c["pooling"], c["layer"]) for c in variants.choices} == {("mean", 1)}
    assert best(variants, UNTRAINED) > 0.95
    assert variant(variants, RAW) < 3 * CHANCE


def test_where_whitening_is_all_that_lacks_it_is_chosen() -> None:
    """Two loud directions that say nothing drown the rest; even, they are 2 of 16."""
    meaning, loud = noise(0), np.r_[np.full(14, 1.0), np.full(2, 60.0)]
    mixed = np.r_[np.ones(14), np.zeros(2)]
    queries = (meaning * mixed + noise(1) * np.where(mixed, 0.2, 1.0)) * loud
    passages = (meaning * mixed + noise(2) * (1 - mixed)) * loud
    variants = try_variants(Views(representations(queries, passages), "mean"), task())
    assert {c["vectors"] for c in variants.choices if c["best"] == UNTRAINED} == {WHITENED}
    assert best(variants, UNTRAINED) > 0.9
    assert variant(variants, RAW) < 0.5


def test_a_linear_map_is_found_by_the_head_and_by_nothing_else() -> None:
    passages, turn = noise(0), np.linalg.qr(noise(7)[:DIM])[0]
    variants = try_variants(Views(representations(passages @ turn + 0.1 * noise(1), passages), "mean"), task())
    assert {(c["layer"], c["vectors"]) for c in variants.choices if c["best"] == TRAINED} == {(1, HEAD)}
    assert best(variants, TRAINED) > 0.9
    assert best(variants, UNTRAINED) < 3 * CHANCE


def test_where_nothing_helps_nothing_is_found() -> None:
    """Unrelated vectors: over 12 studies no best is significantly better than the model as compared more often than
    3 times (of 24 tests at .05 a right one exceeds 3 with a probability of .03).
    """
    significant = 0
    for seed in range(12):
        variants = try_variants(Views(representations(noise(20 + seed), noise(60 + seed)), "mean"), task())
        compared = variants.scores.select(pooling="mean", layer=1, vectors=RAW)
        wide = replace(compared, values=compared.values.drop_vars(["pooling", "layer", "vectors"]))
        for name in (UNTRAINED, TRAINED):
            top = variants.best.select(best=name)
            top = replace(top, values=top.values.drop_vars("best"))
            table = compare_scores(wide, top, ComparisonSettings(resamples=100)).table.sel(measure="RR@10")
            significant += int(table["p"] < 0.05 and table["effect"] > 0)
    assert significant <= 3


def test_by_dot_product_unit_length_is_a_variant_of_its_own() -> None:
    meaning = noise(0)
    lengths = np.exp(2 * noise(1, 1))  # some passages are near every query
    variants = try_variants(
        Views(representations(meaning + 0.3 * noise(2), meaning * lengths, "dot"), "mean"), task("dot")
    )
    assert list(variants.scores.values["vectors"].values) == [RAW, UNIT, WHITENED, HEAD]
    assert variant(variants, UNIT) > 0.95 > 0.9 > variant(variants, RAW)


def test_shuffled_judgments_are_not_found() -> None:
    views = Views(representations(noise(0) + 0.3 * noise(1), noise(0)), "mean")
    shuffled = try_shuffled(views, task(), BaselineSettings()).values.sel(measure="R@10").mean("query")
    limit = CHANCE + 4 * np.sqrt(CHANCE * (1 - CHANCE) / N)
    assert float(shuffled.sel(vectors=HEAD)) < limit
    assert float(shuffled.sel(vectors=RAW)) < limit


def test_shuffled_judgments_are_found_by_a_head_that_leaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control must fail where every fold trains on the queries that it is asked."""
    wide = Views(representations(noise(0, 400), noise(1, 400)), "mean")  # enough dimensions to remember
    everyone = np.arange(N)
    assert float(leak(wide).sel(vectors=HEAD)) < 3 * CHANCE
    monkeypatch.setattr(linear_head, "training_rows", lambda folds, fold, dev: (everyone, everyone))
    assert float(leak(wide).sel(vectors=HEAD)) > 0.9


def leak(views: Views) -> xr.DataArray:
    return try_shuffled(views, task(), BaselineSettings()).values.sel(measure="R@10").mean("query")


def test_shuffling_gives_every_query_the_judgments_of_another() -> None:
    shuffled = shuffled_judgments(toy(), seed=0)
    taken = [next(iter(shuffled.qrels[q])) for q in shuffled.judged_queries]
    assert sorted(taken) == sorted(toy().passages)
    assert sum(p == f"p{q[1:]}" for q, p in zip(shuffled.judged_queries, taken, strict=True)) < 6


def test_shuffling_leaves_folds_where_texts_repeat_and_share_passages() -> None:
    """Two queries of each text, four of each passage: given query by query, all would hang together."""
    passages = [Passage(f"p{i}", f"passage {i}") for i in range(N)]
    queries = [Query(f"q{i}", f"question {i // 2}") for i in range(N)]
    repeated = make_collection("r", passages, queries, [Judgment(f"q{i}", f"p{i // 4}") for i in range(N)])
    shuffled_task = baseline_task(shuffled_judgments(repeated, seed=0), MEASURES, "cosine", BaselineSettings())
    assert np.bincount(shuffled_task.folds).tolist() == [N // 5] * 5
    assert {len(shuffled_judgments(repeated, seed=0).qrels[q]) for q in repeated.queries} == {1}


def test_without_a_head_there_is_one_best() -> None:
    without = baseline_task(toy(), MEASURES, "cosine", BaselineSettings(head=False))
    variants = try_variants(Views(representations(noise(0), noise(1)), "mean"), without)
    assert list(variants.best.values["best"].values) == [UNTRAINED]
    assert list(variants.scores.values["vectors"].values) == [RAW, WHITENED]


def test_bm25_ranks_by_words() -> None:
    passages = [Passage(f"p{i}", f"thing{i} in a place") for i in range(30)]
    queries = [Query(f"q{i}", f"where is thing{i}") for i in range(29)] + [Query("q29", "nothing of it")]
    worded = make_collection("w", passages, queries, [Judgment(f"q{i}", f"p{i}") for i in range(30)])
    values = try_bm25(worded, ("RR@10",)).values.sel(measure="RR@10").values
    assert values.tolist() == [1.0] * 29 + [0.0]


def test_poolings_side_by_side_are_those_alone(tmp_path: Path) -> None:
    texts = ["gravity bends light", "a cat sat on a mat and the mat was red", "moon"]
    model = load_retriever(save_toy("bert", tmp_path / "toy"), pooling="mean")
    both = encode_layers(repooled(model, ("cls", "mean")).passage, texts).layers.numpy()
    alone = [encode_layers(load_retriever(tmp_path / "toy", pooling=n).passage, texts).layers for n in ("cls", "mean")]
    assert np.array_equal(both, np.concatenate([a.numpy() for a in alone], axis=2))
    with pytest.raises(SettingsError, match="unknown pooling 'cl'"):
        pooling("mean+cl")
    assert not [name for name in POOLINGS if "+" in name]


@pytest.mark.parametrize(
    ("family", "own", "tried", "reasons"),
    [
        ("bert", "mean", ("cls",), {"last_token": BOTH_WAYS}),
        ("bert", "cls", ("mean",), {"last_token": BOTH_WAYS}),
        ("llama", "mean", ("last_token",), {"cls": CAUSAL_CLS}),
        ("t5", "mean", (), {"cls": NO_CLS, "last_token": BOTH_WAYS}),
    ],
)
def test_only_poolings_that_the_architecture_gives_a_meaning_are_tried(
    family: str, own: str, tried: tuple[str, ...], reasons: dict[str, str], tmp_path: Path
) -> None:
    model = load_retriever(save_toy(family, tmp_path / "toy"), pooling=own)
    assert applicable(model, BaselineSettings().poolings) == (tried, reasons)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"baselines\.folds is 2"):
        BaselineSettings(folds=2)
    with pytest.raises(SettingsError, match="unknown pooling of the baselines 'meen'"):
        BaselineSettings(poolings=("meen",))


SETTINGS = StudySettings(measures=("RR@10", "R@10"), statistics=ComparisonSettings(resamples=200, permutations=200))


@dataclass(frozen=True)
class Measured:
    """Baselines and retrieval of the tiny pair."""

    context: Context
    baselines: Measurement
    retrieval: Measurement

    def reported(
        self, *, baselines: Measurement | None = None, retrieval: Measurement | None = None
    ) -> tuple[BaselineResult, Section]:
        """Return what is found and reported of them, or of others in their place."""
        subject = subject_of(self.context)
        effect, _ = reported(RETRIEVAL, [retrieval or self.retrieval], subject)
        result, section = reported(ANALYSIS, [baselines or self.baselines], subject, {"retrieval": effect})
        assert isinstance(result, BaselineResult)
        return result, section


@pytest.fixture(scope="module")
def both_sides(tiny: Tiny, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    home = tmp_path_factory.mktemp("baselines")
    context = context_of(tiny, cache, SETTINGS)
    retrieval = measured(RETRIEVAL, context, NoSettings(), home / "retrieval")
    return Measured(context, measured(ANALYSIS, context, BaselineSettings(), home / "baselines"), retrieval)


def test_a_comparison_says_what_was_already_there(both_sides: Measured) -> None:
    result, section = both_sides.reported()
    assert set(result.variants["model"]) == {"before", "after", "random weights", "BM25"}
    as_compared = result.variants.query(
        "model == 'before' and pooling == 'mean' and layer == 2 and vectors == 'raw' and measure == 'RR@10'"
    )
    assert as_compared["mean"].item() == pytest.approx(
        both_sides.retrieval.scores["before"].mean().sel(measure="RR@10").item()
    )
    said = section.statements
    assert [s.state for s in said[:2]] == [State.SIGNIFICANT, State.SIGNIFICANT]
    assert "The best variant of the backbone without training reaches RR@10" in said[0].text
    assert said[0].text.rpartition(". ")[2].startswith("BM25 reaches RR@10")
    assert sum("BM25 reaches" in one.text for one in said) == 1
    assert "% [" in said[1].text
    assert "of the retriever's gain over the backbone (" in said[1].text
    assert said[-1].state == State.MEASURED
    body = SectionPage(
        ANALYSIS.name, ANALYSIS.title, ANALYSIS.question, ANALYSIS.package, {**section.values, "section": section}
    )
    values = {"title": "toys", "drift": weight_drift(), "statements": (), "command": "", "versions": {}}
    page = fill("diff.html.j2", section.figures, section.tables, values, (body,))
    assert "What was already there" in page
    assert "last_token pooling was left out: the last token of a bidirectional model" in page
    assert "Hoerl, Kennard (1970)" in page


def test_a_card_that_is_not_significant_says_what_is_not(both_sides: Measured) -> None:
    """The share alone, beside "not significant", would read as if the backbone's part were in doubt."""
    result, section = both_sides.reported()
    subject = subject_of(both_sides.context)
    (sure,) = cards(result, section.statements, subject)
    assert sure.answer == "The frozen backbone with a linear head reaches"
    unsure = [replace(s, state=State.NOT_SIGNIFICANT) for s in section.statements]
    (one,) = cards(result, unsure, subject)
    assert one.answer == "Perhaps all: the frozen backbone with a linear head is not significantly worse"
    assert one.estimate == sure.estimate
    assert str(one.estimate).endswith(" of the gain")


def test_a_share_that_rounds_to_zero_has_no_sign() -> None:
    assert share_left({"share": -0.002, "low": -0.24, "high": 0.18}) == "0 % [-24, 18]"
    assert str(Estimate("of the gain", 0.1, -0.002, 0.18, kind=Kind.SHARE)) == "10 % [0, 18] of the gain"


def test_every_number_is_in_the_document_and_in_tables(both_sides: Measured) -> None:
    result, section = both_sides.reported()
    document = json.loads(json.dumps(section.document))
    assert {row["best"] for row in document["shares"]} == {UNTRAINED, TRAINED}
    assert list(document) == [
        "variants", "choices", "shares", "left", "alike", "pre_training", "shuffled", "left_out"
    ]  # fmt: skip
    assert len(document["variants"]) == len(result.variants)
    assert set(section.frames) == {
        "baselines", "baseline_gains", "baseline_shares", "baseline_choices", "baselines_alike"
    }  # fmt: skip
    assert set(section.tables) == {"baseline_gains", "baseline_variants"}
    assert [figure.name for figure in section.figures] == ["baselines"]
    assert section.differences == {"Already there": result.left}


def test_what_is_encoded_and_searched_is_planned(both_sides: Measured) -> None:
    planned = INSTRUMENT.plan(both_sides.context, BaselineSettings())
    assert planned.document == {"views": (3 + 2) * 3, "head": True}
    assert set(planned.encodes) == {"before, pooled by cls", "random weights, pooled by cls"}
    towers = [tower for one in planned.encodes.values() for tower in both_sides.context.towers(one)]
    assert all(tower.is_stored for tower in towers), "the plan is of what was measured"
    assert planned.lines[0].startswith("baselines: 15 combinations of model, pooling and layer are searched, raw")
    without = replace(both_sides.context, settings=replace(SETTINGS, random_weights=False))
    few = INSTRUMENT.plan(without, BaselineSettings(poolings=(), head=False))
    assert (few.document, few.encodes) == ({"views": 2 * 3, "head": False}, {})


def test_random_weights_have_as_many_variants_to_choose_from_as_the_backbone(both_sides: Measured) -> None:
    """Else what the backbone gains by its best pooling counts as pre-training."""
    before, copy = (both_sides.baselines.scores[f"variants/{name}"].values for name in ("before", "random_weights"))
    assert list(copy["pooling"].values) == list(before["pooling"].values) == ["mean", "cls"]
    assert not copy.sel(pooling="cls").isnull().any()


def test_without_random_weights_pre_training_is_not_measured(both_sides: Measured, tmp_path: Path) -> None:
    context = replace(both_sides.context, settings=replace(SETTINGS, random_weights=False))
    without = measured(ANALYSIS, context, BaselineSettings(poolings=(), head=False), tmp_path / "without")
    result, _ = both_sides.reported(baselines=without)
    assert result.pre_training is None
    assert result.shuffled is None
    assert set(without.scores) == {"variants/before", "variants/after", "best/before", "best/after", "bm25"}


def test_a_retriever_that_does_not_reach_what_was_there_is_said_to(both_sides: Measured) -> None:
    """The two exchanged: the worse model is called the retriever."""
    retrieval, scores = both_sides.retrieval.scores, both_sides.baselines.scores
    swapped = replace(
        both_sides.retrieval, scores={"before": retrieval["after"], "after": retrieval["before"]}, frames={}, facts={}
    )
    changed = {f"{kind}/{one}": scores[f"{kind}/{other}"] for kind in ("variants", "best")
               for one, other in (("before", "after"), ("after", "before"))}  # fmt: skip
    _, section = both_sides.reported(
        retrieval=swapped, baselines=replace(both_sides.baselines, scores={**scores, **changed})
    )
    assert "scores lower than the best variant of its backbone." in section.statements[0].text
    assert "% [" not in section.statements[0].text


def test_where_the_two_are_one_model_no_share_is_claimed(both_sides: Measured) -> None:
    before, scores = both_sides.retrieval.scores["before"], both_sides.baselines.scores
    same = replace(both_sides.retrieval, scores={"before": before, "after": before}, frames={}, facts={})
    mine = replace(both_sides.baselines, scores={**scores, "best/after": scores["best/before"]})
    _, section = both_sides.reported(retrieval=same, baselines=mine)
    assert section.statements[0].state == State.NOT_SIGNIFICANT
    assert "This difference is not significant." in section.statements[0].text
    assert not any("of the gain" in s.text for s in section.statements)


def test_a_leaking_head_is_an_alarm(both_sides: Measured) -> None:
    leaking = both_sides.baselines.scores["shuffled"]
    values = leaking.values.copy()
    values.loc[{"vectors": HEAD}] = 1.0
    scores = {**both_sides.baselines.scores, "shuffled": replace(leaking, values=values)}
    _, section = both_sides.reported(baselines=replace(both_sides.baselines, scores=scores))
    alarm = section.statements[-1]
    assert alarm.state == State.FAILED
    assert "so the folds are not independent" in alarm.text


def test_without_retrieval_there_is_nothing_to_report(both_sides: Measured) -> None:
    reporter = ANALYSIS.reporter()
    assert reporter.infer([both_sides.baselines], Reading(subject_of(both_sides.context))) is None


def test_queries_that_share_all_passages_are_refused(both_sides: Measured) -> None:
    collection = both_sides.context.collection
    hub = tuple(Judgment(q, "p0", 1) for q in collection.queries)
    joined = replace(collection, judgments=(*collection.judgments, *hub), name="hub")
    reason = refusal(replace(both_sides.context, collection=joined), BaselineSettings())
    assert reason.startswith("90 judged queries cannot be")


def test_what_is_too_large_and_a_model_alone_are_refused(both_sides: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = replace(both_sides.context, models={"model": both_sides.context.models["after"]})
    assert (
        refusal(alone, BaselineSettings())
        == "baselines compare a retriever with its backbone, but only one model is given"
    )
    monkeypatch.setattr(measuring, "can_be_whitened", lambda passages, dim: False)
    too_large = "the vectors of 180 passages (32 dimensions) are too large to whiten in memory"
    assert refusal(both_sides.context, BaselineSettings()) == too_large
