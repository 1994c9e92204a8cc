"""How often does an ablation in two looks claim something of nothing, and what does it save? Planted scores.

    python benchmarks/looks.py --studies 500
    python benchmarks/looks.py --studies 100 --only "harm of .10"

Every study has 231 queries in three groups, six fractions of the neurons, five random draws; the harm of a set has a
standard deviation of .03, a query's score of .3 and noise of .15. Beside it is the design in one group, which measures
everything. Of a null hypothesis, "confirmed" must be at most .05.
"""

import argparse
import gc
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from synthetic_looks import asked, planted

FRACTIONS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
QUERIES = 231
STUDIES = {
    "null: the top is one more random set, the largest harm nothing": {"top": 0.0, "largest": -0.5},
    "null: the top is the largest neurons, random ones harm nothing": {"top": 0.3, "largest": 0.3, "same": 1.0},
    "harm of .10": {"top": 0.1},
    "harm of .15": {"top": 0.15},
    "harm of .30": {"top": 0.3},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--only", default="", help="studies whose name contains this")
    args = parser.parse_args()
    gc.freeze()  # statsmodels collects garbage at every correction
    print("confirmed at any fraction; at a fraction, on average; share of all scores measured")
    for name, harms in STUDIES.items():
        for groups in (3, 1):
            if args.only in name:
                print(f"{name}, {groups} groups: {result(args.studies, groups, harms)}", flush=True)


def result(studies: int, groups: int, harms: dict[str, float]) -> str:
    """Run the studies; the same ones whatever the groups."""
    random, results = np.random.default_rng(7), []
    for _ in range(studies):
        study = planted(random, asked(*FRACTIONS, groups=groups), harms, queries=QUERIES)
        rows = study.run()
        results.append((rows["confirmed"].any(), rows["confirmed"].mean(), study.cost))
    at_all, at_each, cost = np.mean(results, axis=0)
    return f"{at_all:.3f}; {at_each:.3f}; {cost:.2f} ({studies} studies)"


if __name__ == "__main__":
    main()
