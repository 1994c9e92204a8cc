"""Measure the margins of queries exactly with attention heads fixed, by encoding queries and passages again.

The margin is s(q, p+) - s(q, p-). The negative p- is the same passage, whichever heads are fixed.
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
    """Tokenised queries, relevant passages and negatives, from which one retriever's margins are measured.

    Attributes:
        ids: ids of the queries.
        rows: token ids of the texts by tower. "query" has the queries, in the order of `ids`. "passage" has their
            relevant passages, then their negatives, both in the same order.
        towers: the towers whose heads can be fixed.
    """

    retriever: Retriever
    ids: tuple[str, ...]
    rows: Mapping[str, Sequence[TokenIds]]
    towers: tuple[str, ...]

    @cached_property
    def means(self) -> dict[str, HeadValues]:
        """Return, by encoder (tower), the mean output of every attention head over these texts."""
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
        """Return the margin s(q, p+) - s(q, p-) of every query, with some attention heads fixed at their mean outputs.

        The heads are fixed in all `towers`.

        Args:
            heads: the heads to fix. Without heads, the margins are those of the intact retriever.
            means: mean outputs of every head, by tower. If None, the means over these texts are used.
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
    """Tokenise the query, the relevant passage and the negative of every example.

    Args:
        towers: the towers whose heads can be fixed.

    Raises:
        EncoderError: if `towers` names both towers, and they have different numbers of heads.
    """
    if len(towers) > 1:
        check_alike(retriever)
    queries = [collection.queries[example.id].text for example in examples]
    passages = [*(example.positive for example in examples), *(example.negative for example in examples)]
    rows = {
        "query": tokenise(retriever.query, queries),
        "passage": tokenise(retriever.passage, [collection.passage_text(p) for p in passages]),
    }
    return MarginTexts(retriever, tuple(example.id for example in examples), rows, tuple(towers))


def check_alike(retriever: Retriever) -> None:
    """Check that query and passage encoder of a retriever have equally many blocks, and equally many heads a block.

    Raises:
        EncoderError: if the numbers differ.
    """
    query, passage = find_heads(retriever.query), find_heads(retriever.passage)
    if (len(query.paths), query.heads) != (len(passage.paths), passage.heads):
        raise EncoderError(
            f"the query tower has {len(query.paths)} blocks of {query.heads} heads, but the passage tower has "
            f"{len(passage.paths)} blocks of {passage.heads} heads",
            where=retriever.name,
            fix="choose one tower: heads.tower=query or heads.tower=passage",
        )
