"""Transplants measured: the ends are the two models, and a planted block is the one that matters."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from analyses_one import measured, reported, subject_of
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Reading, Section
from retroscope.analyses.transplants import ANALYSIS
from retroscope.analyses.transplants.hybrids import vectors, windows
from retroscope.analyses.transplants.measure import INSTRUMENT
from retroscope.analyses.transplants.plan import SIGNIFICANT, plan, together_or_apart
from retroscope.analyses.transplants.report import report
from retroscope.analyses.transplants.result import TransplantEffects, TransplantResult
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.analyses.transplants.tables import effects_frame
from retroscope.analyses.transplants.words import transplant_statements
from retroscope.collection.collection import Collection
from retroscope.encoders import encode
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.engine.ledger import RECORDS, Ledger
from retroscope.engine.storage import Storage
from retroscope.errors import SettingsError
from retroscope.files.cache_records import RECORD
from retroscope.inputs import texts
from retroscope.inputs.settings import StudySettings
from retroscope.statistics.settings import ComparisonSettings
from retroscope.study.reporting.verdict import verdict
from retroscope.surgery import hybrids
from retroscope.typesetting.statements import State, Statement
from synthetic_subject import subject
from toys import save, save_toy, scatter

QUICK = SweepSettings(measures=("RR@10",), shares=(0.5,), passages=0, draws=8)
STUDY = StudySettings(statistics=ComparisonSettings(resamples=200))


@dataclass(frozen=True)
class Swept:
    """One sweep: what was measured, what it says, and the effects on its only collection."""

    measurement: Measurement
    effects: TransplantEffects
    section: Section


def context_of(pair: tuple[Retriever, Retriever], collection: Collection, cache: Path) -> Context:
    return Context(dict(zip(("before", "after"), pair, strict=True)), collection, STUDY, cache)


def swept(pair: tuple[Retriever, Retriever], collection: Collection, cache: Path, **changed: Any) -> Swept:
    """Measure, save, load and report."""
    context = context_of(pair, collection, cache / "vectors")
    one = measured(ANALYSIS, context, replace(QUICK, **changed), cache / "measurement")
    result, section = reported(ANALYSIS, [one], subject_of(context))
    assert result.first.collection == collection.name
    return Swept(one, result.first, section)


@pytest.fixture(scope="module")
def collection(halves: Collection) -> Collection:
    return halves


@pytest.fixture(scope="module")
def pair(planted: tuple[Retriever, Retriever]) -> tuple[Retriever, Retriever]:
    return planted


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def whole(pair: tuple[Retriever, Retriever], collection: Collection, cache: Path) -> Swept:
    return swept(pair, collection, cache)


@pytest.fixture(scope="module")
def effects(whole: Swept) -> TransplantEffects:
    return whole.effects


def test_the_plan_counts_what_is_run(pair: tuple[Retriever, Retriever], collection: Collection, cache: Path) -> None:
    context = context_of(pair, collection, cache)
    planned = plan(context, replace(QUICK, transplants=("top:1", "bottom:1")))
    assert planned.document["hybrids"] == 6, "two and all, in both directions"
    expected = planned.document["seconds"] + SIGNIFICANT * planned.document["control_seconds"]
    assert planned.seconds == pytest.approx(expected, abs=1e-2)
    assert planned.seconds > 0
    wanted = [(receiver, name) for receiver in (0, 1) for name in ("none", "top:1", "bottom:1", "all")]
    before, after = (retriever.passage for retriever in pair)
    blocks = after.anatomy.n_blocks
    assert together_or_apart(before, after, wanted) == pytest.approx(2 + 2 * 1 / blocks), "one's top: other's bottom"
    shorter = replace(after, recipe=replace(after.recipe, max_length=after.recipe.max_length - 1))
    apart = 2 * (2 + 1 / blocks + (blocks - 1) / blocks)
    assert together_or_apart(before, shorter, wanted) == pytest.approx(apart), "two recipes are never run together"
    with pytest.raises(SettingsError, match="the model, which has 2 blocks"):
        plan(context, replace(QUICK, transplants=("block:99",)))


def test_the_ends_are_the_two_models(effects: TransplantEffects) -> None:
    table = effects.table().set_index(["direction", "transplant"])
    assert table.loc[("restored", "all"), "score"] == pytest.approx(table.loc[("grafted", "all"), "intact"])
    assert table.loc[("restored", "all"), "effect"] == pytest.approx(-table.loc[("grafted", "all"), "effect"])
    assert table.loc[("restored", "bottom:1"), "score"] == pytest.approx(table.loc[("grafted", "top:1"), "score"])


def test_a_planted_block_is_the_one_that_matters(effects: TransplantEffects) -> None:
    table = effects.table().set_index(["direction", "transplant"])["effect"]
    for direction in ("restored", "grafted"):
        whole = table[direction, "all"]
        assert abs(whole) > 0.1
        for name in ("block:2", "ffn_out", "top:1", "bottom:2"):
            assert table[direction, name] == pytest.approx(whole), name
        for name in ("block:1", "bottom:1", "attention", "ffn_in", "norms", "embeddings"):
            assert table[direction, name] == 0, name


def test_the_verdict_names_it(effects: TransplantEffects) -> None:
    by_name = {s.text: s.state for s in transplant_statements(effects)}
    (text,) = [
        t
        for t in by_name
        if t.startswith("Restoring the backbone's weights in a single block of the retriever changes")
    ]
    assert "significantly for 1 of 2 blocks. The largest significant change is that of block 2: RR@10 " in text
    assert by_name[text] == State.SIGNIFICANT
    (ends,) = [t for t in by_name if t.startswith("Restoring the top 1 of 2 blocks in the retriever reaches half of")]
    assert "Restoring the embeddings and the bottom 2 of 2 blocks in the retriever reaches half of" in ends
    assert any("RR@10 after restoring one part" in t and "first: the FFN's output matrices" in t for t in by_name)


def test_the_same_model_twice_has_nothing_to_transplant(
    pair: tuple[Retriever, Retriever], collection: Collection, cache: Path
) -> None:
    _, after = pair
    refusal = INSTRUMENT.refusal
    twice = context_of((replace(after, name="again"), after), collection, cache)
    assert refusal(twice, QUICK) == "again and whole have the same weights: there is nothing to transplant"
    alone = replace(twice, models={"model": after})
    assert refusal(alone, QUICK) == "weights are transplanted between two models, but only one model is given"
    with pytest.raises(SettingsError, match="passages is -5"):
        replace(QUICK, passages=-5)


def test_parts_that_do_nothing_are_no_evidence(
    pair: tuple[Retriever, Retriever], collection: Collection, cache: Path
) -> None:
    few = swept(pair, collection, cache, transplants=("attention", "norms")).effects
    assert {s.state for s in transplant_statements(few) if " one part of " in s.text} == {State.NOT_SIGNIFICANT}


def test_a_report_without_counted_blocks(
    pair: tuple[Retriever, Retriever], collection: Collection, cache: Path
) -> None:
    section = swept(pair, collection, cache, transplants=("attention",)).section
    assert section.figures == ()
    assert list(section.tables["transplants"].frame["transplant"]) == ["attention", "all"] * 2


def test_section_and_document(whole: Swept) -> None:
    section = whole.section
    assert section.tables["transplants"].caption == "Transplants of weights between ruined and whole, on toy"
    assert [figure.name for figure in section.figures] == ["transplants"]
    assert section.statements == (), "they are details: localisation sums them up"
    assert len(section.details) == len(transplant_statements(whole.effects))
    pd.testing.assert_frame_equal(section.frames["transplants"], effects_frame(whole.effects))
    (document,) = section.document
    assert document["collection"] == "toy"
    assert len(document["effects"]) == len(whole.effects.table())
    assert list(section.differences) == ["Transplants: restored", "Transplants: grafted"]
    assert whole.effects.notes == ("retrieval was measured with 150 queries over 150 passages",)
    assert whole.measurement.caveats == ("transplants: retrieval was measured with 150 queries over 150 passages",)
    assert (document["queries"], document["passages"]) == (150, 150)


def test_details_are_in_the_verdict_only_where_localisation_is_not(whole: Swept) -> None:
    statements = [s.text for s in whole.section.details]
    alone = verdict({"transplants": whole.section}, subject())
    assert [s.text for s in alone.statements] == statements
    note = Statement("localisation", State.MEASURED, "Block 2.", ())
    both = verdict({"localisation": Section(statements=(note,)), "transplants": whole.section}, subject())
    assert [s.text for s in both.statements] == ["Block 2."]


def test_the_measures_are_the_studys_unless_others_are_asked_for(
    pair: tuple[Retriever, Retriever], collection: Collection, cache: Path
) -> None:
    made = swept(pair, collection, cache, measures=None, transplants=("block:1",), draws=0)
    assert made.effects.measures == STUDY.measures


def test_every_collection_has_its_effects(
    pair: tuple[Retriever, Retriever], collection: Collection, whole: Swept, cache: Path
) -> None:
    """The first one is the page's; the numbers of the others are in tables and JSON, under their names."""
    few = list(collection.queries)[:60]
    kept = tuple(j for j in collection.judgments if j.query_id in few)
    other = replace(collection, name="other", queries={q: collection.queries[q] for q in few}, judgments=kept)
    context = context_of(pair, other, cache / "vectors")
    second = measured(ANALYSIS, context, replace(QUICK, transplants=("block:2",)), cache / "other")
    result, section = reported(ANALYSIS, [whole.measurement, second], subject_of(context))
    assert [one.collection for one in result.by_collection] == ["toy", "other"]
    assert list(section.frames) == ["transplants", "transplants_2"]
    assert [one["collection"] for one in section.document] == ["toy", "other"]
    assert "Transplants: restored, other" in section.differences
    assert result.by_collection[1].queries == 60
    pd.testing.assert_frame_equal(result.first.table(), whole.effects.table())


