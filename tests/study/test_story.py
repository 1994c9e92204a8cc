"""The story: a planted change is what every instrument names, and the transplants decide who is right."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from retroscope.study.compare import compare
from retroscope.study.findings import Findings

from retroscope.analyses.localisation.infer import make_story
from retroscope.analyses.localisation.words import story_figure, story_statements, story_tables
from retroscope.analyses.transplants.infer import TransplantScores, differences, with_results
from retroscope.analyses.transplants.result import TransplantFindings
from retroscope.collection.collection import Collection
from retroscope.drift.representations import DriftSettings
from retroscope.encoders.encoder import Retriever
from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings, compare_scores
from retroscope.study.verdict import verdict
from retroscope.typesetting.statements import CHANGED, NO_EVIDENCE, NOTE
from synthetic_findings import LAYERS, findings, moved, probing, query_ids, whole_neurons
from synthetic_findings import compare as compare_made
from tiny_study import QUICK

STATISTICS = ComparisonSettings(resamples=200)
BLOCKS = LAYERS[1:]
PARTS = ("attention", "ffn_in", "ffn_out")


def transplants(needed: str | None, suffices: str | None, noise: float = 0.05) -> TransplantFindings:
    """Made-up hybrids: .8 with the retriever's weights, .2 with the backbone's; one place may make all of it."""
    names = (*(f"block:{k}" for k in BLOCKS), *PARTS, "all")
    measured = {}
    for direction, intact, other, decisive in (("rewind", 0.8, 0.2, needed), ("graft", 0.2, 0.8, suffices)):
        rng = np.random.default_rng(0)
        means = np.array([other if name in ("all", decisive) else intact for name in names])
        shape = (len(query_ids()), len(names), 1)
        values = np.clip(means[None, :, None] + noise * rng.standard_normal(shape), 0, 1)
        coords = {"query": query_ids(), "transplant": list(names), "measure": ["RR@10"]}
        hybrids = xr.DataArray(values, coords, ("query", "transplant", "measure"))
        still = xr.zeros_like(hybrids) + intact + 0.02 * rng.standard_normal((shape[0], 1, 1))
        measured[direction] = tuple(Scores("transplants", v, {}) for v in (still, hybrids))
    made = TransplantFindings("toy", "tuned", "toy", 6, differences(measured, STATISTICS), ("RR@10",))
    return with_results(made, TransplantScores(measured), STATISTICS)


def told(needed: str | None, suffices: str | None) -> Findings:
    """With the weights of block 4's FFN out alone changed, as `moved` has it."""
    found = findings(moved=moved(), transplants=transplants(needed, suffices))
    return replace(found, story=make_story(found, STATISTICS))


def claim(found: Findings, direction: str, instrument: str, kind: str = "blocks") -> "pd.Series[object]":
    assert found.story is not None
    claims = found.story.claims.set_index(["direction", "kind", "instrument"])
    return claims.loc[(direction, kind, instrument)]


def test_a_change_that_all_agree_on() -> None:
    found = told("block:4", "block:4")
    for direction in ("rewind", "graft"):
        weights = claim(found, direction, "weights")
        assert (weights["place"], weights["found"], weights["rival"]) == ("block:4", "agrees", "")
        assert claim(found, direction, "weights", "parts")["place"] == "ffn_out"
    texts = [s.text for s in story_statements(found.story)]
    start = re.escape("What does retrieval need? Put back alone, the largest mean loss is with block 4: RR@10 ")
    (needed,) = [m for t in texts if (m := re.match(rf"{start}(\d\.\d+) to (\d\.\d+) \((-\d\.\d+) ", t))]
    before, after, effect = map(float, needed.groups())
    assert after - before == pytest.approx(effect, abs=0.0011), "each is rounded to three places"
    assert any("Held against it, agrees: weights moved; contradicted: vectors part (CKA) (block" in t for t in texts)


def test_weights_that_moved_where_nothing_is_needed_are_contradicted() -> None:
    found = told("block:1", "block:1")
    weights = claim(found, "rewind", "weights")
    assert (weights["place"], weights["found"], weights["rival"]) == ("block:4", "contradicted", "block:1")
    assert weights["extra"] == pytest.approx(-0.6, abs=0.03)
    assert weights["extra_low"] < weights["extra"] < weights["extra_high"] < 0
    graft = claim(found, "graft", "weights")
    assert graft["found"] == "contradicted"
    assert graft["extra"] > 0.5
    said = story_tables(found.story)["story"].frame
    assert any("block 1 (-0." in text for text in said["matters more"])


