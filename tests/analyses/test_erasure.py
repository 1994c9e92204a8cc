"""Erasure: a planted direction that carries relevance is found, shuffled pairs and random subspaces do nothing."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from analyses_one import context_of, measured, reported, subject_of
from planted_words import decoder_of
from retroscope.analyses.context import Context
from retroscope.analyses.erasure import ANALYSIS
from retroscope.analyses.erasure.examples import erasure_parts, unrelated_choices
from retroscope.analyses.erasure.measure import INSTRUMENT
from retroscope.analyses.erasure.result import INCONCLUSIVE, UNUSED, USED, ErasureResult
from retroscope.analyses.erasure.settings import ErasureSettings
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Section
from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.errors import SettingsError
from retroscope.inputs.settings import StudySettings
from retroscope.statistics.settings import ComparisonSettings
from retroscope.typesetting.statements import State
from tiny_study import Tiny
from toys import save_toy

TEXTS, WIDTH = 200, 32
QUICK = ErasureSettings(ranks=(1,), draws=10, choices=3)
STUDY = StudySettings(measures=(f"R@{TEXTS // 2}",), statistics=ComparisonSettings(resamples=200))


def sided() -> Collection:
    """Return queries and passages of one word each; half of the pairs are on one side of a direction."""
    pairs = range(TEXTS)
    passages = [Passage(f"p{i}", f"passage{i}") for i in pairs]
    queries = [Query(f"q{i}", f"query{i}") for i in pairs]
    return make_collection("sides", passages, queries, [Judgment(f"q{i}", f"p{i}") for i in pairs])


def vectors(*, carried: bool) -> dict[str, torch.Tensor]:
    """Return the vector of every word: dimension 0 has the pair's side, where it is carried; the others are noise.

    Eight other directions of queries, and eight of passages, have more variance.
    """
    draw = torch.Generator().manual_seed(0)
    words = {}
    for tower, loud in (("passage", slice(1, 9)), ("query", slice(9, 17))):
        noise = 0.2 * torch.randn(TEXTS, WIDTH, generator=draw)
        noise[:, loud] = 4 * torch.randn(TEXTS, 8, generator=draw)
        if carried:
            noise[:, 0] = torch.tensor([3.0 if i % 2 else -3.0 for i in range(TEXTS)])
        else:
            noise[:, 0] = 3 * torch.randn(TEXTS, generator=draw)
        words |= {f"{tower}{i}": noise[i] for i in range(TEXTS)}
    return words


@dataclass(frozen=True)
class Erased:
    measurement: Measurement
    result: ErasureResult
    section: Section


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Retriever]:
    """Return a backbone that carries nothing, and a retriever of which one direction carries relevance."""
    folder = tmp_path_factory.mktemp("sided")
    return {side: decoder_of(folder / side, vectors(carried=side == "after"), side) for side in ("before", "after")}


def erased(models: dict[str, Retriever], folder: Path, **changed: Any) -> Erased:
    context = Context(models, sided(), STUDY, folder / "vectors")
    one = measured(ANALYSIS, context, replace(QUICK, **changed), folder / "measurement")
    result, section = reported(ANALYSIS, [one], subject_of(context))
    return Erased(one, result, section)


@pytest.fixture(scope="module")
def planted(pair: dict[str, Retriever], tmp_path_factory: pytest.TempPathFactory) -> Erased:
    return erased(pair, tmp_path_factory.mktemp("planted"))


def test_a_direction_that_carries_relevance_is_used_at_every_layer(planted: Erased) -> None:
    after = planted.result.by_layer("after")
    assert list(after["layer"]) == [0, 1, 2]
    assert (after["intact"] > 0.97).all(), "half of the passages are on the right side, and are found first"
    assert after["erased"].to_numpy() == pytest.approx(0.5, abs=0.1), "chance"
    assert (after["random"] > 0.85).all(), "one of ten directions that are drawn from is the one that carries it"
    assert (after["variance"] > 0.8).all(), "a ninth of the loud directions is the one that carries it"
    assert (after["use"] == USED).all()
    assert after["fell"].all()
    assert not after["at_floor"].any()
    assert (after["shared"] > 0.5).all()
    assert (after["shared_shuffled"] < 0.3).all()
    assert after["is_readable"].all()
    assert (after["readable_erased"] < after["readable"] - 0.1).all()
    assert after["readable_erased"].to_numpy() == pytest.approx(planted.result.chance, abs=0.12)
    assert after["readable_random"].to_numpy() == pytest.approx(after["readable"].to_numpy(), abs=0.12)


def test_nothing_else_is_flagged(planted: Erased) -> None:
    before = planted.result.by_layer("before")
    assert (before["use"] == INCONCLUSIVE).all(), "the backbone carries nothing, so there is nothing to remove"
    assert not before["is_readable"].any()
    assert min(planted.result.alarm.values()) > 0.05, "what shuffled pairs share is nothing"
    assert np.abs(planted.result.table["shuffled_beyond"]).max() < 0.1


def test_the_section_says_what_is_used_and_what_fine_tuning_changed(planted: Erased) -> None:
    said = {statement.code: statement for statement in planted.section.statements}
    assert said["after.used"].state is State.SIGNIFICANT
    assert "At layers 0, 1, 2 (post-norm), retrieval uses what this probe reads" in said["after.used"].text
    assert said["before.used"].state is State.NOT_SIGNIFICANT
    assert "There is no layer at which retrieval significantly uses" in said["before.used"].text
    assert said["change"].state is State.SIGNIFICANT
    assert said["after.shuffled"].state is State.MEASURED
    assert said["after.used"].estimate is not None
    assert said["after.used"].estimate.value == pytest.approx(-0.5, abs=0.1)
    assert planted.section.figures[0].specification["description"]
    assert len(planted.section.tables["erasure"].frame) == 6
    assert planted.section.document["chance"] == pytest.approx(1 / 3)


def test_shuffled_pairs_that_do_harm_are_an_alarm(planted: Erased) -> None:
    """The control can fail: where shuffled pairs are given the scores of the true ones, the section says so."""
    one = planted.measurement
    name = "after/retrieved"
    values = one.scores[name].values.copy(deep=True)
    for shuffle in range(QUICK.shuffles):
        values.loc[{"variant": f"shuffled:{shuffle}"}] = values.sel(variant="erased")
    spoiled = replace(one, scores={**one.scores, name: replace(one.scores[name], values=values)})
    from synthetic_subject import subject

    _, section = reported(ANALYSIS, [spoiled], subject(statistics=STUDY.statistics))
    failed = [statement for statement in section.statements if statement.state is State.FAILED]
    assert [statement.code for statement in failed] == ["after.shuffled"]


def test_what_is_readable_and_not_used_is_told_apart(tmp_path: Path) -> None:
    """Passages are told by a direction that the last norm puts out: it is readable below, and retrieval needs nothing
    of it."""
    words = vectors(carried=True)
    after = decoder_of(tmp_path / "model", words, "model")
    with torch.no_grad():
        after.passage.backbone.get_parameter("norm.weight")[0] = 0
    one = erased({"model": after}, tmp_path)
    table = one.result.by_layer("model")
    below = table[table["layer"] < 2]
    assert below["is_readable"].all()
    assert (below["use"] == UNUSED).all()
    assert not table[table["layer"] == 2]["is_readable"].any()
    said = {
        statement.code: statement for statement in ANALYSIS.reporter().alone(one.measurement, _reading()).statements
    }
    assert "a probe reads relevance at layers 0, 1, but retrieval does not use it" in said["model.unused"].text
    assert "change" not in said


@pytest.mark.parametrize("spoil", ["floor", "reads", "noise"])
def test_what_cannot_show_harm_is_inconclusive(planted: Erased, spoil: str) -> None:
    """Three ways in which no harm says nothing: random is at the floor, the probe still reads, directions are noise."""
    one, name = planted.measurement, "after/retrieved"
    values = one.scores[name].values.copy(deep=True)
    values.loc[{"variant": "erased"}] = values.sel(variant="random:0")
    readable, shared = one.scores["after/readable"].values.copy(deep=True), one.frames["shared"].copy()
    if spoil == "floor":
        values = values * 0.4
    elif spoil == "reads":
        readable.loc[{"state": "erased"}] = readable.sel(state="intact")
    else:
        shared["shared"] = 0.0
    scores = {
        **one.scores,
        name: replace(one.scores[name], values=values),
        "after/readable": replace(one.scores["after/readable"], values=readable),
    }
    spoiled = replace(one, scores=scores, frames={**one.frames, "shared": shared})
    from synthetic_subject import subject

    result, section = reported(ANALYSIS, [spoiled], subject(statistics=STUDY.statistics))
    assert (result.by_layer("after")["use"] == INCONCLUSIVE).all()
    said = {statement.code: statement.text for statement in section.statements}
    reason = {
        "floor": "remove more than half",
        "reads": "does not fall significantly",
        "noise": "correlate no more than shuffled pairs",
    }
    assert reason[spoil] in said["after.inconclusive"]


def _reading() -> Any:
    from synthetic_subject import reading

    return reading(statistics=STUDY.statistics)


def test_parts_share_no_text_and_no_passage() -> None:
    whole = sided()
    shared = [Judgment("q1", "p0"), *whole.judgments]  # q1 asks for p0 and p1
    one = replace(whole, judgments=tuple(shared))
    parts = erasure_parts(one, QUICK)
    trained, held_out = {query for query, _ in parts.train}, set(parts.held_out)
    assert not trained & held_out
    assert not {p for _, p in parts.train} & {p for query in held_out for p in one.relevant[query]}
    assert len(held_out) == TEXTS // 2
    assert TEXTS // 2 - 2 <= len(trained) <= TEXTS // 2
    for choice in unrelated_choices(one, parts.held_out, 0):
        assert not {*choice.negatives} & {*one.relevant[choice.query_id]}
        assert len({*choice.negatives}) == len(choice.negatives)


def test_what_cannot_be_measured_is_refused(pair: dict[str, Retriever], tmp_path: Path) -> None:
    context = Context(pair, sided(), STUDY, tmp_path)
    assert INSTRUMENT.refusal(context, QUICK) == ""
    with pytest.raises(SettingsError, match="rank 17 is more than half"):
        INSTRUMENT.refusal(context, replace(QUICK, ranks=(17,)))
    with pytest.raises(SettingsError, match=r"erasure\.layers names layer 3"):
        INSTRUMENT.refusal(context, replace(QUICK, layers=(3,)))
    few = replace(QUICK, ranks=(16,), train_share=0.1)
    assert "training pairs are too few to find 16 directions" in INSTRUMENT.refusal(context, few)
    pooled = load_retriever(save_toy("llama", tmp_path / "toy"), pooling="max")
    assert "pools by max" in INSTRUMENT.refusal(replace(context, models={"model": pooled}), QUICK)


def test_a_plan_counts_subspaces_and_a_layer_without_spread_is_named(tiny: Tiny, cache: Path, tmp_path: Path) -> None:
    after = load_retriever(str(tiny.retriever), pooling="cls")
    context = replace(context_of(tiny, cache, replace(STUDY, measures=("RR@10",))), models={"model": after})
    few = replace(QUICK, ranks=(1, 2), layers=(0, 2), draws=2)
    planned = INSTRUMENT.plan(context, few)
    assert planned.document["subspaces"] == 2 * 2 * (1 + 4 + 2 * 2)
    assert planned.seconds > 0
    one = measured(ANALYSIS, context, few, tmp_path / "measurement")
    assert any("the vectors of layer 0 vary in too few directions" in caveat for caveat in one.caveats)
    values = one.scores["model/retrieved"].values.sel(layer=0)
    assert (values == one.scores["model/intact"].values).all()
    assert set(one.frames["removed"]["layer"]) == {2}
