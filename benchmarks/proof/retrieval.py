"""Retrieval before and after: the paired difference of a measure, its interval, its test, and equivalence.

Both retrievers search the same passages; a query's meaning is its passage's, seen through noise. With equal noise the
two are equal in law for every query, so any difference found is false.
"""

import numpy as np
import xarray as xr
from scipy import stats

from proof.made import DIM, collection, retriever
from proof.proof import Proof, Rate, rate, short
from retroscope.representations.vectors import RetrieverRepresentations
from retroscope.retrieval.retrieve import retrieve, retrieve_layers
from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings, compare_scores

QUERIES, PASSAGES = 60, 120
NOISE, LESS = 0.9, 0.7
MEASURES = ("nDCG@10", "RR@10")
LAYERS = 6
ALPHA = 0.05


def proofs(studies: int) -> list[Proof]:
    """Return the rows of retrieval, of retrieval by layer, and of equivalence."""
    return [headline(studies), layers(studies), equivalence(studies)]


def headline(studies: int) -> Proof:
    """Return the row of the first measure's difference."""
    truth = effect_of(np.random.default_rng(99), queries=6000)
    null = [compared(seed, NOISE) for seed in range(studies)]
    planted = [compared(seed, LESS) for seed in range(studies, 2 * studies)]
    covers = [row["ci_low"] <= truth <= row["ci_high"] for row, _ in planted]
    before, after = planted[0][1]
    control = shuffled_judgments()
    return Proof(
        instrument="Retrieval: nDCG@10 changed",
        control="Relevance judgments shuffled among the queries",
        reads=f"nDCG@10 is {short(control)}; with the true judgments it is {short(float(after.values.mean()))}",
        failed=control < 0.1 < float(after.values.mean()),
        false=rate(row["p_corrected"] < ALPHA for row, _ in null),
        power=rate(row["p_corrected"] < ALPHA for row, _ in planted),
        planted=f"nDCG@10 {truth:+.3f}, {QUERIES} queries",
        coverage=rate(covers),
        held_against=f"scipy.stats.ttest_rel: p differs by at most {by_scipy(before, after):.0e}",
    )


def layers(studies: int) -> Proof:
    """Return the row of retrieval by layer, a family of curves; the planted change is in two of the layers."""
    changed = (3, 4)
    null = [curve(seed, ()) for seed in range(studies)]
    planted = [curve(seed, changed) for seed in range(studies, 2 * studies)]
    elsewhere = [row["p_corrected"][[k for k in range(LAYERS) if k not in changed]].min() < ALPHA for row in planted]
    found = [row["p_corrected"][list(changed)].min() < ALPHA for row in planted]
    return Proof(
        instrument="Retrieval by layer: retrieval changed at some layer",
        control="The layers that did not change, tested together with two that did",
        reads=f"A change at an unchanged layer is reported in {short(np.mean(elsewhere))} of the studies, and at a "
        f"changed layer in {short(np.mean(found))}",
        failed=float(np.mean(elsewhere)) <= 2 * ALPHA < float(np.mean(found)),
        false=rate(row["p_corrected"].min() < ALPHA for row in null),
        power=rate(found),
        planted=f"less noise at layers {changed[0]} and {changed[1]} of {LAYERS}",
        coverage=Rate(sum(int(((row["ci_low"] <= 0) & (row["ci_high"] >= 0)).sum()) for row in null), LAYERS * studies),
        held_against="brute-force search, ties ordered by id (tests/retrieval)",
    )


def equivalence(studies: int, margin: float = 0.05) -> Proof:
    """Return the row of the equivalence test, whose null is a change of exactly the margin."""
    random = np.random.default_rng(7)

    def said(mean: float) -> bool:
        before = random.random((QUERIES * 2, 1))
        change = mean + 0.15 * random.standard_normal((QUERIES * 2, 1))
        return bool(difference(before, before + change, margin)["equivalent"].all())

    at_margin, none = [said(margin) for _ in range(studies)], [said(0.0) for _ in range(studies)]
    large = [said(2 * margin) for _ in range(studies)]
    return Proof(
        instrument="Equivalence: the change lies within the margin",
        control="A change of twice the margin",
        reads=f"Equivalence is reported in {short(np.mean(large))} of the studies; where nothing changed, in "
        f"{short(np.mean(none))}",
        failed=float(np.mean(large)) <= ALPHA < float(np.mean(none)),
        false=rate(at_margin),
        power=rate(none),
        planted=f"no change, margin {short(margin)}, {QUERIES * 2} queries",
        coverage=None,
        held_against="two calls of scipy.stats.ttest_1samp (tests/statistics/test_equivalence.py)",
    )


