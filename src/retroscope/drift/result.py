"""Results of comparing weights and representations, as frozen values without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from retroscope.errors import demand_columns

IDENTICAL, ROUNDED, CHANGED = "identical", "rounded", "changed"
ONLY_BEFORE, ONLY_AFTER, RESHAPED = "only before", "only after", "reshaped"
COMPARED = (IDENTICAL, ROUNDED, CHANGED)

SIMILARITY_COLUMNS = (
    "tower", "layer", "statistic", "value", "low", "high", "chance", "halves", "other_training", "random_weights",
)  # fmt: skip
GEOMETRY_COLUMNS = ("side", "tower", "layer", "statistic", "value", "low", "high")
LAYER_MAP_COLUMNS = ("tower", "layer_before", "layer_after", "cka")


@dataclass(frozen=True, eq=False)
class WeightDrift:
    """Comparison of two checkpoints, or of one tower of two models, tensor by tensor.

    Attributes:
        tensors: a row for each tensor: name, layer (0 the embeddings, k block k; L includes final norm and pooler),
            part, rows, columns, parameters, status, norm (|W|_F before), change (|D|_F), relative (change / norm),
            largest (largest |D| of a number), equal (share of its numbers that are the same). Changed matrices also
            have the fields of `drift.spectrum.Spectrum` and `drift.intruders.Intruders`.
        notes: facts that a reader must know before reading a number, in words.
        before: name of the backbone.
        after: name of the model fine-tuned from it.
        n_blocks: number of blocks of both models.
    """

    tensors: pd.DataFrame
    notes: tuple[str, ...] = ()
    before: str = ""
    after: str = ""
    n_blocks: int = 0

    @cached_property
    def groups(self) -> pd.DataFrame:
        """Return a row for each layer and part: numbers of tensors and parameters, norm, change and relative change."""
        rows = self.tensors[self.tensors["status"].isin(COMPARED)]
        squares = rows.assign(norm=rows["norm"] ** 2, change=rows["change"] ** 2, changed=rows["status"] == CHANGED)
        summed = squares.groupby(["layer", "part"], sort=False).agg(
            tensors=("name", "size"), changed=("changed", "sum"), parameters=("parameters", "sum"),
            norm=("norm", "sum"), change=("change", "sum"),
        )  # fmt: skip
        summed[["norm", "change"]] = summed[["norm", "change"]] ** 0.5
        return summed.assign(relative=summed["change"] / summed["norm"]).reset_index()


@dataclass(frozen=True, eq=False)
class RepresentationDrift:
    """Comparison of two retrievers' vectors of the same texts.

    Attributes:
        similarity: a row for each tower, layer and statistic (cka, procrustes, rsa, neighbours), with value, low, high
            and chance. `halves` is the statistic between two random halves of one model's vector dimensions (geometric
            mean of both models; a reference and no bound: two nearly equal models exceed it). `other_training` is the
            mean statistic between the model after and its other trainings: the ceiling. `random_weights` is the
            statistic between the model before and its copy with random weights. The last two are NaN if no such model
            was given.
        geometry: a row for each side, tower, layer and statistic (anisotropy, uniformity, effective_rank, alignment):
            value, low, high. Alignment is that of judged pairs, under the tower "both".
        layer_map: CKA, with a row for each tower, layer before and layer after.
        texts: tower -> number of texts compared.
    """

    similarity: pd.DataFrame
    geometry: pd.DataFrame
    layer_map: pd.DataFrame
    texts: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        demand_columns("similarity", self.similarity, SIMILARITY_COLUMNS, where="RepresentationDrift")
        demand_columns("geometry", self.geometry, GEOMETRY_COLUMNS, where="RepresentationDrift")
        demand_columns("layer_map", self.layer_map, LAYER_MAP_COLUMNS, where="RepresentationDrift")
