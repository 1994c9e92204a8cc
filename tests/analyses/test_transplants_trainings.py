"""Transplants of several trainings: effects over trainings and queries together, with planted truths and nulls."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from analyses_one import measured, reported, subject_of
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Section
from retroscope.analyses.transplants import ANALYSIS
from retroscope.analyses.transplants.hybrids.further_trainings import further_trainings
from retroscope.analyses.transplants.infer import TransplantScores, effects_of, places_over_trainings
from retroscope.analyses.transplants.measure import INSTRUMENT
from retroscope.analyses.transplants.plan import plan
from retroscope.analyses.transplants.result import HybridScores, OverTrainings, TransplantEffects
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.analyses.transplants.training_words import training_statements
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.inputs.settings import StudySettings
from retroscope.scores import Scores
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.trainings import EFFECT_COLUMNS
from retroscope.surgery import hybrids
from retroscope.typesetting.statements import State
from toys import save_toy

SETTINGS = SweepSettings(measures=("RR@10",), transplants=("block:1", "block:2"), passages=0, draws=0)
STATISTICS = ComparisonSettings(resamples=100, permutations=100)
STUDY = StudySettings(statistics=STATISTICS)
LEARNED = "layers.0.mlp.down_proj.weight"  # of block 1


@dataclass(frozen=True)
class Swept:
    """Transplants of three trainings: what was measured, the effects over them, and the section."""

    context: Context
    measurement: Measurement
    effects: TransplantEffects
    over: OverTrainings
    section: Section


def disturbed(folder: Path, name: str, seed: int, size: float) -> Retriever:
    """Return the toy with every weight of its blocks moved at random, as another training would."""
    training = load_retriever(folder, pooling="mean", name=name)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in training.passage.backbone.get_submodule("layers").parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return training


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy("llama", tmp_path_factory.mktemp("toy") / "toy")


@pytest.fixture(scope="module")
def backbone(toy: Path) -> Retriever:
    """Return the toy with block 1 ruined, so that block 1 is what every training learned."""
    ruined = load_retriever(toy, pooling="mean", name="ruined")
    with torch.no_grad():
        ruined.passage.backbone.get_parameter(LEARNED).fill_(1000)
    return ruined


@pytest.fixture(scope="module")
def trainings(toy: Path) -> list[Retriever]:
    return [disturbed(toy, f"seed {seed}", seed, 0.01) for seed in range(3)]


def swept(before: Retriever, trainings: Sequence[Retriever], collection: Collection, home: Path) -> Swept:
    """Measure, save, load and report the transplants of several trainings."""
    after, *further = trainings
    models = {"before": before, "after": after}
    context = Context(models, collection, STUDY, home / "vectors", trainings=tuple(further))
    one = measured(ANALYSIS, context, SETTINGS, home / "measurement")
    result, section = reported(ANALYSIS, [one], replace(subject_of(context), trainings=len(trainings)))
    assert result.first.over_trainings is not None
    return Swept(context, one, result.first, result.first.over_trainings, section)


@pytest.fixture(scope="module")
def planted(
    backbone: Retriever, trainings: list[Retriever], halves: Collection, tmp_path_factory: pytest.TempPathFactory
) -> Swept:
    return swept(backbone, trainings, halves, tmp_path_factory.mktemp("planted"))


def test_the_block_that_every_training_learned_is_found(planted: Swept) -> None:
    over = planted.over
    assert over.names == ("seed 0", "seed 1", "seed 2")
    assert over.direction == "restored"
    places = over.places.set_index("transplant")
    assert list(places.index) == ["block:1", "block:2", "all"]
    assert list(places["trainings"]) == [3, 3, 3]
    each = over.each.pivot(index="transplant", columns="training", values="effect")
    for name, row in places.iterrows():
        assert row["effect"] == pytest.approx(each.loc[name].mean())
        assert row["spread"] == pytest.approx(each.loc[name].std())
        assert row["ci_low"] <= row["effect"] <= row["ci_high"]
    assert places.loc["block:1", "effect"] < -0.1
    assert places.loc["block:1", "p_corrected"] < 0.05
    assert places.loc["block:2", "p_corrected"] > 0.05
    total, single = planted.section.statements
    assert total.text.startswith(
        "Over 3 trainings and their queries together, restoring all of the backbone's weights in the retriever changes "
    )
    assert "Effect in each training: seed 0 -" in total.text
    assert " changes RR@10 significantly for 1 of 2 places. Effects on RR@10: block 1 -" in single.text
    assert single.text.endswith("Random changes of equal size were made in seed 0 alone.")
    assert (total.state, single.state) == (State.SIGNIFICANT, State.SIGNIFICANT)


def test_further_trainings_are_measured_as_the_first_would_be(
    planted: Swept, backbone: Retriever, trainings: list[Retriever], halves: Collection, tmp_path: Path
) -> None:
    """The second training alone, as the retriever of its own study, has the scores that it adds to this one."""
    models = {"before": backbone, "after": trainings[1]}
    alone = measured(ANALYSIS, Context(models, halves, STUDY, tmp_path / "vectors"), SETTINGS, tmp_path / "alone")
    for name in ("intact", "hybrids"):
        own, added = alone.scores[f"restored/{name}"], planted.measurement.scores[f"restored/trainings/0/{name}"]
        xr.testing.assert_allclose(added.values, own.values.sel(transplant=added.values["transplant"]))
    assert planted.measurement.facts["trainings"] == ["seed 1", "seed 2"]
    assert not [name for name in planted.measurement.scores if name.startswith("grafted/trainings")]


def test_table_document_and_frames_have_all_trainings(planted: Swept) -> None:
    section = planted.section
    table = section.tables["transplants_trainings"]
    assert table.caption == "Transplants over 3 trainings, on toy"
    assert list(table.frame["transplant"]) == ["block:1", "block:2", "all"]
    assert section.methods["Transplants over trainings"]["trainings"] == 3
    (document,) = json.loads(json.dumps(section.document))
    assert document["trainings"]["names"] == ["seed 0", "seed 1", "seed 2"]
    assert set(document["trainings"]["places"][0]) == {"transplant", "measure", *EFFECT_COLUMNS}
    assert len(document["trainings"]["each"]) == 9
    assert section.frames["transplants_trainings"] is planted.over.places
    assert any("without random changes" in note for note in section.values["notes"])


def test_trainings_that_learned_nothing_have_no_place(toy: Path, halves: Collection, tmp_path: Path) -> None:
    """The null: a backbone that is one more draw of the same law, so no place and no total effect is claimed."""
    before, *trainings = (disturbed(toy, f"draw {seed}", seed, 0.05) for seed in range(10, 14))
    null = swept(before, trainings, halves, tmp_path)
    assert null.over.each["effect"].abs().min() > 0, "every training differs from the backbone"
    assert null.over.places["p_corrected"].min() > 0.05
    assert [s.state for s in null.section.statements] == [State.NOT_SIGNIFICANT]
    assert "there is nothing to localise" in null.section.statements[0].text


def test_the_plan_counts_further_trainings(planted: Swept, backbone: Retriever) -> None:
    alone, both = (plan(replace(planted.context, trainings=t), SETTINGS) for t in ((), planted.context.trainings))
    assert alone.document["trainings"] == 0
    assert "other training" not in alone.lines[0]
    assert both.document["trainings"] == 2
    assert both.seconds == pytest.approx(alone.seconds + both.document["training_seconds"], rel=0.05), "rates are timed"
    assert both.document["training_seconds"] > 0
    assert "; single blocks or parts, and all weights, of 2 other trainings, about " in both.lines[0]
    elsewhere = plan(replace(planted.context, first=False), SETTINGS)
    assert elsewhere.document["trainings"] == 0, "other training runs are measured on the first collection"


def test_a_stopped_run_encodes_no_training_twice(
    planted: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(what: str, done: int, total: int) -> None:
        if what == "transplants of seed 2: query texts":
            raise KeyboardInterrupt

    context = replace(planted.context, cache=tmp_path, progress=stopped)
    planned = INSTRUMENT.plan(context, SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        INSTRUMENT.measure(context, SETTINGS, planned)
    made: list[str] = []
    through = hybrids.hybrids

    def counted(pair, *args, **kwargs):  # type: ignore[no-untyped-def]
        made.append(pair[0].name)
        return through(pair, *args, **kwargs)

    monkeypatch.setattr("retroscope.analyses.transplants.hybrids.windows.hybrids", counted)
    again = INSTRUMENT.measure(replace(context, progress=None), SETTINGS, planned)
    assert set(made) == {"seed 2"}
    for name, scores in planted.measurement.scores.items():
        xr.testing.assert_equal(again.scores[name].values, scores.values)


def test_a_training_that_cannot_be_transplanted_is_a_caveat(
    planted: Swept, toy: Path, trainings: list[Retriever], tmp_path: Path
) -> None:
    other = load_retriever(save_toy("bert", tmp_path / "bert"), pooling="mean", name="another")
    context = replace(planted.context, trainings=(trainings[1], other))
    one = measured(ANALYSIS, context, SETTINGS, tmp_path / "measurement")
    (caveat,) = [text for text in one.caveats if "another (another training)" in text]
    reason = (
        r"is left out of the effects over trainings, because \d+ tensors of ruined and another differ in name or shape"
    )
    assert re.search(reason, caveat)
    assert one.facts["trainings"] == ["seed 1"]
    result, _ = reported(ANALYSIS, [one], subject_of(context))
    assert result.first.over_trainings.names == ("seed 0", "seed 1")
    none = further_trainings(replace(context, trainings=(other,)), ("block:1", "all"))
    assert not none.measured
    assert set(none.left_out) == {"another"}


def made_up(seed: int, total: float, decisive: float, spread: float, studies: int = 1) -> dict[str, HybridScores]:
    """Return the scores of three trainings: true effects of all weights and of block 1, none of block 2.

    Every measure is a study of its own, with its own trainings and queries.
    """
    rng = np.random.default_rng(seed)
    names, ids, shape = ["block:1", "block:2", "all"], [f"q{i}" for i in range(60)], (60, 3, studies)
    hard, shared = rng.normal(0.5, 0.1, (60, 1, studies)), rng.normal(0, 0.02, shape)
    coords = {"query": ids, "transplant": names, "measure": [f"study {k}" for k in range(studies)]}
    truth, varies = np.array([[decisive], [0.0], [total]]), np.array([[1.0], [0.2], [1.0]])
    trainings = {}
    for k in range(3):
        still = xr.DataArray(hard + np.zeros(shape), coords, ("query", "transplant", "measure"))
        moved = truth + spread * rng.normal(size=shape[1:]) * varies
        changed = still + moved + shared + rng.normal(0, 0.05, shape)
        trainings[f"t{k}"] = {"restored": (Scores("transplants", still), Scores("transplants", changed))}
    return trainings


def over_made_up(
    seed: int, total: float, decisive: float, spread: float, studies: int = 1
) -> tuple[TransplantEffects, OverTrainings]:
    trainings = made_up(seed, total, decisive, spread, studies)
    effects = effects_of(TransplantScores(trainings.pop("t0")), "toy", 2, STATISTICS)
    over = places_over_trainings(effects, trainings, "t0", 0.95)
    assert over is not None
    return replace(effects, over_trainings=over), over


def test_intervals_cover_the_true_effects_over_trainings() -> None:
    """Of 100 made-up studies of three trainings, at least .89 of the intervals hold the truth (nominal .95)."""
    _, over = over_made_up(0, -0.3, -0.25, 0.03, studies=100)
    chance = 2.6 * np.sqrt(0.95 * 0.05 / 100)
    for name, truth in (("block:1", -0.25), ("block:2", 0.0), ("all", -0.3)):
        places = over.places[over.places["transplant"] == name]
        assert ((places["ci_low"] <= truth) & (truth <= places["ci_high"])).mean() >= 0.95 - chance, name
        claimed = (places["p_corrected"] < 0.05).mean()
        assert claimed > 0.8 if truth else claimed <= 0.05 + chance, name


def test_what_one_training_shows_and_others_do_not_is_not_claimed() -> None:
    """Trainings whose effects vary around 0: the first alone is significant, all three together are not."""
    effects, over = over_made_up(3, 0.0, 0.0, 0.1)
    alone = effects.headline("restored").set_index("transplant")["p_corrected"]
    assert alone["all"] < 0.05
    assert over.places["p_corrected"].min() > 0.05
    assert [s.state for s in training_statements(effects)] == [State.NOT_SIGNIFICANT]


def test_one_training_has_no_effects_over_trainings() -> None:
    effects = effects_of(TransplantScores(made_up(0, -0.3, -0.25, 0.0)["t0"]), "toy", 2, STATISTICS)
    assert places_over_trainings(effects, {}, "t0", 0.95) is None
    assert training_statements(effects) == ()
