"""Scores are labelled, paired by id, and come back as they were saved."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retroscope.errors import AnalysisError
from retroscope.scores import Scores, align, load_scores

IDS = ("ä1", "問い", "q 2", "10")


def scores(name: str = "probing", ids: tuple[str, ...] = IDS, seed: int = 0) -> Scores:
    """Random scores of (query, layer, measure), one of them not measured."""
    values = np.random.default_rng(seed).normal(size=(len(ids), 3, 2))
    values[0, 1, 0] = np.nan
    labels = {"query": list(ids), "layer": [0, 1, 2], "measure": ["nDCG@10", "R@10"]}
    return Scores(name, xr.DataArray(values, dims=tuple(labels), coords=labels), {"a": [1, {"b": None}]}, ("careful",))


def same(one: Scores, two: Scores) -> bool:
    alike = one.values.drop_attrs().identical(two.values.drop_attrs().rename(one.values.name))
    return alike and (one.name, dict(one.recipe), one.warnings) == (two.name, dict(two.recipe), two.warnings)


def test_saved_scores_come_back_as_they_were(tmp_path: Path) -> None:
    scores().save(tmp_path / "s.zarr", "before/probing")
    assert same(scores(), load_scores(tmp_path / "s.zarr", "before/probing"))


@pytest.mark.parametrize("labels", [{"measure": "R@10"}, {"layer": 1}, {"layer": 1, "measure": "R@10"}, {"layer": [2]}])
def test_selected_scores_come_back_with_the_labels_they_were_selected_by(tmp_path: Path, labels: dict) -> None:
    selected = scores().select(**labels)
    selected.save(tmp_path / "s.zarr", "x")
    assert same(selected, load_scores(tmp_path / "s.zarr", "x"))


text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=8)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ids=st.lists(text, min_size=1, max_size=5, unique=True),
    values=st.lists(st.floats(width=64), min_size=5, max_size=5),
    warnings=st.lists(text, max_size=2),
)
def test_any_ids_and_values_come_back(tmp_path: Path, ids: list[str], values: list[float], warnings: list[str]) -> None:
    array = xr.DataArray(values[: len(ids)], dims="query", coords={"query": ids})
    Scores("x", array, {}, tuple(warnings)).save(tmp_path / "s.zarr", "x")
    back = load_scores(tmp_path / "s.zarr", "x")
    assert back.query_ids == ids
    assert back.warnings == tuple(warnings)
    np.testing.assert_array_equal(back.values.to_numpy(), array.to_numpy())


def test_a_group_is_replaced_and_its_neighbours_stay(tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    scores("one").save(store, "a/one")
    scores("two").save(store, "a/two")
    scores("new", IDS[:2], seed=1).save(store, "a/one")
    assert same(load_scores(store, "a/one"), scores("new", IDS[:2], seed=1))
    assert same(load_scores(store, "a/two"), scores("two"))


def test_what_is_absent_or_half_written_is_named(tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    with pytest.raises(AnalysisError, match=r"no scores in the group 'x'\n  fix: run the analysis"):
        load_scores(store, "x")
    scores().save(store, "x")
    meta = json.loads((store / "x/zarr.json").read_text())
    meta["attributes"] = {}
    (store / "x/zarr.json").write_text(json.dumps(meta))
    with pytest.raises(AnalysisError, match=r"scores in the group 'x' are incomplete: (.|\n)*fix: run the analysis"):
        load_scores(store, "x")


def test_scores_are_paired_by_id_and_label_never_by_place() -> None:
    first = scores()
    shuffled = first.values.isel(query=[2, 0, 3, 1], layer=[1, 2, 0]).transpose("query", "measure", "layer")
    _, second = align(first, Scores("other", shuffled))
    assert second.values.equals(first.values)
    assert second.query_ids == list(IDS)


@pytest.mark.parametrize("pair", [(IDS, IDS[:3]), (IDS[:3], IDS), (IDS[:3], (*IDS[:2], "other"))])
def test_different_query_sets_are_not_compared(pair: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    with pytest.raises(
        AnalysisError, match=r"'query' occur in only one of the two sets of scores:\n  - (.|\n)*fix: measure"
    ):
        align(scores("a", pair[0]), scores("b", pair[1]))


def test_different_labels_or_dimensions_are_not_compared() -> None:
    with pytest.raises(AnalysisError, match=r"labels of 'layer' occur in only one of the two sets of scores:\n  - 2"):
        align(scores(), scores().select(layer=[0, 1]))
    for one, two in ((scores(), scores("b").select(layer=0)), (scores("b").select(layer=0), scores())):
        with pytest.raises(AnalysisError, match=r"have no dimension 'layer', .*\n  fix: compare scores of the same"):
            align(one, two)


def test_a_mean_is_over_measured_queries() -> None:
    values = scores().values.values
    np.testing.assert_allclose(scores().mean().sel(layer=1, measure="nDCG@10"), values[1:, 1, 0].mean())


def test_a_wrong_label_shows_those_that_exist() -> None:
    with pytest.raises(
        AnalysisError, match=r"no scores with the labels \{'layer': 7\}\n  fix: for layer, use one of 0, 1, 2$"
    ):
        scores().select(layer=7)
    with pytest.raises(
        AnalysisError, match=r"no scores with the labels \{'leyer': 1\}\n  fix: use the dimensions query, layer"
    ):
        scores().select(leyer=1)
    many = Scores("x", xr.DataArray(np.zeros(50), dims="query", coords={"query": range(50)}))
    with pytest.raises(AnalysisError, match=r"for query, use one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 \.\.\.$"):
        many.select(query=["x"])


def test_arrays_that_are_no_scores_are_refused() -> None:
    array = scores().values
    with pytest.raises(AnalysisError, match=r"need 'query' as their first dimension, got (.|\n)*transpose"):
        Scores("x", array.transpose("layer", "query", "measure"))
    with pytest.raises(AnalysisError, match=r"need 'query' as their first(.|\n)*to select queries, give a list of ids"):
        scores().select(query="10")
    with pytest.raises(
        AnalysisError, match=r"the scores have no query ids\n  fix: give the array a coordinate 'query'"
    ):
        Scores("x", array.drop_vars("query"))
    with pytest.raises(AnalysisError, match=r"no labels: layer, measure\n  fix: give the array a coordinate"):
        Scores("x", array.drop_vars(["layer", "measure"]))
    with pytest.raises(AnalysisError, match=r"more than once:\n  - ä1\n  fix: score each query once"):
        Scores("x", array.isel(query=[0, 1, 0]))
