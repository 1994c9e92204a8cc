"""What a report says of the probes and of their controls, on results whose truth is known."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from retroscope.analyses.probes.figures import effect_points, probe_curves
from retroscope.analyses.probes.report import report, seed_spread
from retroscope.analyses.probes.result import ProbesResult
from retroscope.analyses.probes.selectivity import selectivity
from retroscope.analyses.probes.words import _share, below_chance_alone
from retroscope.analyses.section import Section
from retroscope.errors import AnalysisError
from retroscope.typesetting.charts.palette import HALVES, LOOKS
from retroscope.typesetting.latex import booktabs
from retroscope.typesetting.statements import State, Statement
from synthetic_probes import CONTROLS, PASSAGES, PROBES, Accuracy, accuracy, probe_scores, probes_result
from synthetic_subject import EVIL, LAYERS, collection, compare, model, reading


def probed(rule: Accuracy, **changes: Any) -> ProbesResult:
    return probes_result(effect=compare(*probe_scores(accuracy=rule)), **changes)


def section(result: ProbesResult | None = None, **changes: Any) -> Section:
    return report(result or probes_result(), reading(**changes))


def texts(result: ProbesResult | None = None, **changes: Any) -> list[str]:
    return [s.text for s in section(result, **changes).statements]


def said_of(result: ProbesResult, start: str, **changes: Any) -> Statement:
    return next(s for s in section(result, **changes).statements if start in s.text)


def alarms(result: ProbesResult) -> list[Statement]:
    return [s for s in section(result).statements if s.state == State.FAILED]


def test_the_first_layer_that_reads_better_is_named() -> None:
    statement = said_of(probes_result(), "gains accuracy with fine-tuning")
    assert statement.text.startswith(
        "The similarity probe (cosine, N=5, chance 0.200) gains accuracy with fine-tuning; the lowest layer with a "
        "significant gain is layer 2 ("
    )
    assert "the largest gain is at layer 6 (post-norm) (" in statement.text
    assert "Accuracy rises significantly at 5 of 7 layers and falls significantly at 0 (" in statement.text
    assert statement.state == State.SIGNIFICANT


def test_no_change_in_the_probes_is_no_evidence() -> None:
    same = compare(*probe_scores(accuracy=lambda p, c, n, k, side: accuracy(p, c, n, k, "before")), margin=None)
    statement = said_of(probes_result(effect=same), "no significant difference between the models at any")
    assert statement.state == State.NOT_SIGNIFICANT
    assert "at any of 7 layers (7 are undecided)" in statement.text


def test_passage_only_that_reads_as_much_explains_it() -> None:
    blind = probed(lambda p, c, n, k, s: accuracy("cosine" if c == "none" else p, c, n, k, s))
    statement = said_of(blind, "never reads the query may be as accurate")
    assert statement.caution
    assert "no evidence that relevance is readable" in statement.text
    assert any(
        "There is no evidence that the passages alone explain any of this gain in accuracy" in text for text in texts()
    )


@pytest.mark.parametrize(
    ("blind", "own", "said"),
    [
        (
            (-0.2, 0.01),
            (0.1, 0.3),
            " There is no evidence that the passages alone explain any of this gain in accuracy.",
        ),
        ((0.02, 0.08), (0.1, 0.3), " The passages alone explain at most a part of this gain in accuracy."),
        ((0.02, 0.12), (0.1, 0.3), " The passages alone may explain this gain in accuracy."),
        ((0.02, 0.12), (-0.1, 0.3), ""),
        ((-0.2, -0.1), (-0.1, 0.0), ""),
    ],
)
def test_what_the_passages_explain_of_a_gain(blind: tuple[float, float], own: tuple[float, float], said: str) -> None:
    limits = [pd.Series({"ci_low": low, "ci_high": high}) for low, high in (blind, own)]
    assert _share(*limits) == said


def test_an_unprobed_similarity_and_an_unprobed_passage_only_are_said() -> None:
    only = probes_result(effect=compare(*probe_scores(probes=("elementwise",))))
    assert any("The similarity probe (cosine) was not run" in text for text in texts(only))
    assert set(section(only).tables) == {"probing", "seeds"}
    cosine = probes_result(effect=compare(*probe_scores(probes=("cosine",))))
    assert any("passage_only was not probed" in text for text in texts(cosine))


def test_controls_that_behave_raise_no_alarm() -> None:
    assert alarms(probes_result()) == []
    assert any(
        text.startswith("Hash labels: in all 168 combinations of probe, N, layer and model, the accuracy is at chance")
        for text in texts()
    )


def test_memorisation_is_the_accuracy_with_hash_labels_in_training_and_in_the_test() -> None:
    statement = said_of(probes_result(), "Memorisation").text
    assert "elementwise reaches an accuracy of 0.620 on its training examples and 0." in statement
    spread = probes_result().seed_spread
    assert spread is not None
    for other in (None, spread.assign(train_accuracy=np.nan)):
        assert not any("Memorisation" in text for text in texts(probes_result(seed_spread=other)))


def prefers_negatives(probe: str, c: str, n: int, layer: int, side: str) -> float:
    return 0.05 if (probe, c, layer, side) == ("cosine", "none", 0, "before") else accuracy(probe, c, n, layer, side)


@pytest.mark.parametrize(
    ("negatives", "why"),
    [
        (
            {"how": "bm25", "left_out": {"answered": 0}},
            "the data have no known answers to find unjudged relevant passages",
        ),
        (
            {"how": "bm25", "left_out": {"answered": 7}},
            "known answers of 7 queries were used to remove unjudged relevant passages",
        ),
        ({"how": "given"}, "supplied negatives are more similar to the queries"),
    ],
)
def test_a_similarity_below_chance_is_explained_by_its_negatives(negatives: dict[str, Any], why: str) -> None:
    low = probed(prefers_negatives)
    statement = said_of(
        low,
        "Below chance: the similarity probe (cosine) prefers hard negatives",
        collections=(collection(negatives=negatives),),
    )
    assert (statement.label, statement.rests_on) == ("caution", ("before",))
    assert "in 1 of 14 combinations" in statement.text
    assert "at layer 0; chance is 0.200" in statement.text
    assert why in statement.text
    assert not any("Below chance" in text for text in texts())


def test_one_model_below_chance_is_a_caution() -> None:
    row = {"probe": "cosine", "control": "none", "n_passages": 5, "layer": 3, "accuracy": 0.08, "ci_high": 0.12}
    above = {**row, "layer": 4, "accuracy": 0.4, "ci_high": 0.5}
    (statement,) = below_chance_alone([row, above, {**row, "probe": "dot"}], "cosine")
    assert statement.caution
    assert statement.text.startswith(
        "The similarity probe (cosine) is below chance at 1 layer (lowest accuracy: 0.080 at layer 3; chance is 0.200)"
    )
    assert below_chance_alone([above], "cosine") == below_chance_alone([], "cosine") == []


def test_what_was_left_out_of_the_negatives_is_counted() -> None:
    negatives = {"how": "bm25", "left_out": {"with_answer": 1200, "of_same_text": 0, "answered": 9}}
    statement = said_of(probes_result(), "leave out", collections=(collection(negatives=negatives),))
    assert statement.text == (
        "The hard negatives leave out 1,200 ranked passages that contain an answer to their query, because these may "
        "be relevant."
    )


def test_how_the_negatives_were_found_is_on_the_page() -> None:
    values = section(collections=(collection(negatives={"how": "run"}),)).values
    assert values["negatives"] == "the passages of a given run that are not judged relevant"
    assert section(collections=(collection(negatives={}),)).values["negatives"] == ""


@pytest.mark.parametrize("error", [3e-9, -3e-9])
def test_equal_vectors_are_at_chance_but_for_rounding(error: float) -> None:
    """Where all texts have one vector every choice is worth 1/N: an interval of no width beside a mean's rounding."""
    before, after = probe_scores()
    for scores in (before, after):
        at = {"layer": 0, "probe": ["cosine"]}
        for control in ("none", "shuffled_queries", "hash_labels"):
            cells = scores.values.loc[{**at, "control": [control]}]
            scores.values.loc[{**at, "control": [control]}] = (1 / cells.passages + error).broadcast_like(cells)
    result = probes_result(effect=compare(before, after))
    assert alarms(result) == []
    assert not any("elow chance" in text for text in texts(result))
    row = {"probe": "cosine", "control": "none", "n_passages": 5, "layer": 0}
    assert below_chance_alone([{**row, "accuracy": 0.2 + error, "ci_high": 0.2 + error}], "cosine") == []


