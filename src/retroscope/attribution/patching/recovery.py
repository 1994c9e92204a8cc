"""Measure how much of a query's margin a patched activation recovers in a run on the corrupted text.

The receiver runs on the corrupted query. One component's activation at some tokens is replaced by that of a run on the
clean query ("denoising": Zhang and Nanda 2024). The donor of this activation is the receiver itself, or the other model
(cross-model activation patching: Prakash et al. 2024, arXiv 2402.14811).

With the other model as donor, its activation on the corrupted query is patched, too. This control measures the effect
of exchanging the model alone, and is subtracted from the effect of the donor's activation on the clean query. The
vectors of the passages are always the receiver's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from retroscope.attribution.patching.alignment import AlignedTexts, places, sources
from retroscope.attribution.patching.components import (
    Activations,
    Component,
    activations,
    brought,
    patched,
    random_patch,
)
from retroscope.attribution.patching.donors import OTHER_CORRUPTED, OTHER_DONORS, RANDOM_DONORS
from retroscope.encoders.batches import batches_by_length
from retroscope.encoders.encode import Batch, forward, pad
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.token_budgets import encoding_budget


@dataclass(frozen=True, eq=False)
class PatchingRun:
    """Clean and corrupted queries of one receiving model, whose margins are measured under patches.

    Attributes:
        encoder: the query tower of the receiver.
        other: the query tower of the other model, or None if there is only one model.
        texts: the clean and the corrupted text of every query, aligned.
        against: for each query, the vector of the relevant passage minus that of the negative, both by the receiver.
        cosine: whether the vectors of queries are scaled to unit length.
        components: the components that are patched, one at a time.
        seed: seed of the random patches.
    """

    encoder: Encoder
    other: Encoder | None
    texts: Sequence[AlignedTexts]
    against: Float[Tensor, "query out"]
    cosine: bool
    components: Sequence[Component]
    seed: int = 0

    def recovered(self, tokens: str, donor: str) -> Float[np.ndarray, "query component"]:
        """Return how much the margin of each corrupted query rises when one component is patched, for every component.

        A query has NaN if none of its tokens is patched.

        Args:
            tokens: the tokens that are patched, a name in `PATCHED`.
            donor: the source of the activation: a name in `donors.OWN_DONORS` or, with another model, in
                `donors.OTHER_DONORS`.
        """
        changes = np.full((len(self.texts), len(self.components)), np.nan)
        for number, some in enumerate(self._batches):
            part = [i for i in some if self.texts[i].pairs(tokens)]
            if part:
                changes[part] = self._changes(part, tokens, donor, number)
        return changes

    def total(self) -> Float[np.ndarray, "query"]:
        """Return, for every query, the margin of its clean text minus the margin of its corrupted text."""
        return np.asarray(self.margins("clean") - self.margins("corrupted"))

    def margins(self, side: str) -> Float[np.ndarray, "query"]:
        """Return the margin of every query with its "clean" or its "corrupted" text, without any patch."""
        values = np.empty(len(self.texts))
        for some in self._batches:
            values[some] = self._margins(self._padded(some, side), some)
        return values

    @cached_property
    def _batches(self) -> list[list[int]]:
        lengths = [max(len(pair.clean), len(pair.corrupted)) for pair in self.texts]
        return list(batches_by_length(lengths, encoding_budget(self.encoder.device)))

    def _padded(self, some: Sequence[int], side: str) -> Batch:
        return pad(self.encoder, [getattr(self.texts[i], side) for i in some])

    def _changes(
        self, some: Sequence[int], tokens: str, donor: str, batch: int
    ) -> Float[np.ndarray, "query component"]:
        clean, corrupted = self._padded(some, "clean"), self._padded(some, "corrupted")
        source = sources([self.texts[i] for i in some], tokens, clean, corrupted)
        giver = self.other if donor in OTHER_DONORS and self.other is not None else self.encoder
        if donor == OTHER_CORRUPTED:
            source = places(source)
        donated = activations(giver, corrupted if donor == OTHER_CORRUPTED else clean, self.components)
        start = activations(giver, corrupted, self.components) if donor in RANDOM_DONORS else None
        before = self._margins(corrupted, some)
        columns = []
        for number, component in zip(count(), self.components, strict=False):
            values = self._values(component, donated, start, source, (batch, number))
            with patched(self.encoder, component, values, source >= 0):
                columns.append(self._margins(corrupted, some) - before)
        return np.stack(columns, axis=1)

    def _values(
        self, component: Component, donated: Activations, start: Activations | None, source: Tensor, at: tuple[int, int]
    ) -> Tensor:
        values = brought(donated.of(component), source)
        if start is None:
            return values
        seed = int(np.random.SeedSequence((self.seed, *at)).generate_state(1)[0])
        return random_patch(start.of(component), values, seed)

    @torch.inference_mode()
    def _margins(self, batch: Batch, some: Sequence[int]) -> Float[np.ndarray, "query"]:
        vectors = forward(self.encoder, batch).final.float()
        vectors = normalize(vectors, dim=-1) if self.cosine else vectors
        against = self.against[list(some)].to(vectors.device)
        return np.asarray((vectors * against).double().sum(-1).cpu().numpy())
