"""The rules of the verdict, each on findings whose truth is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from retroscope.analyses.probes.words import _share
from retroscope.errors import AnalysisError, SettingsError
from retroscope.scores import Scores
from retroscope.study.verdict import verdict
from retroscope.typesetting.statements import ALARM, CAUTION, CHANGED, EQUIVALENT, NO_EVIDENCE
from synthetic_findings import (
    N_QUERIES,
    accuracy,
    compare,
    findings,
    layer_retrieval,
    model,
    probing,
    query_ids,
    retrieval,
    tower,
)


def two_sides(change, margin):
    rng = np.random.default_rng(3)
    base = rng.random(N_QUERIES)
    coords = {"query": query_ids(), "measure": ["nDCG@10"]}
    sides = (
        Scores("retrieval", xr.DataArray(v[:, None], coords=coords, dims=("query", "measure")))
        for v in (base, base + change)
    )
    return compare(*sides, margin=margin)


def headline(change, margin=0.01):
    found = findings(retrieval=two_sides(change, margin), flip_measure="nDCG@10", layer_retrieval=None, probing=None)
    return verdict(found).headline


NOISE = np.random.default_rng(5).standard_normal(N_QUERIES)


def test_a_gain_is_a_change():
    said = headline(0.1 + 0.1 * NOISE)
    assert said.tone == CHANGED
    assert said.text.startswith("Fine-tuning raised nDCG@10 from ")
    assert "holm-corrected p < 0.001" in said.text


def test_a_loss_is_a_change_downwards():
    assert headline(-0.1 + 0.1 * NOISE).text.startswith("Fine-tuning lowered nDCG@10")


def test_small_and_sure_is_equivalent():
    centred = 0.01 * (NOISE - NOISE.mean())
    said = headline(centred)
    assert said.tone == EQUIVALENT
    assert "equivalent before and after fine-tuning, within a margin of 0.01" in said.text
    assert "no evidence" not in said.text.lower()


def test_unsure_is_no_evidence_and_not_equivalence():
    said = headline(0.5 * (NOISE - NOISE.mean()))
    assert said.tone == NO_EVIDENCE
    assert said.text.startswith("No evidence that fine-tuning changed nDCG@10")
    assert "Equivalence within 0.01 is not shown either" in said.text


def test_without_a_margin_equivalence_is_not_claimed():
    said = headline(0.01 * (NOISE - NOISE.mean()), margin=None)
    assert said.tone == NO_EVIDENCE
    assert "Equivalence was not tested" in said.text


def test_a_sure_but_negligible_change_says_both():
    said = headline(0.002 + 0.001 * NOISE)
    assert said.tone == CHANGED
    assert "real but negligible" in said.text


def test_the_tally_of_queries_adds_up():
    row = findings().retrieval.table.sel(measure="nDCG@10")
    said = verdict(findings()).headline.text
    assert f"Of 240 queries, {int(row['wins'])} gained, {int(row['ties'])} tied, {int(row['losses'])} lost." in said
    assert int(row["wins"] + row["ties"] + row["losses"]) == N_QUERIES


def texts(found):
    return [s.text for s in verdict(found).everything()]


def said_of(found, start):
    return next(s for s in verdict(found).everything() if start in s.text)


def test_the_first_layer_that_reads_better_is_named():
    said = said_of(findings(), "is first read better")
    assert "is first read better at layer 2 (" in said.text
    assert "the largest gain is at layer 6 (post-norm) (" in said.text
    assert said.tone == CHANGED


def test_no_change_in_the_probes_is_no_evidence():
    same = compare(*probing(accuracy=lambda p, c, n, k, side: accuracy(p, c, n, k, "before")), margin=None)
    said = said_of(findings(probing=same), "a difference is shown at none")
    assert said.tone == NO_EVIDENCE
    assert "0 equivalent, 7 without evidence either way" in said.text


def test_passage_only_that_reads_as_much_explains_it():
    blind = compare(*probing(accuracy=lambda p, c, n, k, s: accuracy("cosine" if c == "none" else p, c, n, k, s)))
    said = said_of(findings(probing=blind), "never reads the query may explain this")
    assert said.tone == CAUTION
    assert "Relevance is not shown to be readable" in said.text
    assert any("nothing shows that the passages alone explain any of the gain" in text for text in texts(findings()))


@pytest.mark.parametrize(
    ("blind", "own", "said"),
    [
        ((-0.2, 0.01), (0.1, 0.3), ": nothing shows that the passages alone explain any of the gain"),
        ((0.02, 0.08), (0.1, 0.3), ": the passages alone explain a part of the gain at the most"),
        ((0.02, 0.12), (0.1, 0.3), ": the passages alone may explain the gain"),
        ((0.02, 0.12), (-0.1, 0.3), ""),
        ((-0.2, -0.1), (-0.1, 0.0), ""),
    ],
)
def test_what_the_passages_explain_of_a_gain(blind, own, said):
    limits = [pd.Series({"ci_low": low, "ci_high": high}) for low, high in (blind, own)]
    assert _share(*limits) == said


def test_an_unprobed_question_and_an_unprobed_passage_only_are_said():
    only = findings(probing=compare(*probing(probes=("elementwise",))))
    assert any("own question (cosine) was not probed" in text for text in texts(only))
    cosine = findings(probing=compare(*probing(probes=("cosine",))))
    assert any("passage_only was not probed" in text for text in texts(cosine))


def test_controls_that_behave_raise_no_alarm():
    found = verdict(findings())
    assert found.alarms == ()
    assert any(text.startswith("Hash labels: all 168 cells at chance, as they must be.") for text in texts(findings()))


def test_memorisation_is_the_accuracy_with_hash_labels_in_training_and_in_the_test():
    said = said_of(findings(), "Memorisation").text
    assert "elementwise is right in 0.620 of its training choices and in 0." in said
    older = findings().seed_spread.assign(train_accuracy=np.nan)
    for spread in (None, older):
        assert not any("Memorisation" in text for text in texts(findings(seed_spread=spread)))


def prefers_negatives(probe, c, n, layer, side):
    return 0.05 if (probe, c, layer, side) == ("cosine", "none", 0, "before") else accuracy(probe, c, n, layer, side)


@pytest.mark.parametrize(
    ("negatives", "why"),
    [
        ({"how": "bm25", "left_out": {"answered": 0}}, "the source gives no answers to screen by"),
        ({"how": "bm25", "left_out": {"answered": 7}}, "the answers of 7 queries screened them"),
        ({"how": "given"}, "Negatives of the source are nearer to the queries"),
    ],
)
def test_a_similarity_below_chance_is_explained_by_its_negatives(negatives, why):
    collection = replace(findings().collection, negatives=negatives)
    low = findings(probing=compare(*probing(accuracy=prefers_negatives)), collection=collection)
    said = said_of(low, "Below chance: cosine prefers the hard negatives")
    assert (said.tone, said.rests_on) == (CAUTION, ("before",))
    assert "in 1 of 14 cells" in said.text
    assert "at layer 0, where chance is 0.200" in said.text
    assert why in said.text
    assert not any("Below chance" in text for text in texts(findings()))


def test_what_was_left_out_of_the_negatives_is_counted():
    negatives = {"how": "bm25", "left_out": {"with_answer": 1200, "of_same_text": 0, "answered": 9}}
    said = said_of(findings(collection=replace(findings().collection, negatives=negatives)), "Left out")
    assert said.text == "Left out of the hard negatives: 1,200 ranked passages that hold an answer of their query."


def test_equal_vectors_are_at_chance_but_for_rounding():
    """Where all texts have one vector every choice is worth 1/N: an interval of no width beside a mean's rounding."""

    def rounded(probe, c, n, layer, side):
        plain = accuracy(probe, c, n, layer, side)
        return 1 / n + 3e-9 if c in ("shuffled_queries", "hash_labels") and layer == 0 else plain

    before, after = probing(accuracy=rounded)
    for scores in (before, after):
        at = {"layer": 0, "control": ["shuffled_queries", "hash_labels"]}
        level = 1 / scores.values.passages + 3e-9
        scores.values.loc[at] = level.broadcast_like(scores.values.loc[at])
    assert verdict(findings(probing=compare(before, after))).alarms == ()