def broken(control: str, value: float = 0.75) -> ProbesResult:
    def wrong(probe: str, c: str, n: int, layer: int, side: str) -> float:
        return value if c == control and layer == 3 else accuracy(probe, c, n, layer, side)

    return probed(wrong)


@pytest.mark.parametrize(
    ("control", "name"), [("shuffled_queries", "shuffled queries"), ("hash_labels", "hash labels")]
)
def test_a_failed_control_comes_first_and_loud(control: str, name: str) -> None:
    first = section(broken(control)).statements[0]
    assert first.state == State.FAILED
    assert first.text.startswith(f"CONTROL FAILED ({name})")
    assert "layer 3" in first.text
    assert "Do not trust the probe results" in first.text


def test_eight_queries_cannot_fail_a_control() -> None:
    """Eight wrong answers have probability .17 at a chance of .2, so some of many cells have them."""
    few = [replace(s, values=s.values.isel(query=slice(8))) for s in probe_scores()]
    values = [s.values.copy() for s in few]
    for one in values:
        one.loc[{"control": "hash_labels", "layer": LAYERS[2]}] = 0.0
        one.loc[{"control": "shuffled_queries", "layer": LAYERS[1]}] = 0.0
    effect = compare(*(replace(s, values=v) for s, v in zip(few, values, strict=True)))
    low, high = (effect.table.sel(control="hash_labels", layer=LAYERS[2])[f"before_{end}"] for end in ("low", "high"))
    assert float(low.max()) == 0
    assert float(high.max()) == pytest.approx(1 - 0.025 ** (1 / 8)), "the exact interval of none of eight"
    assert alarms(probes_result(effect=effect)) == []


