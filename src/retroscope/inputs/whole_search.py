"""Search the whole corpus with the unmodified models and BM25, to fill samples and to measure what sampling changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import xarray as xr

from retroscope.collection.bm25 import bm25_ranking
from retroscope.collection.collection import Collection
from retroscope.collection.records import Run, folded
from retroscope.inputs.sampled import ENOUGH, Ranked, SampleRow
from retroscope.number_format import score
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
        depth: number of passages that each run has for each query.
    """

    rankings: tuple[Ranked, ...]
    runs: Mapping[str, Run]
    qrels: Mapping[str, dict[str, int]]
    depth: int = DEPTH

    def compared(self, model: str, sample: xr.DataArray) -> list[SampleRow]:
        """Return each measure's mean on a sample and on the whole corpus, over the same queries.

        Args:
            model: the model whose means are returned. There are no rows if the whole corpus was not searched with it.
            sample: scores of the intact model on the sample, (query, measure).

        Raises:
            ValueError: if a measure needs more passages of each ranking than are stored.
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
    """Search the whole corpus with every model and with BM25, and return all rankings.

    Args:
        vectors: model -> its vectors of all queries and passages.
        deepest: how many passages of each ranking the measures need (`retrieval.measures.depth`). At least `DEPTH`
            passages are stored.
    """
    queries = collection.judged_queries
    k = max(DEPTH, deepest)
    rankings: list[Ranked] = []
    runs: dict[str, Run] = {}
    for model, representations in vectors.items():
        spare = 1 if collection.ignore_identical_ids else 0
        query_vectors = representations.query.final()[representations.query.rows(queries)]
        passages = representations.passage
        ranking = search(query_vectors, passages, k + spare, similarity=representations.similarity)
        runs[model] = as_run(ranking, queries, passages.ids, skip_identical=collection.ignore_identical_ids, k=k)
        rankings.append({query: [passage for passage, _ in hits[:DEPTH]] for query, hits in runs[model].items()})
    words = bm25_ranking(collection)
    qrels = {query: collection.qrels[query] for query in queries}
    return WholeSearch((*rankings, {query: words(query, DEPTH) for query in queries}), runs, qrels, k)


def sample_words(rows: Sequence[SampleRow]) -> list[str]:
    """Return one sentence for each unmodified model: its measures on the sample and on the whole corpus."""
    by_model: dict[str, list[str]] = {}
    for row in rows:
        values = f"{row['measure']} {score(row['sample'])} on the sample and {score(row['whole'])} on the whole corpus"
        by_model.setdefault(row["model"], []).append(values)
    return [f"with the same queries, {model} reaches {'; '.join(values)}" for model, values in by_model.items()]


def few_queries(*searched: Collection) -> list[str]:
    """Return a warning if there are fewer than `ENOUGH` distinct queries, which are few for significance tests.

    Queries with the same text count once, because they are one observation.

    Args:
        searched: collections whose queries are measured together.
    """
    queries = len({folded(each.queries[query].text) for each in searched for query in each.judged_queries})
    if queries >= ENOUGH:
        return []
    return [f"only {queries} distinct queries are measured: with fewer than {ENOUGH}, most effects remain undecided"]
