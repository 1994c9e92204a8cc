"""The rules about neurons, each on findings whose truth is known: planted effects, and controls with none."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from retroscope.analyses.neurons.figures import draw_neurons
from retroscope.analyses.neurons.result import AblationCurves, AttributedModel, TowerNeurons
from retroscope.analyses.neurons.words import neuron_statements
from retroscope.errors import AnalysisError
from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings, compare_scores
from retroscope.typesetting.statements import State, Statement
from synthetic_neurons import BLOCKS, ablation, alone, changed, neuron_side, overlap_rows, tower_neurons


def statement_of(tower: TowerNeurons, start: str) -> Statement:
    return next(s for s in neuron_statements(tower) if s.text.startswith(start))


def statements_of(tower: TowerNeurons, start: str) -> list[Statement]:
    return [s for s in neuron_statements(tower) if s.text.startswith(start)]


def ablation_statement(tower: TowerNeurons) -> Statement:
    return next(s for s in neuron_statements(tower) if s.code.startswith("ablation."))


NOTHING = tower_neurons(after=neuron_side(seed=7, ablation=ablation()))


def test_the_planted_layer_is_named_where_neurons_concentrate() -> None:
    statement = statement_of(tower_neurons(), "Concentration of the attribution on few intermediate neurons")
    assert statement.state == State.SIGNIFICANT
    assert "attribution is concentrated on fewer neurons at layer 3 (6 layers tested)" in statement.text
    assert "The largest significant change of the Gini index is at layer 3, from 0." in statement.text
    assert "holm-corrected p < 0.001" in statement.text
    assert (
        "The share of the attribution that the top 1 % of neurons have rises significantly at 1 layer and falls "
        "significantly at 0; the participation (1 if all neurons have equal attribution) rises significantly at 0 "
        "layers and falls significantly at 1." in statement.text
    )


def test_the_reverse_is_said_in_reverse() -> None:
    planted, plain = tower_neurons().sides["after"], tower_neurons().sides["before"]
    statement = statement_of(
        tower_neurons(before=planted, after=plain), "Concentration of the attribution on few intermediate neurons"
    )
    assert "attribution is spread over more neurons at layer 3" in statement.text
    assert "fewer neurons" not in statement.text


def test_the_planted_layer_carries_it_after_and_nothing_stands_out_before() -> None:
    peaks = statement_of(tower_neurons(), "Share of each layer in the total attribution of intermediate neurons")
    moved = statement_of(tower_neurons(), "Fine-tuning moved the attribution of intermediate neurons")
    assert "an even spread gives 0.167" in peaks.text
    assert "before fine-tuning, no layer has a share significantly above" in peaks.text
    assert "after fine-tuning, layer 3 has the largest share" in peaks.text
    assert moved.state == State.SIGNIFICANT
    assert "towards layer 3 and away from layers 1-2 and 4-6" in moved.text


def test_where_nothing_is_planted_nothing_is_claimed() -> None:
    statements = neuron_statements(NOTHING)
    claims = [s for s in statements if not s.control]  # an ablation is a control
    assert not [s.text for s in claims if s.state in (State.SIGNIFICANT, State.EQUIVALENT)]
    assert [s.state for s in statements_of(NOTHING, "Concentration")] == [State.NOT_SIGNIFICANT, State.NOT_SIGNIFICANT]
    shares = [s.text for s in statements_of(NOTHING, "Share of each layer") if "even" in s.text]
    assert len(shares) == 2
    for side in ("before", "after"):
        assert all(f"{side} fine-tuning, no layer has a share significantly above" in text for text in shares)


def moved(move: np.ndarray, margin: float | None) -> Statement:
    """The concentration statement where every statistic moved by `move` [example, statistic, part, layer]."""
    side = neuron_side()
    settings = ComparisonSettings(resamples=200, margin=margin, family_per=("statistic",))
    after = Scores("neurons", side.attribution.scores.values + move)
    profile = compare_scores(side.attribution.scores, after, settings)
    return statement_of(
        tower_neurons(before=side, after=side, profile=profile),
        "Concentration of the attribution on few output neurons",
    )


def test_a_change_too_small_to_see_is_equivalent_only_with_a_margin() -> None:
    jitter = 1e-6 * np.random.default_rng(0).standard_normal(neuron_side().attribution.scores.values.shape)
    assert moved(jitter - jitter.mean(0), 0.05).state == State.EQUIVALENT
    assert moved(jitter - jitter.mean(0), None).state == State.NOT_SIGNIFICANT


@pytest.mark.parametrize("after", [neuron_side(planted=20.0), neuron_side(seed=7)])
def test_without_a_margin_no_word_speaks_of_equivalence(after: AttributedModel) -> None:
    """The margin of retrieval is none for neurons, so that none is given."""
    tower = tower_neurons(after=after)
    assert tower.profile is not None
    assert tower.profile.method["margin"] is None
    texts = [s.text for s in neuron_statements(tower)]
    texts += [text for f in draw_neurons(tower) for text in (f.caption, f.alt, json.dumps(f.specification))]
    assert not [t for t in texts if "equivalent" in t.lower() or "negligible" in t]
    assert any("at any of 6 layers (equivalence was not tested)" in t for t in texts)
    assert State.EQUIVALENT not in {s.state for s in neuron_statements(tower)}


def test_a_sure_but_negligible_change_says_both() -> None:
    jitter = 1e-6 * np.random.default_rng(0).random(neuron_side().attribution.scores.values.shape)
    tower = moved(jitter, 0.05)
    assert tower.state == State.SIGNIFICANT
    assert tower.text.endswith(
        "These changes are significant but negligible: all pass the equivalence test with the margin 0.05."
    )
    assert "negligible" not in moved(jitter, None).text
    assert (
        "negligible"
        not in statement_of(tower_neurons(), "Concentration of the attribution on few intermediate neurons").text
    )


def test_activity_is_told_at_every_threshold() -> None:
    statement = statement_of(tower_neurons(), "Active output neurons")
    assert (
        "fewer neurons are active at thresholds 0.01, 0.1 and 0.5 (3 thresholds tested)" in statement.text
    )  # the planted neurons set the scale of all
    assert "depends on the threshold" not in statement.text
    assert "divided by the largest magnitude of the same example, is at least the threshold" in statement.text


def test_an_answer_that_turns_with_the_threshold_is_said_to() -> None:
    one, two = neuron_side("b", seed=6), neuron_side(seed=6)
    values = two.attribution.scores.values.copy()
    for name, move in (("active@0.1", 0.1), ("active@0.5", -0.02)):
        values.loc[{"statistic": name}] = values.sel(statistic=name) + move
    turned = changed(two, scores=Scores("neurons", values))
    statement = statement_of(tower_neurons(before=one, after=turned), "Active output neurons")
    assert "more neurons are active at threshold 0.1 and fewer neurons are active at threshold 0.5" in statement.text
    assert "So whether more or fewer neurons are active depends on the threshold." in statement.text


def test_overlap_is_told_beside_its_ceiling_and_not_tested() -> None:
    statement = statement_of(tower_neurons(), "Agreement of the two")
    assert statement.state == State.MEASURED
    assert "; noise in both attributions limits it to about 0." in statement.text
    assert "less than" not in statement.text, "one split gives no test"
    assert "after it; by chance: 0.010" in statement.text
    assert not statements_of(tower_neurons(overlap=None), "Agreement of the two")


def overlapping(**row: float) -> str:
    rows = overlap_rows()
    here = (rows["part"] == "all") & (rows["measure"] == "jaccard")
    rows.loc[here, list(row)] = list(row.values())
    return statement_of(tower_neurons(overlap=rows), "Agreement of the two").text.split("). ")[0]


def test_a_noisy_side_does_not_make_two_agree() -> None:
    """Halves of .10 and .90: two that name the same neurons would reach .30, not .11."""
    assert "0.110; noise in both attributions limits it to about 0.300" in overlapping(
        between=0.11, before_halves=0.1, after_halves=0.9
    )


@pytest.mark.parametrize("own", [0.01, 0.0, -0.1])
def test_a_side_that_does_not_agree_with_itself_gives_no_ceiling(own: float) -> None:
    text = overlapping(between=0.02, before_halves=own, after_halves=0.9)
    assert "0.020. This value is not interpretable, because two halves of the examples of one model agree no" in text
    assert "noise in both attributions" not in text


def test_an_overlap_without_an_order_is_not_a_number() -> None:
    rows = overlap_rows()
    rows.loc[(rows["part"] == "all") & (rows["measure"] == "jaccard"), "between"] = np.nan
    statement = statement_of(tower_neurons(overlap=rows), "Agreement of the two")
    assert (
        "The Jaccard index of the sets of top neurons is undefined, because all values to be ranked are equal"
        in statement.text
    )
    assert "nan" not in statement.text


def judged(made: AblationCurves, **columns: object) -> Statement:
    """The statement about the ablation of a retriever alone, with these columns of its table."""
    tower = replace(made, table=made.table.assign(**columns))
    return ablation_statement(alone(neuron_side(planted=20.0, ablation=tower)))


def test_ablation_that_harms_more_than_both_controls_confirms() -> None:
    statement = statement_of(
        tower_neurons(), "Retrieval needs the top neurons (those with the largest attribution) of the model after"
    )
    assert statement.state == State.SIGNIFICANT
    assert statement.rests_on == ("after",)
    assert "At 0.1 %, 1 %, 10 % and 30 % of the neurons (4 of 4 tested fractions), fixing them lowers" in statement.text
    assert "Fixing the top 0.1 % (1 neuron, in 1 of 6 layers) at their mean changes RR@10 of 240" in statement.text
    assert (
        "is lower with the top neurons fixed than with any of 5 random sets fixed. Over all fractions" in statement.text
    )
    assert re.search(r"\+0\.1\d+ \[[^]]*\] for the top neurons by signed value in these layers", statement.text)


def test_every_share_that_is_confirmed_is_named_and_the_smallest_is_told() -> None:
    """The verdict is about all shares: harm at 10 % alone is named as that."""
    curves = judged(ablation(), confirmed=[False, False, True, False])
    assert curves.state == State.SIGNIFICANT
    assert "At 10 % of the neurons (1 of 4 tested fractions), fixing them lowers" in curves.text
    assert ". Fixing the top 10 % (42 neurons" in curves.text


def test_both_comparisons_are_told_with_their_p() -> None:
    p = {"p_queries": 0.011, "p_draws": 0.012, "p_largest": 0.013, "p_confirmed": 0.039}
    curves = judged(ablation(), **p)
    for words in (
        "p = 0.011 by the test over queries and p = 0.012 by the test over random sets.",
        "The loss beyond that of the largest neurons is +0.0",
        "p = 0.013 by the test over queries. The largest of these three p-values, Holm-corrected over the 4 fractions "
        "of neurons: p = 0.039.",
    ):
        assert words in curves.text


@pytest.mark.parametrize("largest", [0.4, 0.6])
def test_large_neurons_that_harm_as_much_do_not_confirm(largest: float) -> None:
    """The top harms far more than random neurons do; so do the largest, which no gradient chose."""
    statement = statement_of(
        alone(neuron_side(planted=20.0, ablation=ablation(largest=largest))), "The ablation does not confirm"
    )
    assert statement.caution
    assert "no evidence that the attribution finds more than large neurons" in statement.text
    assert "Fixing the top 0.1 %" in statement.text  # where it beats random neurons, and not where it may not
    assert not statements_of(alone(neuron_side(ablation=ablation(largest=largest))), "Retrieval needs")


def test_draws_that_are_too_few_do_not_confirm_and_do_not_deny() -> None:
    """Every query says that the top costs more than these two draws; a third draw might cost as much."""
    curves = judged(ablation(harm=0.4, draws=2), p_draws=0.06, confirmed=False, over_random=False)
    assert curves.caution
    assert "does not confirm" in curves.text
    assert (
        "Fixing the top neurons lowers retrieval more than fixing any random set of neurons, but there are too few"
        in curves.text
    )
    assert "no evidence that retrieval" not in curves.text


@pytest.mark.parametrize("harm", [0.01, -0.2])
def test_ablation_that_harms_no_more_than_random_does_not_confirm(harm: float) -> None:
    """0.01 is what a draw costs in the mean; a negative harm helps retrieval."""
    tower = tower_neurons(after=neuron_side(planted=20.0, ablation=ablation(harm=harm)))
    statement = statement_of(
        tower, "The ablation does not confirm that retrieval needs the top neurons (those with the largest"
    )
    assert statement.caution
    assert "There is no evidence that retrieval needs these neurons more than other neurons" in statement.text
    mark = "the ablation does not confirm the top neurons of the model after fine-tuning"
    assert statement_of(tower, "Concentration of the attribution on few intermediate neurons").doubts == (mark,)
    assert statement_of(tower, "Agreement of the two").doubts == (mark,)
    assert (
        statement_of(
            tower, "Retrieval needs the top neurons (those with the largest attribution) of the model before"
        ).doubts
        == ()
    )


def test_queries_that_chose_the_neurons_show_nothing() -> None:
    whole = ablation()
    same = replace(whole, recipe={**whole.recipe, "held_out": False, "attributed_queries": 1, "queries": 240})
    tower = tower_neurons(after=neuron_side(planted=20.0, ablation=same))
    statement = statement_of(
        tower, "Retrieval may need the top neurons (those with the largest attribution) of the model after"
    )
    assert (
        "(4 of 4 tested fractions), fixing them lowers retrieval more than fixing as many random neurons"
        in statement.text
    )
    assert "But the neurons were chosen with some of these queries. Fixing" in statement.text
    assert statement.caution
    assert (
        "chosen on 1 of these 240 queries, so the choice of the neurons and its test are not independent."
        in statement.text
    )
    assert [s.rests_on for s in neuron_statements(tower) if s.control and s.state == State.SIGNIFICANT] == [("before",)]
    mark = "some queries of the ablation also served to choose the neurons of the model after fine-tuning"
    assert statement_of(tower, "Concentration of the attribution on few intermediate neurons").doubts == (mark,)


def test_without_an_ablation_a_count_is_not_evidence() -> None:
    tower = tower_neurons(before=neuron_side("b", seed=6), after=neuron_side(planted=20.0))
    cautions = statements_of(tower, "No ablation was run")
    assert [s.state for s in cautions] == [State.NOT_RUN, State.NOT_RUN]
    assert all(
        "Without an ablation, there is no evidence that retrieval needs these neurons" in s.text for s in cautions
    )
    mark = (
        "no ablation tested whether retrieval needs the neurons of the model before fine-tuning and of the model after "
        "fine-tuning"
    )
    assert statement_of(tower, "Concentration of the attribution on few intermediate neurons").doubts == (mark,)
    assert (
        statement_of(tower, "Concentration of the attribution on few output neurons").doubts == ()
    )  # nothing is claimed there


def test_a_collection_that_is_too_easy_is_said_to_be() -> None:
    whole = ablation()
    easy = replace(whole, table=whole.table.assign(intact=0.995))
    assert "RR@10 of the intact model is nearly perfect" in ablation_statement(alone(neuron_side(ablation=easy))).text
    assert "nearly perfect" not in ablation_statement(alone(neuron_side(ablation=whole))).text


def test_a_weak_comparison_and_queries_that_chose_the_neurons_are_said() -> None:
    whole = ablation()
    weak = replace(
        whole,
        table=whole.table.assign(shared_by_chance=0.8),
        recipe={**whole.recipe, "attributed_queries": 60, "queries": 240},
        warnings=("some fractions are one neuron",),
    )
    tower = alone(neuron_side(ablation=weak))
    weak = "By chance, a random set contains 80 % of the top neurons, so the comparison is weak."
    assert weak in ablation_statement(tower).text
    assert "The neurons were chosen on 60 of these 240 queries" in ablation_statement(tower).text
    assert statement_of(tower, "Caution (neurons of toy-retriever)").text.endswith("some fractions are one neuron")


@pytest.mark.parametrize(
    ("noise", "label"), [(0, None), (5, "caution"), (29, "caution"), (30, "failed"), (60, "failed")]
)
def test_noise_is_a_caution_and_from_half_of_the_examples_an_alarm(noise: int, label: str | None) -> None:
    tower = alone(neuron_side(noise=noise))
    labels = [s.label for s in neuron_statements(tower) if "changes by no more than rounding" in s.text]
    assert labels == ([label] if label else [])
    if label == "failed":
        marked = [s for s in neuron_statements(tower) if s.doubts]
        assert all("NEURONS ARE NOISE of toy-retriever (see above)" in s.doubts for s in marked)


def test_noise_that_the_attribution_tells_of_is_told_once() -> None:
    tower = alone(
        neuron_side(
            noise=5, warnings=("noise: in 5 of 60 examples, F changes by no more than rounding",), noise_warned=True
        )
    )
    assert len([s for s in neuron_statements(tower) if "no more than rounding" in s.text]) == 1


@pytest.mark.parametrize(
    ("gap", "label"), [(0.005, "measured"), (0.05, "caution"), (0.5, "failed"), (np.nan, "measured")]
)
def test_completeness_is_always_told(gap: float, label: str) -> None:
    tower = alone(neuron_side(gap=gap, ablation=ablation()))
    (statement,) = [s for s in neuron_statements(tower) if "ompleteness" in s.text or "INCOMPLETE" in s.text]
    assert statement.label == label
    assert ("need not add up" in statement.text) == np.isnan(gap)
    doubts = statement_of(tower, "Concentration of the attribution on few output neurons").doubts
    assert doubts == (("ATTRIBUTION INCOMPLETE of toy-retriever (see above)",) if label == "failed" else ())


def with_gaps(by_layer: list[float], weight: list[float]) -> AttributedModel:
    """A side whose gaps and totals are given by layer, the same in every part."""
    side = neuron_side(ablation=ablation())
    values = side.attribution.scores.values.copy()
    values.loc[{"statistic": "gap"}] = np.array(by_layer)
    values.loc[{"statistic": "total"}] = np.array(weight)
    return changed(side, scores=replace(side.attribution.scores, values=values))


def test_completeness_is_judged_where_the_attribution_lies() -> None:
    """stories260K's gaps: one median over all sites is .0002, and the layer that holds the attribution misses .095."""
    gaps = [0.0] * len(BLOCKS)
    gaps[:3] = [0.095, 0.0013, 0.0009]
    weight = [1.0] * len(BLOCKS)
    weight[0] = 3.0 * len(BLOCKS)
    side = with_gaps(gaps, weight)
    assert np.median(side.attribution.scores.values.sel(statistic="gap")) < 0.002
    (statement,) = [s for s in neuron_statements(alone(side)) if "INCOMPLETE" in s.text]
    assert statement.state == State.FAILED
    assert "the gap is largest for the intermediate neurons of layer 1: " in statement.text
    assert "its median is 0.095" in statement.text
    better = with_gaps([0.03, *gaps[1:]], weight)
    (statement,) = [s for s in neuron_statements(alone(better)) if "ompleteness" in s.text]
    assert statement.caution


