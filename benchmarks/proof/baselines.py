"""Baselines: what fine-tuning gained beyond the best of the frozen backbone, which is chosen on other queries.

Every query's meaning is its passage's, seen through noise, at every layer of either model. Where all noise is equal,
the retriever equals the best variant of the backbone in law, and whatever it is found to gain or to lack is false.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from unittest.mock import patch

import numpy as np

from proof.made import DIM, collection, retriever
from proof.proof import Proof, rate, short
from retroscope.analyses.baselines.infer import BESTS, BM25, VARIANTS, baseline_result
from retroscope.analyses.baselines.result import UNTRAINED, BaselineResult
from retroscope.analyses.baselines.settings import BaselineSettings
from retroscope.analyses.baselines.variants import (
    HEAD,
    RAW,
    BaselineTask,
    VariantScores,
    baseline_task,
    try_bm25,
    try_shuffled,
    try_variants,
)
from retroscope.analyses.baselines.vectors import Views
from retroscope.analyses.baselines.words import LEAK
from retroscope.analyses.measurement import Measurement
from retroscope.representations.vectors import RetrieverRepresentations
from retroscope.retrieval import linear_head
from retroscope.retrieval.retrieve import retrieve
from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings, compare_scores

QUERIES, PASSAGES, ALPHA = 60, 120, 0.05
MEASURE = "nDCG@10"
NOISE = 0.9
EQUAL = (NOISE, NOISE, NOISE)  # of three layers, the last of which searches
HIDDEN, BETTER = (1.6, NOISE, 1.6), (0.7, 0.7)  # a good layer below a bad one; a retriever better than either
FEW = ComparisonSettings(resamples=400)


def proofs(studies: int) -> list[Proof]:
    """Return the rows of what the best leaves, its share, both at their best, and shuffled judgments."""
    null = [studied(seed, EQUAL, EQUAL) for seed in range(studies)]
    planted = [studied(seed, HIDDEN, BETTER) for seed in range(studies, studies + max(1, 3 * studies // 4))]
    leaking = [leaked(seed) for seed in range(max(1, studies // 4))]
    means = {noise: reached(noise) for noise in (HIDDEN[-1], NOISE, BETTER[-1])}
    return [
        beyond(null, planted, leaking, means[BETTER[-1]] - means[NOISE]),
        share(null, planted, (means[BETTER[-1]] - means[NOISE]) / (means[BETTER[-1]] - means[HIDDEN[-1]])),
        alike(null, planted),
        shuffled(studies),
    ]


@dataclass(frozen=True, eq=False)
class Compared:
    """One study: what the report has of it, and whether fine-tuning's whole gain is significant."""

    found: BaselineResult
    gained: bool

    def left(self, best: str, column: str) -> float:
        """Return a column of the retriever against a best of the backbone."""
        return float(self.found.left.table[column].sel(best=best, measure=MEASURE))

    def claims(self, difference: str = "left") -> bool:
        """Return whether a difference is claimed at any best."""
        return bool((getattr(self.found, difference).table["p_corrected"] < ALPHA).any())


def beyond(null: Sequence[Compared], planted: Sequence[Compared], leaking: Sequence[bool], truth: float) -> Proof:
    """Return the row of the gain beyond the best; a best chosen and trained on the test queries is its control."""
    own = rate(one.claims() for one in null)
    inside = [one.left(UNTRAINED, "ci_low") <= truth <= one.left(UNTRAINED, "ci_high") for one in planted]
    control = float(np.mean(leaking))
    return Proof(
        instrument="Baselines: the retriever differs from the best variant of the frozen backbone",
        control="The best variant is chosen, and the heads are trained, on the test queries",
        reads=f"An equal retriever is reported as worse in {short(control)} of the studies; with separate folds, a "
        f"difference is reported in {short(own.value)}",
        failed=control > 0.5 > own.value,
        false=own,
        power=rate(one.claims() and one.left(UNTRAINED, "effect") > 0 for one in planted),
        planted=f"{MEASURE} {truth:+.3f} over the best variant, a hidden layer, {QUERIES} queries",
        coverage=rate(inside),
        held_against="planted poolings, layers, whitening and maps are chosen (tests/analyses/test_baselines.py)",
    )


