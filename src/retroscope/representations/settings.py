"""Settings of computing and storing vectors. No torch: settings are checked before it is imported."""

from dataclasses import dataclass
from typing import Annotated, Literal

from retroscope.ranges import Range, check_ranges


@dataclass(frozen=True, kw_only=True)
class ExtractionSettings:
    """Settings of an extraction: number format, batch size, and final norm on each layer.

    Attributes:
        dtype: number format of the stored vectors; they are always computed in the model's own precision.
        batch_tokens: padded tokens of one forward pass; None takes what suits the device.
        norm_each_layer: where the last layer of a model passes through a final norm, store the layers below it with
            that norm, too: only then are they comparable with the last one. Other models are not affected.
    """

    dtype: Literal["float32", "float16"] = "float32"
    batch_tokens: Annotated[int, Range(1, 10**9)] | None = None
    norm_each_layer: bool = True

    def __post_init__(self) -> None:
        check_ranges(self)
