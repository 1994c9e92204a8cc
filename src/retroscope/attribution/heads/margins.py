"""Measure margins exactly with heads fixed, by encoding queries, relevant passages and negatives again.

The margin is s(q, p+) - s(q, p-), with the same negative whatever is fixed.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from retroscope.attribution.examples import Example
from retroscope.attribution.heads.choice import Head
from retroscope.attribution.heads.sites import HeadValues, find_heads, fixed_heads, head_means
from retroscope.collection.collection import Collection as Searched
from retroscope.encoders.encode import TokenIds, final_vectors, tokenise
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.token_budgets import encoding_budget
from retroscope.errors import EncoderError

BOTH_TOWERS = ("query", "passage")


@dataclass(frozen=True, eq=False)
class MarginTexts:
    """The queries, relevant passages and negatives of margins, tokenised for one retriever.

    Attributes:
        ids: ids of the queries.
        rows: "query" -> one row for each query; "passage" -> the relevant passages, then the negatives, in the order of
            the queries.
        towers: towers whose heads are fixed.
    """

    retriever: Retriever
    ids: tuple[str, ...]
    rows: Mapping[str, Sequence[TokenIds]]
    towers: tuple[str, ...]

    @cached_property
    def means(self) -> dict[str, HeadValues]:
        """Return the mean output of every head over these texts, by tower."""
        return {
            tower: head_means(self.retriever.tower(tower), self.rows[tower], self._tokens(tower))
            for tower in self.towers
        }

    @cached_property
    def _intact(self) -> dict[str, Float[Tensor, "text out"]]:
        return {tower: self._vectors(tower) for tower in BOTH_TOWERS}

    def margins(
        self, heads: Collection[Head] = (), means: Mapping[str, HeadValues] | None = None
    ) -> Float[np.ndarray, "query"]:
        """Return the margin of every query with these heads fixed at their means.

        Args:
            means: mean outputs by tower. If None, the means over these texts.
        """
        vectors = dict(self._intact)
        if heads:
            values = means or self.means
            for tower in self.towers:
                with fixed_heads(self.retriever.tower(tower), heads, values[tower]):
                    vectors[tower] = self._vectors(tower)
        queries, passages = vectors["query"], vectors["passage"]
        relevant, negative = passages[: len(self.ids)], passages[len(self.ids) :]
        return np.asarray((queries * (relevant - negative)).double().sum(-1).numpy())

    def _vectors(self, tower: str) -> Float[Tensor, "text out"]:
        encoder = self.retriever.tower(tower)
        final = final_vectors(encoder, self.rows[tower], self._tokens(tower)).float()
        return normalize(final, dim=-1) if self.retriever.similarity == "cosine" else final

    def _tokens(self, tower: str) -> int:
        return encoding_budget(self.retriever.tower(tower).device)


def margin_texts(
    retriever: Retriever, collection: Searched, examples: Sequence[Example], towers: Sequence[str]
) -> MarginTexts:
    """Tokenise the texts of the examples' margins: query, relevant passage and negative.

    Raises:
        EncoderError: if both towers are requested and have different numbers of heads.
    """
    if len(towers) > 1:
        check_alike(retriever)
    queries = [collection.queries[one.id].text for one in examples]
    passages = [*(one.positive for one in examples), *(one.negative for one in examples)]
    rows = {
        "query": tokenise(retriever.query, queries),
        "passage": tokenise(retriever.passage, [collection.passage_text(p) for p in passages]),
    }
    return MarginTexts(retriever, tuple(one.id for one in examples), rows, tuple(towers))


def check_alike(retriever: Retriever) -> None:
    """Refuse a retriever whose towers have different numbers of heads.

    Raises:
        EncoderError: with both numbers.
    """
    query, passage = find_heads(retriever.query), find_heads(retriever.passage)
    if (len(query.paths), query.heads) != (len(passage.paths), passage.heads):
        raise EncoderError(
            f"the query tower has {len(query.paths)} blocks of {query.heads} heads, but the passage tower has "
            f"{len(passage.paths)} blocks of {passage.heads} heads",
            where=retriever.name,
            fix="choose one tower: heads.tower=query or heads.tower=passage",
        )
