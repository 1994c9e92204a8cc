"""Which test and which family: the published unpaired test outside of probes, and controls in a code length's family.

    python benchmarks/audit/families.py [--queries 300] [--studies 300]

Simulated reciprocal ranks of the same queries before and after (correlation .8), a gain of .03; and code lengths of
three layers that gain .15 standard deviations, with a control of as many layers beside. The old family stands here.
"""

import argparse

import numpy as np
import xarray as xr

from retroscope.scores import Scores
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.settings import ComparisonSettings

PUBLISHED = ComparisonSettings(test="unpaired_t", correction="bonferroni", resamples=100)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--studies", type=int, default=300)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    paired = PUBLISHED.paired
    retrieval = [gained(rng, args.queries) for _ in range(args.studies)]
    codes = [lengths(rng, args.queries) for _ in range(args.studies)]
    rows = {
        "retrieval under ielab-2025: power": [power(retrieval, s) for s in (PUBLISHED, paired)],
        "code length: power, any of 3 layers": [
            power(codes, ComparisonSettings(resamples=100, family_per=family), control="none")
            for family in ((), ("control",))
        ],
    }
    print(f"{'what':40}{'before':>8}{'after':>8}")
    for what, (before, after) in rows.items():
        print(f"{what:40}{before:8.3f}{after:8.3f}")


def gained(rng: np.random.Generator, n: int) -> tuple[Scores, Scores]:
    """Measures of one query set by two models."""
    shared = rng.standard_normal((n, 1))
    before, after = (0.5 + 0.3 * (0.8**0.5 * shared + 0.2**0.5 * rng.standard_normal((n, 1))) for _ in range(2))
    return scores(before, ["RR@10"], "measure"), scores(after + 0.03, ["RR@10"], "measure")


def lengths(rng: np.random.Generator, n: int) -> tuple[Scores, Scores]:
    """Code lengths of three layers that gain, and of a control that does not."""
    gain = np.array([-0.15, -0.15, -0.15, 0.0, 0.0, 0.0])
    built = []
    for side in (np.zeros((n, 6)), gain + rng.standard_normal((n, 6))):
        values = side.reshape(n, 2, 3)
        coords = {"query": [f"q{i}" for i in range(n)], "control": ["none", "shuffled_queries"], "layer": [0, 1, 2]}
        built.append(Scores("mdl", xr.DataArray(values, coords, tuple(coords))))
    return built[0], built[1]


def scores(values: np.ndarray, labels: list[str], dim: str) -> Scores:
    """One number a query and label."""
    coords = {"query": [f"q{i}" for i in range(len(values))], dim: labels}
    return Scores("made", xr.DataArray(values, coords, ("query", dim)))


def power(studies: list[tuple[Scores, Scores]], settings: ComparisonSettings, **labels: str) -> float:
    """Share of the studies in which some corrected p of these labels is below .05."""
    differences = [compare_scores(*sides, settings).table["p_corrected"].sel(labels) for sides in studies]
    return float(np.mean([bool((p < 0.05).any()) for p in differences]))


if __name__ == "__main__":
    main()