def broken(control, value=0.75):
    def wrong(probe, c, n, layer, side):
        return value if c == control and layer == 3 else accuracy(probe, c, n, layer, side)

    return findings(probing=compare(*probing(accuracy=wrong)))


@pytest.mark.parametrize(
    ("control", "name"), [("shuffled_queries", "shuffled queries"), ("hash_labels", "hash labels")]
)
def test_a_failed_control_comes_first_and_loud(control, name):
    first = verdict(broken(control)).everything()[0]
    assert first.tone == ALARM
    assert first.text.startswith(f"CONTROL FAILED ({name})")
    assert "layer 3" in first.text
    assert "Do not trust the probe results" in first.text


def test_probe_conclusions_are_marked_when_a_control_failed():
    found = broken("shuffled_queries")
    assert said_of(found, "is first read better").doubts == ("CONTROL FAILED (shuffled queries) (see above)",)
    assert verdict(found).headline.doubts == ()  # retrieval does not rest on the probes


def test_shuffled_queries_at_the_level_of_passage_only_are_no_failure():
    def passage_signal(probe, c, n, layer, side):
        if c == "shuffled_queries" or (probe, c) == ("passage_only", "none"):
            return 1 / n + 0.2
        return accuracy(probe, c, n, layer, side)

    found = findings(probing=compare(*probing(accuracy=passage_signal)))
    assert verdict(found).alarms == ()
    assert any("no higher than passage_only reads without any query" in text for text in texts(found))