def test_completeness_is_judged_where_the_top_neurons_lie() -> None:
    """A layer's few strong neurons are the top 1 %, and it has a hundredth of an even share of the attribution."""
    layers, width = len(BLOCKS), 100
    gaps, weight = [0.3, *[0.0] * (layers - 1)], [0.01, *[1.0] * (layers - 1)]
    side = with_gaps(gaps, weight)
    shares = np.full((layers, width), 0.1)
    shares[0] = 0.0
    even = changed(side, neurons=_with_shares(side, shares))
    assert not [s for s in neuron_statements(alone(even)) if "INCOMPLETE" in s.text]
    shares[0, :layers] = 1.0
    strong = changed(side, neurons=_with_shares(side, shares))
    (statement,) = [s for s in neuron_statements(alone(strong)) if "INCOMPLETE" in s.text]
    assert statement.state == State.FAILED
    assert "100 % of their top 1 %" in statement.text


def _with_shares(side: AttributedModel, shares: np.ndarray) -> dict[str, xr.Dataset]:
    """The aggregates of a side's neurons, with these shares in every part."""
    width = shares.shape[1]
    return {
        part: table.isel(neuron=np.arange(width) % table.sizes["neuron"]).assign(share=(("layer", "neuron"), shares))
        for part, table in side.attribution.neurons.items()
    }


