"""Bias and coverage of effective dimensions, before and after the population was estimated.

    python benchmarks/audit/effective_rank.py                 # about three minutes on one core
    python benchmarks/audit/effective_rank.py --samples 20    # quicker, and coarser

Texts are drawn from populations of known spectrum; "spread" populations also differ in the length of their vectors
(log-normal, .2). Printed: the truth, the mean estimate before (the effective rank of the texts themselves) and after,
and how often the jackknife's 95 % interval holds the truth.
"""

import argparse
from collections.abc import Callable

import numpy as np

from retroscope.drift.dimensions import effective_rank
from retroscope.statistics.resampling.jackknife import jackknife

SPECTRA: dict[str, Callable[[int], np.ndarray]] = {
    "k^-2": lambda d: np.arange(1, d + 1) ** -2.0,
    "k^-1": lambda d: 1 / np.arange(1, d + 1),
    "geometric": lambda d: np.geomspace(1, 1e-3, d),
}
SIZES = (
    (64, 300, 1.0),
    (384, 1000, 0.1),
    (768, 1000, 0.1),
)  # dimensions, texts, share of the samples: large ones are slow
LENGTHS = 0.2


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200)
    chosen = parser.parse_args()
    print(f"{'population':32}{'samples':>8}{'truth':>8}{'before':>8}{'after':>8}{'covered before':>16}{'after':>7}")
    for dim, n, share in SIZES:
        for name, variances in SPECTRA.items():
            for lengths in (0.0, LENGTHS):
                samples = max(4, round(chosen.samples * share))
                label = f"{name}, {dim} x {n} texts{', spread' if lengths else ''}"
                print(f"{label:32}{samples:>8}{row(variances(dim), n, samples, lengths)}", flush=True)


def row(variances: np.ndarray, n: int, samples: int, lengths: float) -> str:
    truth = rank_of(variances)
    statistics = (of_the_texts, effective_rank)
    values: list[list[float]] = [[], []]
    hits = [0, 0]
    for seed in range(samples):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((n, len(variances))) * np.sqrt(variances)
        x *= np.exp(lengths * rng.standard_normal(n))[:, None]
        for k, statistic in enumerate(statistics):
            value, low, high = jackknife(lambda rows, s=statistic, x=x: s(x[rows]), n)
            values[k].append(value)
            hits[k] += low <= truth <= high
    means = [np.mean(v) for v in values]
    return f"{truth:8.1f}{means[0]:8.1f}{means[1]:8.1f}{hits[0] / samples:16.2f}{hits[1] / samples:7.2f}"


def of_the_texts(x: np.ndarray) -> float:
    """The formula of before: exp of the entropy of the singular values of the centred texts."""
    centred = x - x.mean(axis=0)
    return rank_of(np.maximum(np.linalg.eigvalsh(centred.T @ centred), 0))


def rank_of(variances: np.ndarray) -> float:
    s = np.sqrt(variances)
    s = s[s > 1e-7 * s.max()]
    p = s / s.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


if __name__ == "__main__":
    main()
