"""Heat maps: every neuron in one bin, values as defined, the published layout as an option."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retroscope.analyses.neurons.bins import DIFFERENCE, bin_edges, binned, map_rows, neuron_values
from retroscope.analyses.neurons.frames import activity_rows, layer_activity, neuron_rows
from retroscope.analyses.neurons.maps import map_figure
from retroscope.analyses.neurons.result import PUBLISHED, AttributedModel, HeatMap, TowerNeurons
from retroscope.errors import SettingsError
from retroscope.typesetting.charts.drawing import svg
from retroscope.typesetting.charts.figure import Figure
from synthetic_neurons import BLOCKS, CARRIER, N_EXAMPLES, WIDTHS, changed, neuron_side, tower_neurons


def drawn(tower: TowerNeurons) -> Figure:
    """The heat maps of a tower that has some."""
    figure = map_figure(tower)
    assert figure is not None
    return figure


SIZES = st.integers(1, 12_000), st.integers(1, 60)


@given(*SIZES)
def test_every_neuron_is_in_one_bin(n: int, bins: int) -> None:
    edges = bin_edges(n, bins)
    sizes = np.diff(edges)
    assert edges[0] == 0
    assert edges[-1] == n
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() <= 1
    assert len(sizes) == min(bins, n)


@pytest.mark.parametrize(("n", "dropped"), [(768, 8), (3072, 2), (11008, 8), (4096, 6)])
def test_the_tail_that_equal_widths_drop_is_in_the_last_bin(n: int, dropped: int) -> None:
    assert n - 10 * (n // 10) == dropped  # what ten bins of floor(n / 10) leave out
    values = np.zeros((1, n))
    values[0, -1] = 1.0
    assert binned(values, PUBLISHED)[0].tolist() == [0.0] * 9 + [1.0]


@given(st.integers(1, 300), st.integers(1, 40), st.integers(0, 2**31))
def test_bins_keep_the_mean_and_the_maximum_of_a_layer(n: int, bins: int, seed: int) -> None:
    values = np.random.default_rng(seed).random((3, n))
    sizes = np.diff(bin_edges(n, bins))
    means = binned(values, HeatMap(bins=bins))
    np.testing.assert_allclose((means * sizes).sum(1) / n, values.mean(1), rtol=1e-12)
    largest = binned(values, HeatMap(bins=bins, within="max"))
    np.testing.assert_array_equal(largest.max(1), values.max(1))
    assert (largest >= means - 1e-12).all()


def test_a_threshold_shows_the_part_of_the_sound_examples_that_are_active() -> None:
    side = neuron_side(noise=20)
    values = neuron_values(side.attribution, "output", 0.1)
    counts = side.attribution.neurons["output"]["count"].sel(threshold=0.1).values
    np.testing.assert_allclose(values, counts / (N_EXAMPLES - 20))


def test_sides_share_a_scale_and_the_difference_is_after_minus_before() -> None:
    rows = map_rows(tower_neurons(), "intermediate")
    maps = {name: frame["value"].to_numpy() for name, frame in rows.groupby("map", sort=False)}
    assert list(maps) == ["before", "after", DIFFERENCE]
    np.testing.assert_allclose(maps[DIFFERENCE], maps["after"] - maps["before"])
    spec = drawn(tower_neurons()).specification
    domains = [p["encoding"]["color"]["scale"]["domain"] for p in panels(spec)[:3]]
    assert domains[0] == domains[1] == [0, max(maps["before"].max(), maps["after"].max())]
    assert domains[2] == [-abs(maps[DIFFERENCE]).max(), 0, abs(maps[DIFFERENCE]).max()]


def panels(spec: dict[str, Any]) -> list[dict[str, Any]]:
    inside = [p for key in ("vconcat", "hconcat") for p in spec.get(key, ())]
    return [one for p in inside for one in panels(p)] if inside else [spec]


def test_the_planted_layer_is_where_the_map_is_highest() -> None:
    rows = map_rows(tower_neurons(), "intermediate")
    after = rows[rows["map"] == "after"]
    top = after.loc[after["value"].idxmax()]
    assert top["layer"] == CARRIER
    assert top["first"] < 4
    assert f"intermediate, after: largest value {top['value']:.3g} at layer {CARRIER}" in drawn(tower_neurons()).alt


def test_a_map_has_a_cell_for_every_layer_and_bin() -> None:
    spec = drawn(tower_neurons()).specification
    cells = [len(p["data"]["values"]) if "values" in p["data"] else len(spec["datasets"][p["data"]["name"]])
             for p in panels(spec)]  # fmt: skip
    assert cells == [len(BLOCKS) * min(48, n) for n in WIDTHS.values() for _ in range(3)]
    assert "http" not in json.dumps({k: v for k, v in spec.items() if k != "$schema"})


def test_the_same_map_is_drawn_the_same_whatever_was_drawn_before() -> None:
    spec = drawn(tower_neurons()).specification
    first = svg(spec)
    assert svg(spec) == first
    assert first.count("url(#gradient_") == first.count("<linearGradient") == 2 * len(WIDTHS)


def test_cells_meet_without_a_seam_in_print() -> None:
    printed = svg(drawn(tower_neurons()).specification)
    assert printed.count('<g shape-rendering="crispEdges" class="mark-rect role-mark') == len(WIDTHS) * 3


def test_models_of_other_widths_have_no_difference() -> None:
    wide = neuron_side()
    narrow = neuron_side()
    cut = {part: data.isel(neuron=slice(0, 10)) for part, data in narrow.attribution.neurons.items()}
    rows = map_rows(tower_neurons(after=changed(narrow, neurons=cut), before=wide), "output")
    assert list(dict.fromkeys(rows["map"])) == ["before", "after"]


def test_the_caption_states_the_rule_and_the_published_layout() -> None:
    default = drawn(tower_neurons()).caption
    assert "bin i of 48 holds neurons floor(i n / 48) to floor((i + 1) n / 48) - 1 of n" in default
    assert "2505.07166" not in default
    published = drawn(tower_neurons(heat_map=PUBLISHED)).caption
    assert "largest value of the neurons in a bin" in published
    assert "magnitude of at least 0.1 times the largest" in published
    assert "layout of arXiv 2505.07166" in published
    assert "leave out the last neurons (8 of 768, 2 of 3072)" in published


def test_wrong_layouts_are_errors() -> None:
    with pytest.raises(SettingsError, match=r"unknown value of a bin 'maximum'"):
        HeatMap(within="maximum")
    with pytest.raises(SettingsError, match=r"unknown value of a neuron 'shares'\n  fix: did you mean 'share'"):
        HeatMap(value="shares")
    with pytest.raises(SettingsError, match="heat map has 0 bins"):
        HeatMap(bins=0)
    with pytest.raises(SettingsError, match=r"unknown threshold of the heat map '0.2'"):
        TowerNeurons({"model": neuron_side()}, heat_map=HeatMap(value=0.2))


def rethresholded(side: AttributedModel, names: list[str], counted: list[float]) -> AttributedModel:
    """The side with other thresholds: as the statistics write them, and as the counts have them."""
    made = side.attribution
    statistics = [*map(str, made.scores.values["statistic"].values)]
    written = [s for s in statistics if not s.startswith("active@")] + [f"active@{name}" for name in names]
    scores = replace(made.scores, values=made.scores.values.assign_coords(statistic=written))
    return changed(
        side, scores=scores, neurons={k: d.assign_coords(threshold=counted) for k, d in made.neurons.items()}
    )


@pytest.mark.parametrize("value", [0.12345678, 0.123457])
def test_a_threshold_of_many_digits_is_found_however_it_is_written(value: float) -> None:
    counted = [0.01, 0.12345678, 0.5]
    side = rethresholded(neuron_side(), [f"{t:g}" for t in counted], counted)
    tower = TowerNeurons({"model": side}, heat_map=HeatMap(value=value))
    counts = side.attribution.neurons["output"]["count"].isel(threshold=1).values
    np.testing.assert_allclose(neuron_values(side.attribution, "output", value), counts / N_EXAMPLES)
    assert (map_rows(tower, "output")["value"] <= 1).all()
    assert set(activity_rows(tower)["threshold"]) == {0.01, 0.123457, 0.5}
    assert {"count@0.01", "count@0.12345678", "count@0.5"} <= set(neuron_rows(tower).columns)
    with pytest.raises(SettingsError, match=r"unknown threshold of the heat map '0.1235'"):
        neuron_values(side.attribution, "output", 0.1235)


def test_thresholds_that_are_written_alike_are_one_and_none_is_lost_from_the_neurons() -> None:
    counted = [0.1234561, 0.1234562, 0.5]
    side = rethresholded(neuron_side(), [f"{t:g}" for t in counted], counted)
    tower = TowerNeurons({"model": side}, heat_map=HeatMap(value=0.123456))
    assert side.attribution.thresholds == (0.123456, 0.5)
    assert set(activity_rows(tower)["threshold"]) == set(layer_activity(tower)["threshold"]) == {0.123456, 0.5}
    assert {f"count@{t}" for t in counted} <= set(neuron_rows(tower).columns)
    assert drawn(tower)
