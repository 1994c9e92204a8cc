"""The types of the results of comparing weights and representations. This module does not import torch."""

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
    """How much the weights of two models differ, tensor by tensor.

    The models are two checkpoints, or the query or passage encoders of two retrievers.

    Attributes:
        tensors: a row for each tensor, with the columns `name`, `layer` (0: embeddings, k: block k; the last layer
            includes final norm and pooler), `part` (e.g. "attention"), `rows`, `columns`, `parameters` (how many
            numbers it has), `status` (e.g. "changed", "identical"), `norm` (Frobenius norm before), `change` (Frobenius
            norm of the difference), `relative` (change / norm), `largest` (largest absolute difference of a number) and
            `equal` (share of its numbers that did not change). Changed matrices also have the fields of
            `drift.spectrum.Spectrum` and `drift.intruders.Intruders`.
        notes: sentences with which to interpret the numbers, e.g. about adapters.
        before: name of the backbone.
        after: name of the model fine-tuned from it.
        n_blocks: how many blocks each of the two models has.
    """

    tensors: pd.DataFrame
    notes: tuple[str, ...] = ()
    before: str = ""
    after: str = ""
    n_blocks: int = 0

    @cached_property
    def groups(self) -> pd.DataFrame:
        """Return how much the weights of each layer and part (e.g. "attention") changed: one row each.

        A row has sums over the tensors.

        Columns: `layer`, `part`, `tensors` (how many), `changed` (how many changed), `parameters`, `norm`, `change` and
        `relative`. Tensors that only one of the models has are not included.
        """
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
    """Similarity and geometry of two retrievers' vectors of the same texts, at every layer.

    Attributes:
        similarity: a row for each tower, layer and statistic (cka, procrustes, rsa, neighbours), with the columns
            `value`, `low` and `high` (interval) and `chance`. `halves` is the same statistic between two random halves
            of one model's vector dimensions, as a geometric mean over both models. It is a reference, not an upper
            bound: two nearly equal models exceed it. `other_training` is the ceiling: the statistic between the
            retriever and its other trainings (mean). `random_weights` is the statistic between the backbone and its
            copy with random weights. `other_training` and `random_weights` are NaN without such models.
        geometry: a row for each model (`side`: "before", "after"), tower, layer and statistic (anisotropy, uniformity,
            effective_rank, alignment), with `value`, `low` and `high`. Alignment is measured on pairs of a query and
            its relevant passage. Its tower is "both".
        layer_map: CKA of every layer of the backbone with every layer of the retriever, by tower.
        texts: tower -> how many texts were compared.
    """

    similarity: pd.DataFrame
    geometry: pd.DataFrame
    layer_map: pd.DataFrame
    texts: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        demand_columns("similarity", self.similarity, SIMILARITY_COLUMNS, where="RepresentationDrift")
        demand_columns("geometry", self.geometry, GEOMETRY_COLUMNS, where="RepresentationDrift")
        demand_columns("layer_map", self.layer_map, LAYER_MAP_COLUMNS, where="RepresentationDrift")
