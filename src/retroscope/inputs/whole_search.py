"""What the intact models and BM25 find in the whole corpus: it fills a sample, and says what the sample changes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from retroscope.collection.bm25 import bm25_ranking
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.inputs.sampled import ENOUGH, Ranked, is_sampled
from retroscope.progress import Progress
from retroscope.representations.extraction import ExtractionSettings
from retroscope.representations.represent import represent
from retroscope.representations.store import RetrieverRepresentations
from retroscope.retrieval.measures import depth, measure_queries
from retroscope.retrieval.search import as_run, search
from retroscope.typesetting.numbers import score

DEPTH = 100  # ranks of each query that a sample is filled from


@dataclass(frozen=True, eq=False)
class WholeSearch:
    """Every query over the whole corpus.

    Attributes:
        rankings: of every model, and of BM25.
        measured: model -> (query, measure).
    """

    rankings: tuple[Ranked, ...]
    measured: Mapping[str, xr.DataArray]

    def compared(self, model: str, sample: xr.DataArray) -> list[dict[str, Any]]:
        """Return a row a measure: its mean over the sample and over the whole corpus, of the same queries.

        Args:
            model: whose measures; one that was not searched with has no row.
            sample: (query, measure), of the intact model over the sample.
        """
        if model not in self.measured:
            return []
        whole = self.measured[model].sel(query=sample["query"].values)
        known = [str(name) for name in sample["measure"].values if name in whole["measure"].values]
        return [
            {
                "model": model,
                "measure": name,
                "sample": float(sample.sel(measure=name).mean()),
                "whole": float(whole.sel(measure=name).mean()),
                "queries": int(sample.sizes["query"]),
            }
            for name in known
        ]


def whole_search(
    collection: Collection, vectors: Mapping[str, RetrieverRepresentations], measures: Iterable[str]
) -> WholeSearch:
    """Search the whole corpus with every model and with BM25.

    Args:
        vectors: model -> both towers' vectors of the collection.
        measures: ir-measures names.
    """
    names = list(dict.fromkeys(measures))
    queries = collection.judged_queries
    k = max(DEPTH, depth(names)) if names else DEPTH
    rankings, measured = [], {}
    for model, found in vectors.items():
        spare = 1 if collection.ignore_identical_ids else 0
        asked = found.query.final()[found.query.rows(queries)]
        ranking = search(asked, found.passage, k + spare, similarity=found.similarity)
        run = as_run(ranking, queries, found.passage.ids, skip_identical=collection.ignore_identical_ids, k=k)
        rankings.append({query: [passage for passage, _ in hits[:DEPTH]] for query, hits in run.items()})
        measured[model] = measure_queries(run, {query: collection.qrels[query] for query in queries}, names)
    words = bm25_ranking(collection)
    return WholeSearch((*rankings, {query: words(query, DEPTH) for query in queries}), measured)


def whole_search_of(
    retrievers: Iterable[Retriever],
    collection: Collection,
    passages: int,
    measures: Iterable[str],
    *,
    cache: Path,
    extraction: ExtractionSettings | None = None,
    progress: Progress | None = None,
) -> WholeSearch | None:
    """Encode the whole corpus with these models (from the cache where it was done) and search it.

    Return None where the corpus is no larger than `passages`, so that no sample is drawn.
    """
    if not is_sampled(collection, passages):
        return None
    vectors = {
        retriever.name: represent(
            retriever, collection, cache, extraction, partial(_told, progress, retriever.name) if progress else None
        )
        for retriever in retrievers
    }
    return whole_search(collection, vectors, measures)


def _told(progress: Progress, model: str, tower: str, done: int, total: int) -> None:
    progress(f"{model}: encoding {tower} texts, to draw a sample", done, total)


def sample_words(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what a sample does to the measures of each intact model."""
    by_model: dict[str, list[str]] = {}
    for row in rows:
        change = f"{row['measure']} {score(row['sample'])} (whole corpus {score(row['whole'])})"
        by_model.setdefault(row["model"], []).append(change)
    return [
        f"on the sample, {model} reaches {', '.join(said)}, with the same queries" for model, said in by_model.items()
    ]


def few_queries(queries: int) -> list[str]:
    """Warn where there are too few queries to test much."""
    if queries >= ENOUGH:
        return []
    return [f"only {queries} queries are measured: with fewer than {ENOUGH}, most effects remain undecided"]
