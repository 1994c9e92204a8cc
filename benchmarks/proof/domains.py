"""Domain shift of collections, and groups of queries: where texts, or questions, are of another kind.

Passages are made-up bags of words, each about one topic. A second collection takes a share of its words from a
vocabulary that the first does not have, so that the divergence of their words has a closed form. Queries have
reciprocal ranks before and after fine-tuning, and every query is of one group.
"""

from functools import cache

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.optimize import brentq

from proof.made import reading, scores
from proof.proof import Proof, rate, short
from retroscope.analyses.groups.report import infer
from retroscope.analyses.groups.result import GROUPS
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.retrieval.result import RetrievalEffect, RetrievalResult
from retroscope.drift.settings import ShiftSettings
from retroscope.drift.shift import (
    ANOTHER,
    EMBEDDINGS,
    UNDECIDED,
    WORDS,
    WORDS_THRESHOLD,
    PassageSample,
    domain_shift,
    jensen_shannon,
    median_distance,
    outcome,
)
from retroscope.statistics import ComparisonSettings, compare_scores

PASSAGES, LENGTH, VOCABULARY, TOPICS, DIM = 160, 60, 300, 8, 8
FAR, MOVED = 0.4, 1.2  # planted divergence of words; planted distance of the means of embeddings
SHIFT = ShiftSettings(texts=PASSAGES)
ALPHA, MEASURE = 0.05, "RR@10"
SIZES = {"short questions": 40, "long questions": 25, "numbers": 15}
PLANTED = "long questions"
RANKS = np.array([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 0])
USUAL = np.array([0.3, 0.15, 0.1, 0.1, 0.05, 0.3])  # chance of each rank
BETTER = np.array([0.95, 0.05, 0, 0, 0, 0])
ANEW = 0.5  # share of the queries whose rank is drawn anew by fine-tuning
FEW = ComparisonSettings(resamples=500)


