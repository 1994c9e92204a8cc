"""Localisation: a planted change is what every instrument names, and the transplants decide who is right."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analyses_one import measured, reported, subject_of
from retroscope.analyses import layers, localisation, probes, representations, transplants, weights
from retroscope.analyses.analysis import NoSettings
from retroscope.analyses.context import Context
from retroscope.analyses.layers.result import LayerResult
from retroscope.analyses.localisation.card import cards
from retroscope.analyses.localisation.figures import localisation_figures
from retroscope.analyses.localisation.infer import infer
from retroscope.analyses.localisation.report import report
from retroscope.analyses.localisation.result import BLOCKS, LocalisationResult
from retroscope.analyses.localisation.tables import localisation_tables
from retroscope.analyses.localisation.words import localisation_statements
from retroscope.analyses.representations.result import CollectionDrift, RepresentationResult
from retroscope.analyses.section import Reading, Section
from retroscope.analyses.transplants.result import TransplantEffects, TransplantResult
from retroscope.analyses.transplants.tables import transplant_tables
from retroscope.analyses.transplants.words import transplant_statements
from retroscope.analyses.weights.result import WeightResult
from retroscope.analyses.weights.settings import WeightSettings
from retroscope.collection.collection import Collection
from retroscope.drift.result import WeightDrift
from retroscope.drift.settings import DriftSettings
from retroscope.encoders.encoder import Retriever
from retroscope.scores import Scores
from retroscope.statistics import compare_scores
from retroscope.typesetting.statements import State, Statement
from synthetic_drift import representation_drift, weight_drift
from synthetic_neurons import of_one_tower, whole_neurons
from synthetic_probes import probes_result
from synthetic_retrieval import layer_result
from synthetic_subject import reading
from synthetic_transplants import STATISTICS, transplant_effects, transplant_result
from tiny_study import ANALYSES, QUICK


def read(effects: TransplantEffects | None = None, **changes: Any) -> Reading:
    """Return what all instruments found, with the output of the FFN of block 4 alone changed."""
    results = {
        "transplants": None if effects is None else TransplantResult((effects,)),
        "weights": WeightResult({"query and passage": weight_drift()}),
        "representations": RepresentationResult((CollectionDrift("toy", representation_drift()),)),
        "probes": probes_result(),
        "layers": layer_result(),
    }
    return reading(results | changes, statistics=STATISTICS)


def localised(effects: TransplantEffects, **changes: Any) -> LocalisationResult:
    result = infer((), read(effects, **changes))
    assert result is not None
    return result


def localisation_of(needed: str | None, suffices: str | None) -> LocalisationResult:
    return localised(transplant_effects(needed, suffices))


def claim(found: LocalisationResult, direction: str, instrument: str, kind: str = "blocks") -> "pd.Series[Any]":
    claims = found.claims.set_index(["direction", "kind", "instrument"])
    return claims.loc[(direction, kind, instrument)]


def harmed(effects: TransplantEffects) -> TransplantEffects:
    """Return the same with the effects of both directions exchanged: fine-tuning did harm."""
    one = effects.differences
    return replace(effects, differences={"restored": one["grafted"], "grafted": one["restored"]})


def test_a_change_that_all_agree_on() -> None:
    result = localisation_of("block:4", "block:4")
    for direction in ("restored", "grafted"):
        weights = claim(result, direction, "weights")
        assert (weights["place"], weights["agreement"], weights["rival"]) == ("block:4", "agrees", "")
        assert claim(result, direction, "weights", "parts")["place"] == "ffn_out"
    texts = [s.text for s in localisation_statements(result)]
    start = re.escape(
        "Which block lowers retrieval if its backbone weights are restored in the retriever? Of all blocks and "
        "groups of blocks restored one at a time, the largest mean loss is that of block 4: RR@10 changes from "
    )
    (needed,) = [m for t in texts if (m := re.match(rf"{start}(\d\.\d+) to (\d\.\d+) \((-\d\.\d+) ", t))]
    before, after, effect = map(float, needed.groups())
    assert after - before == pytest.approx(effect, abs=0.0011), "each is rounded to three places"
    assert any(
        "Weight drift points to block 4, whose effect is the largest. Representation drift (CKA) points to block" in t
        for t in texts
    )


def test_weights_that_moved_where_nothing_is_needed_are_contradicted() -> None:
    result = localisation_of("block:1", "block:1")
    weights = claim(result, "restored", "weights")
    assert (weights["place"], weights["agreement"], weights["rival"]) == ("block:4", "contradicted", "block:1")
    assert weights["extra"] == pytest.approx(-0.6, abs=0.03)
    assert weights["extra_low"] < weights["extra"] < weights["extra_high"] < 0
    graft = claim(result, "grafted", "weights")
    assert graft["agreement"] == "contradicted"
    assert graft["extra"] > 0.5
    said = localisation_tables(result)["localisation"].frame
    assert any("block 1 (-0." in text for text in said["larger effect"])


def test_what_is_redundant_decides_nothing() -> None:
    """No place alone is needed, one suffices: the two questions have two answers."""
    result = localisation_of(None, "block:2")
    assert set(result.claims.set_index("direction").loc["restored", "agreement"]) == {"undecided"}
    assert claim(result, "grafted", "weights")["rival"] == "block:2"
    (one,) = [s for s in localisation_statements(result) if "the largest mean gain is that of block 2: RR@10" in s.text]
    assert one.state == State.SIGNIFICANT
    (none,) = [
        s
        for s in localisation_statements(result)
        if "No single block or group of blocks lowers RR@10 significantly" in s.text
    ]
    assert none.state == State.NOT_SIGNIFICANT
    assert "lowers RR@10 significantly when it is restored. The largest effect is that of " in none.text
    assert "Other blocks may compensate, or there are too few queries" in none.text


def test_harm_is_not_called_a_gain() -> None:
    """Where fine-tuning harmed, what is restored gains: the words follow the sign of the whole effect."""
    texts = [s.text for s in localisation_statements(localised(harmed(transplant_effects("block:3", "block:3"))))]
    assert any(
        t.startswith(
            "Which block improves retrieval if its backbone weights are restored in the retriever? Of all blocks "
            "and groups of blocks restored one at a time, the largest mean gain is that of block 3"
        )
        for t in texts
    )
    assert any(
        t.startswith(
            "Which block lowers retrieval if its fine-tuned weights are grafted into the backbone? Of all blocks "
            "and groups of blocks grafted into the backbone"
        )
        for t in texts
    )


def test_a_loss_is_looked_for_where_probes_and_layers_fall() -> None:
    """It was looked for where they rise most, which points away from it."""
    effects = transplant_effects("block:3", "block:3")
    gain, loss = (
        localised(one).evidence.set_index(["instrument", "place"])["value"] for one in (effects, harmed(effects))
    )
    assert loss["probes"].to_list() == [-v for v in gain["probes"]]
    assert loss["layers"].to_list() == [-v for v in gain["layers"]]
    assert loss["weights"].to_list() == gain["weights"].to_list()


def test_without_a_whole_effect_nothing_is_placed() -> None:
    """A block that matters where all blocks together do not: nothing is claimed, whatever its p."""
    effects = transplant_effects("block:3", None)
    restored = effects.differences["restored"]
    flat = restored.after.values.copy()
    flat.loc[{"transplant": "all"}] = restored.before.values.sel(transplant="all").values
    level = {"restored": compare_scores(restored.before, Scores("transplants", flat, {}), STATISTICS)}
    result = localised(replace(effects, differences=level))
    assert set(result.claims["agreement"]) == {"undecided"}
    (statement,) = [s for s in localisation_statements(result) if s.state == State.NOT_SIGNIFICANT]
    assert (
        "Even with all weights restored together, RR@10 does not change significantly, so there is nothing to localise"
        in statement.text
    )


def test_an_instrument_that_saw_nothing_names_nothing() -> None:
    """No weight of a block moved: the weights name no block, instead of the first."""
    effects = transplant_effects("block:4", None)
    still = WeightDrift(weight_drift().tensors.assign(change=0.0), n_blocks=6)
    result = localised(effects, weights=WeightResult({"all": still}))
    assert "weights" not in set(result.claims["instrument"])
    one = layer_result().first
    few = replace(one, effect=replace(one.effect, table=one.effect.table.isel(layer=[0, 3, 6])))
    result = localised(effects, layers=LayerResult((few,)))
    assert "layers" not in set(result.claims["instrument"]), "some blocks were not measured"


def test_instruments_that_were_left_out_have_no_evidence() -> None:
    """Weights and representations are two analyses: either is enough, and so are the transplants alone."""
    effects = transplant_effects("block:4", None)
    without = dict.fromkeys(("weights", "representations", "probes", "layers"))
    assert set(localised(effects, **without).evidence["instrument"]) == {"restored", "grafted"}
    kept = localised(effects, **(without | {"weights": WeightResult({"all": weight_drift()})}))
    assert set(kept.claims["instrument"]) == {"weights"}


def test_neurons_that_nothing_confirms_are_not_in_the_verdict() -> None:
    result = localised(transplant_effects("block:4", None), neurons=of_one_tower(whole_neurons()))
    assert "neurons" in set(result.claims["instrument"])
    assert result.confirmed is True, "as their ablation is made up"
    said = " ".join(s.text for s in localisation_statements(replace(result, confirmed=False)))
    assert "neuron attribution" not in said
    assert "neuron attribution" in " ".join(s.text for s in localisation_statements(replace(result, confirmed=True)))


def test_a_failed_control_of_the_probes_marks_what_names_them() -> None:
    result = localisation_of("block:4", None)
    alarm = Statement("controls", State.FAILED, "Probes read a shuffled query.", title="Probes read a shuffled query")
    broken = replace(read(), sections={"probes": Section(statements=(alarm,))})
    marked = [s for s in report(result, broken).statements if "similarity probe" in s.text]
    assert marked
    assert all(s.doubts == ("Probes read a shuffled query (see above)",) for s in marked)
    assert all(not s.doubts for s in report(result, read()).statements)


def test_noise_alone_contradicts_nobody() -> None:
    """Corrected over all other places, a false rival is as rare as alpha says: here there is none."""
    result = localisation_of(None, None)
    assert set(result.claims["agreement"]) == {"undecided"}
    assert set(result.claims["rival"]) == {""}
    assert not result.most["significant"].any()


def test_falls_of_cka_and_rises_of_probes_are_of_the_block() -> None:
    result = localisation_of("block:4", "block:4")
    blocks = result.evidence[result.evidence["kind"] == "blocks"]
    evidence = {name: rows.set_index("place")["value"] for name, rows in blocks.groupby("instrument")}
    assert evidence["representations"].to_list() == pytest.approx([0.1] * 6), "0.1 a layer, from layer 0 to the last"
    effect = probes_result().effect
    assert effect is not None
    own = effect.table["effect"].sel(probe="cosine", control="none", passages=5)
    rises = np.diff(own.values)
    assert evidence["probes"].to_list() == pytest.approx(rises.tolist())
    assert evidence["weights"]["block:4"] == pytest.approx(1 / np.sqrt(12))
    assert evidence["restored"]["block:4"] == pytest.approx(1, abs=0.05)


def test_the_section_names_the_places_first() -> None:
    result = localisation_of("block:4", "block:4")
    section = report(result, read())
    first = section.statements[0]
    assert (first.topic, first.state, first.text[:53]) == (
        "localisation", State.MEASURED, "Block or group of blocks with the largest value of ea"
    )  # fmt: skip
    (figure,) = localisation_figures(result)
    assert "weight drift: block 4" in figure.alt
    assert section.figures[0].name == figure.name == "localisation"
    assert list(section.tables) == ["localisation"]
    assert list(section.frames) == ["localisation", "localisation_most", "localisation_claims"]
    assert len(section.document["claims"]) == len(result.claims)
    asked = replace(result, queries=240, passages=1200)
    assert "Transplants test these blocks with 240 queries and 1,200 passages;" in report(
        asked, read()
    ).statements[0].text  # fmt: skip


@pytest.mark.parametrize(
    ("needed", "suffices", "answer"),
    [
        ("block:4", "block:4", "Restoring the backbone's block 4 in the retriever harms retrieval most"),
        (None, "block:4", "Grafting the retriever's block 4 into the backbone improves retrieval most"),
        (None, None, "No evidence that any single block is needed; no evidence that any single block suffices"),
    ],
)
def test_the_card_makes_the_claim_that_its_number_is_of(needed: str | None, suffices: str | None, answer: str) -> None:
    found = localisation_of(needed, suffices)
    (card,) = cards(found, localisation_statements(found))
    assert card.answer == answer
    direction = "restored" if needed else "grafted"
    (row,) = found.most[(found.most["direction"] == direction) & (found.most["kind"] == BLOCKS)].to_dict("records")
    if suffices:
        assert card.estimate is not None
        assert (card.estimate.value, card.estimate.low) == (row["share"], row["share_low"])


@pytest.mark.parametrize(
    ("direction", "sign", "answer", "of"),
    [
        ("restored", -1.0, "Restoring the backbone's block 4 in the retriever harms retrieval most", "of the gain"),
        ("restored", 1.0, "Restoring the backbone's block 4 in the retriever improves retrieval most", "of the loss"),
        ("grafted", 1.0, "Grafting the retriever's block 4 into the backbone improves retrieval most", "of the gain"),
        ("grafted", -1.0, "Grafting the retriever's block 4 into the backbone harms retrieval most", "of the loss"),
    ],
)
def test_the_share_is_of_what_fine_tuning_gained_or_lost(direction: str, sign: float, answer: str, of: str) -> None:
    """Weights restored in a retriever that lost undo the loss; restored in one that gained, they undo the gain."""
    found = localisation_of("block:4", "block:4")
    one = found.most[found.most["direction"] == direction].assign(sign=sign)
    (card,) = cards(replace(found, most=one), localisation_statements(found))
    assert card.answer == answer
    assert card.estimate is not None
    assert card.estimate.name == of


def test_statement_card_and_tables_print_a_share_alike() -> None:
    found = localisation_of("block:4", "block:4")
    statements = localisation_statements(found)
    (card,) = cards(found, statements)
    share, _, _ = str(card.estimate).partition("]")
    assert re.fullmatch(r"\d+ % \[\d+, \d+", share)
    assert any(f"in the effect of all weights is {share}]." in s.text for s in statements)
    table = transplant_tables(transplant_effects("block:4", "block:4"), read().subject)["transplants"].frame
    (cell,) = table.loc[(table["direction"] == "restored") & (table["transplant"] == "block:4"), "share"]
    assert cell == f"{share}]"
    (total,) = [s.text for s in transplant_statements(transplant_effects("block:4", None)) if s.code == "restored.sum"]
    assert re.search(r"add up to \d+ % \[\d+, \d+\] of the effect of all weights", total)


def test_there_is_none_without_transplants() -> None:
    assert infer((), read()) is None
    assert infer((), read(transplants=transplant_result(None, None))) is not None


def results_of(context: Context, folder: Path) -> dict[str, Any]:
    """Measure and infer every analysis that localisation needs, but for neurons."""
    chosen: dict[str, Any] = {
        "weights": WeightSettings(),
        "representations": DriftSettings(texts=100, cross_texts=20),
        "probes": ANALYSES["probes"],
        "layers": NoSettings(),
        "transplants": ANALYSES["transplants"],
    }
    results: dict[str, Any] = {}
    for one in (weights, representations, probes, layers, transplants):
        analysis = one.ANALYSIS
        measurement = measured(analysis, context, chosen[analysis.name], folder / analysis.name)
        results[analysis.name] = analysis.reporter().infer([measurement], Reading(subject_of(context), results))
    return results


def test_a_planted_change_is_found_by_all_and_nothing_else_is(
    planted: tuple[Retriever, Retriever], halves: Collection, tmp_path: Path
) -> None:
    """One matrix of block 2 was ruined: weights, representations and transplants name it alone, and so does this."""
    context = Context(dict(zip(("before", "after"), planted, strict=True)), halves, QUICK, tmp_path / "cache")
    results = results_of(context, tmp_path)
    tensors = results["weights"].by_tower["query and passage"].tensors
    assert tensors.loc[tensors["status"] != "identical", "name"].to_list() == ["layers.1.mlp.down_proj.weight"]
    similarity = results["representations"].first.drift.similarity
    cka = similarity[similarity["statistic"] == "cka"].set_index(["tower", "layer"])["value"]
    for tower in ("query", "passage"):
        assert cka[tower].loc[[0, 1]].to_list() == pytest.approx([1, 1], abs=1e-6)
        assert cka[tower][2] < 0.9
    effects = results["transplants"].first.table().set_index(["direction", "transplant"])["effect"]
    for direction in ("restored", "grafted"):
        flagged = {name for name, effect in effects[direction].items() if effect}
        assert flagged == {"block:2", "ffn_out", "top:1", "top:2", "bottom:2", "all"}
    result, section = reported(localisation.ANALYSIS, (), subject_of(context), results)
    # a random matrix as large mends the ruined one, too: what the retriever's does there is not shown to be learned
    for direction, agreement in (("restored", "agrees"), ("grafted", "undecided")):
        for instrument in ("weights", "representations", "probes", "layers"):
            row = claim(result, direction, instrument)
            assert (row["place"], row["agreement"]) == ("block:2", agreement), (direction, instrument)
        row = claim(result, direction, "weights", "parts")
        assert (row["place"], row["agreement"]) == ("ffn_out", agreement)
    most = result.most.set_index(["direction", "kind"]).loc[("restored", "blocks")]
    assert (most["agreeing"], most["instruments"]) == (4, 4)
    assert most["luck"] == pytest.approx(1 / 2**4)
    assert most["luck_together"] == 1 / 2, "all four follow one change: as good as one that guesses between two blocks"
    assert most[["share", "share_low", "share_high"]].to_list() == pytest.approx([1, 1, 1])
    texts = [s.text for s in section.statements]
    assert any(
        "The probability that at least 4 of 4 measurements would point to block 2 by chance is 0.06" in t
        and "The probability is 0.50 if instead all measurements keep their picks" in t
        for t in texts
    )
    no_single = (
        "No single block or group of blocks raises RR@10 significantly more than random changes of equal size do when "
        "it is grafted into the backbone"
    )
    assert any(no_single in text for text in texts)
    assert "with 150 queries and 150 passages;" in texts[0]
