"""Erasure: retrieval uses what relevant pairs share at a layer, or loses as much with any subspace.

Per-query scores are made up: erasing a subspace has an effect of its own, alike for all queries, and queries vary. What
is tried is the report's own inference (`infer`), from these numbers on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from proof.made import reading, scores
from proof.proof import Proof, rate, short
from retroscope.analyses.erasure.infer import infer
from retroscope.analyses.erasure.result import ERASED, INTACT, READABLE, RETRIEVED, USED, ErasureResult
from retroscope.analyses.erasure.settings import RANK, SHUFFLED, VARIANCE, ErasureSettings
from retroscope.analyses.measurement import Measurement
from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings
from retroscope.typesetting.frames import rows
from retroscope.typesetting.subject import AFTER, BEFORE

QUERIES, LAYERS, RANKS = 60, (1, 2), (2,)
ALPHA, MEASURE, CHOICES = 0.05, "RR@10", 5
SPREAD = 0.05  # standard deviation of what erasing a subspace costs, over subspaces
BY_VARIANCE = 0.15  # what any subspace of that much variance costs
LOSS = 0.2  # of what is used, beyond either kind of subspace
READ, LEFT = 0.8, 0.3  # accuracy of the probe: intact, and erased
DEFAULTS = ErasureSettings()
FEW = ComparisonSettings(resamples=200)


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What erasures cost a model's retrieval on average.

    Attributes:
        erased: the directions of the pairs, beyond subspaces of equal variance; 0: as one more of these subspaces.
        shuffled: those of shuffled pairs, beyond subspaces of equal rank.
    """

    erased: float = 0.0
    shuffled: float = 0.0


