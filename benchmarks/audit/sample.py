"""What does a sample do to the queries, and to the measures? The sampler before, and the one of today.

    python benchmarks/audit/sample.py                                      # three simulated shapes of collections
    python benchmarks/audit/sample.py --model MODEL --data beir:FOLDER     # and a real one, with a real model

Simulated: queries with lognormal numbers of relevant passages (and, for pooled collections, of judged ones that are not
relevant), drawn from a corpus; only the counts matter. Real: the intact model's measures on the whole corpus and on the
sample, of the queries that were drawn.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from retroscope.collection.collection import Collection
from retroscope.collection.loading import load_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.encoders.loading import load_retriever
from retroscope.inputs.sampled import sampled
from retroscope.inputs.whole_search import whole_search
from retroscope.representations.represent import represent
from retroscope.representations.vectors import RetrieverRepresentations, representations_in_memory
from retroscope.retrieval.retrieve import retrieve

MEASURES = ("nDCG@10", "RR@10", "R@100")
SIZE = 1000
# queries, passages, mean and sigma (of the logarithm) of the relevant, mean of the judged that are not relevant
SHAPES = {
    "NFCorpus-like": (323, 3_633, 38, 1.2, 0),
    "DBPedia-like": (400, 40_000, 38, 1.0, 71),
    "TREC-COVID-like": (50, 60_000, 493, 0.6, 800),
}


def main() -> None:
    """Simulate or measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a checkpoint; with --data")
    parser.add_argument("--pooling")
    parser.add_argument("--data", help="a collection, FORMAT:PATH")
    parser.add_argument("--sizes", type=int, nargs="+", default=[300, SIZE])
    chosen = parser.parse_args()
    print(simulated().to_string(index=False))
    if chosen.model and chosen.data:
        print()
        print(real(chosen).to_string(index=False, float_format="{:.3f}".format))


def simulated() -> pd.DataFrame:
    """Of every shape: how many queries are drawn, and how many relevant passages they have on average."""
    rows = []
    for name, shape in SHAPES.items():
        whole = collection_like(name, shape)
        for when, drawn in (("before", skipping(whole, SIZE)), ("after", sampled(whole, list(whole.queries), SIZE, 0))):
            relevant = [sum(grade > 0 for grade in whole.qrels[query].values()) for query in drawn.queries]
            rows.append(
                {
                    "collection": name,
                    "sampler": when,
                    "queries": f"{len(whole.queries)} -> {len(drawn.queries)}",
                    "passages": len(drawn.passages),
                    "relevant a query": f"{mean_relevant(whole):.0f} -> {np.mean(relevant):.0f}",
                    "judgments kept": f"{len(drawn.judgments) / sum(len(whole.qrels[q]) for q in drawn.queries):.0%}",
                }
            )
    return pd.DataFrame(rows)


def collection_like(name: str, shape: tuple[int, int, int, float, int]) -> Collection:
    """Queries whose relevant passages are as many as such a collection's; texts do not matter."""
    queries, passages, mean, sigma, other = shape
    rng = np.random.default_rng(0)
    counts = np.exp(rng.normal(np.log(mean) - sigma**2 / 2, sigma, queries)).round().clip(1, passages // 4).astype(int)
    judgments = []
    for query, count in enumerate(counts):
        judged = rng.choice(passages, count + rng.poisson(other) if other else count, replace=False)
        judgments += [Judgment(f"q{query}", f"p{p}", int(k < count)) for k, p in enumerate(judged)]
    return Collection(
        name,
        {f"p{i}": Passage(f"p{i}", "text") for i in range(passages)},
        {f"q{i}": Query(f"q{i}", "text") for i in range(queries)},
        judgments,
    )


def mean_relevant(collection: Collection) -> float:
    """Relevant passages of a query."""
    return float(np.mean([sum(grade > 0 for grade in judged.values()) for judged in collection.qrels.values()]))


def skipping(collection: Collection, passages: int, seed: int = 0) -> Collection:
    """As it was: queries whose relevant passages do not fit into half are left out; the rest is random."""
    queries = collection.judged_queries
    rng = np.random.default_rng(seed)
    kept, chosen = set[str](), set[str]()
    for at in rng.permutation(len(queries)):
        relevant = {p for p, grade in collection.qrels[queries[at]].items() if grade > 0}
        if chosen and len(chosen | relevant) > passages // 2:
            continue
        kept.add(queries[at])
        chosen |= relevant
    others = [p for p in collection.passages if p not in chosen]
    chosen |= {others[at] for at in rng.permutation(len(others))[: max(0, passages - len(chosen))]}
    return replace(
        collection,
        queries={query: collection.queries[query] for query in queries if query in kept},
        passages={p: passage for p, passage in collection.passages.items() if p in chosen},
        judgments=tuple(j for j in collection.judgments if j.query_id in kept and j.passage_id in chosen),
        candidates=(),
    )


def real(chosen: argparse.Namespace) -> pd.DataFrame:
    """An intact model on a sample of either sampler, and on the whole corpus with the same queries."""
    collection = load_collection(chosen.data)
    model = load_retriever(chosen.model, pooling=chosen.pooling)
    with TemporaryDirectory() as cache:
        vectors = represent(model, collection, Path(cache))
        whole = whole_search(collection, {"model": vectors})
        rows = []
        for size in chosen.sizes:
            draws = {
                "before": skipping(collection, size),
                "after": sampled(collection, collection.judged_queries, size, 0, whole.rankings),
            }
            rows += [row(collection, vectors, drawn, when, whole.compared) for when, drawn in draws.items()]
    return pd.DataFrame(rows)


def row(
    collection: Collection, vectors: RetrieverRepresentations, drawn: Collection, when: str, compared: object
) -> Mapping[str, object]:
    """One sample: its measures, and the whole corpus's."""
    scores = retrieve(of(vectors, drawn), drawn, MEASURES).scores.values
    said: Sequence[Mapping[str, float]] = compared("model", scores)  # type: ignore[operator]
    by_name = {r["measure"]: f"{r['sample']:.3f} (whole {r['whole']:.3f})" for r in said}
    return {"sampler": when, "passages": len(drawn.passages), "queries": len(drawn.queries), **by_name}


def of(vectors: RetrieverRepresentations, drawn: Collection) -> RetrieverRepresentations:
    """The vectors of the texts that were drawn."""
    towers = [
        representations_in_memory(ids, tower.final()[tower.rows(ids)][:, None])
        for tower, ids in ((vectors.query, list(drawn.queries)), (vectors.passage, list(drawn.passages)))
    ]
    return RetrieverRepresentations(vectors.name, *towers, vectors.similarity, {})


if __name__ == "__main__":
    main()