def test_what_is_redundant_decides_nothing() -> None:
    """No place alone is needed, one suffices: the two questions have two answers."""
    found = told(None, "block:2")
    assert set(found.story.claims.set_index("direction").loc["rewind", "found"]) == {"undecided"}
    assert claim(found, "graft", "weights")["rival"] == "block:2"
    (one,) = [s for s in story_statements(found.story) if "the largest mean gain is with block 2: RR@10" in s.text]
    assert one.tone == CHANGED
    (none,) = [s for s in story_statements(found.story) if "No block or group, put back alone, is shown" in s.text]
    assert none.tone == NO_EVIDENCE
    assert "is shown to cost anything" in none.text
    assert "Other blocks may compensate, or these queries are too few" in none.text


def test_harm_is_not_called_a_gain() -> None:
    """Where fine-tuning harmed, what is put back gains: the words follow the sign of the whole effect."""
    made = transplants("block:3", "block:3")
    harmed = {"rewind": made.differences["graft"], "graft": made.differences["rewind"]}
    found = findings(moved=moved(), transplants=replace(made, differences=harmed))
    found = replace(found, story=make_story(found, STATISTICS))
    texts = [s.text for s in story_statements(found.story)]
    assert any(
        t.startswith("What holds retrieval back? Put back alone, the largest mean gain is with block 3") for t in texts
    )
    assert any(
        t.startswith("What would have done the harm? Put into the backbone alone, the largest mean loss") for t in texts
    )


def test_a_loss_is_looked_for_where_probes_and_layers_fall() -> None:
    """It was looked for where they rise most, which points away from it."""
    made = transplants("block:3", "block:3")
    harmed = replace(made, differences={"rewind": made.differences["graft"], "graft": made.differences["rewind"]})
    gain, loss = (
        make_story(findings(moved=moved(), transplants=t), STATISTICS).evidence.set_index(["instrument", "place"])[
            "value"
        ]
        for t in (made, harmed)
    )
    assert loss["probes"].to_list() == [-v for v in gain["probes"]]
    assert loss["layers"].to_list() == [-v for v in gain["layers"]]
    assert loss["weights"].to_list() == gain["weights"].to_list()


def test_without_a_whole_effect_nothing_is_placed() -> None:
    """A block that matters where all blocks together do not: no claim of the story, whatever its p."""
    made = transplants("block:3", None)
    rewind = made.differences["rewind"]
    flat = rewind.after.values.copy()
    flat.loc[{"transplant": "all"}] = rewind.before.values.sel(transplant="all").values
    level = {"rewind": compare_scores(rewind.before, Scores("transplants", flat, {}), STATISTICS)}
    found = findings(moved=moved(), transplants=replace(made, differences=level))
    story = make_story(found, STATISTICS)
    assert set(story.claims["found"]) == {"undecided"}
    (said,) = [s for s in story_statements(story) if s.tone == NO_EVIDENCE]
    assert "All weights, put back, have no significant effect, so there is nothing to localise" in said.text


def test_an_instrument_that_saw_nothing_names_nothing() -> None:
    """No weight of a block moved: the weights name no block, instead of the first."""
    still = moved()
    groups = still.weights["query and passage"].groups.assign(change=0.0)
    still = replace(still, weights={"all": replace(still.weights["query and passage"], groups=groups)})
    found = findings(moved=still, transplants=transplants("block:4", None))
    story = make_story(found, STATISTICS)
    assert "weights" not in set(story.claims["instrument"])
    few = found.layer_retrieval.table.isel(layer=[0, 3, 6])
    story = make_story(replace(found, layer_retrieval=replace(found.layer_retrieval, table=few)), STATISTICS)
    assert "layers" not in set(story.claims["instrument"]), "some blocks were not measured"


def test_neurons_that_nothing_confirms_are_not_in_the_verdict() -> None:
    found = findings(moved=moved(), transplants=transplants("block:4", None), neurons=whole_neurons())
    story = make_story(found, STATISTICS)
    assert "neurons" in set(story.claims["instrument"])
    said = " ".join(s.text for s in story_statements(replace(story, confirmed=False)))
    assert "neurons" not in said
    assert "neurons" in " ".join(s.text for s in story_statements(replace(story, confirmed=True)))


def test_a_failed_control_of_the_probes_marks_the_story() -> None:
    found = told("block:4", None)
    broken = replace(found, probing=compare_made(*probing(accuracy=lambda *_: 0.9)))
    marked = [
        s for s in verdict(broken).statements if "growth of own question" in s.text and s.topic == "where it happened"
    ]
    assert marked
    assert all(s.doubts for s in marked)


