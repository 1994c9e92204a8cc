"""The texts of a tower, tokenised once, and the seconds that one of them takes."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from retroscope.collection.collection import Collection
from retroscope.encoders.encode import TokenIds, final_vectors, tokenise
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.encoders.token_budgets import encoding_budget

TIMED = 32  # texts of a tower that the time of all is estimated from
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class TowerTexts:
    """The tokenised texts of one tower and how they are encoded.

    Attributes:
        ids: of the texts.
        rows: token ids of each text.
        tokens: padded tokens of a batch, at most.
    """

    encoder: Encoder
    ids: tuple[str, ...]
    rows: list[TokenIds]
    tokens: int


def texts_of(retriever: Retriever, collection: Collection, tower: str, batch_tokens: int | None) -> TowerTexts:
    """Tokenise the queries or the passages of a collection.

    Args:
        tower: "query" or "passage".
        batch_tokens: padded tokens of a batch; None takes what suits the device.
    """
    encoder = retriever.tower(tower)
    if tower == "query":
        ids, texts = tuple(collection.queries), [query.text for query in collection.queries.values()]
    else:
        ids = tuple(collection.passages)
        texts = [collection.passage_text(i) for i in ids]
    return TowerTexts(encoder, ids, tokenise(encoder, texts), batch_tokens or encoding_budget(encoder.device))


def a_few(collection: Collection) -> Collection:
    """Return a few of a collection's queries and passages, from the whole length of both, without judgments."""
    queries, passages = _spread(collection.queries), _spread(collection.passages)
    return Collection(collection.name, passages, queries, (), title_separator=collection.title_separator)


def _spread(table: Mapping[str, T]) -> dict[str, T]:
    return {key: table[key] for key in islice(table, 0, None, max(1, -(-len(table) // TIMED)))}  # no other is read


def seconds_each(texts: TowerTexts) -> float:
    """Measure the seconds that encoding one of these texts takes, all of them encoded once."""
    if not texts.rows:
        return 0.0
    final_vectors(texts.encoder, texts.rows[:1], texts.tokens)  # pays for warming up
    start = time.perf_counter()
    final_vectors(texts.encoder, texts.rows, texts.tokens)
    return (time.perf_counter() - start) / len(texts.rows)
