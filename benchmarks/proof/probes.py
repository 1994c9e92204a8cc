"""Probes: is relevance readable, and do the controls see what they should?

A study has few queries and one layer; its relevant passage is the query's meaning seen through noise, or has nothing to
do with the query. Negatives are other queries' passages.
"""

from collections.abc import Sequence

import numpy as np
import torch

from proof.made import DIM, choices, noisy, retriever
from proof.proof import Proof, rate, short
from retroscope.probing.grid import probe
from retroscope.probing.result import ProbeResult
from retroscope.probing.settings import ProbeSettings
from retroscope.representations.vectors import RetrieverRepresentations
from retroscope.scores import Scores
from retroscope.statistics import compare_scores, summarise

QUERIES, NEGATIVES, N = 80, 30, 5
CHANCE = 1 / N
SHUFFLED = "shuffled_queries"
NOISE, LESS = 1.5, 1.0
BOTH = ("none", SHUFFLED)
READING = ("dot", "elementwise", "bilinear", "mean_difference")


def proofs(studies: int) -> list[Proof]:
    """Return a row for each probe, one for a change between two retrievers, and one for each control."""
    torch.set_num_threads(1)
    nothing = [measured(unrelated(seed), seed, READING) for seed in range(studies)]
    some = range(studies, studies + max(1, studies // 4))
    planted = [measured(related(seed, NOISE), seed, READING, BOTH) for seed in some]
    rows = [reading(name, nothing, planted) for name in READING]
    return [*rows, passages_alone(studies), changed(studies), code(max(1, 3 * studies // 4))]


def reading(name: str, nothing: Sequence[ProbeResult], planted: Sequence[ProbeResult]) -> Proof:
    """Return the row of one probe that reads query and passage."""
    outside = [interval(probed, name) for probed in nothing]
    inside = [interval(probed, name) for probed in planted]
    shuffled = mean(planted, name, SHUFFLED)
    return Proof(
        instrument=f"Probe `{name}`: relevance is readable",
        control="Shuffled queries, in training and test",
        reads=f"The accuracy is {short(shuffled)} (chance: {short(CHANCE)}); with the true queries it is "
        f"{short(mean(planted, name))}",
        failed=shuffled < CHANCE + 0.03 < mean(planted, name),
        false=rate(not low <= CHANCE <= high for low, high in outside),
        power=rate(low > CHANCE for low, _ in inside),
        planted=f"accuracy {short(mean(planted, name))}, {QUERIES} queries",
        coverage=rate(low <= CHANCE <= high for low, high in outside),
        held_against="Newton's method to 1e-6 (tests/probing/test_fitting.py)" if name != "dot" else "numpy argmax",
    )


def passages_alone(studies: int) -> Proof:
    """Return the row of the probe that never reads the query: what relevant passages have in common."""
    names = ("passage_only",)
    nothing = [measured(unrelated(seed), seed, names) for seed in range(studies)]
    bumped = [measured(prior(seed), seed, names) for seed in range(max(1, studies // 4))]
    queries_only = [measured(related(seed, 0.3), seed, names) for seed in range(max(1, studies // 4))]
    outside = [interval(probed, names[0]) for probed in nothing]
    return Proof(
        instrument="Probe `passage_only`: relevant passages are similar to one another",
        control="Relevant passages that can be recognised only with their query",
        reads=f"The accuracy is {short(mean(queries_only, names[0]))}; for relevant passages with a common direction "
        f"it is {short(mean(bumped, names[0]))}",
        failed=mean(queries_only, names[0]) < CHANCE + 0.03 < mean(bumped, names[0]),
        false=rate(not low <= CHANCE <= high for low, high in outside),
        power=rate(interval(probed, names[0])[0] > CHANCE for probed in bumped),
        planted=f"accuracy {short(mean(bumped, names[0]))}, {QUERIES} queries",
        coverage=rate(low <= CHANCE <= high for low, high in outside),
        held_against="exchanging queries changes nothing (tests/probing/test_probe_theorems.py)",
    )


def changed(studies: int) -> Proof:
    """Return the row of the paired difference of two retrievers' accuracies, by McNemar's test or Student's."""
    null = [difference(seed, NOISE) for seed in range(studies)]
    planted = [difference(seed, LESS) for seed in range(studies, 2 * studies)]
    truth = float(np.mean([row["effect"] for row in (difference(s, LESS) for s in range(5000, 5000 + studies))]))
    return Proof(
        instrument="Probe: accuracy changed between two retrievers",
        control="Two retrievers with equal noise",
        reads=f"The mean change is {short(float(np.mean([row['effect'] for row in null])))}; with less noise after "
        f"fine-tuning it is {short(truth)}",
        failed=abs(float(np.mean([row["effect"] for row in null]))) < 0.01 < truth,
        false=rate(row["p_corrected"] < 0.05 for row in null),
        power=rate(row["p_corrected"] < 0.05 for row in planted),
        planted=f"accuracy {truth:+.3f}, {QUERIES} queries",
        coverage=rate(row["ci_low"] <= truth <= row["ci_high"] for row in planted),
        held_against="the exact McNemar test of statsmodels",
    )


def code(studies: int) -> Proof:
    """Return the row of the online code, which compresses only what can be read."""
    nothing = [compression(unrelated(seed), seed) for seed in range(studies)]
    planted = [compression(related(seed, NOISE), seed, BOTH) for seed in range(max(1, studies // 3))]
    own, shuffled = (float(np.mean([bits[control] for bits in planted])) for control in BOTH)
    return Proof(
        instrument="Probe `mdl`: the code is shorter than the uniform code by more than 5 %",
        control="Shuffled queries",
        reads=f"The compression is {short(shuffled)}; with the true queries it is {short(own)}",
        failed=shuffled < 1.05 < own,
        false=rate(bits["none"] > 1.05 for bits in nothing),
        power=rate(bits["none"] > 1.05 for bits in planted),
        planted=f"compression {short(own)}, {QUERIES} queries",
        coverage=None,
        held_against="the probabilities of all messages sum to 1 (tests/probing/test_mdl.py)",
    )


def measured(
    side: RetrieverRepresentations, seed: int, probes: tuple[str, ...], controls: tuple[str, ...] = ("none",)
) -> ProbeResult:
    """Return these probes' accuracies with the own queries, and under other controls."""
    settings = ProbeSettings(probes=probes, passages=(N,), controls=controls)
    others = range(len(side.passage.ids) - QUERIES, len(side.passage.ids))
    return probe(side, choices(np.random.default_rng(seed), QUERIES, NEGATIVES, others), settings)


def related(seed: int, noise: float) -> RetrieverRepresentations:
    """Return a retriever that reads relevance through noise."""
    random = np.random.default_rng(seed)
    return noisy(random, random.standard_normal((QUERIES, DIM)), QUERIES, noise)


def unrelated(seed: int) -> RetrieverRepresentations:
    """Return vectors of queries and passages that know nothing of one another."""
    random = np.random.default_rng(seed)
    return retriever(*(random.standard_normal((QUERIES, 1, DIM)) for _ in range(2)))


def prior(seed: int) -> RetrieverRepresentations:
    """Return a retriever for which all gold passages share a direction; negatives are turned away from it."""
    random = np.random.default_rng(seed)
    passages = random.standard_normal((QUERIES * 2, 1, DIM))
    passages[:QUERIES, :, 0] += 2
    return retriever(random.standard_normal((QUERIES, 1, DIM)), passages)


def interval(probed: ProbeResult, name: str, control: str = "none") -> tuple[float, float]:
    """Return the interval of a probe's accuracy over queries and shared passages, as a report states it."""
    bounds = summarise(probed.scores.select(probe=name, control=control, passages=N, layer=0))
    return float(bounds["ci_low"]), float(bounds["ci_high"])


def mean(results: Sequence[ProbeResult], name: str, control: str = "none") -> float:
    """Return the mean accuracy of a probe over studies."""
    cells = [probed.scores.mean().sel(probe=name, control=control, passages=N, layer=0) for probed in results]
    return float(np.mean(cells))


def difference(seed: int, noise: float) -> dict[str, float]:
    """Return the row of two retrievers' difference; both see the same meanings."""
    random = np.random.default_rng(seed)
    meaning = random.standard_normal((QUERIES, DIM))
    candidates = choices(random, QUERIES, NEGATIVES, range(QUERIES))
    settings = ProbeSettings(probes=("dot",), passages=(N,), controls=("none",))
    before, after = (own(probe(noisy(random, meaning, QUERIES, n), candidates, settings)) for n in (NOISE, noise))
    table = compare_scores(before, after).table
    return {name: float(table[name]) for name in ("effect", "ci_low", "ci_high", "p_corrected")}


def own(probed: ProbeResult) -> Scores:
    """Return the measurement itself, one number a query."""
    return probed.scores.select(probe="dot", control="none", passages=N, layer=0)


def compression(side: RetrieverRepresentations, seed: int, controls: tuple[str, ...] = ("none",)) -> dict[str, float]:
    """Return the compression with the own queries, and under other controls."""
    bits = measured(side, seed, ("mdl",), controls).mdl.mean().sel(passages=N, layer=0)
    return {control: float(np.log2(N) / bits.sel(control=control)) for control in controls}