def test_noise_alone_contradicts_nobody() -> None:
    """Corrected over all other places, a false rival is as rare as alpha says: here there is none."""
    found = told(None, None)
    assert set(found.story.claims["found"]) == {"undecided"}
    assert set(found.story.claims["rival"]) == {""}
    assert not found.story.most["shown"].any()


def test_falls_of_cka_and_rises_of_probes_are_of_the_block() -> None:
    found = told("block:4", "block:4")
    blocks = found.story.evidence[found.story.evidence["kind"] == "blocks"]
    evidence = {name: rows.set_index("place")["value"] for name, rows in blocks.groupby("instrument")}
    assert evidence["representations"].to_list() == pytest.approx([0.1] * 6), "0.1 a layer, from layer 0 to the last"
    own = found.probing.table["effect"].sel(probe=found.after.similarity, control="none", passages=5)
    rises = np.diff(own.values)
    assert evidence["probes"].to_list() == pytest.approx(rises.tolist())
    assert evidence["weights"]["block:4"] == pytest.approx(1 / np.sqrt(12))
    assert evidence["rewind"]["block:4"] == pytest.approx(1, abs=0.05)


def test_the_story_stands_in_the_verdict_and_on_the_page() -> None:
    found = told("block:4", "block:4")
    said = verdict(found).statements
    assert (said[0].tone, said[0].text[:44]) == (NOTE, "Where did it happen? What the instruments na")
    figure = story_figure(found.story)
    assert "weights moved: block 4" in figure.alt
    assert verdict(replace(found, story=None)).statements[0].topic != said[0].topic


def test_there_is_no_story_without_transplants() -> None:
    assert make_story(findings(moved=moved()), STATISTICS) is None
    assert story_statements(None) == []


def test_a_planted_change_is_found_by_all_and_nothing_else_is(
    planted: tuple[Retriever, Retriever], halves: Collection, tmp_path: Path
) -> None:
    """One matrix of block 2 was ruined: diff, drift and transplants name it alone, and the story says so."""
    chosen = replace(QUICK, drift=DriftSettings(texts=100, cross_texts=20), neurons=None, ablation=None)
    found = compare(*planted, halves, chosen, cache=tmp_path).findings()
    tensors = found.moved.weights["query and passage"].tensors
    assert tensors.loc[tensors["status"] != "identical", "name"].to_list() == ["layers.1.mlp.down_proj.weight"]
    cka = found.moved.similarity[found.moved.similarity["statistic"] == "cka"].set_index(["tower", "layer"])["value"]
    for tower in ("query", "passage"):
        assert cka[tower].loc[[0, 1]].to_list() == pytest.approx([1, 1], abs=1e-6)
        assert cka[tower][2] < 0.9
    effects = found.transplants.table().set_index(["direction", "transplant"])["effect"]
    for direction in ("rewind", "graft"):
        flagged = {name for name, effect in effects[direction].items() if effect}
        assert flagged == {"block:2", "ffn_out", "top:1", "top:2", "bottom:2", "all"}
    claims = found.story.claims.set_index(["direction", "kind", "instrument"])
    # a random matrix as large mends the ruined one, too: what the retriever's does there is not shown to be learned
    for direction, told in (("rewind", "agrees"), ("graft", "undecided")):
        for instrument in ("weights", "representations", "probes", "layers"):
            row = claims.loc[(direction, "blocks", instrument)]
            assert (row["place"], row["found"]) == ("block:2", told), (direction, instrument)
        assert claims.loc[(direction, "parts", "weights"), ["place", "found"]].to_list() == ["ffn_out", told]
    most = found.story.most.set_index(["direction", "kind"]).loc[("rewind", "blocks")]
    assert (most["agreeing"], most["instruments"]) == (4, 4)
    assert most["luck"] == pytest.approx(1 / 2**4)
    assert most["luck_together"] == 1 / 2, "all four follow one change: as good as one that guesses between two blocks"
    assert most[["share", "share_low", "share_high"]].to_list() == pytest.approx([1, 1, 1])
    texts = [s.text for s in story_statements(found.story)]
    assert any("By luck, 4 of 4 would agree with probability 0.06" in t and "0.50 if the answer" in t for t in texts)
    assert any("No block or group, put into the backbone alone, is shown to gain more than random changes" in t
               for t in texts)  # fmt: skip