def share(null: Sequence[Compared], planted: Sequence[Compared], truth: float) -> Proof:
    """Return the row of the share that the best leaves, stated only where there is a gain."""
    stated = [row for one in planted if one.gained and np.isfinite((row := shares_of(one))["low"])]
    wrong = float(np.mean([np.isfinite(shares_of(one)["low"]) for one in null]))
    return Proof(
        instrument="Baselines: share of the gain that no variant of the backbone reaches",
        control="A retriever equal to its backbone, so that there is no gain to share",
        reads=f"A share with an interval is reported in {short(wrong)} of the studies (expected: {short(ALPHA)}, the "
        "level of the test)",
        failed=wrong < 2 * ALPHA,
        false=None,
        power=None,
        planted="",
        coverage=rate(row["low"] <= truth <= row["high"] for row in stated),
        held_against="Fieller's definition: the ratios that a t-test does not reject (tests/statistics)",
    )


def shares_of(one: Compared) -> dict[str, float]:
    """Return the share and its interval, against the best without training."""
    table = one.found.shares
    return dict(table[(table["best"] == UNTRAINED) & (table["measure"] == MEASURE)].iloc[0])


def alike(null: Sequence[Compared], planted: Sequence[Compared]) -> Proof:
    """Return the row of both at their best; held against the backbone as compared, a mere choice looks like a gain."""
    own = rate(one.claims("alike") for one in null)
    by_choice = [studied(seed, HIDDEN, (NOISE, NOISE)) for seed in range(max(1, len(null) // 4))]
    plain = float(np.mean([one.gained for one in by_choice]))
    best = float(np.mean([one.claims("alike") for one in by_choice]))
    return Proof(
        instrument="Baselines: the best variants of both models differ in retrieval",
        control="The backbone's last layer, compared with a retriever that is no better than the backbone's best layer",
        reads=f"A gain is reported in {short(plain)} of the studies; with the best variants of both models, in "
        f"{short(best)}",
        failed=plain > 0.5 > best,
        false=own,
        power=rate(one.claims("alike") for one in planted),
        planted=f"standard deviation of the noise {BETTER[-1]} instead of {NOISE}, {QUERIES} queries",
        coverage=None,
        held_against="both models compared by the same function, in both orders (tests/analyses/test_baselines.py)",
    )


def shuffled(studies: int) -> Proof:
    """Return the row of the head's own control, which must stay silent where folds are apart and speak where not."""
    apart = [finds_shuffled(seed, leak=False) for seed in range(studies)]
    leaky = [finds_shuffled(seed, leak=True) for seed in range(max(1, studies // 4))]
    return Proof(
        instrument="Baselines: alarm, the linear head reproduces the shuffled judgments that it was trained on",
        control="The heads are trained on the queries that they are tested on",
        reads=f"The alarm is raised in {short(float(np.mean(leaky)))} of the studies; with separate folds, in "
        f"{short(float(np.mean(apart)))}",
        failed=float(np.mean(leaky)) > 0.5 > float(np.mean(apart)),
        false=rate(apart),
        power=rate(leaky),
        planted=f"all test queries are in the training data, {QUERIES} queries",
        coverage=None,
        held_against="ridge regression by normal equations (tests/retrieval/test_linear_head.py)",
    )


def studied(seed: int, before: Sequence[float], after: Sequence[float]) -> Compared:
    """Return a study of two models whose layers see the queries through so much noise."""
    random = np.random.default_rng(seed)
    sides = {"before": model(random, before), "after": model(random, after)}
    tried = {side: try_variants(Views(value, "mean"), task()) for side, value in sides.items()}
    retrieval = {side: retrieve(value, task().collection, (MEASURE,)).scores for side, value in sides.items()}
    scores = {BM25: words()} | {VARIANTS[side]: variants.scores for side, variants in tried.items()}
    scores |= {BESTS[side]: variants.best for side, variants in tried.items()}
    choices = [{"model": side, **row} for side, variants in tried.items() for row in variants.choices]
    gain = compare_scores(retrieval["before"], retrieval["after"], FEW)
    measurement = Measurement(scores=scores, facts={"choices": choices, "left_out": {}, "tried": {}})
    table = gain.table
    return Compared(
        baseline_result(measurement, gain, FEW), table["p_corrected"].item() < ALPHA and table["effect"].item() > 0
    )


def leaked(seed: int) -> bool:
    """Return whether a retriever equal to the best falls short of a best that was chosen and trained on the test."""
    random = np.random.default_rng(seed)
    before, after = model(random, EQUAL), model(random, EQUAL)
    with leaking_heads():
        tried = try_variants(Views(before, "mean"), task())
    top = largest(tried)
    table = compare_scores(top, retrieve(after, task().collection, (MEASURE,)).scores, FEW).table
    return bool(table["p_corrected"].item() < ALPHA and table["effect"].item() < 0)


def largest(tried: VariantScores) -> Scores:
    """Return the variant with the largest mean over all queries, the ones that it is reported on."""
    stacked = tried.scores.values.stack(variant=("pooling", "layer", "vectors")).sel(measure=MEASURE)
    best = stacked.isel(variant=int(stacked.mean("query").values.argmax()))
    values = best.reset_coords(drop=True).expand_dims(measure=[MEASURE]).transpose("query", "measure")
    return replace(tried.scores, values=values)


def leaking_heads() -> object:
    """Let every fold train and choose on all queries, its own included."""
    everyone = np.arange(QUERIES)
    return patch.object(linear_head, "training_rows", lambda folds, fold, dev: (everyone, everyone))


def finds_shuffled(seed: int, leak: bool) -> bool:
    """Return whether the alarm of shuffled judgments is raised, for a retriever with as many dimensions as queries."""
    random = np.random.default_rng(seed)
    wide = model(random, (NOISE,), QUERIES) if leak else model(random, (NOISE,))
    views, settings = Views(wide, "mean"), BaselineSettings(seed=seed)
    if leak:
        with leaking_heads():
            found = try_shuffled(views, task(), settings)
    else:
        found = try_shuffled(views, task(), settings)
    sides = [found.select(vectors=kind) for kind in (RAW, HEAD)]
    plain, headed = (replace(side, values=side.values.drop_vars("vectors")) for side in sides)
    table = compare_scores(plain, headed, FEW).table
    return bool(table["effect"].item() > 0 and table["p_corrected"].item() < ALPHA / LEAK)


def model(random: np.random.Generator, noise: Sequence[float], dim: int = DIM) -> RetrieverRepresentations:
    """Return a model whose layers see the queries through so much noise; the passages are those of every study."""
    passages = np.random.default_rng(5).standard_normal((PASSAGES, 1, dim))
    drawn = random.standard_normal((QUERIES, len(noise), dim))
    return retriever(
        passages[:QUERIES] + np.array(noise)[:, None] * drawn, np.repeat(passages, len(noise), axis=1), "cosine"
    )


@cache
def task() -> BaselineTask:
    """Return what every model is asked."""
    return baseline_task(collection(QUERIES, PASSAGES), (MEASURE,), "cosine", BaselineSettings())


@cache
def words() -> Scores:
    """Return BM25's scores, which a report wants beside the baselines."""
    return try_bm25(task().collection, (MEASURE,))


def reached(noise: float, repeats: int = 200) -> float:
    """Return the mean of the measure at this noise, over many queries of the same passages."""
    random = np.random.default_rng(99)
    rankeds = [retrieve(model(random, (noise,)), task().collection, (MEASURE,)).scores for _ in range(repeats)]
    return float(np.mean([one.values.mean() for one in rankeds]))
