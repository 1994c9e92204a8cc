"""Transplants measured: the ends are the two models, and a planted block is the one that matters."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from retroscope.analyses.transplants.measure import TransplantSettings, transplant, transplant_document
from retroscope.analyses.transplants.plan import _encodings, plan_transplants
from retroscope.analyses.transplants.report import write_transplant_report
from retroscope.analyses.transplants.result import TransplantFindings
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.analyses.transplants.words import transplant_statements
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.errors import EncoderError, SettingsError
from retroscope.statistics.settings import ComparisonSettings
from retroscope.typesetting.statements import CHANGED, NO_EVIDENCE
from toys import save_toy

QUICK = SweepSettings(measures=("RR@10",), shares=(0.5,))
STATISTICS = ComparisonSettings(resamples=200)


def swept(
    pair: tuple[Retriever, Retriever], collection: Collection, cache: Path, **changed: object
) -> TransplantFindings:
    settings = TransplantSettings(sweep=replace(QUICK, **changed), statistics=STATISTICS)
    return transplant(*pair, collection, settings, cache=cache)


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
def found(pair: tuple[Retriever, Retriever], collection: Collection, cache: Path) -> TransplantFindings:
    return swept(pair, collection, cache)


def test_the_plan_counts_what_is_run(pair: tuple[Retriever, Retriever], collection: Collection) -> None:
    settings = replace(QUICK, transplants=("top:1", "bottom:1"))
    planned = plan_transplants(*pair, collection, settings)
    assert planned["hybrids"] == 6, "two and all, in both directions"
    assert planned["seconds"] > 0
    wanted = [(receiver, name) for receiver in (0, 1) for name in ("none", "top:1", "bottom:1", "all")]
    before, after = (retriever.passage for retriever in pair)
    blocks = after.anatomy.n_blocks
    assert _encodings(before, after, wanted) == pytest.approx(2 + 2 * 1 / blocks), "one's top is the other's bottom"
    shorter = replace(after, recipe=replace(after.recipe, max_length=after.recipe.max_length - 1))
    apart = 2 * (2 + 1 / blocks + (blocks - 1) / blocks)
    assert _encodings(before, shorter, wanted) == pytest.approx(apart), "two recipes are never run together"
    with pytest.raises(SettingsError, match="the model has"):
        plan_transplants(*pair, collection, replace(QUICK, transplants=("block:99",)))


def test_the_ends_are_the_two_models(found: TransplantFindings) -> None:
    table = found.table().set_index(["direction", "transplant"])
    assert table.loc[("rewind", "all"), "score"] == pytest.approx(table.loc[("graft", "all"), "intact"])
    assert table.loc[("rewind", "all"), "effect"] == pytest.approx(-table.loc[("graft", "all"), "effect"])
    assert table.loc[("rewind", "bottom:1"), "score"] == pytest.approx(table.loc[("graft", "top:1"), "score"])


def test_a_planted_block_is_the_one_that_matters(found: TransplantFindings) -> None:
    table = found.table().set_index(["direction", "transplant"])["effect"]
    for direction in ("rewind", "graft"):
        whole = table[direction, "all"]
        assert abs(whole) > 0.1
        for name in ("block:2", "ffn_out", "top:1", "bottom:2"):
            assert table[direction, name] == pytest.approx(whole), name
        for name in ("block:1", "bottom:1", "attention", "ffn_in", "norms", "embeddings"):
            assert table[direction, name] == 0, name


def test_the_verdict_names_it(found: TransplantFindings) -> None:
    said = {s.text: s.tone for s in transplant_statements(found)}
    (text,) = [t for t in said if t.startswith("One block of the backbone's weights in the retriever: 1 of 2 blocks")]
    assert "The largest change is block 2's" in text
    assert said[text] == CHANGED
    (ends,) = [t for t in said if t.startswith("Half of that effect of the backbone's weights")]
    assert "from the top 1 block of 2" in ends
    assert "from the bottom, embeddings included, 2 blocks of 2" in ends
    assert any("the largest change first: the FFN's last matrices" in t for t in said)


def test_the_same_model_twice_has_nothing_to_transplant(
    pair: tuple[Retriever, Retriever], collection: Collection, cache: Path
) -> None:
    _, after = pair
    with pytest.raises(SettingsError, match="have the same weights: there is nothing to transplant"):
        swept((replace(after, name="again"), after), collection, cache)
    with pytest.raises(SettingsError, match="passages is -5"):
        replace(QUICK, passages=-5)


def test_parts_that_do_nothing_are_no_evidence(
    pair: tuple[Retriever, Retriever], collection: Collection, cache: Path
) -> None:
    few = swept(pair, collection, cache, transplants=("attention", "norms"))
    assert {s.tone for s in transplant_statements(few) if s.text.startswith("One part")} == {NO_EVIDENCE}


def test_a_report_without_counted_blocks(
    pair: tuple[Retriever, Retriever], collection: Collection, cache: Path, tmp_path: Path
) -> None:
    found = swept(pair, collection, cache, transplants=("attention",))
    assert "Every transplant" in write_transplant_report(found, tmp_path).read_text("utf-8")


def test_report_and_document(found: TransplantFindings, tmp_path: Path) -> None:
    page = write_transplant_report(found, tmp_path).read_text("utf-8")
    assert "Weights of ruined and whole, transplanted, on toy" in page
    written = {p.suffix for p in (tmp_path / "tables").glob("transplants.*")}
    assert written == {".csv", ".parquet", ".tex"}
    document = transplant_document(found)
    assert len(document["transplants"]) == len(found.table())
    assert document["settings"]["sweep"]["shares"] == [0.5]


def test_a_sample_is_said(pair: tuple[Retriever, Retriever], collection: Collection, cache: Path) -> None:
    small = swept(pair, collection, cache, passages=120, transplants=("block:1",))
    assert any("a sample of 120 of 150 passages was searched, with 60 of 150" in c for c in small.caveats), (
        small.caveats
    )
    assert any("on the sample, ruined reaches RR@10" in caveat for caveat in small.caveats)
    assert [row["model"] for row in small.sample] == ["whole", "ruined"]
    alone = swept(pair, collection, cache, passages=120, transplants=("block:1",), directions=("graft",))
    assert list(alone.differences) == ["graft"]
    assert alone.sample == small.sample[1:]
    assert transplant_document(alone)["sample"] == list(alone.sample)
    assert swept(pair, collection, cache, transplants=("block:1",)).sample == ()


def test_a_sweep_that_was_stopped_goes_on(
    pair: tuple[Retriever, Retriever], collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was made is not made again, and the result is the same."""
    from retroscope.study import transplant_vectors

    whole = swept(pair, collection, tmp_path / "whole", transplants=("block:1",)).table()
    own, calls = transplant_vectors.hybrids, [0]

    def counted(*args: object, **kwargs: object) -> object:
        calls[0] += 1
        if calls[0] == 3:
            raise KeyboardInterrupt
        return own(*args, **kwargs)

    monkeypatch.setattr(transplant_vectors, "hybrids", counted)
    with pytest.raises(KeyboardInterrupt):
        swept(pair, collection, tmp_path / "stopped", transplants=("block:1",))
    again = swept(pair, collection, tmp_path / "stopped", transplants=("block:1",)).table()
    windows = 2 * -(-150 // transplant_vectors.WINDOW)  # of both towers
    assert calls[0] == windows + 1
    pd.testing.assert_frame_equal(again, whole)
    swept(pair, collection, tmp_path / "stopped", transplants=("block:1",))
    assert calls[0] == windows + 1


def test_recipes_that_differ_are_run_one_direction_at_a_time(
    pair: tuple[Retriever, Retriever], collection: Collection, tmp_path: Path
) -> None:
    """Hybrids have their receiver's recipe: `none` is each model as it is, whatever the other's prompt or ending."""
    before, after = pair
    prompted = replace(after.query, recipe=replace(after.query.recipe, prompt="query the "))
    other = replace(after, query=prompted)
    table = swept((before, other), collection, tmp_path, transplants=("block:1",)).table()
    table = table.set_index(["direction", "transplant"])
    alike = swept(pair, collection, tmp_path, transplants=("block:1",)).table().set_index(["direction", "transplant"])
    assert table.loc[("graft", "all"), "intact"] == alike.loc[("graft", "all"), "intact"]
    assert table.loc[("graft", "all"), "score"] == pytest.approx(alike.loc[("graft", "all"), "score"])
    assert table.loc[("rewind", "all"), "intact"] != alike.loc[("rewind", "all"), "intact"]


def test_mistakes(pair: tuple[Retriever, Retriever], collection: Collection, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no direction 'back'"):
        SweepSettings(directions=("back",))
    with pytest.raises(SettingsError, match="groups is -1"):
        SweepSettings(groups=-1)
    with pytest.raises(SettingsError, match="'block:3': the model has 2 blocks"):
        swept(pair, collection, cache, transplants=("block:3",))
    other = load_retriever(save_toy("bert", tmp_path / "bert"), pooling="mean")
    with pytest.raises(EncoderError, match="differ in"):
        swept((pair[0], other), collection, cache)


def test_a_planted_block_does_more_than_random_changes_of_equal_size(found: TransplantFindings) -> None:
    """The ruin of block 2 is more than a change of that size. Its mending is not: a random matrix mends it as well."""
    controls = found.controls.set_index(["direction", "transplant"])
    assert set(controls.index) == {(d, name) for d in ("rewind", "graft") for name in ("block:2", "ffn_out")}
    assert (controls["draws"] == 8).all()
    assert controls.loc["rewind", "beats"].all()
    assert not controls.loc["graft", "beats"].any()
    assert found.beats_random("rewind", "block:1") is None
    row = controls.loc[("rewind", "block:2")]
    assert row["effect"] == pytest.approx(
        found.headline("rewind", "block").set_index("transplant")["effect"]["block:2"]
    )
    assert row["extra"] == pytest.approx(row["effect"] - row["random"])
    said = {s.text: s.tone for s in transplant_statements(found)}
    (text,) = [t for t in said if "random changes of equal size in the retriever" in t]
    assert text.startswith("2 of 2 places with a significant effect do more than 8 random changes")
    assert said[text] == CHANGED
    (text,) = [t for t in said if "random changes of equal size in the backbone" in t]
    assert said[text] == NO_EVIDENCE


def test_the_control_can_be_left_out_and_is_in_the_plan(
    pair: tuple[Retriever, Retriever], collection: Collection, cache: Path
) -> None:
    assert swept(pair, collection, cache, draws=0).controls.empty
    planned = plan_transplants(*pair, collection, QUICK)
    assert planned["controls"] == 8 * 2 * 7, "two blocks and five parts, in both directions, at most"
    assert planned["control_seconds"] > planned["seconds"] > 0
    assert plan_transplants(*pair, collection, replace(QUICK, draws=0))["control_seconds"] == 0
    with pytest.raises(SettingsError, match="draws is 1"):
        replace(QUICK, draws=1)
    with pytest.raises(SettingsError, match="interactions is 7"):
        replace(QUICK, interactions=7)


def test_interactions_add_up_on_a_real_pair(
    pair: tuple[Retriever, Retriever], collection: Collection, cache: Path, tmp_path: Path
) -> None:
    made = swept(pair, collection, cache, interactions=3, transplants=("block:1",))
    (found,) = made.interactions.values()
    whole = made.headline("rewind", "all")["effect"].iloc[0]
    shapley = found.shapley.set_index("group")
    assert list(shapley.index) == ["1", "2", "outside"]
    assert shapley["effect"].sum() == pytest.approx(whole)
    assert shapley["effect"].to_dict() == pytest.approx({"1": 0, "2": whole, "outside": 0})
    assert (found.pairs["p_corrected"] > 0.05).all()
    assert plan_transplants(*pair, collection, replace(QUICK, interactions=3))["subsets"] == 7
    page = write_transplant_report(made, tmp_path).read_text("utf-8")
    assert "Shapley values of groups" in page
    assert transplant_document(made)["interactions"]["rewind"]["shapley"][1]["group"] == "2"