def test_hash_labels_of_shared_candidates_are_no_alarm_and_too_few_are_undecided() -> None:
    """With the same four hard negatives for all queries, one hash decides nearly all labels."""
    failed = broken("hash_labels")
    (alarm,) = alarms(replace(failed, independent_examples={2: 100.0, 5: 100.0}))
    assert "measure it again" not in alarm.text
    (alarm,) = alarms(failed)
    assert "measured before shared candidates were counted, so measure it again first" in alarm.text
    result = replace(failed, independent_examples={2: 3.0, 5: 3.0})
    assert alarms(result) == []
    (statement,) = [s for s in section(result).statements if s.control == "hash labels"]
    assert statement.state == State.NOT_SIGNIFICANT
    assert "worth only about 3 independent examples" in statement.text
    assert "even an accuracy of 1 would not be significant" in statement.text
    enough = replace(probes_result(), independent_examples={2: 40.0, 5: 40.0})
    (passed,) = [s for s in section(enough).statements if s.control == "hash labels"]
    assert passed.state == State.MEASURED


def test_probe_conclusions_are_marked_when_a_control_failed() -> None:
    statement = said_of(broken("shuffled_queries"), "gains accuracy with fine-tuning")
    assert statement.doubts == ("CONTROL FAILED (shuffled queries) (see above)",)


def test_shuffled_queries_at_the_level_of_passage_only_are_no_failure() -> None:
    def passage_signal(probe: str, c: str, n: int, layer: int, side: str) -> float:
        if c == "shuffled_queries" or (probe, c) == ("passage_only", "none"):
            return 1 / n + 0.2
        return accuracy(probe, c, n, layer, side)

    result = probed(passage_signal)
    assert alarms(result) == []
    assert any("but not above that of passage_only, which never reads the query" in text for text in texts(result))


