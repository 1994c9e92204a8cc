"""Settings of computing and storing vectors. This module does not import torch."""

from dataclasses import dataclass
from typing import Annotated, Literal

from retroscope.errors import SettingsError
from retroscope.ranges import AnyNumber, Distinct, Range, check_ranges


@dataclass(frozen=True, kw_only=True)
class ExtractionSettings:
    """Settings of extraction (computing and storing vectors): number format, batch size, final norm, stored layers.

    Attributes:
        dtype: number format of the stored vectors. They are always computed in the model's own precision.
        batch_tokens: largest number of padded tokens in one forward pass. None chooses a number that suits the device.
        norm_each_layer: for a model with a final norm, whether this norm is also applied to the layers below the last.
            Only then can these layers be compared with the last one. Other models are not affected.
        layers: which layers to store, e.g. `[0, 6, 12]`; 0 is the embedding output. None stores all layers, and an
            empty list none. The final vectors, with which the retriever searches, are always stored.
    """

    dtype: Literal["float32", "float16"] = "float32"
    batch_tokens: Annotated[int, Range(1, 10**9)] | None = None
    norm_each_layer: bool = True
    layers: Annotated[tuple[AnyNumber, ...], Distinct()] | None = None

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.layers is not None and list(self.layers) != sorted(self.layers):
            raise SettingsError(
                f"extraction.layers is {list(self.layers)}, which is not in ascending order",
                fix=f"write {sorted(self.layers)}",
            )
