"""Completeness of neuron attributions by layer: what one median hides, and what `auto` keeps at which cost.

    python benchmarks/audit/completeness.py --model FOLDER --data beir:PATH --units 16

Prints the median gap of every site by `gauss:4` (the default before) and by the default now, the number that was
reported before (one median over all sites) beside the one that is judged now, the Jaccard index of the top 1 % of the
hidden units with those of `--reference`, and processor time. Of stories260K's retriever a unit
takes 2 s with `gauss:4` and 26 s with `gauss:64`.
"""

import argparse
from dataclasses import dataclass, replace
from time import process_time

import numpy as np
import torch

from retroscope.attribution.attribute import attribute_neurons, plan_attribution
from retroscope.attribution.examples import Example, collection_examples
from retroscope.attribution.result import NeuronAttribution
from retroscope.attribution.settings import RULES, AttributionSettings
from retroscope.attribution.top_neurons.overlap import jaccard
from retroscope.attribution.top_neurons.selection import how_many
from retroscope.collection.loading import load_collection
from retroscope.collection.negatives import hard_negatives
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever

BEFORE, NOW, TOP = "gauss:4", RULES["weight_path"], 0.01


@dataclass(frozen=True)
class Timed:
    """An attribution and the processor seconds that it took."""

    made: NeuronAttribution
    seconds: float


def attributed(retriever: Retriever, units: list[Example], settings: AttributionSettings, rule: str) -> Timed:
    """Attribute the units with one rule."""
    plan = plan_attribution(
        retriever.tower(settings.scaled),
        units,
        replace(settings, quadrature=rule),
        cosine=retriever.similarity == "cosine",
    )
    start = process_time()
    return Timed(attribute_neurons(plan), process_time() - start)


def agreement(one: NeuronAttribution, other: NeuronAttribution) -> float:
    """Jaccard index of the top 1 % of the hidden units by mean share."""
    values = [made.neurons["intermediate"]["share"].values.reshape(-1) for made in (one, other)]
    return jaccard(values[0], values[1], how_many(TOP, len(values[0])))


def by_layer(made: NeuronAttribution, part: str, column: str) -> str:
    """A column of the completeness of one part, layer by layer."""
    return " ".join(f"{x:.2g}" for x in made.recipe["completeness"][part][column])


def layers_of_top(made: NeuronAttribution) -> str:
    """How many of the top 1 % each layer holds."""
    share = made.neurons["intermediate"]["share"].values
    best = np.argsort(-share.reshape(-1), kind="stable")[: how_many(TOP, share.size)]
    return " ".join(map(str, np.bincount(best // share.shape[1], minlength=len(share)).tolist()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--pooling", default="mean")
    parser.add_argument("--units", type=int, default=16)
    parser.add_argument("--tower", default="passage")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-length", type=int, default=None)
    parser.add_argument("--reference", default="gauss:64")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    retriever = load_retriever(chosen.model, pooling=chosen.pooling, similarity="cosine", max_length=chosen.max_length)
    collection = load_collection(chosen.data)
    settings = AttributionSettings(limit=chosen.units, seed=chosen.seed, tower=chosen.tower)
    units = collection_examples(retriever, collection, hard_negatives(collection, 4).candidates, settings)
    exact, before, now = (attributed(retriever, units, settings, rule) for rule in (chosen.reference, BEFORE, NOW))
    old, new = before.made.recipe, now.made.recipe
    print(f"what | {BEFORE} | {NOW}")
    print(f"one median over all sites (reported before) | {old['gap_median']:.2g} | {new['gap_median']:.2g}")
    print(f"judged now: gap | {old['gap_judged']:.2g} | {new['gap_judged']:.2g}")
    print(f"judged now: where | {old['gap_site']} | {new['gap_site']}")
    for part in before.made.parts:
        for column in ("gap", "share", "nodes"):
            values = (by_layer(made, part, column) for made in (before.made, now.made))
            print(f"{part}, {column} by layer | {' | '.join(values)}")
    print(f"top 1 % of hidden units, by layer | {layers_of_top(before.made)} | {layers_of_top(now.made)}")
    found = [agreement(made, exact.made) for made in (before.made, now.made)]
    print(f"its Jaccard index with {chosen.reference} | {found[0]:.3f} | {found[1]:.3f}")
    print(f"processor seconds ({chosen.reference}: {exact.seconds:.1f}) | {before.seconds:.1f} | {now.seconds:.1f}")


if __name__ == "__main__":
    main()
