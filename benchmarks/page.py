"""Size of a page, and time to open it in Chromium, for a study of all queries of a collection.

    python benchmarks/page.py --data beir:DIR --out DIR              # 13 layers
    python benchmarks/page.py --data beir:DIR --out DIR --layers 33

Texts are the collection's. Scores and rankings are drawn, which compress worst; the sections are those whose data grow
with queries and layers: retrieval, and retrieval by layer. Opening is timed from the navigation to the event `load`,
and to the moment at which all queries are unpacked and the first of them shown. The least of five.
"""

import argparse
import os
import shutil
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.analyses.layers.report import report as report_layers
from retroscope.analyses.layers.result import LayerEffects, LayerResult
from retroscope.analyses.retrieval.report import report as report_retrieval
from retroscope.analyses.retrieval.result import QueryRankings, RetrievalEffect, RetrievalResult
from retroscope.analyses.retrieval.stored import CHARACTERS, PASSAGES
from retroscope.analyses.section import Reading
from retroscope.collection.collection import Collection
from retroscope.collection.loading import load_collection
from retroscope.scores import Scores
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.settings import ComparisonSettings
from retroscope.study.reporting.report import Report, render
from retroscope.typesetting.subject import CollectionFacts, Model, Subject, Tower

QUICK = ComparisonSettings(resamples=200, permutations=200)
MEASURES = ("RR@10", "nDCG@10", "R@10")
DEPTH = 100
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TIMES = 5


def main() -> None:
    """Write the page and time it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="collection, e.g. beir:DIR")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--layers", type=int, default=13)
    args = parser.parse_args()
    start = perf_counter()
    page = render(report(load_collection(args.data), args.layers))
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "report.html"
    file.write_text(page, "utf-8")
    print(f"{len(page.encode()):,} bytes, made in {perf_counter() - start:.1f} s, load {os.getloadavg()[0]:.1f}")
    loaded, shown = opened(file)
    print(f"opened in {loaded:.2f} s, all queries shown after {shown:.2f} s")


def report(collection: Collection, n_layers: int) -> Report:
    """Return the report of drawn scores on the judged queries of a collection."""
    rng, ids = np.random.default_rng(0), list(collection.judged_queries)
    ranks = [rng.geometric(p, len(ids)) for p in (0.1, 0.3)]
    retrieval = compare_scores(*(_scores(ids, one[:, None]) for one in ranks), QUICK)
    by_layer = [rng.geometric(p, (len(ids), n_layers)) for p in (0.05, 0.1)]
    layers = compare_scores(*(_scores(ids, one) for one in by_layer), QUICK)
    places = [(query, layer) for query in ids for layer in range(n_layers)]
    first = pd.DataFrame(places, columns=["query", "layer"]).assign(
        before=_deep(by_layer[0]).ravel(), after=_deep(by_layer[1]).ravel()
    )
    names = tuple(map(str, range(n_layers)))
    models = {side: Model(side, "cosine", (Tower("query", {}, {}, names, ""),)) for side in ("before", "after")}
    subject = Subject("A large study", models, (CollectionFacts(collection.name, "", {}),), measures=MEASURES,
                      statistics=QUICK)  # fmt: skip
    effect = RetrievalEffect(collection.name, retrieval, rankings(collection, ids, ranks))
    reading = Reading(subject)
    sections = {
        "retrieval": report_retrieval(RetrievalResult((effect,), MEASURES[0], MEASURES[0]), reading),
        "layers": report_layers(LayerResult((LayerEffects(collection.name, layers, None, first),)), reading),
    }
    return Report(subject, sections)


def _scores(ids: list[str], ranks: np.ndarray) -> Scores:
    """Return every measure of ranks, dims (query, layer, measure); without layers where there is one."""
    inside = ranks <= 10
    values = np.stack([inside / ranks, inside / np.log2(1 + ranks), inside.astype(float)], axis=-1)
    array = xr.DataArray(values, coords={"query": ids, "layer": range(ranks.shape[1]), "measure": list(MEASURES)},
                         dims=("query", "layer", "measure"))  # fmt: skip
    return Scores("drawn", array.isel(layer=0, drop=True) if ranks.shape[1] == 1 else array)


def _deep(ranks: np.ndarray) -> np.ndarray:
    return np.where(ranks <= DEPTH, ranks, 0)


def rankings(collection: Collection, ids: list[str], ranks: list[np.ndarray]) -> QueryRankings:
    """Return passages drawn for every query and side."""
    rng, names = np.random.default_rng(1), list(collection.passages)
    hits = [
        (query, side, rank, names[number], round(0.9 - 0.02 * rank + 0.01 * rng.random(), 6), rank == ranks[k][row])
        for row, query in enumerate(ids)
        for k, side in enumerate(("before", "after"))
        for rank, number in enumerate(rng.choice(len(names), PASSAGES, replace=False), start=1)
    ]
    found = pd.DataFrame(hits, columns=["query_id", "side", "rank", "passage_id", "score", "relevant"])
    shown = list(dict.fromkeys(found["passage_id"]))
    queries = pd.DataFrame({"query_id": ids, "text": [collection.queries[q].text[:CHARACTERS] for q in ids],
                            "rank_before": _deep(ranks[0]), "rank_after": _deep(ranks[1])})  # fmt: skip
    texts = [collection.passage_text(one)[:CHARACTERS] for one in shown]
    return QueryRankings(queries, found, pd.DataFrame({"passage_id": shown, "text": texts}), DEPTH)


def opened(file: Path) -> tuple[float, float]:
    """Return the least seconds to the event `load`, and until all queries are shown."""
    from playwright.sync_api import sync_playwright

    executable = next(filter(None, map(shutil.which, BROWSERS)))
    times: list[tuple[float, float]] = []
    with sync_playwright() as driver:
        browser: Any = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for _ in range(TIMES):
            tab = browser.new_page()
            start = perf_counter()
            tab.goto(file.resolve().as_uri())
            loaded = perf_counter() - start
            tab.evaluate("queriesStarted")
            times.append((loaded, perf_counter() - start))
            tab.close()
        browser.close()
    return min(one for one, _ in times), min(two for _, two in times)


if __name__ == "__main__":
    main()
