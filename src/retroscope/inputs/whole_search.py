"""Search the whole corpus with the unmodified models and BM25, to fill samples and to measure their effect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import xarray as xr

from retroscope.collection.bm25 import bm25_ranking
from retroscope.collection.collection import Collection
from retroscope.collection.records import Run, folded
from retroscope.inputs.sampled import ENOUGH, Ranked, SampleRow
from retroscope.numbers import score
from retroscope.representations.vectors import RetrieverRepresentations
from retroscope.retrieval.measures import depth, measure_queries
from retroscope.retrieval.search import as_run, search

DEPTH = 100  # ranks of each query that a sample is filled from


@dataclass(frozen=True, eq=False)
class WholeSearch:
    """Rankings and scores of every judged query over the whole corpus, by every unmodified model and BM25.

    Attributes:
        rankings: the best `DEPTH` passages of each query, by every model and by BM25.
        runs: model -> query id -> (passage id, score), best first, to the requested depth.
        qrels: query id -> judged passage -> grade.
        depth: number of passages that `runs` hold for each query.
    """

    rankings: tuple[Ranked, ...]
    runs: Mapping[str, Run]
    qrels: Mapping[str, dict[str, int]]
    depth: int = DEPTH

    def compared(self, model: str, sample: xr.DataArray) -> list[SampleRow]:
        """Compare each measure's mean on a sample with that on the whole corpus, over the same queries.

        Args:
            model: the model whose measures are compared. There is no row for a model that was not searched with.
            sample: scores of the intact model on the sample, (query, measure).

        Raises:
            ValueError: for a measure that needs deeper rankings than those that were kept.
        """
        if model not in self.runs:
            return []
        names = [str(name) for name in sample["measure"].values]
        if depth(names) > self.depth:
            raise ValueError(
                f"the stored rankings have {self.depth} passages for each query, but {names} need {depth(names)}"
            )
        queries = [str(query) for query in sample["query"].values]
        whole = measure_queries(self.runs[model], {query: self.qrels[query] for query in queries}, names)
        return [
            {
                "model": model,
                "measure": name,
                "sample": float(sample.sel(measure=name).mean()),
                "whole": float(whole.sel(measure=name).mean()),
                "queries": int(sample.sizes["query"]),
            }
            for name in names
        ]


def whole_search(
    collection: Collection, vectors: Mapping[str, RetrieverRepresentations], deepest: int = DEPTH
) -> WholeSearch:
    """Search the whole corpus with every model and with BM25.

    Args:
        vectors: model -> both towers' vectors of the collection.
        deepest: number of passages of a ranking that the measures read (`retrieval.measures.depth`); at least `DEPTH`
            are kept.
    """
    queries = collection.judged_queries
    k = max(DEPTH, deepest)
    rankings: list[Ranked] = []
    runs: dict[str, Run] = {}
    for model, one in vectors.items():
        spare = 1 if collection.ignore_identical_ids else 0
        asked = one.query.final()[one.query.rows(queries)]
        ranking = search(asked, one.passage, k + spare, similarity=one.similarity)
        runs[model] = as_run(ranking, queries, one.passage.ids, skip_identical=collection.ignore_identical_ids, k=k)
        rankings.append({query: [passage for passage, _ in hits[:DEPTH]] for query, hits in runs[model].items()})
    words = bm25_ranking(collection)
    qrels = {query: collection.qrels[query] for query in queries}
    return WholeSearch((*rankings, {query: words(query, DEPTH) for query in queries}), runs, qrels, k)


def sample_words(rows: Sequence[SampleRow]) -> list[str]:
    """State the measures of each unmodified model on the sample and on the whole corpus."""
    by_model: dict[str, list[str]] = {}
    for row in rows:
        values = f"{row['measure']} {score(row['sample'])} on the sample and {score(row['whole'])} on the whole corpus"
        by_model.setdefault(row["model"], []).append(values)
    return [f"with the same queries, {model} reaches {'; '.join(values)}" for model, values in by_model.items()]


def few_queries(*searched: Collection) -> list[str]:
    """Return a warning if there are too few queries for tests; none otherwise.

    Queries of equal text count once, because they are one observation.

    Args:
        searched: collections whose queries are measured together.
    """
    queries = len({folded(one.queries[query].text) for one in searched for query in one.judged_queries})
    if queries >= ENOUGH:
        return []
    return [f"only {queries} distinct queries are measured: with fewer than {ENOUGH}, most effects remain undecided"]
