"""Build the probe examples of a probe: a query, one relevant passage and N-1 hard negatives.

The candidates of N = 2, 3, ... are nested: the first N of one list, the relevant passage first.
Chance is 1/N.
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
    """Return the candidates with negatives repeated up to `n`, as in the published data sets."""
    return tuple(
        replace(one, negatives=tuple(islice(cycle(one.negatives), max(n, len(one.negatives))))) for one in candidates
    )


@dataclass(frozen=True, eq=False)
class Task:
    """All probe examples of a probe as indices: query, relevant passage and hard negatives.

    Attributes:
        query_ids: the distinct queries.
        passage_ids: the distinct passages. Of several passages with equal text, the first stands for all.
        query: index into `query_ids` of each probe example.
        passages: indices into `passage_ids`: the relevant one, then the negatives, hardest
            first, then `NOBODY`.
        size: the largest N. Every probe example has at least N-1 negatives.
        texts: number of the distinct text of each query.
        dropped: number of probe examples of the source that had too few negatives.
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
        """Return the number of the distinct query text of each probe example: 0, 1 ... in order of first occurrence."""
        return np.asarray(numbered(self.texts)[self.query])

    @property
    def shared(self) -> dict[str, tuple[str, ...]]:
        """Map each query id to the passages of all its probe examples. Queries that share passages form a cluster."""
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
    """Build the probe examples among `size` passages that are possible with these candidates.

    A probe example with fewer than `size` - 1 negatives is dropped (and counted) for every N, so that all N are
    measured on the same queries.

    Args:
        texts: query id -> number of its distinct text; None if all texts are distinct.
        passage_texts: passage id -> number of its distinct text; passages of equal text count as one. None if all texts
            are distinct.
        as_given: whether a negative may be a relevant passage of its query, as in the published rows; passages of equal
            text then stay apart, too.

    Raises:
        AnalysisError: if no probe example is left, or a negative is a relevant passage of its query.
    """
    if not as_given:
        candidates = candidates if passage_texts is None else _by_text(candidates, passage_texts)
        _check_negatives(candidates)
    kept = [c for c in candidates if len(c.negatives) >= size - 1]
    if not kept:
        most = max((len(c.negatives) for c in candidates), default=0)
        raise AnalysisError(
            f"no query has the {size - 1} hard negatives that {size} candidate passages need (the longest list has "
            f"{most})",
            where="candidates",
            fix="give more hard negatives"
            + (f", or ask for at most {most + 1} candidate passages for each query (--passages)" if most else ""),
        )
    query_index = _index(c.query_id for c in kept)
    passage_index = _index(p for c in kept for p in (c.positive, *c.negatives))
    return Task(
        query_ids=tuple(query_index),
        passage_ids=tuple(passage_index),
        query=np.array([query_index[c.query_id] for c in kept]),
        passages=_lists(kept, passage_index),
        size=size,
        texts=np.array([query_index[i] if texts is None else texts[i] for i in query_index]),
        dropped=len(candidates) - len(kept),
    )


def _by_text(candidates: Sequence[Candidates], numbers: Mapping[str, int]) -> list[Candidates]:
    """Name every passage by the first one of equal text; a negative of the text of an earlier candidate is left out."""
    first: dict[int, str] = {}
    for c in candidates:
        for passage in (c.positive, *c.negatives):
            first.setdefault(numbers[passage], passage)

    def renamed(c: Candidates) -> Candidates:
        positive, *negatives = dict.fromkeys(first[numbers[p]] for p in (c.positive, *c.negatives))
        return replace(c, positive=positive, negatives=tuple(negatives))

    return [renamed(c) for c in candidates]


def _index(ids: Iterable[str]) -> dict[str, int]:
    """Map each distinct id to its index in order of first occurrence."""
    return {i: place for place, i in enumerate(dict.fromkeys(ids))}


def _lists(candidates: Sequence[Candidates], passage_index: Mapping[str, int]) -> Lists:
    """Return relevant passage and negatives of every probe example, padded to the longest list."""
    lists = np.full((len(candidates), 1 + max(len(c.negatives) for c in candidates)), NOBODY)
    for row, c in enumerate(candidates):
        lists[row, : 1 + len(c.negatives)] = [passage_index[p] for p in (c.positive, *c.negatives)]
    return lists


def _check_negatives(candidates: Sequence[Candidates]) -> None:
    """Refuse candidates in which the relevant passage is also a negative."""
    relevant: dict[str, set[str]] = {}
    for c in candidates:
        relevant.setdefault(c.query_id, set()).add(c.positive)
    wrong = [
        f"query {c.query_id!r}: {sorted(both)}" for c in candidates if (both := relevant[c.query_id] & {*c.negatives})
    ]
    if wrong:
        raise AnalysisError(
            f"relevant passages are among the negatives of their own query:{listed(wrong)}",
            where="candidates",
            fix="remove the relevant passages of a query from its negatives",
        )
