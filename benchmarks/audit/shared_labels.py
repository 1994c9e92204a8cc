"""False alarms of the control with hash labels where queries share their hard negatives, by what counts as a query.

    python benchmarks/audit/shared_labels.py [--studies 400]
    python benchmarks/audit/shared_labels.py --data SPEC [--queries 300]

A study has five seeds, and in each n test examples with N candidates: one passage of its own, some hard negatives that
all examples share, and others of its own. Its predictions are fixed: the first shared negative, or the example's own
passage. The labels are hashes, new in each study, so the accuracy is 1/N on average. A false alarm is an exact binomial
interval (.95) without 1/N, if all examples count as independent, and if they count by
`probing.controls.independent_examples`. With --data: what the test examples of a collection are worth, by BM25
negatives and the default splits of five seeds.
"""

import argparse

import numpy as np
from scipy.stats import beta

from retroscope.collection.loading import drawn_queries, load_collection
from retroscope.collection.negatives import hard_negatives
from retroscope.probing.controls import hash_labels, independent_examples
from retroscope.probing.splits import Choices, disjoint_split
from retroscope.probing.tasks import build_task

SEEDS, LEVEL = 5, 0.95
CASES = ((12, 4, 5), (60, 4, 5), (12, 1, 2), (60, 2, 3), (60, 2, 5), (60, 0, 5))  # examples a seed, shared, N


def main() -> None:
    """Print a line for each case and prediction."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--data", help="collection, e.g. beir:DIR")
    parser.add_argument("--queries", type=int, help="number of queries to draw; by default all")
    args = parser.parse_args()
    if args.data:
        worth_of(args.data, args.queries)
        return
    print("examples a seed, shared negatives, N, prediction: false alarms of all examples, by their worth; mean worth")
    for n, shared, size in CASES:
        for name, predicted in (("shared", 1), ("own", 0)):
            alarms, worth = false_alarms(n, shared, size, predicted, args.studies)
            print(f"{n:3} {shared} {size} {name:7} {alarms[0]:.3f} {alarms[1]:.3f} {worth:7.1f}")


def worth_of(data: str, queries: int | None) -> None:
    """Print the number of test examples of a collection, and what they are worth, for N = 2 and 5."""
    collection = load_collection(data)
    collection = drawn_queries(collection, queries) if queries else collection
    task = build_task(hard_negatives(collection, 50).candidates, 5)
    tests = {seed: disjoint_split(task, seed).test for seed in range(SEEDS)}
    worth = independent_examples(tests, (2, 5))
    print(f"{sum(map(len, tests.values()))} test examples are worth {worth[2]:.0f} (N = 2) and {worth[5]:.0f} (N = 5)")


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
