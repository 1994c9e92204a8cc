"""Rows about neurons: scale-free shares, noise left out."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from retroscope.analyses.neurons.frames import (
    DERIVED,
    LAYER_SHARE,
    ablation_rows,
    activity_rows,
    effect_rows,
    layer_activity,
    layer_shares,
    neuron_rows,
    profile_rows,
)
from retroscope.analyses.neurons.result import AttributedModel, TowerNeurons
from retroscope.attribution.result import NeuronAttribution
from retroscope.errors import AnalysisError
from retroscope.scores import Scores
from retroscope.statistics.resampling.clusters import clusters_of
from synthetic_neurons import (
    BLOCKS,
    N_EXAMPLES,
    THRESHOLDS,
    WIDTHS,
    ablation,
    alone,
    changed,
    neuron_side,
    overlap_rows,
    tower_neurons,
)


def scaled(side: AttributedModel, factor: np.ndarray) -> AttributedModel:
    """Every example's magnitudes times a factor of its own."""
    values = side.attribution.scores.values.copy()
    values.loc[{"statistic": "total"}] = values.sel(statistic="total") * factor[:, None, None]
    return changed(side, scores=Scores("neurons", values))


def test_layer_shares_sum_to_one_and_have_no_scale() -> None:
    side = neuron_side(planted=5.0)
    shares = layer_shares(side.attribution).values
    np.testing.assert_allclose(shares.sum("layer"), 1.0)
    factor = np.random.default_rng(0).uniform(1e-9, 1e9, N_EXAMPLES)
    np.testing.assert_allclose(layer_shares(scaled(side, factor).attribution).values, shares)


@pytest.mark.parametrize("derive", DERIVED.values(), ids=DERIVED)
def test_derived_quantities_know_the_texts_and_passages_that_queries_share(
    derive: Callable[[NeuronAttribution], Scores],
) -> None:
    scores = neuron_side().attribution.scores
    hub = {query: ("hub", f"own {query}") for query in scores.query_ids}
    one_text = replace(scores, passages=hub).with_texts(dict.fromkeys(scores.query_ids, 0))
    derived = derive(replace(neuron_side().attribution, scores=one_text))
    assert derived.passages == hub
    clusters = clusters_of(derived)
    assert (clusters.n_texts, clusters.passages is None) == (1, False)


def test_examples_of_noise_have_no_layer_share_and_sound_ones_keep_theirs() -> None:
    shares, fewer = (layer_shares(neuron_side(noise=n).attribution).values for n in (0, 7))
    assert np.isnan(fewer[:7]).all()
    np.testing.assert_array_equal(fewer[7:], shares[7:])


def test_a_matrix_that_cannot_reach_the_target_has_no_layer_share() -> None:
    side = neuron_side()
    nothing = scaled(side, np.zeros(N_EXAMPLES))
    assert np.isnan(layer_shares(nothing.attribution).values).all()
    assert profile_rows(alone(nothing), LAYER_SHARE).empty


def test_active_neurons_of_a_part_are_the_mean_over_its_layers() -> None:
    found = activity_rows(tower_neurons())
    by_layer = layer_activity(tower_neurons())
    merged = by_layer.groupby(["part", "threshold", "side"])["value"].mean()
    rows = found.set_index(["part", "threshold", "side"])["value"]
    np.testing.assert_allclose(rows, merged.loc[rows.index])
    assert len(found) == len(WIDTHS) * len(THRESHOLDS) * 2


def test_both_sides_of_a_statistic_and_a_side_alone_agree() -> None:
    both = profile_rows(tower_neurons(), "gini")
    one = profile_rows(alone(tower_neurons().sides["after"]), "gini")
    after = both[both["side"] == "after"]
    np.testing.assert_allclose(after["value"], one["value"])
    assert ((one["low"] < one["value"]) & (one["value"] < one["high"])).all()


def test_nothing_is_tested_of_a_retriever_alone() -> None:
    assert effect_rows(alone(neuron_side()), "gini").empty


def test_there_is_one_row_for_every_neuron_with_its_aggregates() -> None:
    rows = neuron_rows(tower_neurons())
    assert len(rows) == 2 * len(BLOCKS) * sum(WIDTHS.values())
    assert not rows.duplicated(["side", "part", "layer", "neuron"]).any()
    one = rows[(rows["side"] == "after") & (rows["part"] == "output") & (rows["layer"] == 2) & (rows["neuron"] == 5)]
    data = tower_neurons().sides["after"].attribution.neurons["output"].sel(layer=2).isel(neuron=5)
    assert one["count@0.1"].item() == int(data["count"].sel(threshold=0.1))
    assert one["share"].item() == float(data["share"])


def test_every_curve_of_an_ablation_is_there() -> None:
    rows = ablation_rows(ablation(draws=3))
    assert rows.groupby(["how", "draw"]).size().to_dict() == {
        **{(how, 0): 4 for how in ("top", "signed", "largest", "bottom")},
        ("intact", 0): 1,
        **{("random", k): 4 for k in range(3)},
    }


def test_findings_that_cannot_be_read_are_errors() -> None:
    with pytest.raises(
        AnalysisError, match=r"`sides` has 2 models, but their paired difference \(`profile`\) is None\n  fix: give"
    ):
        TowerNeurons({"before": neuron_side(), "after": neuron_side()})
    with pytest.raises(AnalysisError, match=r"TowerNeurons: the table 'overlap' lacks the columns chance\n"):
        tower_neurons(overlap=overlap_rows().drop(columns="chance"))
    turned = neuron_side().attribution.scores.values.transpose("query", "layer", ...)
    with pytest.raises(AnalysisError, match=r"neurons: neuron scores need the dimensions .*\n  fix: transpose"):
        changed(neuron_side(), scores=Scores("neurons", turned))
    whole = ablation()
    with pytest.raises(AnalysisError, match=r"AblationCurves: the table 'table' lacks the columns harm\n"):
        replace(whole, table=whole.table.drop(columns="harm"))