def test_completeness_of_noise_alone_is_no_property_of_the_method() -> None:
    side = neuron_side(gap=np.nan, noise=60)
    (statement,) = [s for s in neuron_statements(alone(side)) if "ompleteness" in s.text]
    assert side.attribution.examples == 60
    assert "because every example is noise" in statement.text


def test_a_site_that_holds_hardly_any_attribution_is_not_judged() -> None:
    gaps = [0.2] + [0.001] * (len(BLOCKS) - 1)
    weight = [0.01] + [1.0] * (len(BLOCKS) - 1)
    (statement,) = [s for s in neuron_statements(alone(with_gaps(gaps, weight))) if "ompleteness" in s.text]
    assert (statement.state, "neurons of layer 2: " in statement.text) == (State.MEASURED, True)


def test_the_norm_asks_nothing_about_retrieval() -> None:
    side = neuron_side()
    norm = changed(side, recipe={**side.recipe, "target": "norm"})
    assert statement_of(alone(norm), "The attributed target of toy-retriever is the norm").caution
    assert not statements_of(alone(side), "The attributed target")


def test_a_retriever_alone_is_described_and_nothing_changed() -> None:
    statements = neuron_statements(alone(neuron_side(planted=20.0, ablation=ablation())))
    assert {s.state for s in statements} == {State.SIGNIFICANT, State.MEASURED}
    assert any("layer 3 has the largest share, 0.3" in s.text for s in statements)
    assert not any("fine-tuning" in s.text or "before" in s.text or "after" in s.text for s in statements)


