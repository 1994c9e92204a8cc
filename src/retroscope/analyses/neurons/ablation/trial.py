"""Ablations in sequence on the same texts: tokenised once; the tower that is not ablated is encoded once."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from retroscope.analyses.neurons.settings import AblationSettings
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
class AblationTrial:
    """The texts, encodings and search that all ablations of one retriever on one collection share.

    Attributes:
        collection: with the queries that are measured.
        texts: of each tower.
        moments: of the neurons of the towers that are ablated, over their texts.
        intact: the vectors of each tower.
        settings: of the ablation.
        counter: of the texts that were encoded.
    """

    retriever: Retriever
    collection: Collection
    texts: Mapping[str, TowerTexts]
    moments: Mapping[str, NeuronMoments]
    intact: Mapping[str, Representations]
    settings: AblationSettings
    counter: "Counter"

    @property
    def at_mean(self) -> bool:
        """Return whether neurons are fixed at their means, else at zero."""
        return self.settings.fixed_at == "mean"

    def values(self, neurons: NeuronSet | None) -> Float[np.ndarray, "query measure"]:
        """Return the measures of every query with these neurons fixed; None ablates nothing."""
        vectors = dict(self.intact)
        if neurons is not None:
            for tower, moments in self.moments.items():
                with ablated(self.texts[tower].encoder, neurons, moments if self.at_mean else None):
                    vectors[tower] = encoded(self.texts[tower], self.counter)
        made = RetrieverRepresentations(
            self.retriever.name, vectors["query"], vectors["passage"], self.retriever.similarity, {}
        )
        return np.asarray(retrieve(made, self.collection, self.settings.measures).scores.values.values)


@dataclass
class Counter:
    """Add up the texts that were encoded and report them."""

    progress: Progress | None
    total: int
    done: int = 0

    def add(self, texts: int) -> None:
        """Count so many more."""
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
    towers: tuple[str, ...],
    settings: AblationSettings,
    progress: Progress | None,
) -> AblationTrial:
    """Tokenise, encode everything intact, and measure the neurons of the towers that will be ablated."""
    texts = {tower: texts_of(retriever, collection, tower, settings.batch_tokens) for tower in BOTH}
    sizes = {tower: len(some.rows) for tower, some in texts.items()}
    counter = Counter(progress, sum(sizes.values()) + settings.ablations * sum(sizes[tower] for tower in towers))
    intact = {tower: encoded(some, counter) for tower, some in texts.items()}
    moments = {tower: _moments(texts[tower]) for tower in towers}
    return AblationTrial(retriever, collection, texts, moments, intact, settings, counter)


def _moments(texts: TowerTexts) -> NeuronMoments:
    return moments_of_rows(texts.encoder, texts.rows, texts.tokens)


def encoded(texts: TowerTexts, counter: Counter) -> Representations:
    """Return the final vectors."""
    final = final_vectors(texts.encoder, texts.rows, texts.tokens, counter.add)
    return representations_in_memory(texts.ids, final[:, None].numpy())
