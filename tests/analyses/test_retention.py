"""Facts of the shipped pair: known ones are read, unknown ones not, and what only moved is told from what is lost."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from analyses_one import measured, reported, subject_of
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.retention import ANALYSIS
from retroscope.analyses.retention.measure import INSTRUMENT
from retroscope.analyses.retention.result import HEAD, P1, REFITTED, Association, RetentionResult
from retroscope.analyses.retention.settings import RetentionSettings
from retroscope.analyses.section import Section
from retroscope.collection.loading import load_collection
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.encoders.random_weights import with_random_weights
from retroscope.errors import AnalysisError, CollectionError
from retroscope.inputs.settings import StudySettings
from retroscope.knowledge.settings import ReadoutSettings
from retroscope.statistics.settings import ComparisonSettings
from retroscope.study.demo import shipped, write_demo_world
from retroscope.typesetting.statements import State, Statement
from toys import save_toy

STUDY = StudySettings(measures=("R@10",), statistics=ComparisonSettings(resamples=200, permutations=200))
READOUT = ReadoutSettings(positions=4000, held_out=400, steps=150, learning_rate=0.01)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_world(tmp_path_factory.mktemp("world") / "data")


@pytest.fixture(scope="session")
def settings(world: Path) -> RetentionSettings:
    return RetentionSettings(facts=str(world / "facts.jsonl"), per_relation=80, readout=READOUT, search=False)


@pytest.fixture(scope="session")
def pair(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Context:
    before = load_retriever(shipped().backbone, pooling="mean", similarity="cosine", max_length=64)
    models = {"before": before, "after": load_retriever(shipped().retriever)}
    return Context(models, load_collection(f"beir:{world}"), STUDY, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def measurement(pair: Context, settings: RetentionSettings, tmp_path_factory: pytest.TempPathFactory) -> Measurement:
    return measured(ANALYSIS, pair, replace(settings, search=True), tmp_path_factory.mktemp("told") / "m")


@pytest.fixture(scope="session")
def told(pair: Context, measurement: Measurement) -> tuple[RetentionResult, Section]:
    return reported(ANALYSIS, [measurement], subject_of(pair))


def compared_with(after: Retriever, pair: Context, settings: RetentionSettings, folder: Path) -> RetentionResult:
    """Compare the shipped backbone with another model, without the control of random weights."""
    study = replace(STUDY, random_weights=False)
    context = replace(pair, models={"before": pair.models["before"], "after": after}, settings=study, _made={})
    found = measured(ANALYSIS, context, settings, folder / "m")
    result, _ = reported(ANALYSIS, [found], subject_of(pair))
    assert isinstance(result, RetentionResult)
    return result


def altered(retriever: Retriever, change: Callable[[torch.nn.Module], None]) -> Retriever:
    """A copy whose backbone is changed in place."""
    backbone = copy.deepcopy(retriever.passage.backbone)
    with torch.no_grad():
        change(backbone)
    encoder = replace(retriever.passage, name="altered", backbone=backbone)
    return replace(retriever, name="altered", query=encoder, passage=encoder)


def at(result: RetentionResult, stratum: str, side: str, readout: str) -> float:
    frame = result.strata
    kept = frame[(frame["stratum"] == stratum) & (frame["side"] == side) & (frame["readout"] == readout)]
    return float(kept["mean"].item())


def test_known_facts_are_read_before_and_after_and_unknown_ones_are_not(told: tuple[RetentionResult, Section]) -> None:
    result, _ = told
    for readout, least in ((HEAD, 0.5), (REFITTED, 0.25)):
        for side in ("before", "after"):
            assert at(result, "known-held-out", side, readout) > least
            assert at(result, "unknown-held-out", side, readout) < 0.1
    assert at(result, "known-held-out", "random", REFITTED) < 0.1
    for readout in (HEAD, REFITTED):
        one = result.retained[readout, "known-held-out"]
        assert one.kept.low > 0.4
        assert one.kept.value > 2 * one.gained.value
    assert not [one for one in result.controls if one.failed]
    assert {one.name for one in result.controls} == {"other subject", "facts that cannot be known", "random weights"}
    assert result.consistency.set_index(["side", "readout"])["mean"]["before", HEAD] > 0.3


def test_what_is_known_is_found(told: tuple[RetentionResult, Section]) -> None:
    result, section = told
    whole = {one.side: one for one in result.associations if not one.stratum}
    assert whole["after"].crude.value > 5
    assert np.isnan(whole["after"].crude.low), "a single known fact was not found: too few for an interval"
    assert whole["after"].known > 0.9
    # Within people that both trainings were alike for, there is no difference left between known and unknown facts.
    held_out = {one.side: one for one in result.associations if one.stratum == "unknown-held-out"}
    assert held_out["after"].known < 0.2 or held_out["after"].n_known < 5
    states = {one.code: one.state for one in section.statements}
    assert states["controls"] is State.MEASURED


def test_what_only_strata_share_is_no_association(measurement: Measurement, pair: Context) -> None:
    """Found: every fact of known people, and every second one of others; the single fact does not matter."""
    facts = measurement.frames["facts"].set_index("fact").loc[measurement.frames["found"]["fact"]]
    of_known = facts["stratum"].str.startswith("known").to_numpy()
    found = measurement.frames["found"].assign(**{"found/after": (of_known | (np.arange(len(facts)) % 2 == 0)) * 1.0})
    one, said = associated(replace(measurement, frames={**measurement.frames, "found": found}), pair)
    assert one.crude.value > 2
    assert not one.within.low > 1
    assert said.state is not State.SIGNIFICANT
    assert said.estimate is None or said.estimate.value == one.within.value
    assert f"{one.crude.value:.2f}" not in said.text


def test_known_facts_that_are_found_within_strata_are_an_association(measurement: Measurement, pair: Context) -> None:
    scores = measurement.scores["before"].select(layer=3, readout=HEAD, measure=P1).values
    found = measurement.frames["found"]
    known = scores.sel(query=list(found["fact"])).values == 1
    hit = np.where(np.random.default_rng(0).random(len(known)) < 0.3, ~known, known) * 1.0
    found = found.assign(**{"found/after": hit})
    one, said = associated(replace(measurement, frames={**measurement.frames, "found": found}), pair)
    assert one.within.low > 1
    assert said.state is State.SIGNIFICANT
    assert "Among facts of the same stratum" in said.text


def associated(measurement: Measurement, pair: Context) -> tuple[Association, Statement]:
    """Return what the retriever finds of known facts, of all strata, and its statement."""
    result, section = reported(ANALYSIS, [measurement], subject_of(pair))
    assert isinstance(result, RetentionResult)
    one = next(one for one in result.associations if one.side == "after" and not one.stratum)
    return one, next(one for one in section.statements if one.code == "found_after")


def test_section_has_words_tables_figure_and_numbers(told: tuple[RetentionResult, Section]) -> None:
    result, section = told
    text = {one.code: one.text for one in section.statements}
    assert text[HEAD].startswith("Read with the backbone's own language-model head")
    assert set(section.tables) == {"facts", "facts_by_layer", "facts_controls", "facts_vocabulary", "facts_strata",
                                   "facts_consistency", "facts_found"}  # fmt: skip
    assert [figure.name for figure in section.figures] == ["facts_by_layer"]
    assert "refitted read-out" in json.dumps(section.figures[0].specification)
    assert json.dumps(section.document)
    assert "over 320 facts of" in section.tables["facts"].note
    assert "subjects and not corrected" in section.tables["facts"].note
    assert list(result.effect.before.values["layer"].values) == [0, 1, 2, 3]
    lower = result.effect.to_frame().query(f"readout == '{HEAD}' and measure == '{P1}' and layer < 2")
    assert lower["before"].max() < 0.1  # facts are read from the last layer


def test_states_that_only_moved_fail_the_grafted_head_and_not_the_read_out(
    pair: Context, settings: RetentionSettings, tmp_path: Path
) -> None:
    def negated(backbone: torch.nn.Module) -> None:
        norm = backbone.get_submodule("encoder.layer.2.output.LayerNorm")
        norm.weight.neg_()
        norm.bias.neg_()

    result = compared_with(altered(pair.models["before"], negated), pair, settings, tmp_path)
    assert result.retained[HEAD, "known-held-out"].kept.high < 0.3
    assert result.retained[REFITTED, "known-held-out"].kept.value == pytest.approx(1, abs=0.05)


def test_forgotten_facts_fail_both(pair: Context, settings: RetentionSettings, tmp_path: Path) -> None:
    result = compared_with(with_random_weights(pair.models["after"], seed=1), pair, settings, tmp_path)
    for readout in (HEAD, REFITTED):
        assert result.retained[readout, "known-held-out"].kept.high < 0.3


def test_the_same_model_retains_everything(pair: Context, settings: RetentionSettings, tmp_path: Path) -> None:
    result = compared_with(pair.models["before"], pair, replace(settings, wordings=1), tmp_path)
    assert np.abs(result.effect.to_frame()["effect"]).max() == 0
    assert result.consistency.empty
    for one in result.retained.values():
        assert one.kept.value == 1 or not one.kept.n
        assert one.gained.value == 0 or not one.gained.n


def test_gained_facts_do_not_hide_lost_ones(measurement: Measurement, pair: Context) -> None:
    scores = {side: measurement.scores[side] for side in ("before", "after")}
    order = np.argsort(scores["before"].select(layer=3, readout=HEAD, measure=P1).values.values)
    values = scores["before"].values.copy()
    values[order] = scores["before"].values.values[order[::-1]]  # the facts that were read change places with others
    planted = replace(measurement, scores={**measurement.scores, "after": replace(scores["after"], values=values)})
    result, section = reported(ANALYSIS, [planted], subject_of(pair))
    assert isinstance(result, RetentionResult)
    net = result.effect.to_frame().query(f"readout == '{HEAD}' and measure == '{P1}' and layer == 3")["effect"].item()
    assert net == pytest.approx(0)
    assert result.retained[HEAD, ""].kept.value < 0.5
    assert result.retained[HEAD, ""].gained.value > 0.1
    said = next(one.text for one in section.statements if one.code == HEAD)
    assert "whose answer comes first before fine-tuning" in said
    assert said.endswith("Intervals hold for these 4 relations only.")


def test_control_of_facts_that_can_be_known_fails(pair: Context, settings: RetentionSettings, tmp_path: Path) -> None:
    wrong = replace(settings, unknowable=("known-held-out",))
    found = measured(ANALYSIS, pair, wrong, tmp_path / "m")
    _, section = reported(ANALYSIS, [found], subject_of(pair))
    control = next(one for one in section.statements if one.code == "controls")
    assert control.state is State.FAILED
    assert "facts that cannot be known (before, head)" in control.text


def test_model_without_a_head_is_read_by_the_refitted_read_out_alone(
    pair: Context, settings: RetentionSettings, tmp_path: Path
) -> None:
    models = {"before": pair.models["after"], "after": pair.models["before"]}
    context = replace(pair, models=models, settings=replace(STUDY, random_weights=False), _made={})
    found = measured(ANALYSIS, context, replace(settings, wordings=1), tmp_path / "m")
    result, section = reported(ANALYSIS, [found], subject_of(pair))
    assert result.readouts == [REFITTED]
    said = next(one for one in section.statements if one.code == "no_head")
    assert said.state is State.NOT_RUN
    assert "saved without its language-model head" in said.text
    assert result.vocabulary is None


def test_refusals(pair: Context, settings: RetentionSettings, tmp_path: Path) -> None:
    assert "no facts are given" in INSTRUMENT.refusal(pair, RetentionSettings())
    toy = load_retriever(save_toy("bert", tmp_path / "toy"), pooling="mean")
    other = replace(pair, models={**pair.models, "after": toy})
    assert "different vocabularies" in INSTRUMENT.refusal(other, settings)
    silent = load_retriever(save_toy("t5", tmp_path / "t5"), pooling="mean")
    assert "no mask token" in INSTRUMENT.refusal(replace(pair, models={"model": silent}), settings)


def test_a_cloze_longer_than_the_positions_of_the_model_is_refused_in_the_plan(
    pair: Context, world: Path, settings: RetentionSettings, tmp_path: Path
) -> None:
    first, *others = map(json.loads, (world / "facts.jsonl").read_text().splitlines()[:40])
    first["cloze"] = f"{'so ' * 3000}{first['cloze']}"
    file = tmp_path / "f.jsonl"
    file.write_text("".join(f"{json.dumps(one)}\n" for one in (first, *others)))
    with pytest.raises(AnalysisError, match=rf"a cloze of the fact '{first['id']}' has \d+ tokens(?s:.)*shorten this"):
        INSTRUMENT.plan(pair, replace(settings, facts=str(file)))


def test_other_facts_are_another_measurement(world: Path, settings: RetentionSettings, tmp_path: Path) -> None:
    lines = (world / "facts.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "f.jsonl").write_text("".join(lines[:40]))
    mine = replace(settings, facts=str(tmp_path / "f.jsonl"))
    assert INSTRUMENT.inputs is not None
    first = INSTRUMENT.inputs(mine)
    (tmp_path / "f.jsonl").write_text("".join(lines[:41]))
    assert INSTRUMENT.inputs(mine) != first


def test_one_model_alone(pair: Context, settings: RetentionSettings, tmp_path: Path) -> None:
    context = replace(pair, models={"model": pair.models["before"]}, _made={})
    found = measured(ANALYSIS, context, replace(settings, wordings=1), tmp_path / "m")
    reporter = ANALYSIS.reporter()
    assert reporter.alone is not None
    from retroscope.analyses.section import Reading

    section = reporter.alone(found, Reading(subject_of(pair)))
    best = max(row["mean"] for row in section.document if row["measure"] == P1 and row["readout"] == HEAD)
    assert best > 0.2


QUICK = RetentionSettings(
    per_relation=80, readout=ReadoutSettings(positions=400, held_out=50, steps=3), search=False, wordings=2
)


@pytest.fixture(scope="module")
def alone(pair: Context) -> Context:
    """The backbone, without the control of random weights."""
    return replace(pair, models={"model": pair.models["before"]}, settings=replace(STUDY, random_weights=False))


def measured_facts(alone: Context, rows: list[dict], file: Path) -> tuple[Measurement, list[str]]:
    """Measure these facts; return the measurement and the lines of its plan."""
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    settings = replace(QUICK, facts=str(file))
    planned = INSTRUMENT.plan(alone, settings)
    return INSTRUMENT.measure(replace(alone, _made={}), settings, planned), list(planned.lines)


@pytest.fixture(scope="module")
def aliases(world: Path) -> list[dict]:
    """Aliases of twelve people, without paraphrases."""
    rows = [json.loads(line) for line in (world / "facts.jsonl").read_text().splitlines()]
    return [{**row, "paraphrases": []} for row in rows if row["relation"] == "alias"][:12]


def test_facts_that_say_nothing_are_left_out_and_move_no_number(
    alone: Context, aliases: list[dict], tmp_path: Path
) -> None:
    unknown = {**aliases[0], "id": "unknown", "object": "quidditch"}
    single = [{**row, "id": f"{row['id']}-s", "relation": "species"} for row in aliases[:4]]
    single = [{**row, "object": aliases[0]["object"]} for row in single]
    (plain, _), (found, lines) = (
        measured_facts(alone, rows, tmp_path / f"{len(rows)}.jsonl") for rows in (aliases, [*aliases, unknown, *single])
    )
    assert found.scores["model"].values.identical(plain.scores["model"].values)
    assert found.frames["facts"].equals(plain.frames["facts"])
    assert not plain.caveats
    assert found.facts == plain.facts | {"left_out": {"unknown_object": 1, "no_competitor": 4}}
    assert [caveat.split(",")[0] for caveat in found.caveats] == [
        "1 fact whose object has a word that the tokenizer does not know (e.g. 'quidditch')",
        "4 facts whose answer has no competitor among the objects of the relation",
    ]
    assert "(relations: species)" in found.caveats[1]
    assert lines[0].startswith("facts: 12 of 17, 1 relation, 12 clozes")


def test_only_facts_that_say_nothing_are_refused(alone: Context, aliases: list[dict], tmp_path: Path) -> None:
    single = [{**row, "object": aliases[0]["object"]} for row in aliases]
    with pytest.raises(CollectionError, match=r"none of the facts(?s:.)*12 facts whose answer has no competitor"):
        measured_facts(alone, single, tmp_path / "f.jsonl")


def test_objects_with_equal_tokens_are_told_and_count_as_not_read(
    alone: Context, aliases: list[dict], tmp_path: Path
) -> None:
    whole, _ = measured_facts(alone, aliases, tmp_path / "whole.jsonl")
    last = {"layer": 3, "readout": HEAD, "measure": P1}
    hits = whole.scores["model"].select(**last).values
    known = hits["query"].values[hits.values == 1][0]
    other = next(row for row in aliases if row["id"] != known)
    own = next(row for row in aliases if row["id"] == known)
    rows = [*(row for row in aliases if row is not other), {**other, "object": own["object"].replace(" ", "  ")}]
    found, _ = measured_facts(alone, rows, tmp_path / "twins.jsonl")
    assert found.scores["model"].select(**last).values.sel(query=known).item() == 0
    assert found.facts["same_tokens"] == 2
    assert any("2 facts whose object has the same tokens as another object" in one for one in found.caveats)
    frame = found.frames["facts"].set_index("fact")
    assert frame.loc[known, "most_frequent"] == 0


def test_a_paraphrase_that_equals_the_cloze_is_no_agreement(
    alone: Context, aliases: list[dict], tmp_path: Path
) -> None:
    rows = [{**row, "paraphrases": [row["cloze"], f"{row['cloze']} "]} for row in aliases]
    found, _ = measured_facts(alone, rows, tmp_path / "f.jsonl")
    assert found.frames["consistency"].empty
    assert found.caveats == (
        "12 clozes with the same tokens as an earlier cloze of the same fact: not counted in consistency",
    )
