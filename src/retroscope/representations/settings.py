"""Settings of computing and storing vectors. No torch: settings are checked before it is imported."""

from dataclasses import dataclass
from typing import Annotated, Literal

from retroscope.errors import SettingsError
from retroscope.ranges import AnyNumber, Distinct, Range, check_ranges


@dataclass(frozen=True, kw_only=True)
class ExtractionSettings:
    """Settings of extracting vectors: number format, batch size, final norm on each layer, and the layers to store.

    Attributes:
        dtype: number format of the stored vectors. They are always computed in the model's own precision.
        batch_tokens: number of padded tokens in one forward pass. None chooses a number that suits the device.
        norm_each_layer: if the last layer of a model passes through a final norm, apply this norm to the stored layers
            below as well: only then can they be compared with the last layer. Other models are not affected.
        layers: numbers of the layers to store, 0 is the embedding output; None stores all layers, and `()` only the
            final vectors. The final vectors, with which the retriever searches, are always stored.
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
                fix=f"give {sorted(self.layers)}",
            )
