"""Compute the frozen vectors of a model under several poolings in one additional pass over the texts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from retroscope.encoders.checks.selftest import SENTENCES
from retroscope.encoders.encode import tokenise
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.encoders.pooling import JOIN
from retroscope.representations.vectors import Representations, RetrieverRepresentations, Vectors

SOURCE = "baselines"
CAUSAL_CLS = "the first token of a causal model sees no other token"
NO_CLS = "this tokenizer begins texts with no special token of its own"
BOTH_WAYS = "the last token of a bidirectional model is a separator, which was not trained to represent the text"


def applicable(retriever: Retriever, poolings: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the poolings that suit this model, without its own, and for each unsuitable pooling the reason."""
    encoder = retriever.passage
    reasons: dict[str, str] = {}
    if encoder.anatomy.causal:
        reasons["cls"] = CAUSAL_CLS
    elif len({row[0] for row in tokenise(encoder, SENTENCES)}) > 1:
        reasons["cls"] = NO_CLS
    if not encoder.anatomy.causal:
        reasons["last_token"] = BOTH_WAYS
    others = [name for name in poolings if name != encoder.recipe.pooling]
    return tuple(n for n in others if n not in reasons), {n: reasons[n] for n in others if n in reasons}


def repooled(retriever: Retriever, poolings: Sequence[str]) -> Retriever:
    """Return the retriever without its head, with a pooling that concatenates the vectors of all these poolings.

    So one forward pass gives the vectors of every pooling.
    """

    def tower(encoder: Encoder) -> Encoder:
        recipe = encoder.recipe.but(
            SOURCE, pooling=JOIN.join(poolings), head=(), normalize_layers=False, truncate_dim=None
        )
        return replace(encoder, recipe=recipe, head=nn.Identity())

    query = tower(retriever.query)
    return replace(retriever, query=query, passage=query if _shared(retriever) else tower(retriever.passage))


def _shared(retriever: Retriever) -> bool:
    return retriever.query is retriever.passage


@dataclass(frozen=True, eq=False)
class Views:
    """The vectors of one model by pooling and layer.

    Attributes:
        own: vectors under the recipe's pooling. The vectors of the last layer include the head: the model searches with
            them.
        pooling: name of the recipe's pooling.
        others: vectors under the poolings `names`, concatenated to one vector for each text and layer, or None if there
            is only the recipe's pooling.
        names: names of the other poolings, in the order in which their vectors are concatenated.
    """

    own: RetrieverRepresentations
    pooling: str
    others: RetrieverRepresentations | None = None
    names: tuple[str, ...] = ()

    @property
    def poolings(self) -> tuple[str, ...]:
        """Return the names of all poolings, the model's own pooling first."""
        return (self.pooling, *self.names)

    def of(self, pooling: str, layer: int, queries: Sequence[str]) -> tuple[Vectors, Vectors]:
        """Return the vectors of these queries and of all passages, under one pooling at one layer."""
        side = self.own if pooling == self.pooling else self.others
        if side is None:
            raise KeyError(pooling)
        return self._read(side.query, pooling, layer)[side.query.rows(queries)], self._read(
            side.passage, pooling, layer
        )

    def _read(self, tower: Representations, pooling: str, layer: int) -> Vectors:
        if pooling == self.pooling:
            return tower.final() if layer == tower.n_layers - 1 else tower.layer(layer)
        vectors = tower.layer(layer)
        width = vectors.shape[1] // len(self.names)
        at = self.names.index(pooling) * width
        return np.ascontiguousarray(vectors[:, at : at + width])
