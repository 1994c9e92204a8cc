"""Weights that shrink to 0 against weights that shrink to the similarity, layer by layer, at N=5.

    python benchmarks/audit/anchor.py --model MODEL --data beir:FOLDER --cache FOLDER [--layers 0 6]

Prints the accuracy of the untrained similarity, of `elementwise` as it was and as it is, and the gap of each to the
similarity with its standard error over query texts. `--unscreened` keeps negatives that hold an answer. The old probe
(no anchor, the ridge of the smallest loss, its old grid) stands in this script.
"""

from dataclasses import replace

import numpy as np
from options import probing_options

from retroscope.collection.loading import load_collection
from retroscope.collection.negatives import hard_negatives
from retroscope.encoders.loading import load_retriever
from retroscope.probing.fitting.features import product_features
from retroscope.probing.grid import probe
from retroscope.probing.probes import PROBES
from retroscope.probing.probes.logit import fitted
from retroscope.probing.settings import ProbeSettings
from retroscope.probing.trial import ProbeOutcome, ProbeTrial
from retroscope.representations.represent import represent
from retroscope.statistics.resampling.clusters import Clusters, numbered
from retroscope.statistics.resampling.shared_passages import standard_error

OLD_GRID = (0.03, 0.1, 0.3, 1.0, 3.0)


def main() -> None:
    """Print the table."""
    parser = probing_options(__doc__)
    parser.add_argument("--passages", type=int, default=5)
    parser.add_argument("--unscreened", action="store_true")
    args = parser.parse_args()
    data = load_collection(args.data)
    retriever = load_retriever(args.model)
    vectors = represent(retriever, data, args.cache)
    queries = {i: replace(query, answers=()) for i, query in data.queries.items()}
    candidates = hard_negatives(replace(data, queries=queries) if args.unscreened else data, 100).candidates
    print(f"{'layer':>5}{'similarity':>12}{'before':>8}{'gap':>16}{'after':>8}{'gap':>16}")
    accuracy = {}
    for name, learned, grid in (("before", without_anchor, OLD_GRID), ("after", PROBES["elementwise"], None)):
        PROBES["elementwise"] = learned
        settings = ProbeSettings(
            probes=(retriever.similarity, "elementwise"), controls=("none",), passages=(args.passages,),
            layers=tuple(args.layers), **({} if grid is None else {"ridge": grid}),
        )  # fmt: skip
        accuracy[name] = probe(vectors, candidates, settings, texts=data.query_texts).scores.select(
            control="none", passages=args.passages
        )
    texts = accuracy["after"].texts
    for layer in args.layers:
        said = f"{layer:5}"
        for name, scores in accuracy.items():
            one, other = (scores.values.sel(layer=layer, probe=p).values for p in (retriever.similarity, "elementwise"))
            gap = (other - one)[:, None]
            error = standard_error(gap, Clusters(numbered(texts)))[0]
            said += f"{np.mean(one):12.3f}" if name == "before" else ""
            said += f"{np.mean(other):8.3f}{gap.mean():+9.3f} ({error:.3f})"
        print(said)


def without_anchor(trial: ProbeTrial) -> ProbeOutcome:
    """`elementwise` as it was: w.(q*p), shrunk to 0."""
    return fitted(trial, product_features(trial), anchored=False)


if __name__ == "__main__":
    main()