def test_a_sample_is_said(pair: tuple[Retriever, Retriever], collection: Collection, cache: Path) -> None:
    small = swept(pair, collection, cache, passages=120, transplants=("block:1",))
    caveats = small.measurement.caveats
    assert any("a sample of 120 of 150 passages was searched with 80 of 150" in c for c in caveats), caveats
    assert any("with the same queries, ruined reaches RR@10" in caveat for caveat in caveats)
    assert [row["model"] for row in small.effects.sample] == ["whole", "ruined"]
    alone = swept(pair, collection, cache, passages=120, transplants=("block:1",), directions=("grafted",))
    assert list(alone.effects.differences) == ["grafted"]
    assert alone.effects.sample == small.effects.sample[1:]
    assert alone.section.document[0]["sample"] == list(alone.effects.sample)
    assert swept(pair, collection, cache, transplants=("block:1",)).effects.sample == ()


def test_a_cutoff_beyond_the_sample_is_a_warning(
    pair: tuple[Retriever, Retriever], collection: Collection, cache: Path
) -> None:
    deep = swept(pair, collection, cache, passages=120, transplants=("block:1",), measures=("RR@10", "R@120"))
    warned = "R@120 uses the first 120 passages of a ranking, but the sample has only 120, so all of them"
    assert [warned in caveat for caveat in deep.measurement.caveats].count(True) == 1


