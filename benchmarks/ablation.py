"""Does holding the neurons that an attribution ranks first harm retrieval more than holding others? By ranking.

    python benchmarks/ablation.py --model MODEL --data SPEC --state DIR
    python benchmarks/ablation.py --model MODEL --data SPEC --state DIR --rankings share:intermediate+output

The passage tower's neurons are attributed by `margin` over 200 drawn queries and held at their means; retrieval is
measured over the whole collection with the queries that had no part in the attribution. A ranking is BY:PARTS; each
costs an encoding of the corpus for every fraction and set (top, other ranking, largest, bottom, random draws). STATE
keeps the attribution.
"""

import argparse
from pathlib import Path
from time import perf_counter

import torch

from retroscope.analyses.neurons.ablation.curves import ablation_curves
from retroscope.analyses.neurons.attribute import attribute
from retroscope.analyses.neurons.result import AblationCurves
from retroscope.analyses.neurons.settings import NeuronAblationSettings
from retroscope.attribution.settings import AttributionSettings
from retroscope.collection.loading import load_collection
from retroscope.encoders.loading import load_retriever

SHOWN = [
    "fraction",
    "neurons",
    "intact",
    "top",
    "largest",
    "bottom",
    "random",
    "random_lowest",
    "harm",
    "harm_low",
    "harm_high",
    "harm_over_largest",
    "p_queries",
    "p_draws",
    "p_largest",
    "p_confirmed",
]


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    retriever, collection = load_retriever(args.model), load_collection(args.data)
    start = perf_counter()
    attribution = attribute(
        retriever, collection, AttributionSettings(target="margin", limit=args.units), state=args.state
    )
    print(f"{retriever.name}: {len(attribution.scores.query_ids)} units attributed in {perf_counter() - start:,.0f} s")
    for ranking in args.rankings.split(","):
        by, parts = ranking.split(":")
        settings = NeuronAblationSettings(
            fractions=tuple(map(float, args.fractions.split(","))),
            by=by,
            parts=tuple(parts.split("+")),
            draws=args.draws,
            measures=("RR@10",),
        )
        start = perf_counter()
        show(ranking, ablation_curves(retriever, collection, attribution, settings), perf_counter() - start)


def show(ranking: str, curves: AblationCurves, seconds: float) -> None:
    """The table of one ranking."""
    over = f"{curves.recipe['queries']:,} held-out queries, {curves.recipe['passages']:,} passages"
    print(f"\n{ranking}, {over}, {seconds:,.0f} s")
    print(curves.table[SHOWN].round(4).to_string(index=False), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--units", type=int, default=200)
    parser.add_argument("--rankings", default="share:intermediate,signed:intermediate,share:intermediate+output")
    parser.add_argument("--fractions", default="0.01")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
