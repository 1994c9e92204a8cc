"""Is an attribution more than a list of large neurons? The ablation's verdict with the old control and with both.

    python benchmarks/audit/ablation_null.py --model FOLDER --data SPEC [--pooling mean] [--quadrature gauss:4]

Before: the top against random neurons alone, judged at the share nearest to 1 %. After: against random neurons and
against the largest of the same layers (activation's standard deviation x norm of the output column), at every share,
corrected over them. The last rows are about held-out queries: of 120, 40 are attributed, each with a hard negative
that is the relevant passage of one of the other 80.
"""

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import torch
import xarray as xr

from retroscope.analyses.neurons.ablation.curves import ablation_curves
from retroscope.analyses.neurons.ablation.held_out import evaluated_queries
from retroscope.analyses.neurons.attribute import attribute
from retroscope.analyses.neurons.result import AblationCurves
from retroscope.analyses.neurons.settings import NeuronAblationSettings
from retroscope.attribution.result import NeuronAttribution
from retroscope.attribution.settings import AttributionSettings
from retroscope.collection.collection import make_collection
from retroscope.collection.loading import load_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.encoders.loading import load_retriever
from retroscope.scores import Scores

ALPHA = 0.05


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    retriever = load_retriever(args.model, **({"pooling": args.pooling} if args.pooling else {}))
    collection = load_collection(args.data)
    start = perf_counter()
    wanted = AttributionSettings(limit=args.units, quadrature=args.quadrature)
    attribution = attribute(retriever, collection, wanted, state=args.state)
    print(f"{retriever.name}: {attribution.examples} units attributed in {perf_counter() - start:,.0f} s", flush=True)
    settings = NeuronAblationSettings(fractions=tuple(map(float, args.fractions.split(","))), draws=args.draws,
                                measures=("RR@10",), passages=args.passages)  # fmt: skip
    start = perf_counter()
    curves = ablation_curves(retriever, collection, attribution, settings)
    _show(curves, perf_counter() - start)
    _held_out()


def _show(curves: AblationCurves, seconds: float) -> None:
    recipe, table = curves.recipe, curves.table
    print(f"\n{recipe['queries']} held-out queries, {recipe['passages']} passages, {seconds:,.0f} s")
    columns = ["fraction", "neurons", "layers", "intact", "top", recipe["beside"], "largest", "bottom", "random",
               "random_lowest", "p_queries", "p_draws", "p_largest", "p_over_random", "p_confirmed",
               "shared_with_largest"]  # fmt: skip
    print(table[columns].to_string(index=False, float_format=lambda v: f"{v:.4g}"))
    print("\nwhat | before | after")
    print(f"confirmed | {_before(table)} | {', '.join(_shares(table[table['confirmed']])) or 'at no share'}")
    for _, row in table.iterrows():
        before = f"top {row['top']:.3f}, random {row['random']:.3f}, intact {row['intact']:.3f}"
        print(f"RR@10 at {row['fraction']:.1%} | {before} | beside them the largest {row['largest']:.3f}")


def _before(table: pd.DataFrame) -> str:
    """The old rule: one share, random neurons alone; paired p Holm-corrected over the shares, the draws' p as it is."""
    row = table.loc[np.abs(np.log(table["fraction"] / 0.01)).idxmin()]
    order = table["p_queries"].rank(method="first")
    holm = (table["p_queries"] * (len(table) - order + 1)).iloc[np.argsort(order)].cummax().reindex(table.index)
    beats = holm[row.name] < ALPHA and row["harm"] > 0 and row["below_every_draw"] and row["p_draws"] <= ALPHA
    return f"{row['fraction']:.1%}: {'yes' if beats else 'no'}"


def _shares(table: pd.DataFrame) -> list[str]:
    return [f"{fraction:.1%}" for fraction in table["fraction"]]


def _held_out() -> None:
    n, attributed = 120, 40
    collection = make_collection(
        "pairs",
        [Passage(f"p{i}", f"passage {i}") for i in range(n)],
        [Query(f"q{i}", f"query {i}") for i in range(n)],
        [Judgment(f"q{i}", f"p{i}") for i in range(n)],
    )
    run = {
        "positive": [f"p{i}" for i in range(attributed)],
        "negative": [f"p{attributed + i}" for i in range(attributed)],
    }
    coords = {"query": [f"q{i}" for i in range(attributed)], **{k: ("query", v) for k, v in run.items()}}
    labels = {"statistic": ["total"], "part": ["intermediate"], "layer": [1]}
    scores = Scores("neurons", xr.DataArray(np.zeros((attributed, 1, 1, 1)), coords | labels, ("query", *labels)))
    attribution = NeuronAttribution(scores, {}, attributed, 0, {"target": "margin", "tower": "passage"})
    after = evaluated_queries(collection, attribution, held_out=True).ids
    before = [f"q{i}" for i in range(attributed, n)]  # queries and relevant passages alone were looked at
    for what, count in (
        ("held-out queries", len),
        (
            "  whose relevant passage was attributed",
            lambda ids: len({i.replace("q", "p") for i in ids} & {*run["negative"]}),
        ),
    ):
        print(f"{what} | {count(before)} | {count(after)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--pooling", default=None)
    parser.add_argument("--state", type=Path, default=None)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--quadrature", default=None, help="gauss:4 was the default when the fault was found")
    parser.add_argument("--passages", type=int, default=1000)
    parser.add_argument("--fractions", default="0.001,0.003,0.01,0.03,0.1,0.3")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
