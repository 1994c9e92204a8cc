"""Settings of computing and storing vectors. No torch: settings are checked before it is imported."""

from dataclasses import dataclass
from typing import Annotated, Literal

from retroscope.ranges import Range, check_ranges


@dataclass(frozen=True, kw_only=True)
class ExtractionSettings:
    """Settings of extracting the vectors of every layer: number format, batch size, and final norm on each layer.

    Attributes:
        dtype: number format of the stored vectors. They are always computed in the model's own precision.
        batch_tokens: number of padded tokens in one forward pass. None chooses a number that suits the device.
        norm_each_layer: if the last layer of a model passes through a final norm, apply this norm to the stored layers
            below as well: only then can they be compared with the last layer. Other models are not affected.
    """

    dtype: Literal["float32", "float16"] = "float32"
    batch_tokens: Annotated[int, Range(1, 10**9)] | None = None
    norm_each_layer: bool = True

    def __post_init__(self) -> None:
        check_ranges(self)