def test_a_lower_precision_is_measured_first(
    pair: tuple[Retriever, Retriever], collection: Collection, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Toy vectors are so near to one another that bfloat16 moves ranks: it is refused. Else its effect is stated."""
    wanted = {"precision": "bfloat16", "transplants": ("block:1",)}
    with pytest.raises(SettingsError, match=r"in bfloat16, the effect of all weights on RR@10(.|\n)*precision float32"):
        swept(pair, collection, cache / "refused", **wanted)
    stored = [path for path in (cache / "refused").glob("vectors/transplants/*") if not path.name.endswith(RECORD)]
    assert len(stored) == 4, "two towers of the pilot in each precision"
    monkeypatch.setattr("retroscope.encoders.precision.TOLERANCE", 1.0)
    rounded = swept(pair, collection, cache, **wanted).measurement
    effect = rounded.facts["precision_effect"]
    assert effect["exact"] == pytest.approx(effect["reduced"] - effect["difference"])
    assert any("in bfloat16, the effect of all weights on RR@10 of" in caveat for caveat in rounded.caveats)
    exact = swept(pair, collection, cache, transplants=("block:1",)).measurement
    assert exact.facts["precision_effect"] is None


def test_a_sweep_that_was_stopped_goes_on(
    pair: tuple[Retriever, Retriever], collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was made is not made again, and the result is the same."""
    whole = swept(pair, collection, tmp_path / "whole", transplants=("block:1",)).effects.table()
    own, calls = hybrids.hybrids, [0]

    def counted(*args: Any, **kwargs: Any) -> object:
        calls[0] += 1
        if calls[0] == 3:
            raise KeyboardInterrupt
        return own(*args, **kwargs)

    monkeypatch.setattr(windows, "hybrids", counted)
    with pytest.raises(KeyboardInterrupt):
        swept(pair, collection, tmp_path / "stopped", transplants=("block:1",))
    again = swept(pair, collection, tmp_path / "stopped", transplants=("block:1",)).effects.table()
    whole_windows = 2 * -(-150 // vectors.WINDOW)  # of both towers
    assert calls[0] == whole_windows + 1
    pd.testing.assert_frame_equal(again, whole)
    swept(pair, collection, tmp_path / "stopped", transplants=("block:1",))
    assert calls[0] == whole_windows + 1


def test_records_of_a_killed_run_on_a_cluster_are_removed(
    pair: tuple[Retriever, Retriever], collection: Collection, tmp_path: Path
) -> None:
    swept(pair, collection, tmp_path, transplants=("block:1",))
    windows_of_one = next((tmp_path / "vectors" / vectors.FOLDER).rglob("00000.npy")).parent
    left = Ledger(Storage(windows_of_one))
    left.complete("00000.npy", "key", ["00000.npy"])
    assert left.records() == 1
    swept(pair, collection, tmp_path, transplants=("block:1",))
    assert not (windows_of_one / RECORDS).exists()


def test_every_text_is_tokenised_once_a_receiver(
    pair: tuple[Retriever, Retriever], collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random changes and subsets encode the same texts again, and do not tokenise them again."""
    own, calls = encode.tokenise, []

    def counted(encoder: Encoder, some: list[str]) -> object:
        calls.append(len(some))
        return own(encoder, some)

    context = context_of(pair, collection, tmp_path)
    settings = replace(QUICK, interactions=2, draws=2)
    planned = INSTRUMENT.plan(context, settings)
    monkeypatch.setattr(texts, "tokenise", counted)
    measurement = INSTRUMENT.measure(context, settings, planned)
    assert {"restored/random", "restored/subsets"} < set(measurement.scores)
    assert calls == [150] * 4, "queries and passages, of either receiver"


def test_recipes_that_differ_are_run_one_direction_at_a_time(
    pair: tuple[Retriever, Retriever], collection: Collection, tmp_path: Path
) -> None:
    """Hybrids have their receiver's recipe: `none` is each model as it is, whatever the other's prompt or ending."""
    before, after = pair
    prompted = replace(after.query, recipe=replace(after.query.recipe, prompt="query the "))
    other = replace(after, query=prompted)
    table = swept((before, other), collection, tmp_path, transplants=("block:1",)).effects.table()
    table = table.set_index(["direction", "transplant"])
    alike = swept(pair, collection, tmp_path, transplants=("block:1",)).effects.table()
    alike = alike.set_index(["direction", "transplant"])
    assert table.loc[("grafted", "all"), "intact"] == alike.loc[("grafted", "all"), "intact"]
    assert table.loc[("grafted", "all"), "score"] == pytest.approx(alike.loc[("grafted", "all"), "score"])
    assert table.loc[("restored", "all"), "intact"] != alike.loc[("restored", "all"), "intact"]


def test_mistakes(pair: tuple[Retriever, Retriever], collection: Collection, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="unknown direction of transplants 'back'"):
        SweepSettings(directions=("back",))
    with pytest.raises(SettingsError, match="groups is -1"):
        SweepSettings(groups=-1)
    refusal = INSTRUMENT.refusal
    with pytest.raises(SettingsError, match="'block:3' does not fit the model, which has 2 blocks"):
        refusal(context_of(pair, collection, cache), replace(QUICK, transplants=("block:3",)))
    with pytest.raises(SettingsError, match="unknown measure 'RR10'"):
        refusal(context_of(pair, collection, cache), replace(QUICK, measures=("RR10",)))
    other = load_retriever(save_toy("bert", tmp_path / "bert"), pooling="mean")
    assert "differ in" in refusal(context_of((pair[0], other), collection, cache), QUICK)


def test_a_planted_block_does_more_than_random_changes_of_equal_size(effects: TransplantEffects) -> None:
    """The ruin of block 2 is more than a change of that size. Its mending is not: a random matrix mends it as well."""
    controls = effects.controls.set_index(["direction", "transplant"])
    assert set(controls.index) == {(d, name) for d in ("restored", "grafted") for name in ("block:2", "ffn_out")}
    assert (controls["draws"] == 8).all()
    assert controls.loc["restored", "beats"].all()
    assert not controls.loc["grafted", "beats"].any()
    assert effects.beats_random("restored", "block:1") is None
    row = controls.loc[("restored", "block:2")]
    assert row["effect"] == pytest.approx(
        effects.headline("restored", "block").set_index("transplant")["effect"]["block:2"]
    )
    assert row["extra"] == pytest.approx(row["effect"] - row["random"])
    by_name = {s.text: s.state for s in transplant_statements(effects)}
    (text,) = [t for t in by_name if "random changes of equal size in the retriever" in t]
    assert text.startswith(
        "Of 2 transplants of a single place (block, group of blocks or part) with a significant effect, 2 have a "
        "significantly larger effect than random changes of equal size"
    )
    assert by_name[text] == State.SIGNIFICANT
    (text,) = [t for t in by_name if "random changes of equal size in the backbone" in t]
    assert by_name[text] == State.NOT_SIGNIFICANT


def test_the_control_can_be_left_out_and_is_in_the_plan(
    pair: tuple[Retriever, Retriever], collection: Collection, cache: Path
) -> None:
    without = swept(pair, collection, cache, draws=0).effects
    assert without.controls.empty
    for draws, said in ((0, {"random changes of the weights": "--set transplants.draws=3"}), (2, {})):
        reading = Reading(replace(subject(), settings={"transplants": {"draws": draws}}))
        assert report(TransplantResult((without,)), reading).left_out == said
    context = context_of(pair, collection, cache)
    planned = plan(context, QUICK).document
    assert planned["controls"] == 8 * 2 * 7, "two blocks and five parts, in both directions, at most"
    assert planned["control_seconds"] > planned["seconds"] > 0
    assert plan(context, replace(QUICK, draws=0)).document["control_seconds"] == 0
    with pytest.raises(SettingsError, match="draws is 1"):
        replace(QUICK, draws=1)
    with pytest.raises(SettingsError, match="interactions is 7"):
        replace(QUICK, interactions=7)


def test_interactions_add_up_on_a_real_pair(
    pair: tuple[Retriever, Retriever], collection: Collection, cache: Path
) -> None:
    made = swept(pair, collection, cache, interactions=3, transplants=("block:1",))
    (effects,) = made.effects.interactions.values()
    whole = made.effects.headline("restored", "all")["effect"].iloc[0]
    shapley = effects.shapley.set_index("group")
    assert list(shapley.index) == ["1", "2", "outside"]
    assert shapley["effect"].sum() == pytest.approx(whole)
    assert shapley["effect"].to_dict() == pytest.approx({"1": 0, "2": whole, "outside": 0})
    assert (effects.pairs["p_corrected"] > 0.05).all()
    planned = plan(context_of(pair, collection, cache), replace(QUICK, interactions=3))
    assert planned.document["subsets"] == 7
    assert "7 subsets of groups" in planned.lines[0]
    assert made.section.tables["shapley"].caption == "Shapley values of groups of weights"
    assert made.section.document[0]["interactions"]["restored"]["shapley"][1]["group"] == "2"


def test_a_significant_group_is_split_and_its_ruined_block_found(
    pair: tuple[Retriever, Retriever], collection: Collection, cache: Path
) -> None:
    made = swept(pair, collection, cache, transplants=("block:1-2",), split_groups=True)
    blocks = made.effects.single_blocks
    assert blocks is not None
    table = blocks.effects.set_index(["direction", "transplant"])
    assert set(table["group"]) == {"block:1-2"}
    alone = swept(pair, collection, cache).effects.headline("restored", "block").set_index("transplant")
    assert table.loc["restored", "effect"].to_dict() == pytest.approx(alone["effect"].to_dict())
    assert list(table.index[table["p_corrected"] < 0.05]) == [("restored", "block:2"), ("grafted", "block:2")]
    controls = blocks.controls.set_index(["direction", "transplant"])
    assert controls.loc[("restored", "block:2"), "beats"]
    assert controls.loc[("grafted", "block:2"), "beats"] == False  # noqa: E712 - a numpy bool
    assert "restored.single_blocks" in {s.code for s in transplant_statements(made.effects)}
    assert made.section.tables["single_blocks"].frame["beats"].tolist() == ["", "yes", "", "no"]
    assert made.section.document[0]["single_blocks"]["effects"][1]["transplant"] == "block:2"
    said = "no group was split, because every group is a single block"
    assert said not in made.measurement.facts["notes"]
    assert (
        said in swept(pair, collection, cache, transplants=("block:1",), split_groups=True).measurement.facts["notes"]
    )
    planned = plan(context_of(pair, collection, cache), replace(QUICK, groups=1, split_groups=True))
    assert planned.document["blocks"] == 4
    assert planned.document["block_seconds"] > 0
    assert "up to 4 single blocks" in planned.lines[0]
    assert plan(context_of(pair, collection, cache), replace(QUICK, split_groups=True)).document["blocks"] == 0, (
        "no group"
    )


def test_the_plan_expects_few_random_changes_of_single_blocks(
    pair: tuple[Retriever, Retriever], collection: Collection, cache: Path
) -> None:
    """Half of the groups are split, and half of their blocks are compared with the first half of the draws."""
    context = context_of(pair, collection, cache)
    settings = replace(QUICK, transplants=("block:1-2",), split_groups=True)
    planned, alone = plan(context, settings), plan(context, replace(settings, draws=0)).document["block_seconds"]
    assert planned.document["block_seconds"] == pytest.approx(9 * alone, abs=1e-2), (
        "a draw costs what a transplant costs"
    )
    control = planned.document["control_seconds"]
    expected = planned.document["seconds"] + (control / 2 + alone + 8 * alone / 4) / 2
    assert planned.seconds == pytest.approx(expected, abs=1e-2)


def test_every_stage_reports_its_progress_under_a_name_of_its_own(
    pair: tuple[Retriever, Retriever], collection: Collection, tmp_path: Path
) -> None:
    ended: list[str] = []

    def progress(what: str, done: int, total: int) -> None:
        if done == total:
            ended.append(what)

    context = replace(context_of(pair, collection, tmp_path / "vectors"), progress=progress)
    settings = replace(QUICK, transplants=("block:1-2",), split_groups=True, draws=2)
    measured(ANALYSIS, context, settings, tmp_path / "measurement")
    assert "single blocks: random change 1 (restored): query texts" in ended
    assert len(ended) == len(set(ended))


def test_overlapping_groups_are_split_into_each_block_once(collection: Collection, tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=160, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2
    )
    folder = save(scatter(LlamaModel(config), seed=0), tmp_path / "toy", "llama")
    before, after = (load_retriever(folder, pooling="mean", name=name) for name in ("ruined", "whole"))
    with torch.no_grad():
        before.passage.backbone.get_parameter("layers.1.mlp.down_proj.weight").fill_(1000)
    groups: dict[str, Any] = {
        "transplants": ("block:1-2", "block:2-3"),
        "directions": ("restored",),
        "split_groups": True,
    }
    planned = plan(context_of((before, after), collection, tmp_path), replace(QUICK, **groups))
    assert planned.document["blocks"] == 3
    blocks = swept((before, after), collection, tmp_path, **groups).effects.single_blocks
    assert blocks is not None
    assert blocks.effects["transplant"].tolist() == ["block:1", "block:2", "block:3"]
    assert blocks.effects["group"].tolist() == ["block:1-2", "block:1-2", "block:2-3"]