def proofs(studies: int) -> list[Proof]:
    """Return the rows of the divergence of words, of the distance of embeddings, and of groups of queries."""
    at_threshold, far = (foreign_share(value) for value in (WORDS_THRESHOLD, FAR))
    many = max(1, 3 * studies // 4)
    same = [compared(seed, 0.0, 0.0) for seed in range(many)]
    border = [compared(seed, at_threshold, None) for seed in range(many, 2 * many)]
    other = [compared(seed, far, MOVED) for seed in range(2 * many, 3 * many)]
    return [words(same, border, other), embeddings(same, other), groups(studies)]


def words(same: list[pd.DataFrame], border: list[pd.DataFrame], other: list[pd.DataFrame]) -> Proof:
    """Return the row of the rule for another domain, whose null is a divergence of exactly the threshold."""
    plain, own = (float(np.mean([one.loc[WORDS, name] for one in same])) for name in ("value", "shift"))
    decided = [outcome(one.loc[WORDS, "low"], one.loc[WORDS, "high"]) for one in border]
    return Proof(
        instrument="Domain shift: two collections have different domains, or the same domain (divergence of words)",
        control="The divergence of two samples of one collection, without subtracting the divergence of two halves "
        "of one sample",
        reads=f"The divergence is {short(plain)}; after the subtraction it is {short(own)}",
        failed=abs(own) < 0.02 < plain,
        false=rate(one != UNDECIDED for one in decided),
        power=rate(outcome(one.loc[WORDS, "low"], one.loc[WORDS, "high"]) == ANOTHER for one in other),
        planted=f"a divergence of {short(FAR)}, threshold {short(WORDS_THRESHOLD)}, {PASSAGES} passages; the false "
        "statements are counted at a divergence equal to the threshold",
        coverage=rate(
            one.loc[WORDS, "low"] <= truth <= one.loc[WORDS, "high"]
            for rows, truth in ((same, 0.0), (border, WORDS_THRESHOLD), (other, FAR))
            for one in rows
        ),
        held_against="its closed form for the probabilities of words",
    )


def embeddings(same: list[pd.DataFrame], other: list[pd.DataFrame]) -> Proof:
    """Return the row of the squared MMD of embeddings; the biased estimate, which is never 0, is the control."""
    biased = float(np.mean([one.loc[EMBEDDINGS, "biased"] for one in same]))
    own = float(np.mean([one.loc[EMBEDDINGS, "shift"] for one in same]))
    apart = [one.loc[EMBEDDINGS] for one in other]
    gap = float(np.mean([row["shift"] - row["truth"] for row in apart]))
    return Proof(
        instrument="Domain shift: the embeddings of two collections differ (squared MMD)",
        control="The biased estimate, which pairs each text with itself, for two samples of one collection",
        reads=f"The biased estimate is {short(biased)}; the unbiased estimate is {short(own)}",
        failed=abs(own) < 0.005 < biased,
        false=rate(not one.loc[EMBEDDINGS, "low"] <= 0 <= one.loc[EMBEDDINGS, "high"] for one in same),
        power=rate(row["low"] > 0 for row in apart),
        planted=f"means {MOVED:g} standard deviations apart, {PASSAGES} passages",
        coverage=rate(row["low"] <= row["truth"] <= row["high"] for row in apart),
        held_against=f"its closed form for normal vectors: differs by {abs(gap):.0e} on average",
    )


def compared(seed: int, foreign: float, moved: float | None) -> pd.DataFrame:
    """Return the shift of a study, by statistic, with the true squared MMD and its biased estimate.

    Args:
        seed: of all draws.
        foreign: share of the second collection's words that the first does not have.
        moved: distance of the means of their vectors; None: there are no vectors.
    """
    random = np.random.default_rng(seed)
    one, two = (passages(random, *kind) for kind in ((0.0, None if moved is None else 0.0), (foreign, moved)))
    found = domain_shift(one, two, SHIFT).set_index("statistic")
    if moved is None:
        return found
    half = PASSAGES // 2
    width = median_distance(one.vectors["before"])
    found.loc[EMBEDDINGS, "truth"] = normal_mmd(width, moved)
    found.loc[EMBEDDINGS, "biased"] = found.loc[EMBEDDINGS, "value"] + 2 * (1 - near(width)) / half
    return found


def passages(random: np.random.Generator, foreign: float, moved: float | None) -> PassageSample:
    """Return passages of one topic each; so large a share of all words is foreign, and so far are vectors moved."""
    topic = random.integers(TOPICS, size=PASSAGES)
    counts = np.stack([random.multinomial(LENGTH, chances) for chances in topics()[topic]])
    away = random.binomial(counts, foreign)
    both = np.concatenate([counts - away, away], axis=1)
    vectors = {} if moved is None else {"before": random.standard_normal((PASSAGES, DIM)) + moved / np.sqrt(DIM)}
    names = [f"w{k}" for k in range(2 * VOCABULARY)]
    lengths = np.full(PASSAGES, LENGTH)
    return PassageSample(sparse.csr_array(both), names, lengths, np.zeros_like(lengths), vectors)


@cache
def topics() -> np.ndarray:
    """Return each topic's chances of the words (topic, word): Zipf's law over an order of its own, in part."""
    random, zipf = np.random.default_rng(6), 1 / np.arange(1, 1 + VOCABULARY)
    own = np.stack([random.permutation(zipf) for _ in range(TOPICS)])
    mixed = 0.7 * zipf + 0.3 * own
    return mixed / mixed.sum(axis=1, keepdims=True)


def divergence(foreign: float) -> float:
    """Return the divergence of words in truth, where so large a share of them is foreign."""
    chances = topics().mean(axis=0)
    here = np.concatenate([chances, np.zeros_like(chances)])
    return jensen_shannon(here, np.concatenate([(1 - foreign) * chances, foreign * chances]))


def foreign_share(value: float) -> float:
    """Return the share of foreign words whose divergence this is."""
    return float(brentq(lambda share: divergence(share) - value, 0.0, 1.0))


def near(width: float) -> float:
    """Return the mean of the kernel of two normal vectors of one mean."""
    return float((width**2 / (width**2 + 2)) ** (DIM / 2))


def normal_mmd(width: float, moved: float) -> float:
    """Return the squared MMD of normal vectors whose means are so far apart."""
    return 2 * near(width) * (1 - float(np.exp(-(moved**2) / (2 * (width**2 + 2)))))


def groups(studies: int) -> Proof:
    """Return the row of a group of queries; the group with the smallest p, as if it had been the only one, fails."""
    null = [by_group(seed, USUAL) for seed in range(studies)]
    planted = [by_group(seed, BETTER).loc[PLANTED] for seed in range(studies, 2 * studies)]
    truth = ANEW * float(RANKS @ (BETTER - USUAL))
    own = rate(bool((table["p_corrected"] < ALPHA).any()) for table in null)
    alone = float(np.mean([(table["p"] < ALPHA).any() for table in null]))
    return Proof(
        instrument="Groups of queries: fine-tuning changed retrieval for this group",
        control="The group with the smallest p, without correction for the number of groups",
        reads=f"Where nothing changed, a change is reported in {short(alone)} of the studies; with the correction, "
        f"in {short(own.value)}",
        failed=alone > 1.5 * own.value,
        false=own,
        power=rate(row["p_corrected"] < ALPHA and row["effect"] > 0 for row in planted),
        planted=f"{MEASURE} {truth:+.3f} in one group of {SIZES[PLANTED]} queries, among {len(SIZES)} groups",
        coverage=rate(row["ci_low"] <= truth <= row["ci_high"] for row in planted),
        held_against="each group compared alone (tests/analyses/test_query_groups.py)",
    )


def by_group(seed: int, chances: np.ndarray) -> pd.DataFrame:
    """Return the report's row of every group, of which one has these chances of ranks after fine-tuning."""
    random = np.random.default_rng(seed)
    names = np.repeat(list(SIZES), list(SIZES.values()))
    before = random.choice(RANKS, size=len(names), p=USUAL)
    drawn = [random.choice(RANKS, p=chances if name == PLANTED else USUAL) for name in names]
    after = np.where(random.random(len(names)) < ANEW, drawn, before)
    sides = [scores(values[:, None], measure=[MEASURE]) for values in (before, after)]
    retrieval = RetrievalResult((RetrievalEffect("made up", compare_scores(*sides, FEW)),), MEASURE, MEASURE)
    frame = pd.DataFrame({"query_id": sides[0].query_ids, "group": names})
    found = infer([Measurement(frames={GROUPS: frame})], reading(FEW, {"retrieval": retrieval}))
    return found.effect.table.to_dataframe()