def test_a_retriever_that_reads_no_more_than_random_weights_is_an_alarm() -> None:
    result = probed(lambda p, c, n, k, s: accuracy(p, "none" if c == "random_weights" else c, n, k, s))
    states = {
        s.state
        for s in section(result).statements
        if "the similarity probe is not significantly more accurate with" in s.text
    }
    assert states == {State.FAILED, State.NOT_SIGNIFICANT}  # an alarm for the retriever, a finding for the backbone
    (alarm,) = alarms(result)
    assert alarm.title == "Random-weight control"
    assert alarm.text.startswith(alarm.title)


def test_a_dozen_queries_cannot_show_that_random_weights_are_as_good() -> None:
    alike = probe_scores(accuracy=lambda p, c, n, k, s: accuracy(p, "none" if c == "random_weights" else c, n, k, s))
    few = compare(*(replace(s, values=s.values.isel(query=slice(12))) for s in alike))
    statements = [s for s in section(probes_result(effect=few)).statements if s.code.startswith("random_weights.")]
    assert {s.state for s in statements} == {State.NOT_SIGNIFICANT}


def test_a_control_of_random_weights_rests_on_its_own_side() -> None:
    statement = said_of(probes_result(), "more accurate with toy-retriever than with the same architecture")
    assert statement.rests_on == ("after",)


def test_random_weights_that_read_as_much_at_another_layer_are_a_caution() -> None:
    def lexical(probe: str, c: str, n: int, layer: int, side: str) -> float:
        return 0.99 if c == "random_weights" and layer == 0 else accuracy(probe, c, n, layer, side)

    said = "So a model without training may be as accurate."
    assert not any(said in text for text in texts())
    assert {s.label for s in section(probed(lexical)).statements if said in s.text} == {"caution"}


def test_a_control_that_was_not_run_is_said() -> None:
    result = probes_result(effect=compare(*probe_scores(controls=("none", "shuffled_queries"))))
    statements = [s for s in section(result).statements if "was not run" in s.text]
    assert [s.text.split()[2] for s in statements] == ["hash_labels", "random_weights"]
    assert {s.state for s in statements} == {State.NOT_RUN}


def test_a_seed_spread_without_its_columns_is_an_error() -> None:
    spread = probes_result().seed_spread
    assert spread is not None
    with pytest.raises(AnalysisError, match=r"ProbesResult: the table 'seed_spread' lacks the columns sd\n"):
        probes_result(seed_spread=spread.drop(columns="sd"))


def test_probes_without_a_measured_cell_are_an_error() -> None:
    before, after = probe_scores()
    empty = replace(after, values=after.values * np.nan)
    with pytest.raises(
        AnalysisError, match=r"no probe was measured for both models with the same layer, .*\n  fix: probe both"
    ):
        section(probes_result(effect=compare(before, empty)))


def test_code_lengths_alone_say_nothing_of_accuracy() -> None:
    reported = section(ProbesResult("cosine", None, mdl=compare(*probe_scores(probes=("cosine",)))))
    assert (reported.statements, reported.figures, dict(reported.tables)) == ((), (), {})
    assert list(reported.differences) == ["Online code length"]
    assert reported.document["mdl"]
    assert reported.document["effects"] == reported.document["without_final_norm"] == []


def test_figures_hold_the_right_number_of_points() -> None:
    specs = {figure.name: figure.specification for figure in section().figures}
    data = {name: max(spec["datasets"].values(), key=len) for name, spec in specs.items()}
    cells = len(PROBES) * len(PASSAGES) * len(LAYERS)
    assert list(specs) == ["similarity_probe", "probes", "effects", "selectivity"]
    assert len(data["probes"]) == cells * len(CONTROLS) * 2 + cells  # both sides, and chance
    assert len(data["similarity_probe"]) == (cells * len(CONTROLS) * 2 + cells) // len(PROBES)
    assert len(data["effects"]) == cells
    assert len(data["selectivity"]) == cells * 2


