"""An ablation in two looks stops where the answer is clear, claims no more than it may, and spares nothing reported."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from retroscope.analyses.neurons.ablation import pools
from retroscope.analyses.neurons.ablation.looks import FEW as FEW_DRAWS
from retroscope.analyses.neurons.ablation.looks import is_futile, is_open
from retroscope.analyses.neurons.ablation.pools import PER_JUDGED, pool_counts, pools_of
from retroscope.analyses.neurons.ablation.table import SPENT, _over_looks, area_table, curve_table
from retroscope.analyses.neurons.settings import NeuronAblationSettings
from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.errors import SettingsError
from synthetic_looks import asked, planted

pytestmark = pytest.mark.usefixtures("no_collection")

ALPHA = 0.05


def test_a_clear_answer_stops_after_the_first_group_and_the_reported_fraction_goes_on() -> None:
    """Harms by fraction: none, so much that no doubt is left, and a little."""
    random = np.random.default_rng(0)
    study = planted(random, asked(0.001, 0.01, 0.1), {"top": np.array([-0.2, 0.6, 0.6])})
    rows = study.run()
    assert rows["n"].tolist() == [50, 150, 50]  # .01 is the smallest confirmed, which is reported
    assert rows["confirmed"].tolist() == [False, True, True]
    assert rows["draws"].tolist() == [FEW_DRAWS, 5, 5]
    assert study.cost < 0.6


def test_an_open_answer_goes_on() -> None:
    """The control of the last: at the first look the harm is neither confirmed nor futile, at the second confirmed."""
    study = planted(np.random.default_rng(3), asked(0.01, 0.1), {"top": np.array([0.6, 0.12])}, spread=0.001)
    rows = study.run()
    assert rows["n"].tolist() == [150, 150]
    assert rows["confirmed"].all()


def test_what_is_measured_is_what_one_look_would_have_measured() -> None:
    """Every row that has all queries has the numbers of a study in one group, but for the claims."""
    harms = {"top": np.array([0.0, 0.5])}
    looks, whole = (
        planted(np.random.default_rng(2), asked(0.01, 0.1, groups=groups), harms).run() for groups in (3, 1)
    )
    full = looks[looks["n"] == 150]
    same = [name for name in whole if name not in ("p_over_random", "p_confirmed", "over_random", "confirmed")]
    assert len(full)
    pd.testing.assert_frame_equal(full[same], whole.loc[full.index, same])


def test_with_one_group_every_set_is_measured() -> None:
    study = planted(np.random.default_rng(0), asked(0.01, 0.1, groups=1), {"top": np.array([-0.2, 0.6])})
    rows = study.run()
    assert study.cost == 1
    assert rows["n"].tolist() == [150, 150]
    assert rows["draws"].tolist() == [5, 5]


def test_nothing_reported_rests_on_the_first_group_alone() -> None:
    """Whatever is planted, the row that is reported in numbers has all queries and all draws."""
    random = np.random.default_rng(4)
    for top in (-0.3, 0.0, 0.1, 0.6):
        rows = planted(random, asked(0.001, 0.01, 0.1), {"top": top}).run()
        confirmed = rows.index[rows["confirmed"]]
        over_random = rows.index[rows["over_random"]]
        reported = (*confirmed, *over_random, 0.01)[0]
        assert rows.loc[reported, "n"] == 150
        assert rows.loc[0.01, "draws"] == 5


@pytest.mark.parametrize("dependent", [True, False])
def test_two_looks_claim_no_more_often_than_one(dependent: bool) -> None:
    """The control: taking the smaller p as it is. Whoever stops chooses the look that suits best."""
    random = np.random.default_rng(0)
    first = random.random(100_000)
    second = np.where(first < 0.5, random.random(100_000), 1 - first) if dependent else random.random(100_000)
    n = np.where(first < 0.7, 150, 50)
    one, two = (pd.DataFrame({"p": p, "n": size}) for p, size in ((first, np.full(100_000, 50)), (second, n)))
    assert (_over_looks(one, two, "p") <= ALPHA).mean() <= ALPHA
    assert (np.minimum(first, second) <= ALPHA).mean() > 1.3 * ALPHA
    assert sum(SPENT) == 1


@pytest.mark.parametrize(
    "harms",
    [{"top": 0.0, "largest": -0.5}, {"top": 0.3, "largest": 0.3, "same": 1.0}],
    ids=["one more random set", "the largest neurons"],
)
def test_a_study_of_nothing_is_confirmed_no_more_often_than_alpha(harms: dict[str, float]) -> None:
    """Of either null hypothesis alone, the other control being far away; any fraction counts.

    `benchmarks/looks.py` has 500 studies of each with six fractions.
    """
    random, n = np.random.default_rng(1), 30
    claims = [planted(random, asked(0.01, 0.1), harms).run()["confirmed"].any() for _ in range(n)]
    assert np.mean(claims) <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / n)


ROW = pd.Series({
    "harm": 0.1, "harm_low": 0.02, "harm_high": 0.18, "harm_over_largest": 0.1, "harm_over_largest_low": 0.02,
    "harm_over_largest_high": 0.18, "draws": 5, "random_lowest": 0.4, "random_highest": 0.5, "p_draws": 0.01,
    "p_over_random": 0.02, "p_confirmed": 0.02,
})  # fmt: skip
SIX = asked(0.001, 0.003, 0.01, 0.03, 0.1, 0.3)


def row(**changes: float) -> "pd.Series[float]":
    return pd.Series({**ROW, **changes})


def none(effect: str, width: float = 0.08) -> dict[str, float]:
    return {effect: 0.0, f"{effect}_low": -width, f"{effect}_high": width}


def test_futility_is_predicted_from_the_harm_and_the_draws() -> None:
    assert not is_futile(row(), SIX, 3)
    assert is_futile(row(**none("harm")), SIX, 3)
    assert is_futile(row(**none("harm", 0.0)), SIX, 3)
    assert is_futile(row(p_draws=0.4), SIX, 3)
    assert not is_futile(row(p_draws=0.4, random_lowest=0.5), SIX, 3)  # equal draws say nothing yet
    assert not is_futile(row(**none("harm_over_largest")), SIX, 3)


def test_a_fraction_is_open_until_both_questions_are_closed() -> None:
    """Beyond doubt over random neurons, it is still open whether the largest are beaten, unless that is futile, too."""
    beyond_doubt = 0.05 * SPENT[0] / 6 / 2
    assert is_open(row(), SIX, 3)
    assert is_open(row(p_over_random=beyond_doubt), SIX, 3)
    assert not is_open(row(p_over_random=beyond_doubt, p_confirmed=beyond_doubt), SIX, 3)
    assert not is_open(row(p_over_random=beyond_doubt, **none("harm_over_largest")), SIX, 3)
    assert is_open(row(**none("harm_over_largest")), SIX, 3)  # over random neurons is a claim of its own
    assert not is_open(row(**none("harm")), SIX, 3)


def test_areas_are_of_the_queries_that_have_every_fraction() -> None:
    study = planted(np.random.default_rng(0), asked(0.01, 0.1), {"top": np.array([0.6, -0.2])})
    study.run()
    areas = area_table(study.values, study.settings.intervals)
    assert (areas["n"] == 50).all()


def test_the_intact_measure_of_a_row_is_over_its_queries() -> None:
    study = planted(np.random.default_rng(0), asked(0.01, 0.1), {"top": np.array([0.6, -0.2])})
    study.run()
    intact = study.values.isel(how=0, draw=0, fraction=0, drop=True).copy(data=np.arange(150.0)[:, None])
    table = curve_table(study.values, intact, study.settings.intervals)
    assert table["intact"].tolist() == [np.arange(150).mean(), np.arange(50).mean()]


def corpus(queries: int, passages: int) -> Collection:
    return make_collection(
        "corpus",
        [Passage(f"p{i:03}", f"text {i}") for i in range(passages)],
        [Query(f"q{i:03}", f"question {i}") for i in range(queries)],
        [Judgment(f"q{i:03}", f"p{i:03}") for i in range(queries)],
    )


def test_every_group_has_its_own_queries_and_a_pool_of_half_as_many_passages_more() -> None:
    whole = corpus(160, 2000)
    made = pools_of(whole, whole.judged_queries, NeuronAblationSettings(), ())
    queries = [query for pool in made for query in pool.queries]
    assert sorted(queries) == sorted(whole.judged_queries)
    for pool in made:
        assert {p for q in pool.queries for p in pool.qrels[q]} <= set(pool.passages)
        assert len(pool.passages) == round(PER_JUDGED * len(pool.queries))
    counted = pool_counts(made, whole)
    assert counted["groups"] == [54, 53, 53]
    assert counted["passages"] == len({passage for pool in made for passage in pool.passages})
    assert counted["pools"] == [len(pool.passages) for pool in made]
    assert counted["of_passages"] == 2000


@pytest.mark.parametrize(("queries", "passages"), [(149, 2000), (160, 240)], ids=["few queries", "a small corpus"])
def test_few_queries_or_a_small_corpus_make_one_group(queries: int, passages: int) -> None:
    whole = corpus(queries, passages)
    (pool,) = pools_of(whole, whole.judged_queries, NeuronAblationSettings(), ())
    assert len(pool.passages) == (223 if passages == 2000 else passages)
    assert list(pool.queries) == list(whole.judged_queries)


@pytest.mark.parametrize("passages", [2, 3])
def test_a_group_of_a_tiny_sample_is_a_sample(passages: int) -> None:
    whole = corpus(160, 2000)
    made = pools_of(whole, whole.judged_queries, NeuronAblationSettings(passages=passages), ())
    assert all(len(pool.passages) < 200 for pool in made)


def test_groups_are_counted_from_one() -> None:
    with pytest.raises(SettingsError, match="groups is 0"):
        replace(NeuronAblationSettings(), groups=0)


def test_the_least_group_is_that_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "ENOUGH", 200)
    whole = corpus(160, 2000)
    assert len(pools_of(whole, whole.judged_queries, NeuronAblationSettings(), ())) == 1
