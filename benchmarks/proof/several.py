"""Several trainings, several groups of blocks, several shares of the neurons: summaries over more than queries.

All values are made up. A training (`--training`) moves all queries alike, and its effect on retrieval is a sample, too;
groups of blocks interact, so that single effects do not add up; an ablation curve has many points.
"""

import numpy as np
import pandas as pd
import xarray as xr

from proof.proof import Proof, rate, short
from retroscope.analyses.neurons.ablation.table import area_table
from retroscope.analyses.training_runs.infer import over_trainings
from retroscope.analyses.transplants.interactions import interaction_tables, subset_names
from retroscope.scores import Scores
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.resampling.intervals import IntervalSettings
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.trainings import TRAINING, effects_over_trainings, stack_trainings

TRAININGS, QUERIES, ALPHA, MEASURE = 3, 60, 0.05, "RR@10"
EFFECT, OF_TRAINING = 0.12, 0.03  # of fine-tuning, and the standard deviation of it over trainings
GROUPS = ("1-2", "3-4", "5-6")
ALONE, BOTH = np.array([-0.05, -0.1, 0.0]), -0.1  # of a group, and of the first two beyond what each does
SHAPLEY = ALONE + np.array([BOTH / 2, BOTH / 2, 0.0])
PLACES = ("block:1", "block:2", "block:3", "block:4")
FRACTIONS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
FEW = ComparisonSettings(resamples=500)


def proofs(studies: int) -> list[Proof]:
    """Return the rows of several trainings, of Shapley values and of areas between ablation curves."""
    return [trainings(studies), places_of_trainings(studies), shapley(studies), area(studies)]


def trainings(studies: int) -> Proof:
    """Return the row of several trainings; the interval of the first training over queries alone is its control."""
    null = [drawn(seed, 0.0) for seed in range(studies)]
    planted = [drawn(seed, EFFECT) for seed in range(studies, 2 * studies)]
    own = rate(row["p_corrected"] < ALPHA for row in null)
    one = float(np.mean([row["one_training"] for row in null]))
    return Proof(
        instrument="Several trainings (`--training`): fine-tuning changed retrieval",
        control="The test over the queries of one training, applied to all trainings",
        reads=f"A false change is reported in {short(one)} of the studies; with the test over trainings and queries, "
        f"in {short(own.value)}",
        failed=one > 1.5 * own.value,
        false=own,
        power=rate(row["p_corrected"] < ALPHA for row in planted),
        planted=f"{MEASURE} {EFFECT:+.3f}, {TRAININGS} trainings, {QUERIES} queries",
        coverage=rate(row["ci_low"] <= EFFECT <= row["ci_high"] for row in planted),
        held_against="two-way analysis of variance by hand (tests/statistics/test_crossed.py)",
    )


def drawn(seed: int, effect: float) -> dict[str, float]:
    """Return what is said of several trainings, and whether one of them alone has a significant effect."""
    random = np.random.default_rng(seed)
    ids = [f"q{i}" for i in range(QUERIES)]
    before = 0.5 + 0.2 * random.standard_normal((QUERIES, 1))
    of_training = OF_TRAINING * random.standard_normal((1, TRAININGS))
    change = effect + of_training + 0.05 * random.standard_normal((QUERIES, 1))
    after = before + change + 0.1 * random.standard_normal((QUERIES, TRAININGS))
    labels = {"query": ids, TRAINING: [f"t{k}" for k in range(TRAININGS)], "measure": [MEASURE]}
    backbone = Scores("r", xr.DataArray(before, {"query": ids, "measure": [MEASURE]}, ("query", "measure")))
    trained = Scores("r", xr.DataArray(after[..., None], labels, tuple(labels)))
    over = over_trainings((backbone, trained), None, MEASURE, FEW)
    assert over is not None
    alone = over.each.table["p_corrected"].isel({TRAINING: 0}).item()
    return {**dict(over.retrieval.iloc[0]), "one_training": alone < ALPHA}


