"""Build probe examples: each has a query, one relevant passage and N-1 hard negatives as candidates.

The candidates for each N are the first N of one list, which begins with the relevant passage. Chance is 1/N.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice

import numpy as np
from jaxtyping import Int

from retroscope.collection.records import Candidates
from retroscope.errors import AnalysisError, listed
from retroscope.statistics.resampling.clusters import numbered

NOBODY = -1  # pads the list of a choice that has fewer negatives than others
ChoiceRows = Int[np.ndarray, "choice"]
Lists = Int[np.ndarray, "choice place"]


def repeated(candidates: Iterable[Candidates], n: int) -> tuple[Candidates, ...]:
    """Return the candidates with at least `n` negatives each: shorter lists are repeated, as in the published data."""
    return tuple(replace(c, negatives=tuple(islice(cycle(c.negatives), max(n, len(c.negatives))))) for c in candidates)


@dataclass(frozen=True, eq=False)
class Task:
    """All probe examples of a collection, as indices of queries and passages.

    Attributes:
        query_ids: ids of the distinct queries.
        passage_ids: ids of the distinct passages. The first of several passages with the same text represents all.
        query: index in `query_ids` of each probe example's query.
        passages: indices in `passage_ids`: the relevant passage, then the negatives, hardest first. `NOBODY` fills
            shorter lists.
        size: the largest N. Every probe example has at least this number of candidates.
        texts: index of the distinct text of each query.
        dropped: number of probe examples that are left out, because they have too few negatives.
    """

    query_ids: tuple[str, ...]
    passage_ids: tuple[str, ...]
    query: ChoiceRows
    passages: Lists
    size: int
    texts: Int[np.ndarray, "query"]
    dropped: int = 0

    @property
    def text(self) -> ChoiceRows:
        """Return the index of each probe example's query text: 0, 1 ... in order of the texts' first occurrence."""
        return np.asarray(numbered(self.texts)[self.query])

    @property
    def shared(self) -> dict[str, tuple[str, ...]]:
        """Map each query id to the ids of all its candidates. Queries that share candidates are not independent."""
        shared: dict[str, dict[str, None]] = {}
        for query, row in zip(self.query.tolist(), self.passages[:, : self.size].tolist(), strict=True):
            names = (self.passage_ids[p] for p in row if p != NOBODY)
            shared.setdefault(self.query_ids[query], {}).update(dict.fromkeys(names))
        return {query: tuple(passages) for query, passages in shared.items()}


def build_task(
    candidates: Sequence[Candidates],
    size: int,
    texts: Mapping[str, int] | None = None,
    *,
    passage_texts: Mapping[str, int] | None = None,
    as_given: bool = False,
) -> Task:
    """Build all probe examples with at least `size` candidates.

    A probe example with fewer than `size` - 1 negatives is left out (and counted) for every N, so that all N are
    measured on the same queries.

    Args:
        candidates: the relevant passage and the negatives of each probe example.
        size: the largest N.
        texts: query id -> index of its distinct text; None if all texts are distinct.
        passage_texts: passage id -> index of its distinct text; passages with the same text count as one. None if all
            texts are distinct.
        as_given: use the candidates unchanged, as in the published rows: a negative may be a relevant passage of its
            query, and passages with the same text are not merged.

    Raises:
        AnalysisError: if no probe example is left, or a negative is a relevant passage of its query.
    """
    if not as_given:
        candidates = candidates if passage_texts is None else _by_text(candidates, passage_texts)
        _check_negatives(candidates)
    complete = [c for c in candidates if len(c.negatives) >= size - 1]
    if not complete:
        most = max((len(c.negatives) for c in candidates), default=0)
        raise AnalysisError(
            f"no query has the {size - 1} hard negatives that {size} candidate passages need (the longest list has "
            f"{most})",
            where="candidates",
            fix="give more hard negatives"
            + (f", or ask for at most {most + 1} candidate passages for each query (--passages)" if most else ""),
        )
    query_index = _index(c.query_id for c in complete)
    passage_index = _index(p for c in complete for p in (c.positive, *c.negatives))
    return Task(
        query_ids=tuple(query_index),
        passage_ids=tuple(passage_index),
        query=np.array([query_index[c.query_id] for c in complete]),
        passages=_lists(complete, passage_index),
        size=size,
        texts=np.array([query_index[i] if texts is None else texts[i] for i in query_index]),
        dropped=len(candidates) - len(complete),
    )


def _by_text(candidates: Sequence[Candidates], numbers: Mapping[str, int]) -> list[Candidates]:
    """Replace every passage by the first one with the same text, and leave out negatives that repeat a candidate."""
    first: dict[int, str] = {}
    for c in candidates:
        for passage in (c.positive, *c.negatives):
            first.setdefault(numbers[passage], passage)

    def renamed(c: Candidates) -> Candidates:
        positive, *negatives = dict.fromkeys(first[numbers[p]] for p in (c.positive, *c.negatives))
        return replace(c, positive=positive, negatives=tuple(negatives))

    return [renamed(c) for c in candidates]


def _index(ids: Iterable[str]) -> dict[str, int]:
    return {i: place for place, i in enumerate(dict.fromkeys(ids))}


def _lists(candidates: Sequence[Candidates], passage_index: Mapping[str, int]) -> Lists:
    """Return the indices of the relevant passage and the negatives of every probe example, padded with `NOBODY`."""
    lists = np.full((len(candidates), 1 + max(len(c.negatives) for c in candidates)), NOBODY)
    for row, c in enumerate(candidates):
        lists[row, : 1 + len(c.negatives)] = [passage_index[p] for p in (c.positive, *c.negatives)]
    return lists


def _check_negatives(candidates: Sequence[Candidates]) -> None:
    """Refuse candidates in which a relevant passage of the query is also a negative.

    Raises:
        AnalysisError: with these passages.
    """
    relevant: dict[str, set[str]] = {}
    for c in candidates:
        relevant.setdefault(c.query_id, set()).add(c.positive)
    wrong = [
        f"query {c.query_id!r}: {sorted(both)}" for c in candidates if (both := relevant[c.query_id] & {*c.negatives})
    ]
    if wrong:
        raise AnalysisError(
            f"relevant passages of a query are also among its negatives:{listed(wrong)}",
            where="candidates",
            fix="remove these passages from the negatives",
        )