def test_warnings_of_the_comparison_are_told_once() -> None:
    warned = neuron_side(planted=20.0, ablation=ablation(), warnings=("odd",))
    warned = changed(warned, scores=replace(warned.attribution.scores, warnings=("odd",)))
    tower = tower_neurons(after=warned)
    profile = tower.profile
    assert profile is not None
    tower = replace(tower, profile=replace(profile, warnings=(*profile.warnings, "few queries")))
    statements = [s.text for s in neuron_statements(tower) if s.text.startswith("Caution")]
    assert statements == [
        "Caution (neurons of the model after fine-tuning): odd",
        "Caution (comparison of the two models' neurons): few queries",
    ]


def test_examples_that_are_noise_do_not_decide_which_layers_carry() -> None:
    """Noise examples whose total lies in one layer would make it stand out, if they counted."""
    side = neuron_side(noise=20)
    values = side.attribution.scores.values.copy()
    values.loc[{"statistic": "total", "layer": 5, "query": values["query"][:20]}] *= 1e6
    tower = alone(changed(side, scores=Scores("neurons", values)))
    peaks = [s.text for s in neuron_statements(tower) if s.text.startswith("Share of each layer")]
    assert all("no layer has a share significantly above that of an even spread" in text for text in peaks)


def test_where_nothing_is_confirmed_the_share_nearest_to_one_percent_is_told() -> None:
    table = ablation(harm=0).table
    moved = table.assign(fraction=table["fraction"].replace({0.01: 0.02}), over_random=False, confirmed=False)
    whole = ablation(harm=0)
    values = whole.scores.values.assign_coords(fraction=pd.Index([0.001, 0.02, 0.1, 0.3]))
    tower = alone(neuron_side(ablation=replace(whole, scores=Scores("ablation", values), table=moved)))
    assert "Fixing the top 2 % (" in ablation_statement(tower).text


def test_neurons_that_are_mostly_large_ones_are_said_to_be() -> None:
    assert (
        "80 % of the top neurons are also among the largest neurons."
        in judged(ablation(), shared_with_largest=0.8).text
    )
    assert "also among the largest" not in judged(ablation()).text


def test_an_ablation_without_the_control_is_an_error() -> None:
    whole = ablation()
    with pytest.raises(AnalysisError, match=r"AblationCurves: the table 'table' lacks the columns p_largest\n"):
        replace(whole, table=whole.table.drop(columns="p_largest"))
    with pytest.raises(
        AnalysisError, match=r"recipe of the ablation lacks the fields beside\n(?s:.)*run the neuron ablation again"
    ):
        replace(whole, recipe={"layers": 6, "level": 0.95})