def places_of_trainings(studies: int) -> Proof:
    """Return the row of transplants over trainings; the test of the first training over queries is its control.

    Without an effect of any place on average, a training still moves every place by its own amount. The weights as a
    whole matter in all studies, else no place would be claimed.
    """
    null = [restored(seed, np.zeros(len(PLACES))) for seed in range(studies)]
    truth = np.array([-EFFECT, *np.zeros(len(PLACES) - 1)])
    planted = [restored(seed, truth) for seed in range(studies, 2 * studies)]
    own = rate(bool((frame["p_corrected"] < ALPHA).any()) for frame, _ in null)
    one = float(np.mean([alone for _, alone in null]))
    covered = [
        low <= effect <= high
        for frame, _ in planted
        for low, high, effect in zip(frame["ci_low"], frame["ci_high"], truth, strict=True)
    ]
    return Proof(
        instrument="Several trainings (`--training`): restoring the weights of one place changes retrieval in all "
        "trainings",
        control="The tests over the queries of one training, applied to all trainings",
        reads=f"A false effect at one of {len(PLACES)} places is reported in {short(one)} of the studies; with the "
        f"tests over trainings and queries, in {short(own.value)}",
        failed=one > 2 * own.value,
        false=own,
        power=rate(bool((frame["p_corrected"] < ALPHA).iloc[0]) for frame, _ in planted),
        planted=f"{MEASURE} {-EFFECT:+.3f} at one of {len(PLACES)} places, {TRAININGS} trainings, {QUERIES} queries",
        coverage=rate(covered),
        held_against="two-way analysis of variance by hand (tests/statistics/test_crossed.py)",
    )


def restored(seed: int, truth: np.ndarray) -> tuple[pd.DataFrame, bool]:
    """Return the rows of single places over all trainings, and whether the first training alone claims any."""
    random = np.random.default_rng(seed)
    n = len(truth)
    intact = 0.5 + 0.2 * random.standard_normal((QUERIES, 1, 1))
    of_training = OF_TRAINING * random.standard_normal((1, TRAININGS, n))
    effects = truth + of_training + 0.05 * random.standard_normal((QUERIES, 1, n))
    after = intact + effects + 0.1 * random.standard_normal((QUERIES, TRAININGS, n))
    names = [f"t{k}" for k in range(TRAININGS)]
    labels = {"query": [f"q{i}" for i in range(QUERIES)], "transplant": list(PLACES), "measure": [MEASURE]}
    made = [
        tuple(
            Scores("transplants", xr.DataArray(values[..., None], labels, tuple(labels)))
            for values in (np.repeat(intact[:, 0], n, axis=1), after[:, k])
        )
        for k in range(TRAININGS)
    ]
    before, hybrids = (stack_trainings(name, [one[k] for one in made], names) for k, name in enumerate(("a", "b")))
    alone = compare_scores(*made[0], FEW).table["p_corrected"]
    return effects_over_trainings(before, hybrids, 0.95, "measure"), bool((alone < ALPHA).any())


def shapley(studies: int) -> Proof:
    """Return the row of Shapley values; single effects, which do not add up, are the control."""
    null = [interacting(seed, np.zeros(3), 0.0) for seed in range(studies)]
    planted = [interacting(seed, ALONE, BOTH) for seed in range(studies, 2 * studies)]
    whole = float(SHAPLEY.sum())
    single, value = (
        float(np.mean([table[name].sum() for table, _ in planted])) / whole for name in ("alone", "effect")
    )
    gaps = [abs(table["effect"].sum() - total) for table, total in planted]
    covered = [
        low <= truth <= high
        for table, _ in planted
        for low, high, truth in zip(table["ci_low"], table["ci_high"], SHAPLEY, strict=True)
    ]
    return Proof(
        instrument="Shapley values of groups of blocks (`--interactions`): this group has an effect",
        control="The sum of the effects of single groups, if two groups interact",
        reads=f"The sum is {short(single)} of the total effect; the sum of the Shapley values is {short(value)}",
        failed=abs(single - 1) > 0.2 > 10 * abs(value - 1),
        false=rate(bool((table["p_corrected"] < ALPHA).any()) for table, _ in null),
        power=rate(bool((table["p_corrected"] < ALPHA)[1]) for table, _ in planted),
        planted=f"a Shapley value of {short(float(SHAPLEY[1]))}, {QUERIES} queries",
        coverage=rate(covered),
        held_against=f"the total effect, to which they add up: differs by at most {max(gaps):.0e}",
    )