def compared(seed: int, noise: float) -> tuple[dict[str, float], tuple[Scores, Scores]]:
    """Return the first measure's row of the difference, and both scores of it."""
    random = np.random.default_rng(seed)
    where = collection(QUERIES, PASSAGES)
    before, after = (retrieve(side, where, MEASURES).scores for side in pair(random, noise, QUERIES))
    table = compare_scores(before, after).table
    row = {name: float(table[name].sel(measure=MEASURES[0])) for name in ("p_corrected", "ci_low", "ci_high")}
    return row, (before.select(measure=MEASURES[0]), after.select(measure=MEASURES[0]))


def pair(random: np.random.Generator, noise: float, queries: int) -> list[RetrieverRepresentations]:
    """Return two retrievers of the same passages; the second sees the queries through its own noise."""
    passages = np.random.default_rng(5).standard_normal((PASSAGES, 1, DIM))
    asked = passages[np.arange(queries) % PASSAGES]
    return [retriever(asked + n * random.standard_normal(asked.shape), passages) for n in (NOISE, noise)]


def effect_of(random: np.random.Generator, queries: int) -> float:
    """Return the planted change of the first measure, over many queries of the same passages."""
    rows = []
    where = collection(QUERIES, PASSAGES)
    for _ in range(queries // QUERIES):
        before, after = (retrieve(side, where, MEASURES[:1]).scores for side in pair(random, LESS, QUERIES))
        rows.append(float((after.values - before.values).mean()))
    return float(np.mean(rows))


def shuffled_judgments() -> float:
    """Return nDCG@10 where the retriever's queries are given to other queries' passages."""
    random = np.random.default_rng(3)
    side = pair(random, LESS, QUERIES)[1]
    queries = np.asarray(side.query.layer(0))[:, None]
    turned = retriever(np.roll(queries, 1, axis=0), np.asarray(side.passage.layer(0))[:, None])
    return float(retrieve(turned, collection(QUERIES, PASSAGES), MEASURES[:1]).scores.values.mean())


def by_scipy(before: Scores, after: Scores) -> float:
    """Return how far the p-value is from scipy's paired t-test."""
    table = compare_scores(before, after, ComparisonSettings(test="paired_t")).table
    return abs(float(table["p"]) - float(stats.ttest_rel(after.values, before.values).pvalue))


def curve(seed: int, changed: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return the columns of a difference of layer curves; the layers share most of their noise, as real ones do."""
    random = np.random.default_rng(seed)
    passages = np.repeat(np.random.default_rng(5).standard_normal((PASSAGES, 1, DIM)), LAYERS, axis=1)
    asked = passages[:QUERIES]
    sides = []
    for layers_with_less in ((), changed):
        noise = np.array([LESS if k in layers_with_less else NOISE for k in range(LAYERS)])[:, None]
        common, own = random.standard_normal((QUERIES, 1, DIM)), random.standard_normal((QUERIES, LAYERS, DIM))
        sides.append(retriever(asked + noise * (0.8 * common + 0.6 * own), passages))
    where = collection(QUERIES, PASSAGES)
    before, after = (retrieve_layers(side, where, MEASURES[:1]) for side in sides)
    table = compare_scores(before, after).table
    return {name: table[name].values.ravel() for name in ("p_corrected", "ci_low", "ci_high")}


def difference(before: np.ndarray, after: np.ndarray, margin: float) -> dict[str, np.ndarray]:
    """Return the table of a difference of arrays (query, cell)."""
    labels = {"query": [f"q{i}" for i in range(len(before))], "cell": list(range(before.shape[1]))}
    sides = [Scores("made up", xr.DataArray(v, labels, ("query", "cell"))) for v in (before, after)]
    table = compare_scores(*sides, ComparisonSettings(margin=margin)).table
    return {name: table[name].values.ravel() for name in ("equivalent", "p_equivalence")}
