"""Run ablations on the same texts: they are tokenised once, and an encoder (tower) that is not ablated runs once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from retroscope.analyses.neurons.settings import NeuronAblationSettings
from retroscope.attribution.ablation import NeuronMoments, ablated, moments_of_rows
from retroscope.attribution.top_neurons.selection import NeuronSet
from retroscope.collection.collection import Collection
from retroscope.collection.records import folded
from retroscope.encoders.encode import final_vectors
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.precision import EXACT
from retroscope.errors import SettingsError
from retroscope.inputs.pairing import same_weights
from retroscope.inputs.texts import TowerTexts, texts_of
from retroscope.progress import Progress
from retroscope.representations.vectors import Representations, RetrieverRepresentations, representations_in_memory
from retroscope.retrieval.retrieve import retrieve

BOTH = ("query", "passage")


@dataclass(frozen=True, eq=False)
class AblationTrial:
    """The texts, encodings and search that all ablations of one retriever on one collection share.

    Attributes:
        collection: the searched passages, with the queries that are measured.
        texts: tower -> its tokenised texts.
        moments: ablated tower -> mean and spread of its neurons over texts of this tower.
        intact: tower -> final vectors of its texts by the intact model.
        settings: settings of the ablation.
        counter: counts the texts that were encoded.
    """

    retriever: Retriever
    collection: Collection
    texts: Mapping[str, TowerTexts]
    moments: Mapping[str, NeuronMoments]
    intact: Mapping[str, Representations]
    settings: NeuronAblationSettings
    counter: "Counter"

    @property
    def at_mean(self) -> bool:
        """Return whether neurons are fixed at their means. Otherwise they are fixed at zero."""
        return self.settings.fixed_at == "mean"

    def values(self, neurons: NeuronSet | None, precision: str | None = None) -> Float[np.ndarray, "query measure"]:
        """Return the retrieval measures of every query with these neurons fixed. None fixes no neuron.

        Args:
            precision: precision of the forward passes. If None, that of the settings.
        """
        vectors = dict(self.intact)
        if neurons is not None:
            for tower, moments in self.moments.items():
                texts = self.texts[tower]
                with ablated(texts.encoder, neurons, moments if self.at_mean else None):
                    vectors[tower] = encoded(texts, self.counter, precision or self.settings.precision)
        representations = RetrieverRepresentations(
            self.retriever.name, vectors["query"], vectors["passage"], self.retriever.similarity, {}
        )
        return np.asarray(retrieve(representations, self.collection, self.settings.measures).scores.values.values)


@dataclass
class Counter:
    """Counter of the texts encoded so far, which reports progress.

    Attributes:
        group: index of the group of queries.
        total: number of texts to encode.
        done: number of texts encoded so far.
    """

    progress: Progress | None
    group: int = 0
    total: int = 0
    done: int = 0

    def add(self, texts: int) -> None:
        """Add a number of encoded texts and report progress."""
        self.done += texts
        if self.progress:
            of = f", group {self.group + 1} of queries" if self.group else ""
            self.progress(f"encoding under ablation{of}", self.done, self.total)


def check_towers(retriever: Retriever, attributed: str, towers: tuple[str, ...]) -> None:
    """Check that the encoders (towers) to ablate have the same weights as the one whose neurons were attributed.

    Raises:
        SettingsError: if the weights differ.
    """
    one = retriever.tower(attributed)
    for tower in towers:
        if not same_weights(one, retriever.tower(tower)):
            raise SettingsError(
                f"the {attributed} tower was attributed, but the {tower} tower is to be ablated and has other weights",
                where=retriever.name,
                fix=f"set neurons.ablation.tower={attributed}, or neurons.attribution.tower={tower}",
            )


@dataclass(frozen=True, eq=False)
class Trials:
    """The tokenised texts and the intact encodings of every group of queries. Each group is prepared at its first use.

    Attributes:
        pools: for each group, its queries and the passages that they search.
        towers: towers that are ablated.
        made: index of a group -> its trial, for the groups prepared so far.
    """

    retriever: Retriever
    pools: Sequence[Collection]
    towers: tuple[str, ...]
    settings: NeuronAblationSettings
    progress: Progress | None
    made: dict[int, AblationTrial] = field(default_factory=dict)

    @property
    def query_texts(self) -> list[int]:
        """Return a number for each query's text, group by group. Equal texts have equal numbers."""
        numbers: dict[str, int] = {}
        queries = [query for pool in self.pools for query in pool.queries.values()]
        return [numbers.setdefault(folded(query.text), len(numbers)) for query in queries]

    def of(self, group: int) -> AblationTrial:
        """Return the prepared texts and encodings of one group of queries.

        In all groups, neurons are fixed at their means over the first group's texts.
        """
        if group not in self.made:
            moments = self.of(0).moments if group else None
            counter = Counter(self.progress, group)
            self.made[group] = make_trial(
                self.retriever, self.pools[group], self.towers, self.settings, counter, moments=moments
            )
        return self.made[group]


def make_trial(
    retriever: Retriever,
    collection: Collection,
    towers: tuple[str, ...],
    settings: NeuronAblationSettings,
    counter: "Counter",
    *,
    moments: Mapping[str, NeuronMoments] | None = None,
) -> AblationTrial:
    """Prepare ablations: tokenise and encode the texts with the intact model, and measure its neurons' mean values.

    Args:
        moments: tower -> mean and spread of its neurons. If None, they are measured on these texts.
    """
    texts = {tower: texts_of(retriever, collection, tower, settings.batch_tokens) for tower in BOTH}
    sizes = {tower: len(some.rows) for tower, some in texts.items()}
    counter.total = sum(sizes.values()) + settings.ablations * sum(sizes[tower] for tower in towers)
    used = {tower: settings.precision if tower in towers else EXACT for tower in BOTH}
    intact = {tower: encoded(some, counter, used[tower]) for tower, some in texts.items()}
    moments = moments or {tower: _moments(texts[tower]) for tower in towers}
    return AblationTrial(retriever, collection, texts, moments, intact, settings, counter)


def _moments(texts: TowerTexts) -> NeuronMoments:
    return moments_of_rows(texts.encoder, texts.rows, texts.tokens)


def encoded(texts: TowerTexts, counter: Counter, precision: str) -> Representations:
    """Encode the queries or the passages and return their final vectors."""
    final = final_vectors(texts.encoder, texts.rows, texts.tokens, counter.add, precision).float()
    return representations_in_memory(texts.ids, final[:, None].numpy())
