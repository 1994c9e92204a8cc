"""Interventions: neurons held at their mean, and weights restored; each against what as large a change does anyway.

Per-query scores are made up: a set of neurons, or a random change of weights, has an effect of its own, alike for all
queries, and queries vary. What is tried is the rule by which an effect is claimed.
"""

import numpy as np
import xarray as xr

from proof.proof import Proof, rate, short
from retroscope.analyses.neurons.ablation.table import curve_table
from retroscope.analyses.transplants.controls import control_table
from retroscope.analyses.transplants.infer import differences
from retroscope.scores import Scores
from retroscope.statistics.ratio import ratio_of_means
from retroscope.statistics.resampling.intervals import IntervalSettings
from retroscope.statistics.settings import ComparisonSettings

QUERIES, DRAWS = 60, 5
CHANGES = (3, 8)  # random changes: as many as by default, and as many as for a paper
SETS, RATES, LOSS = 0.03, 0.05, 0.3
HOWS = ("top", "signed", "largest", "bottom", "random")
FEW = IntervalSettings(resamples=200)
STATISTICS = ComparisonSettings(resamples=200)


def proofs(studies: int) -> list[Proof]:
    """Return the rows of ablation, of transplants against random changes, and of shares of an effect."""
    return [ablation(studies), *(transplant(studies, changes) for changes in CHANGES), share(studies)]


def ablation(studies: int) -> Proof:
    """Return the row of confirmed neurons; neurons that are only large must not be confirmed."""
    random = np.random.default_rng(0)
    one_more = [held(random, 0.0, 0.0) for _ in range(studies)]
    carrying = [held(random, LOSS, 0.0) for _ in range(studies // 2)]
    only_large = [held(random, LOSS, LOSS) for _ in range(studies // 2)]
    over_random = float(np.mean([row["over_random"] for row in only_large]))
    confirmed = float(np.mean([row["confirmed"] for row in only_large]))
    return Proof(
        instrument="Neurons: ablation confirms the top neurons",
        control="A ranking that puts large neurons first, as the attribution does",
        reads=f"The neurons are confirmed in {short(confirmed)} of the studies; compared only with random neurons, "
        f"they would be confirmed in {short(over_random)}",
        failed=confirmed <= 0.1 < over_random,
        false=rate(row["confirmed"] for row in one_more),
        power=rate(row["confirmed"] for row in carrying),
        planted=f"a loss of {short(LOSS)}, {QUERIES} queries, {DRAWS} draws",
        coverage=None,
        held_against="planted neurons in a toy model (tests/attribution/test_planted_neurons.py)",
    )


def held(random: np.random.Generator, loss: float, largest: float) -> dict[str, bool]:
    """Return the row of one share; the top and the largest harm as one more set does, and by these losses more.

    Where both lose, they hold nearly the same neurons and harm alike.
    """
    cost = SETS * random.standard_normal(2 + DRAWS)
    cost[1] = cost[0] if loss == largest > 0 else cost[1]
    cost[:2] += loss, largest
    luck = 0.2 * random.standard_normal((QUERIES, 1)) + RATES * random.standard_normal((QUERIES, 2 + DRAWS))
    found = 0.6 + luck - cost
    values = np.full((QUERIES, len(HOWS), DRAWS, 1, 1), np.nan)
    values[:, (0, 1, 3), 0, 0, 0], values[:, 2, 0, 0, 0] = found[:, :1], found[:, 1]
    values[:, 4, :, 0, 0] = found[:, 2:]
    labels = {"query": [f"q{i}" for i in range(QUERIES)], "how": list(HOWS),
              "draw": list(range(DRAWS)), "fraction": [0.01], "measure": ["RR@10"]}  # fmt: skip
    ablated = xr.DataArray(values, labels, tuple(labels))
    return dict(curve_table(ablated, ablated.isel(how=0, draw=0, fraction=0, drop=True), FEW).iloc[0])


def transplant(studies: int, changes: int) -> Proof:
    """Return the row of restored blocks; a block that does what any change of its size does must not be claimed."""
    random = np.random.default_rng(1)
    any_change = [restored(random, 0.0, changes) for _ in range(studies)]
    needed = [restored(random, LOSS, changes) for _ in range(studies // 2)]
    without = float(np.mean([row["significant"] for row in any_change]))
    own = rate(row["beats"] for row in any_change)
    return Proof(
        instrument=f"Transplants: a block has a larger effect than {changes} random changes of equal size",
        control="A block with the same effect as random changes",
        reads=f"The statement is made in {short(own.value)} of the studies; without random changes, it would be made "
        f"in {short(without)}",
        failed=own.value <= 0.1 < without,
        false=own,
        power=rate(row["beats"] for row in needed),
        planted=f"a loss of {short(LOSS)}, {QUERIES} queries, {changes} draws",
        coverage=None,
        held_against="every hybrid equals one assembled by hand, to 1e-5 (tests/surgery/test_transplant.py)",
    )


def restored(random: np.random.Generator, extra: float, changes: int) -> dict[str, bool]:
    """Return whether block 1 is claimed, beside a block that costs as much as its random changes."""
    names = ("block:1", "block:2", "all")
    effects = -0.2 + RATES * random.standard_normal(3) - np.array([extra, 0, 1])
    drawn = -0.2 + RATES * random.standard_normal((2, changes))
    intact = 0.8 + 0.1 * random.standard_normal((QUERIES, 1, 1))
    hybrids = intact + effects[None, :, None] + 0.1 * random.standard_normal((QUERIES, 3, 1))
    changed = intact[..., None] + drawn[None, :, :, None] + 0.1 * random.standard_normal((QUERIES, 2, changes, 1))
    ids = [f"q{i}" for i in range(QUERIES)]
    labels = {"query": ids, "transplant": list(names), "measure": ["RR@10"]}
    after = xr.DataArray(hybrids, labels, tuple(labels))
    places = {"query": ids, "transplant": list(names[:2]), "draw": list(range(changes)), "measure": ["RR@10"]}
    control = Scores("random", xr.DataArray(changed, places, tuple(places)), {"direction": "restored"})
    before = Scores("transplants", xr.zeros_like(after) + intact, {})
    compared = differences({"restored": (before, Scores("transplants", after, {}))}, STATISTICS)
    row = control_table(compared, {"restored": control}, STATISTICS).set_index("transplant").loc["block:1"]
    p = float(compared["restored"].table["p_corrected"].sel(transplant="block:1", measure="RR@10"))
    return {"beats": bool(row["beats"]), "significant": p < 0.05}


def share(studies: int) -> Proof:
    """Return the row of a share of the whole effect, a ratio of two means of the same queries."""
    random, truth = np.random.default_rng(2), 0.4
    rows, none = [], []
    for _ in range(studies):
        whole = 0.3 + 0.3 * random.standard_normal(QUERIES)
        part = truth * 0.3 + 0.5 * (whole - 0.3) + 0.2 * random.standard_normal(QUERIES)
        rows.append(ratio_of_means(part, whole))
        none.append(ratio_of_means(part, whole - 0.3))
    refused = float(np.mean([np.isnan(ratio.value) for ratio in none]))
    return Proof(
        instrument="Share of the total effect (transplants, localisation)",
        control="A total effect of 0, so that there is no share",
        reads=f"No share is reported in {short(refused)} of the studies (expected: .950, by the level of the test)",
        failed=abs(refused - 0.95) < 0.04,
        false=None,
        power=None,
        planted="",
        coverage=rate(ratio.low <= truth <= ratio.high for ratio in rows),
        held_against="Fieller's definition: the ratios that a t-test does not reject (tests/statistics)",
    )