def proofs(studies: int) -> list[Proof]:
    """Return the rows of use beyond random subspaces, of its change, and of the alarm of shuffled pairs."""
    many = max(1, 3 * studies // 4)
    null = [studied(seed, Costs(), Costs()) for seed in range(many)]
    before, after = Costs(erased=LOSS), Costs(erased=2 * LOSS, shuffled=LOSS)
    planted = [studied(seed, before, after) for seed in range(many, many + max(1, studies // 4))]
    return [used(null, planted), changed(null, planted), alarm(null, planted)]


@dataclass(frozen=True, eq=False)
class Erased:
    """What the report has of two models, and what tests over queries alone would say.

    Attributes:
        found: the report's own.
        changed: whether the use of the directions changed at some layer.
        alarm: whether shuffled pairs harm the model after more than random subspaces.
    """

    found: ErasureResult
    changed: bool
    alarm: bool


def used(null: Sequence[Erased], planted: Sequence[Erased]) -> Proof:
    """Return the row of layers that retrieval uses; random subspaces of equal rank alone are the control."""
    tables = [one.found.by_layer(BEFORE) for one in null]
    own = rate(bool((table["use"] == USED).any()) for table in tables)
    by_rank = float(np.mean([(table["p_rank"] < ALPHA).any() for table in tables]))
    found = [
        (row, -loss_of - BY_VARIANCE)
        for one in planted
        for side, loss_of in ((BEFORE, LOSS), (AFTER, 2 * LOSS))
        for _, row in one.found.by_layer(side).iterrows()
    ]
    return Proof(
        instrument="Erasure: retrieval uses the directions that relevant pairs share at this layer",
        control="Directions with the same effect as random subspaces of equal variance, compared only with random "
        "subspaces of equal rank",
        reads=f"Use is reported in {short(by_rank)} of the studies; compared with both kinds of subspaces, in "
        f"{short(own.value)}",
        failed=by_rank > 0.5 > own.value,
        false=own,
        power=rate(row["use"] == USED for row, truth in found if truth == -LOSS - BY_VARIANCE),
        planted=f"a loss of {short(LOSS)} beyond both kinds of subspaces, {QUERIES} queries, {DEFAULTS.draws} draws",
        coverage=rate(row["ci_low"] <= truth <= row["ci_high"] for row, truth in found),
        held_against="a direction that was built to carry relevance (tests/analyses/test_erasure.py)",
    )


def changed(null: Sequence[Erased], planted: Sequence[Erased]) -> Proof:
    """Return the row of the change between two models, which use the directions alike in the null."""
    tables = [(rows(one.found.use), truth) for some, truth in ((null, 0.0), (planted, LOSS)) for one in some]
    own = rate(bool((table["p_corrected"] < ALPHA).any()) for table, truth in tables if not truth)
    by_queries = float(np.mean([one.changed for one in null]))
    return Proof(
        instrument="Erasure: fine-tuning changed how much retrieval uses the directions",
        control="A test over queries alone, which ignores that other random subspaces could have been drawn",
        reads=f"For models with equal use, a change is reported in {short(by_queries)} of the studies; with the test "
        f"over queries and draws, in {short(own.value)}",
        failed=by_queries > 1.5 * own.value,
        false=own,
        power=rate(bool((table["p_corrected"] < ALPHA).all()) for table, truth in tables if truth),
        planted=f"a change of {LOSS:+.3f}, {QUERIES} queries, {DEFAULTS.draws} draws",
        coverage=rate(
            low <= truth <= high
            for table, truth in tables
            for low, high in zip(table["ci_low"], table["ci_high"], strict=True)
        ),
        held_against="two-way analysis of variance by hand (tests/statistics/test_crossed.py)",
    )


def alarm(null: Sequence[Erased], planted: Sequence[Erased]) -> Proof:
    """Return the row of the alarm of shuffled pairs; the test over queries alone is its control."""
    own = rate(one.found.alarm[AFTER] < ALPHA for one in null)
    by_queries = float(np.mean([one.alarm for one in null]))
    return Proof(
        instrument="Erasure: alarm, erasing the directions that shuffled pairs share lowers retrieval",
        control="A test over queries alone, which ignores that other random subspaces could have been drawn",
        reads=f"The alarm is raised in {short(by_queries)} of the studies; with the test over queries and draws, in "
        f"{short(own.value)}",
        failed=by_queries > 2 * own.value,
        false=own,
        power=rate(one.found.alarm[AFTER] < ALPHA for one in planted),
        planted=f"a loss of {short(LOSS)}, {QUERIES} queries, {DEFAULTS.shuffles} shuffles",
        coverage=None,
        held_against="shuffled pairs with the scores of the true ones (tests/analyses/test_erasure.py)",
    )


def studied(seed: int, before: Costs, after: Costs) -> Erased:
    """Return what is said of two models whose erasures cost so much on average."""
    random = np.random.default_rng(seed)
    luck = SPREAD * random.standard_normal((len(LAYERS), len(RANKS)))  # of the directions, where they are one more draw
    sides = {side: of_model(random, costs, luck) for side, costs in ((BEFORE, before), (AFTER, after))}
    cells = pd.MultiIndex.from_product([LAYERS, RANKS], names=["layer", "rank"]).to_frame(index=False)
    frames = {
        "shared": [cells.assign(side=side, shared=0.5, shared_shuffled=0.2) for side in sides],
        "removed": [
            cells.assign(side=side, variant=kind, removed=0.1) for side in sides for kind in (ERASED, f"{RANK}:0")
        ],
    }
    measurement = Measurement(
        {f"{side}/{name}": one for side, named in sides.items() for name, one in named.items()},
        {name: pd.concat(parts, ignore_index=True) for name, parts in frames.items()},
        facts={"measure": MEASURE, "choices": CHOICES, "notes": []},
        collection="made up",
    )
    found = infer([measurement], reading(FEW))
    if found is None:
        raise RuntimeError("nothing was inferred")
    use = [loss(one[RETRIEVED], ERASED) for one in sides.values()]
    harm = loss(sides[AFTER][RETRIEVED], SHUFFLED).mean(axis=(1, 2))
    p = stats.ttest_1samp(use[1] - use[0], 0).pvalue
    return Erased(
        found, bool(p.min() < ALPHA / p.size), bool(stats.ttest_1samp(harm, 0).pvalue < ALPHA and harm.mean() > 0)
    )


def loss(retrieved: Scores, kind: str) -> np.ndarray:
    """Return how much more each query loses than by the mean of the random subspaces of equal rank."""
    kinds = np.array([str(name).partition(":")[0] for name in retrieved.values["variant"].values])
    values = retrieved.values.values
    return np.asarray(values[..., kinds == RANK].mean(axis=-1) - values[..., kinds == kind].mean(axis=-1))


def of_model(random: np.random.Generator, costs: Costs, luck: np.ndarray) -> dict[str, Scores]:
    """Return the scores of one model: intact, under every erasure, and the probe's accuracy."""
    variants = list(DEFAULTS.variants)
    kinds = np.array([name.partition(":")[0] for name in variants])
    mean = BY_VARIANCE * np.isin(kinds, (ERASED, VARIANCE)) + costs.erased * (kinds == ERASED)
    shape = (len(LAYERS), len(RANKS), len(variants))
    drawn = SPREAD * random.standard_normal(shape)
    drawn[..., kinds == ERASED] = luck[..., None] * (costs.erased == 0)
    cost = mean + costs.shuffled * (kinds == SHUFFLED) + drawn
    intact = 0.7 + 0.2 * random.standard_normal(QUERIES)
    retrieved = intact[:, None, None, None] - cost + 0.1 * random.standard_normal((QUERIES, *shape))
    read = random.random((QUERIES, *shape[:2], 3)) < np.array([READ, LEFT, READ])
    return {
        INTACT: scores(intact),
        RETRIEVED: scores(retrieved, layer=LAYERS, rank=RANKS, variant=variants),
        READABLE: scores(read.astype(float), layer=LAYERS, rank=RANKS, state=[INTACT, ERASED, RANK]),
    }
