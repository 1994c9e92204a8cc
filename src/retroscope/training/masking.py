"""Mask in-batch negatives that are judged relevant, so that they are not used as negatives.

The loss treats all other passages of a batch as not relevant to a query. This may be wrong: in a batch with the pairs
(a, p1) and (b, p2), p2 is a negative of query a, although p2 may be judged relevant to a, too. The scores of such
passages are left out of the softmax. RocketQA leaves out false negatives in the same way (Qu et al. 2021), but finds
them by a model and not by judgments.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from retroscope.collection.records import folded

SimilarityFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Relevance:
    """Which passages of the training set are relevant to the query of each row (training pair).

    Attributes:
        queries: for each row, the index of its distinct query text. No batch has two rows with the same index.
        passages: for each column (positives first, then negatives), the index of the passage text in every row. Texts
            that differ only in case, spaces and Unicode form (`folded`) have the same index.
        relevant: for each row, the indices of all passages that are relevant to its query.
        varied: indices of passages that occur in several spellings. Two spellings may be in one batch; a batch never
            has the same text twice.
    """

    queries: tuple[int, ...]
    passages: tuple[tuple[int, ...], ...]
    relevant: tuple[frozenset[int], ...]
    varied: frozenset[int] = frozenset()

    @cached_property
    def rows_with_false_negatives(self) -> int:
        """Count the training pairs (rows) for which a relevant passage could be used as a negative.

        The query of such a row has a relevant passage in a row of another query, or among its own negatives.
        """
        holders: dict[int, set[int]] = defaultdict(set)
        for column in self.passages:
            for query, passage in zip(self.queries, column, strict=True):
                holders[passage].add(query)
        negatives = list(zip(*self.passages[1:], strict=True)) or [()] * len(self.queries)
        return sum(
            bool(relevant.intersection(mine))
            or any(holders[p] - {query} for p in relevant if p != own or p in self.varied)
            for query, own, mine, relevant in zip(self.queries, self.passages[0], negatives, self.relevant, strict=True)
        )

    def mask(self, rows: Sequence[int]) -> Bool[Tensor, "query passage"]:
        """Return a mask of the passages of a batch that are relevant to a row's query but are not this row's positive.

        The passages are in the order of the loss: every row's positive, then every row's first negative, and so on.

        Args:
            rows: indices of the training pairs in the batch.
        """
        places: dict[int, list[int]] = defaultdict(list)
        for k, column in enumerate(self.passages):
            for j, row in enumerate(rows):
                places[column[row]].append(k * len(rows) + j)
        is_relevant = torch.zeros(len(rows), len(rows) * len(self.passages), dtype=torch.bool)
        for i, row in enumerate(rows):
            for passage in self.relevant[row]:
                is_relevant[i, places.get(passage, [])] = True
            is_relevant[i, i] = False
        return is_relevant


def relevance_of_rows(
    queries: Sequence[str], columns: Sequence[Sequence[str]], relevant: Mapping[str, Iterable[str]]
) -> Relevance:
    """Find, for each training pair (row), the passages of the training set that are relevant to its query.

    Queries with the same text (`folded`) have the same relevant passages.

    Args:
        queries: query text of each row.
        columns: passage texts of each column, positives first.
        relevant: query text -> texts of its relevant passages.
    """
    numbers: dict[str, int] = {}
    spelt = {text: numbers.setdefault(folded(text), len(numbers)) for column in columns for text in column}
    relevant_numbers: dict[str, set[int]] = {}
    for query, texts in relevant.items():
        relevant_numbers.setdefault(folded(query), set()).update(numbers[t] for t in map(folded, texts) if t in numbers)
    query_numbers: dict[str, int] = {}
    return Relevance(
        tuple(query_numbers.setdefault(query, len(query_numbers)) for query in queries),
        tuple(tuple(spelt[text] for text in column) for column in columns),
        tuple(frozenset(relevant_numbers.get(folded(query), ())) for query in queries),
        frozenset(number for number, count in Counter(spelt.values()).items() if count > 1),
    )


@dataclass
class MaskedSimilarity:
    """Similarity function that returns minus infinity for the passages that must not be used as negatives.

    The losses of sentence-transformers call it with the queries of a batch in their order, all at once or in
    mini-batches, and with all passages of the batch.
    """

    similarity: SimilarityFunction
    relevance: Relevance
    _mask: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.bool))
    _next: int = 0

    def begin(self, rows: Sequence[int]) -> None:
        """Set the batch whose scores are computed next.

        Args:
            rows: indices of its training pairs.
        """
        self._mask, self._next = self.relevance.mask(rows), 0

    def __call__(self, queries: Tensor, passages: Tensor) -> Float[Tensor, "query passage"]:
        """Return the scores of the batch's next queries with all its passages; minus infinity for masked passages."""
        mask = self._mask[self._next : self._next + len(queries)].to(queries.device)
        self._next += len(queries)
        return self.similarity(queries, passages).masked_fill(mask, -torch.inf)


class MaskedLoss(nn.Module):
    """A sentence-transformers loss with masked negatives. The labels of a batch are indices of training pairs."""

    def __init__(self, loss: nn.Module, similarity: MaskedSimilarity) -> None:
        super().__init__()
        self.loss = loss
        self.similarity = similarity

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Return the loss of one batch. The labels are the indices of its training pairs."""
        self.similarity.begin(labels.tolist())
        loss: Tensor = self.loss(sentence_features, labels)
        return loss
