"""Effects over trainings and queries: pairs, cells that too few queries measured, families of tests."""

import numpy as np
import pytest
import xarray as xr

from retroscope.scores import Scores
from retroscope.statistics.resampling.crossed import crossed_mean, crossed_p
from retroscope.statistics.trainings import corrected_within, effects_over_trainings, stack_trainings

QUERIES, NAMES = 30, ("seed 0", "seed 1", "seed 2")
LABELS = {"query": [f"q{i}" for i in range(QUERIES)], "place": ["a", "b"], "measure": ["RR@10", "R@10"]}


def stacked(seed: int, gain: float = 0.0) -> Scores:
    random = np.random.default_rng(seed)
    each = [
        Scores("x", xr.DataArray(0.4 + gain + 0.1 * random.standard_normal((QUERIES, 2, 2)), LABELS, tuple(LABELS)))
        for _ in NAMES
    ]
    return stack_trainings("x", each, NAMES)


def test_every_row_is_the_crossed_mean_of_its_cell() -> None:
    before, after = stacked(0), stacked(1, 0.2)
    table = effects_over_trainings(before, after, 0.95, "measure").set_index(["place", "measure"])
    assert len(table) == 4
    change = (after.values - before.values).sel(place="b", measure="R@10").transpose("training", "query").values
    expected, row = crossed_mean(change, 0.95, (-1.0, 1.0)), table.loc[("b", "R@10")]
    assert (row["effect"], row["ci_low"], row["ci_high"]) == pytest.approx(
        (float(expected.mean), float(expected.low), float(expected.high))
    )
    assert row["p"] == pytest.approx(crossed_p(change))
    assert (row["trainings"], row["n"]) == (len(NAMES), QUERIES)
    assert row["spread"] == pytest.approx(change.mean(axis=1).std(ddof=1))


def test_a_query_that_one_training_lacks_is_left_out_of_its_cell() -> None:
    before, after = stacked(0), stacked(1, 0.2)
    missing = {"query": "q3", "training": "seed 1", "place": "a", "measure": "RR@10"}
    after.values.loc[missing] = np.nan
    table = effects_over_trainings(before, after, 0.95, "measure").set_index(["place", "measure"])
    assert table["n"].to_dict() == {("a", "RR@10"): QUERIES - 1, ("a", "R@10"): QUERIES,
                                    ("b", "RR@10"): QUERIES, ("b", "R@10"): QUERIES}  # fmt: skip
    kept = [q for q in LABELS["query"] if q != "q3"]
    change = (after.values - before.values).sel(place="a", measure="RR@10", query=kept)
    assert table.loc[("a", "RR@10"), "effect"] == pytest.approx(float(change.mean()))


def test_a_cell_that_fewer_than_two_queries_measured_has_no_row() -> None:
    before, after = stacked(0), stacked(1, 0.2)
    after.values.loc[{"place": "a", "query": LABELS["query"][1:]}] = np.nan
    assert set(effects_over_trainings(before, after, 0.95, "measure")["place"]) == {"b"}


def test_queries_of_one_text_are_too_few() -> None:
    """Five queries of one text are one observation, which has no interval."""
    texts = {q: max(int(q[1:]) - 4, 0) for q in LABELS["query"]}  # the first five are of text 0
    before, after = (scores.with_texts(texts) for scores in (stacked(0), stacked(1, 0.2)))
    after.values.loc[{"place": "a", "query": LABELS["query"][5:]}] = np.nan
    table = effects_over_trainings(before, after, 0.95, "measure")
    assert set(table["place"]) == {"b"}
    assert set(table["n"]) == {QUERIES}


def test_the_tests_of_one_family_are_corrected_among_themselves() -> None:
    table = effects_over_trainings(stacked(0), stacked(1, 0.05), 0.95, "measure")
    for _, family in table.groupby("measure"):
        small, large = sorted(family["p"])
        assert sorted(family["p_corrected"]) == pytest.approx([min(1, 2 * small), max(2 * small, large)])
    apart = corrected_within(table, table["place"] + table["measure"])
    assert apart["p_corrected"].tolist() == pytest.approx(table["p"].tolist()), "families of one"