def test_chance_is_one_over_n() -> None:
    frame = probe_curves(probes_result())
    chance = frame[frame["series"] == "chance"]
    assert (chance["value"] == 1 / chance["passages"]).all()
    assert set(frame["series"]) == set(LOOKS) - {HALVES}  # which is of representations


def test_only_the_probes_themselves_have_bands() -> None:
    frame = probe_curves(probes_result())
    assert set(frame.loc[frame["low"].notna(), "series"]) == {"before", "after"}


def test_outcomes_agree_with_the_tests() -> None:
    found, effect = effect_points(probes_result()), probes_result().effect
    assert effect is not None
    table = effect.table.sel(control="none")
    assert int((found["outcome"] == "gain").sum()) == int(((table["p_corrected"] < 0.05) & (table["effect"] > 0)).sum())
    unchanged = found.loc[found["probe"] == "passage_only", "outcome"]
    assert (unchanged == "not significant").all(), "no outcome of 240 changed, but 298 would be needed within .01"


def test_a_selector_chooses_n_and_print_shows_the_largest() -> None:
    spec = next(figure for figure in section().figures if figure.name == "probes").specification
    param = next(p for p in spec["params"] if p["name"] == "chosen_passages")
    assert param["value"] == max(PASSAGES)
    assert sorted(param["bind"]["options"]) == list(PASSAGES)


def test_selectivity_is_accuracy_beyond_shuffled_queries() -> None:
    cell, effect = {"probe": "cosine", "passages": 5, "layer": 6}, probes_result().effect
    assert effect is not None
    frame = selectivity(effect)
    row = frame[(frame["side"] == "after") & (frame[list(cell)] == pd.Series(cell)).all(axis=1)].iloc[0]
    table = effect.table.sel(cell)
    expected = float(table["after"].sel(control="none") - table["after"].sel(control="shuffled_queries"))
    assert row["value"] == pytest.approx(expected)
    assert row["low"] < expected < row["high"]
    assert section().frames["selectivity"].equals(frame)


def test_layers_without_the_final_norm_have_figures_and_a_table_of_their_own() -> None:
    plain = probe_scores(controls=("none",))
    reported = section(probes_result(bare=compare(*plain)))
    names = [figure.name for figure in reported.figures]
    assert names[-2:] == ["similarity_probe_bare", "probes_bare"]
    assert reported.figures[-1].title.endswith(", without the final norm")
    assert reported.tables["probing_bare"].caption.endswith("Layers without the final norm.")
    assert len(reported.document["without_final_norm"]) == len(PROBES) * len(PASSAGES) * len(LAYERS)
    assert [s.text for s in reported.statements] == texts(), "no conclusion rests on them"


def test_every_table_is_sound_latex_whatever_the_names() -> None:
    reported = section(models={"before": model(EVIL), "after": model("toy")})
    assert set(reported.tables) == {"probing", "controls", "seeds"}
    for name, table in reported.tables.items():
        latex = booktabs(table, name)
        assert "\\input" not in latex
        assert len({line.count(" & ") for line in latex.splitlines() if line.endswith(r"\\")}) == 1


def test_the_spread_over_seeds_is_that_of_their_accuracies() -> None:
    cell = {"side": "after", "probe": "dot", "control": "none", "n_passages": 2, "layer": 1}
    seeds = pd.DataFrame([{**cell, "seed": k, "accuracy": v, "train_accuracy": v} for k, v in enumerate((0.1, 0.3))])
    spread = seed_spread(seeds)
    assert spread is not None
    (row,) = spread.to_dict(orient="records")
    assert {name: row[name] for name in cell} == cell
    assert row["sd"] == pytest.approx(np.std([0.1, 0.3], ddof=1))
    assert row["train_accuracy"] == pytest.approx(0.2)
    assert seed_spread(None) is None
