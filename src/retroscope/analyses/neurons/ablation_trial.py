"""One ablation after the other on the same texts: tokenised once, the tower that is left alone encoded once."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from retroscope.attribution.ablation import NeuronMoments, ablated, moments_of_rows
from retroscope.attribution.selection import NeuronSet
from retroscope.collection.collection import Collection
from retroscope.encoders.encode import final_vectors
from retroscope.encoders.encoder import Retriever
from retroscope.errors import SettingsError
from retroscope.inputs.pairing import same_weights
from retroscope.inputs.texts import TowerTexts, texts_of
from retroscope.progress import Progress
from retroscope.representations.store import Representations, RetrieverRepresentations, representations_in_memory
from retroscope.retrieval.retrieve import retrieve

BOTH = ("query", "passage")


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
    texts: Mapping[str, TowerTexts]
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


def _moments(texts: TowerTexts) -> NeuronMoments:
    return moments_of_rows(texts.encoder, texts.rows, texts.tokens)


def encoded(texts: TowerTexts, told: Counter) -> Representations:
    """The final vectors."""
    final = final_vectors(texts.encoder, texts.rows, texts.tokens, told.add)
    return representations_in_memory(texts.ids, final[:, None].numpy())