def test_a_retriever_that_reads_no_more_than_its_random_twin_is_an_alarm():
    def twin(probe, c, n, layer, side):
        return accuracy(probe, "none" if c == "random_weights" else c, n, layer, side)

    found = findings(probing=compare(*probing(accuracy=twin)))
    tones = {s.tone for s in verdict(found).everything() if "does not read clearly more than random" in s.text}
    assert tones == {ALARM, CAUTION}  # alarm for the retriever, caution for the backbone


def test_random_weights_that_read_as_much_at_another_layer_are_a_caution():
    def lexical(probe, c, n, layer, side):
        return 0.99 if c == "random_weights" and layer == 0 else accuracy(probe, c, n, layer, side)

    said = "What needs no training reads that much."
    assert not any(said in text for text in texts(findings()))
    found = verdict(findings(probing=compare(*probing(accuracy=lexical)))).everything()
    assert {s.tone for s in found if said in s.text} == {CAUTION}


def test_a_control_that_was_not_run_is_said():
    found = findings(probing=compare(*probing(controls=("none", "shuffled_queries"))))
    said = [s for s in verdict(found).statements if "was not run" in s.text]
    assert [s.text.split()[2] for s in said] == ["hash_labels", "random_weights"]
    assert {s.tone for s in said} == {CAUTION}


def test_failed_self_tests_mark_what_rests_on_them():
    found = findings(before=model("b", towers=(tower("query and passage", failed=True),)))
    said = verdict(found)
    assert said.alarms[0].text.startswith("SELF-TEST FAILED on the before side (b)")
    assert "more padding changes nothing" in said.alarms[0].text
    mark = "rests on the before side, which failed a self-test (see above)"
    assert said.headline.doubts == (mark,)
    both = [s for s in said.statements if s.rests_on == ("before", "after")]
    assert both
    assert all(mark in s.doubts for s in both)
    twin = next(s for s in said.statements if "toy-retriever reads more than the same architecture" in s.text)
    assert twin.doubts == ()  # it rests on the after side only


def test_warnings_of_the_scores_are_alarms():
    before, after = retrieval()
    found = findings(retrieval=compare(replace(before, warnings=("2 weights were missing",)), after))
    assert verdict(found).alarms[0].text == "Warning of retrieval: before: 2 weights were missing"


def test_the_best_layer_is_described():
    assert any("the best is layer 5 before" in t and "layer 6 (post-norm) after" in t for t in texts(findings()))
    assert not any("one layer's vectors" in t for t in texts(findings(layer_retrieval=None)))
    other = findings(layer_retrieval=compare(*layer_retrieval(seed=9)))
    assert any("layer 6 (post-norm) after" in t for t in texts(other))


def test_an_unmeasured_primary_measure_is_an_error():
    with pytest.raises(SettingsError, match=r"unknown measure .* 'nDCG@11'\n  fix: did you mean 'nDCG@10'"):
        findings(primary_measure="nDCG@11")


def test_a_seed_spread_without_its_columns_is_an_error():
    with pytest.raises(AnalysisError, match=r"seed spread lacks the columns \['sd'\]"):
        findings(seed_spread=findings().seed_spread.drop(columns="sd"))


def test_probes_without_a_measured_cell_are_an_error():
    before, after = probing()
    empty = replace(after, values=after.values * np.nan)
    with pytest.raises(AnalysisError, match=r"no cell of the probes was measured on both sides\n  fix: report without"):
        verdict(findings(probing=compare(before, empty)))


def test_a_difference_whose_method_is_silent_is_an_error():
    silent = replace(findings().retrieval, method={})
    with pytest.raises(AnalysisError, match=r"does not state 'level'\n  fix: make it with compare_scores"):
        verdict(findings(retrieval=silent))