def interacting(seed: int, alone: np.ndarray, both: float) -> tuple[pd.DataFrame, float]:
    """Return the table of Shapley values, and the mean effect of all groups."""
    random = np.random.default_rng(seed)
    names = subset_names(GROUPS)
    intact = 0.6 + 0.1 * random.standard_normal((QUERIES, 1))
    effects = [sum(alone[GROUPS.index(g)] for g in some) + both * ({*GROUPS[:2]} <= some) for some in names]
    values = intact + np.array(effects) + 0.15 * random.standard_normal((QUERIES, len(names)))
    labels = {"query": [f"q{i}" for i in range(QUERIES)], "transplant": list(names.values()), "measure": [MEASURE]}
    found = xr.DataArray(values[..., None], labels, tuple(labels))
    total = float((found.sel(transplant="all") - found.sel(transplant="none")).mean())
    return interaction_tables(Scores("subsets", found), MEASURE, FEW)[0], total


def area(studies: int) -> Proof:
    """Return the row of the area between ablation curves; the share with the largest distance is its control."""
    null = [between(seed, 0.0) for seed in range(studies)]
    planted = [between(seed, 0.05) for seed in range(studies, 2 * studies)]
    truth = 0.05 / 2  # a distance that rises from 0 to .05, straight over the logarithm of the share
    own = rate(low > 0 or high < 0 for low, high, _ in null)
    best = float(np.mean([point for _, _, point in null]))
    return Proof(
        instrument="Neurons: area between the ablation curves of the top neurons and of random neurons",
        control="The fraction of neurons with the largest distance between the curves, without correction for its "
        "selection",
        reads=f"Its interval excludes 0 in {short(best)} of the studies; that of the area, in {short(own.value)}",
        failed=best > 2 * own.value,
        false=own,
        power=rate(low > 0 for low, _, _ in planted),
        planted=f"an area of {short(truth)}, {QUERIES} queries, {len(FRACTIONS)} fractions",
        coverage=rate(low <= truth <= high for low, high, _ in planted),
        held_against="the trapezoidal rule by hand (tests/statistics/test_area.py)",
    )


def between(seed: int, largest: float) -> tuple[float, float, bool]:
    """Return the ends of the area, and whether some share alone lies below or above the random ones."""
    random = np.random.default_rng(seed)
    depth = np.linspace(0, largest, len(FRACTIONS))
    query = 0.6 + 0.2 * random.standard_normal((QUERIES, 1, 1, 1))
    values = query + 0.1 * random.standard_normal((QUERIES, 2, 5, len(FRACTIONS)))
    values[:, 0] -= depth
    labels = {"query": [f"q{i}" for i in range(QUERIES)], "how": ["top", "random"], "draw": list(range(5)),
              "fraction": list(FRACTIONS), "measure": [MEASURE]}  # fmt: skip
    curves = xr.DataArray(values[..., None], labels, tuple(labels))
    row = area_table(curves, IntervalSettings(resamples=500)).iloc[0]
    points = [
        area_table(curves.isel(fraction=[k]), IntervalSettings(resamples=500)).iloc[0] for k in range(len(FRACTIONS))
    ]
    point = max(points, key=lambda one: abs(one["area"]))
    return float(row["area_low"]), float(row["area_high"]), bool(point["area_low"] > 0 or point["area_high"] < 0)
