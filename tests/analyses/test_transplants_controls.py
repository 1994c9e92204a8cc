"""Against random changes: one more random change is flagged at its level, a planted effect is found."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy.stats import binomtest

from retroscope.analyses.transplants.controls import claimed_places, control_table, open_places
from retroscope.analyses.transplants.infer import differences, share_table
from retroscope.analyses.transplants.interactions import interaction_tables, players, subset_names
from retroscope.analyses.transplants.result import TransplantEffects
from retroscope.analyses.transplants.words import transplant_statements
from retroscope.scores import Scores
from retroscope.statistics.difference import Difference
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.testing.sequential import looks

pytestmark = pytest.mark.usefixtures("no_collection")

STATISTICS = ComparisonSettings(resamples=100)
QUERIES, DRAWS, STUDIES = 60, 8, 300
NAMES = ("block:1", "block:2", "all")


def study(rng: np.random.Generator, extra: float) -> tuple[dict[str, tuple[Scores, Scores]], Scores]:
    """Every change costs .2 and varies from draw to draw by .05; block 1 costs `extra` more."""
    effects = -0.2 + 0.05 * rng.standard_normal(3) - np.array([extra, 0, 1])
    drawn = -0.2 + 0.05 * rng.standard_normal((2, DRAWS))
    intact = 0.8 + 0.1 * rng.standard_normal((QUERIES, 1, 1))
    hybrids = intact + effects[None, :, None] + 0.1 * rng.standard_normal((QUERIES, 3, 1))
    random = intact[..., None] + drawn[None, :, :, None] + 0.1 * rng.standard_normal((QUERIES, 2, DRAWS, 1))
    ids = [f"q{i}" for i in range(QUERIES)]
    labels = {"query": ids, "transplant": list(NAMES), "measure": ["RR@10"]}
    after = xr.DataArray(hybrids, labels, tuple(labels))
    before = xr.zeros_like(after) + intact
    places = {"query": ids, "transplant": list(NAMES[:2]), "draw": list(range(DRAWS)), "measure": ["RR@10"]}
    control = Scores("random", xr.DataArray(random, places, tuple(places)), {"direction": "restored"})
    return {"restored": (Scores("t", before, {}), Scores("t", after, {}))}, control


def flagged(extra: float, seed: int) -> int:
    """In how many studies block 1 does more than random changes."""
    rng, found = np.random.default_rng(seed), 0
    for _ in range(STUDIES):
        measured, control = study(rng, extra)
        table = control_table(differences(measured, STATISTICS), {"restored": control}, STATISTICS)
        found += bool(table.set_index("transplant").loc["block:1", "beats"])
    return found


def test_one_more_random_change_is_flagged_at_its_level() -> None:
    """Its effect is significant, as that of any change of that size: without the control it would be claimed."""
    measured, _ = study(np.random.default_rng(0), 0)
    assert claimed_places(differences(measured, STATISTICS)["restored"]) == ["block:1", "block:2"]
    assert binomtest(flagged(0, 1), STUDIES, 0.05, alternative="greater").pvalue > 0.01


def twelve(rng: np.random.Generator, extra: float = 0) -> tuple[dict[str, tuple[Scores, Scores]], Scores]:
    """Twelve places, each one more random change; the first costs `extra` more."""
    places = [f"block:{k}" for k in range(1, 13)]
    effects = -0.2 + 0.05 * rng.standard_normal(len(places) + 1)
    effects[0] -= extra
    drawn = -0.2 + 0.05 * rng.standard_normal((len(places), DRAWS))
    noise = 0.02 * rng.standard_normal((QUERIES, len(places), DRAWS))
    labels = {"query": [f"q{i}" for i in range(QUERIES)], "transplant": [*places, "all"], "measure": ["RR@10"]}
    hybrids = 0.8 + effects + 0.02 * rng.standard_normal((QUERIES, len(places) + 1))
    after = xr.DataArray(hybrids[..., None], labels, tuple(labels))
    coords = {**labels, "transplant": places, "draw": list(range(DRAWS))}
    dims = ("query", "transplant", "draw", "measure")
    random = xr.DataArray((0.8 + drawn + noise)[..., None], coords, dims)
    measured = {"restored": (Scores("t", xr.full_like(after, 0.8), {}), Scores("t", after, {}))}
    return measured, Scores("random", random, {"direction": "restored"})


def stopped(difference: Difference, control: Scores) -> Scores:
    """The control as it is measured: later draws of the places alone that are open at half of them."""
    half = looks(DRAWS)[0].draws
    values = control.values.where(control.values["draw"] < half)
    more = open_places(difference, replace(control, values=values), STATISTICS)
    chosen = control.values["transplant"].isin(more) | (control.values["draw"] < half)
    return replace(control, values=control.values.where(chosen))


def test_no_place_of_twelve_is_flagged_at_more_than_its_level() -> None:
    """All places are one more random change: with only the test by queries corrected, many studies claim some."""
    rng, claimed, drawn = np.random.default_rng(5), 0, 0
    for _ in range(500):
        measured, control = twelve(rng)
        by_direction = differences(measured, STATISTICS)
        control = stopped(by_direction["restored"], control)
        drawn += int(np.isfinite(control.values.isel(query=0)).sum())
        claimed += bool(control_table(by_direction, {"restored": control}, STATISTICS)["beats"].any())
    assert binomtest(claimed, 500, 0.05, alternative="greater").pvalue > 0.01
    assert drawn < 0.7 * 500 * 12 * DRAWS, "most places stop at half: a draw does as much"


def test_a_place_that_is_decided_is_drawn_no_more() -> None:
    """Far beyond its draws, or within them: half of the draws say so. What lies between takes them all."""
    measured, control = twelve(np.random.default_rng(2), extra=2)
    difference = differences(measured, STATISTICS)["restored"]
    whole = control_table({"restored": difference}, {"restored": control}, STATISTICS).set_index("transplant")
    control = stopped(difference, control)
    by_group = control_table({"restored": difference}, {"restored": control}, STATISTICS).set_index("transplant")
    assert by_group.loc["block:1", "beats"]
    assert by_group.loc["block:1", "draws"] == DRAWS / 2
    assert whole.loc["block:1", "beats"]
    assert {*by_group["draws"]} == {DRAWS / 2, DRAWS}
    assert not by_group.drop(index="block:1")["beats"].any()


def test_a_planted_effect_beats_random_changes() -> None:
    assert flagged(0.3, 2) > 0.9 * STUDIES


def test_nothing_is_claimed_where_all_weights_do_nothing() -> None:
    measured, _ = study(np.random.default_rng(0), 0)
    intact, hybrids = measured["restored"]
    values = hybrids.values.copy()
    values.loc[{"transplant": "all"}] = intact.values.sel(transplant="all").values
    level = differences({"restored": (intact, Scores("t", values, {}))}, STATISTICS)
    assert claimed_places(level["restored"]) == []
    assert share_table(level, 0.95).empty, "there is no share of an effect that is not significant"
    known = share_table(differences(measured, STATISTICS), 0.95).set_index("transplant")
    assert known.loc["all", "share"] == 1
    row = known.loc["block:1"]
    assert row["share_low"] < row["share"] < row["share_high"]
    assert known.loc["sum of blocks", "share"] == pytest.approx(known.loc[["block:1", "block:2"], "share"].sum())


def test_a_planted_pair_interacts_and_no_other_does() -> None:
    """Blocks 1 and 2 stand in for one another: either alone costs nothing, both cost .5. Block 3 costs .1 whatever."""
    rng = np.random.default_rng(3)
    group = players(3, 4)
    names = subset_names(group)
    values = [
        0.8 - 0.5 * ({"1", "2"} <= some) - 0.1 * ("3" in some) + 0.05 * rng.standard_normal(QUERIES) for some in names
    ]
    labels = {"query": [f"q{i}" for i in range(QUERIES)], "transplant": list(names.values()), "measure": ["RR@10"]}
    scores = Scores("subsets", xr.DataArray(np.stack(values, axis=1)[..., None], labels, tuple(labels)), {})
    shapley, pairs = interaction_tables(scores, "RR@10", STATISTICS)
    by_group = shapley.set_index("group")
    whole = float((values[-1] - values[0]).mean())
    assert by_group["effect"].sum() == pytest.approx(whole)
    assert by_group["share"].sum() == pytest.approx(1)
    truth = {"1": -0.25, "2": -0.25, "3": -0.1, "outside": 0.0}
    for name, effect in truth.items():
        assert by_group.loc[name, "effect"] == pytest.approx(effect, abs=4 * 0.05 / QUERIES**0.5), name
    assert abs(by_group.loc["1", "alone"]) < 0.03, "the control: alone it seems to do nothing"
    significant = set(pairs.loc[pairs["p_corrected"] < 0.05, "pair"])
    assert significant == {"1 x 2"}


def test_shares_and_shapley_values_count_queries_that_share_passages() -> None:
    """Each of six passages is that of ten queries, and moves block 1 for them all alike: six observations, not 60."""
    rng = np.random.default_rng(8)
    moved = 0.3 * rng.standard_normal(6)[np.arange(QUERIES) % 6]
    effects = {"block:1": 0.4 + moved, "block:2": 0.1 + 0 * moved, "all": 1.0 + 0.05 * rng.standard_normal(QUERIES)}
    labels = {"query": [f"q{i}" for i in range(QUERIES)], "transplant": list(NAMES), "measure": ["RR@10"]}
    after = xr.DataArray(np.stack([effects[name] for name in NAMES], axis=1)[..., None], labels, tuple(labels))
    passages = {f"q{i}": (f"p{i % 6}",) for i in range(QUERIES)}
    widths = []
    for some in (passages, {}):
        measured = (Scores("t", xr.zeros_like(after), passages=some), Scores("t", after, passages=some))
        table = share_table(differences({"grafted": measured}, STATISTICS), 0.95).set_index("transplant")
        widths.append(table.loc["block:1", "share_high"] - table.loc["block:1", "share_low"])
    assert widths[0] > 2 * widths[1]


@pytest.mark.parametrize(("draws", "beats"), [(8, False), (26, True)])
def test_random_changes_that_alter_nothing_need_26_draws(draws: int, beats: bool) -> None:
    """A planted effect of a whole measure: 8 equal draws cannot be told from a null that departs once in 9."""
    ids = [f"q{i}" for i in range(QUERIES)]
    labels = {"query": ids, "transplant": ["block:1", "all"], "measure": ["RR@10"]}
    noise = 0.05 * np.random.default_rng(9).standard_normal((QUERIES, 2, 1))
    before = xr.DataArray(np.full((QUERIES, 2, 1), 0.9), labels, tuple(labels))
    measured = {"restored": (Scores("t", before, {}), Scores("t", before - 0.8 + noise, {}))}
    places = {"query": ids, "transplant": ["block:1"], "draw": list(range(draws)), "measure": ["RR@10"]}
    same = xr.DataArray(np.full((QUERIES, 1, draws, 1), 0.9), places, tuple(places))
    by_direction = differences(measured, STATISTICS)
    table = control_table(by_direction, {"restored": Scores("random", same, {"direction": "restored"})}, STATISTICS)
    row = table.iloc[0]
    assert (row.p_draws, bool(row.beats)) == (pytest.approx(1 / (1 + draws)), beats)
    findings = TransplantEffects("c", 2, by_direction, ("RR@10",), controls=table)
    (text,) = [s.text for s in transplant_statements(findings) if "random changes of equal size" in s.text]
    why = (
        "All 8 random changes of block 1 have the same effect. Without spread, the p-value over random changes cannot "
        "fall below 1/9"
    )
    assert (why in text) == (not beats)
    assert ("use at least 26 random changes (transplants.draws)." in text) == (not beats)
