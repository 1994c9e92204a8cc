"""One ablation after the other on the same texts: tokenised once, the tower that is left alone encoded once."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from retroscope.attribution.ablation import NeuronMoments, ablated, moments_of_rows
from retroscope.attribution.selection import NeuronSet
from retroscope.collection.collection import Collection
from retroscope.encoders.encode import TokenIds, final_vectors, tokenise
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.encoders.token_budgets import encoding_budget
from retroscope.errors import SettingsError
from retroscope.progress import Progress
from retroscope.representations.store import Representations, RetrieverRepresentations, representations_in_memory
from retroscope.retrieval.retrieve import retrieve

BOTH = ("query", "passage")


@dataclass(frozen=True, eq=False)
class Texts:
    """The tokenised texts of one tower and how they are encoded."""

    encoder: Encoder
    ids: tuple[str, ...]
    rows: list[TokenIds]
    tokens: int


@dataclass(frozen=True, eq=False)
class Trial:
    """What every ablation of one retriever on one collection shares.

    Attributes:
        collection: with the queries that are measured.
        measures: ir-measures names.
        texts: of each tower.
        moments: of the neurons of the towers that are ablated, over their texts.
        hold_mean: neurons are held at their means, else at zero.
        intact: the vectors of each tower.
        told: hears how many texts were encoded.
    """

    retriever: Retriever
    collection: Collection
    measures: tuple[str, ...]
    texts: Mapping[str, Texts]
    moments: Mapping[str, NeuronMoments]
    hold_mean: bool
    intact: Mapping[str, Representations]
    told: "Counter"

    def values(self, neurons: NeuronSet | None) -> Float[np.ndarray, "query measure"]:
        """The measures of every query with these neurons held; None ablates nothing."""
        vectors = dict(self.intact)
        if neurons is not None:
            for tower, moments in self.moments.items():
                with ablated(self.texts[tower].encoder, neurons, moments if self.hold_mean else None):
                    vectors[tower] = encoded(self.texts[tower], self.told)
        made = RetrieverRepresentations(
            self.retriever.name, vectors["query"], vectors["passage"], self.retriever.similarity, {}
        )
        return np.asarray(retrieve(made, self.collection, self.measures).scores.values.values)


@dataclass
class Counter:
    """Adds up the texts that were encoded and tells of them."""

    progress: Progress | None
    total: int
    done: int = 0

    def add(self, texts: int) -> None:
        """So many more."""
        self.done += texts
        if self.progress:
            self.progress("encoding under ablation", self.done, self.total)


def check_towers(retriever: Retriever, attributed: str, towers: tuple[str, ...]) -> None:
    """Refuse to ablate neurons in a tower of other weights than the one where they were found."""
    one = retriever.tower(attributed)
    for tower in towers:
        if not same_weights(one, retriever.tower(tower)):
            raise SettingsError(
                f"the neurons are those of the {attributed} tower, and the {tower} tower has other weights",
                where=retriever.name,
                fix=f"ablate tower={attributed!r}, or attribute the {tower} tower",
            )


def same_weights(one: Encoder, two: Encoder) -> bool:
    """Whether two encoders compute with equal weights, whatever their recipes."""
    if one.backbone is two.backbone:
        return True
    mine, theirs = one.backbone.state_dict(), two.backbone.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def make_trial(
    retriever: Retriever,
    collection: Collection,
    *,
    towers: tuple[str, ...],
    measures: tuple[str, ...],
    hold_mean: bool,
    batch_tokens: int | None,
    ablations: int,
    progress: Progress | None,
) -> Trial:
    """Tokenise, encode everything intact, and measure the neurons of the towers that will be ablated."""
    texts = {tower: texts_of(retriever, collection, tower, batch_tokens) for tower in BOTH}
    sizes = {tower: len(some.rows) for tower, some in texts.items()}
    told = Counter(progress, sum(sizes.values()) + ablations * sum(sizes[tower] for tower in towers))
    intact = {tower: encoded(some, told) for tower, some in texts.items()}
    moments = {tower: _moments(texts[tower]) for tower in towers}
    return Trial(retriever, collection, measures, texts, moments, hold_mean, intact, told)


def _moments(texts: Texts) -> NeuronMoments:
    return moments_of_rows(texts.encoder, texts.rows, texts.tokens)


def texts_of(retriever: Retriever, collection: Collection, tower: str, batch_tokens: int | None) -> Texts:
    """The queries or the passages of a collection, tokenised."""
    encoder = retriever.tower(tower)
    if tower == "query":
        ids, texts = tuple(collection.queries), [query.text for query in collection.queries.values()]
    else:
        ids = tuple(collection.passages)
        texts = [collection.passage_text(i) for i in ids]
    return Texts(encoder, ids, tokenise(encoder, texts), batch_tokens or encoding_budget(encoder.device))


def encoded(texts: Texts, told: Counter) -> Representations:
    """The final vectors."""
    final = final_vectors(texts.encoder, texts.rows, texts.tokens, told.add)
    return representations_in_memory(texts.ids, final[:, None].numpy())
