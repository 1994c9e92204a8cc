"""Tokenise the queries or the passages of a collection once, for repeated encoding."""

from dataclasses import dataclass

from retroscope.collection.collection import Collection
from retroscope.encoders.encode import TokenIds, tokenise
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.encoders.precision import EXACT
from retroscope.encoders.token_budgets import encoding_budget


@dataclass(frozen=True, eq=False)
class TowerTexts:
    """Tokenised queries or passages, with the encoder and the settings for encoding them.

    Attributes:
        ids: ids of the queries or passages, in the order of `rows`.
        rows: token ids of each text.
        tokens: largest number of padded tokens in a batch.
        precision: numerical precision of the forward passes (see `encoders.precision`).
        collection: name of the collection.
    """

    encoder: Encoder
    ids: tuple[str, ...]
    rows: list[TokenIds]
    tokens: int
    precision: str = EXACT
    collection: str = ""


def texts_of(retriever: Retriever, collection: Collection, tower: str, batch_tokens: int | None) -> TowerTexts:
    """Tokenise the queries or the passages of a collection.

    Args:
        tower: "query" or "passage".
        batch_tokens: largest number of padded tokens in a batch. None chooses a number that suits the device.
    """
    encoder = retriever.tower(tower)
    if tower == "query":
        ids, texts = tuple(collection.queries), [query.text for query in collection.queries.values()]
    else:
        ids = tuple(collection.passages)
        texts = [collection.passage_text(i) for i in ids]
    tokens = batch_tokens or encoding_budget(encoder.device)
    return TowerTexts(encoder, ids, tokenise(encoder, texts), tokens, collection=collection.name)
