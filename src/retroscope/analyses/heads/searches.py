"""Search with attention heads fixed: each top head alone, all top heads, and random heads of the same layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from retroscope.analyses.context import Context
from retroscope.analyses.heads.halves import without_run, without_shared
from retroscope.analyses.heads.settings import HeadSettings
from retroscope.attribution.heads.cells import cell_origin, head_cells
from retroscope.attribution.heads.choice import Head, random_sets
from retroscope.attribution.heads.sites import HeadValues, find_heads, fixed_heads
from retroscope.collection.collection import Collection
from retroscope.encoders.encode import final_vectors
from retroscope.encoders.encoder import Retriever
from retroscope.inputs.sampled import ENOUGH, is_sampled, sampled
from retroscope.inputs.texts import TowerTexts, texts_of
from retroscope.inputs.whole_search import WholeSearch, few_queries, sample_words
from retroscope.representations.vectors import Representations, RetrieverRepresentations, representations_in_memory
from retroscope.retrieval.measures import depth_caveats
from retroscope.retrieval.retrieve import retrieve
from retroscope.scores import QUERY, Scores

INTACT, TOP_SET, RANDOM_SET = "intact", "top", "random"  # names of sets; a set of one head has the name of this head


@dataclass(frozen=True, eq=False)
class HeadSearches:
    """Searches of a collection with attention heads fixed at their mean outputs.

    Attributes:
        searched: the collection, or a sample, without two kinds of queries: those that chose the top heads, and those
            that share a text or a relevant passage with them.
        whole: rankings of the whole corpus by the intact models, or None if the whole corpus is searched.
        rows: how the sample changes the measures of each intact model. `measured` appends to this list.
        run: queries that are searched although one of their relevant passages was the negative of a query that chose
            the top heads.
    """

    context: Context
    settings: HeadSettings
    searched: Collection
    whole: WholeSearch | None
    rows: list[Any]
    run: frozenset[str] = frozenset()

    @property
    def measures(self) -> tuple[str, ...]:
        """Return the names of the retrieval measures, the headline measure first."""
        return self.settings.measures or self.context.settings.measures

    def measured(self, retriever: Retriever, means: Mapping[str, HeadValues], top: Sequence[Head]) -> Scores:
        """Search with every set of heads fixed and return the retrieval scores of every query, (query, set, measure).

        The sets are: no head, all top heads, random heads of the same layers, and each top head alone.

        Args:
            means: tower -> mean output of its heads, at which they are fixed.
        """
        heads = find_heads(retriever.tower(self.settings.towers[0])).heads
        sets: dict[str, tuple[Head, ...]] = {INTACT: (), TOP_SET: tuple(top)}
        for draw, some in enumerate(random_sets(top, heads, self.settings.draws, self.settings.seed), start=1):
            sets[f"{RANDOM_SET} {draw}"] = some
        sets |= {str(head): (head,) for head in top}
        values = self._values(retriever, means, sets)
        if self.whole is not None:
            self.rows.extend(self.whole.compared(retriever.name, values.sel(set=INTACT, drop=True)))
        recipe = {"sets": {name: [str(head) for head in some] for name, some in sets.items()}}
        relevant = self.searched.relevant
        scores = Scores("retrieval with heads fixed", values, recipe, passages=relevant)
        return scores.with_texts(self.context.collection.query_texts)

    def _values(
        self, retriever: Retriever, means: Mapping[str, HeadValues], sets: Mapping[str, tuple[Head, ...]]
    ) -> xr.DataArray:
        trial = _trial(retriever, self.searched, means, self.measures)
        made_of = [retriever.query.fingerprint, retriever.passage.fingerprint, retriever.similarity, self.measures,
                   self.searched.fingerprint, sorted(self.searched.queries),
                   {tower: values.tolist() for tower, values in means.items()}]  # fmt: skip
        origin = cell_origin((retriever.name,), self.context.collection.name, "heads")
        cells = head_cells(self.context.cache, made_of, origin)
        show = self.context.stages(retriever.name).inside("heads: retrieval")
        columns = []
        for done, (name, heads) in enumerate(sets.items(), start=1):
            cell = name if name == INTACT else "+".join(map(str, sorted(heads)))
            columns.append(cells.of(cell, partial(trial.values, heads)))
            if show:
                show(done, len(sets))
        coords = {QUERY: list(self.searched.queries), "set": list(sets), "measure": list(self.measures)}
        return xr.DataArray(np.stack(columns, axis=1), coords, tuple(coords))

    def facts(self) -> dict[str, Any]:
        """Return the size of the searched sample and its caveats, as JSON-like values."""
        queries, passages = len(self.searched.queries), len(self.searched.passages)
        notes = [
            f"{queries:,} queries were searched in {passages:,} passages with heads fixed",
            *few_queries(self.searched),
        ]
        if run := len(self.run & {*self.searched.queries}):
            notes.append(
                f"{run} of the searched queries have a relevant passage that was the negative of a query that chose "
                f"the top heads; without them, fewer than {ENOUGH} queries would remain"
            )
        notes += depth_caveats(self.measures, passages, "corpus" if self.whole is None else "sample")
        notes += sample_words(self.rows) if self.rows else []
        return {"searched_queries": queries, "searched_passages": passages, "notes": notes, "rows": self.rows}


def head_searches(
    context: Context, settings: HeadSettings, choosing: Sequence[str], negatives: Sequence[str]
) -> HeadSearches:
    """Prepare the searches of the collection, or of a sample, without the queries that chose the top heads.

    Args:
        choosing: queries that chose the top heads. They are not searched, nor are queries that share a text or a
            relevant passage with them.
        negatives: passages that were the negatives of the choosing queries. Queries with such a relevant passage are
            not searched either, if at least `ENOUGH` other queries remain.
    """
    collection = context.collection
    measures = settings.measures or context.settings.measures
    left = without_shared(collection, collection.judged_queries, choosing)
    apart = without_run(collection, left, negatives)
    run = frozenset(left) - {*apart} if len(apart) < ENOUGH else frozenset()
    left = left if run else apart
    whole = context.whole_search(measures) if is_sampled(collection, settings.passages) else None
    searched = sampled(collection, left, settings.passages, settings.seed, whole.rankings if whole else ())
    return HeadSearches(context, settings, searched, whole, [], run)


@dataclass(frozen=True, eq=False)
class _Trial:
    """The tokenised texts of one retriever for searches with heads fixed."""

    retriever: Retriever
    collection: Collection
    texts: Mapping[str, TowerTexts]
    means: Mapping[str, HeadValues]
    measures: tuple[str, ...]

    def values(self, heads: Sequence[Head]) -> np.ndarray:
        """Search with these heads fixed and return the retrieval scores of every query, (query, measure)."""
        vectors = {tower: self._vectors(tower, heads) for tower in self.texts}
        representations = RetrieverRepresentations(
            self.retriever.name, vectors["query"], vectors["passage"], self.retriever.similarity, {}
        )
        values_by_query = retrieve(representations, self.collection, self.measures).scores.values
        return np.asarray(values_by_query.sel({QUERY: list(self.collection.queries)}).values)

    def _vectors(self, tower: str, heads: Sequence[Head]) -> Representations:
        texts = self.texts[tower]
        if heads and tower in self.means:
            with fixed_heads(texts.encoder, heads, self.means[tower]):
                final = final_vectors(texts.encoder, texts.rows, texts.tokens)
        else:
            final = final_vectors(texts.encoder, texts.rows, texts.tokens)
        return representations_in_memory(texts.ids, final.float()[:, None].numpy())


def _trial(
    retriever: Retriever, collection: Collection, means: Mapping[str, HeadValues], measures: tuple[str, ...]
) -> _Trial:
    texts = {tower: texts_of(retriever, collection, tower, None) for tower in ("query", "passage")}
    return _Trial(retriever, collection, texts, means, measures)
