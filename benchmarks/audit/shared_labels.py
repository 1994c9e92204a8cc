"""False alarms of the control with hash labels where queries share their hard negatives, by what counts as a query.

    python benchmarks/audit/shared_labels.py [--studies 400]

A study has five seeds, and in each n test examples with N candidates: one passage of its own, some hard negatives that
all examples share, and others of its own. Its predictions are fixed: the first shared negative, or the example's own
passage. The labels are hashes, new in each study, so the accuracy is 1/N on average. A false alarm is an exact binomial
interval (.95) without 1/N, if all examples count as independent, and if they count by
`probing.controls.independent_examples`.
"""

import argparse

import numpy as np
from scipy.stats import beta

from retroscope.probing.controls import hash_labels, independent_examples
from retroscope.probing.splits import Choices

SEEDS, LEVEL = 5, 0.95
CASES = ((12, 4, 5), (60, 4, 5), (12, 1, 2), (60, 2, 3), (60, 2, 5), (60, 0, 5))  # examples a seed, shared, N


def main() -> None:
    """Print a line for each case and prediction."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=400)
    args = parser.parse_args()
    print("examples a seed, shared negatives, N, prediction: false alarms of all examples, by their worth; mean worth")
    for n, shared, size in CASES:
        for name, predicted in (("shared", 1), ("own", 0)):
            alarms, worth = false_alarms(n, shared, size, predicted, args.studies)
            print(f"{n:3} {shared} {size} {name:7} {alarms[0]:.3f} {alarms[1]:.3f} {worth:7.1f}")


def false_alarms(n: int, shared: int, size: int, predicted: int, studies: int) -> tuple[np.ndarray, float]:
    """Return the shares of studies with a false alarm by both counts, and the mean worth of the examples."""
    examples = Choices(np.arange(n), _candidates(n, shared, size))
    alarms, worths = np.zeros(2), []
    for study in range(studies):
        seeds = range(study * SEEDS, (study + 1) * SEEDS)
        right = np.concatenate([hash_labels(examples, (size,), seed)[0] == predicted for seed in seeds])
        worth = independent_examples(dict.fromkeys(seeds, examples), (size,))[size]
        alarms += [not covers(right.mean(), count, 1 / size) for count in (len(right), min(len(right), worth))]
        worths.append(worth)
    return alarms / studies, float(np.mean(worths))


def _candidates(n: int, shared: int, size: int) -> np.ndarray:
    passages = 100 + np.arange(n * size).reshape(n, size)
    passages[:, 1 : 1 + shared] = np.arange(shared)
    return passages


def covers(share: float, n: float, truth: float) -> bool:
    """Return whether the interval of Clopper and Pearson (1934) holds the true share."""
    tail, right = (1 - LEVEL) / 2, share * n
    low = 0.0 if right <= 0 else beta.ppf(tail, right, n - right + 1)
    high = 1.0 if right >= n else beta.ppf(1 - tail, right + 1, n - right)
    return bool(low <= truth <= high)


if __name__ == "__main__":
    main()
