"""Divide tokenised texts into batches of similar length, and run several batches at once on the processor."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from torch import nn

from retroscope.encoders.encoder import Encoder
from retroscope.engine.streams import in_streams

Result = TypeVar("Result")
LIBRARY = "transformers."  # its modules keep nothing of a forward pass, except ...
CHANGING_ROTATIONS = (
    "dynamic",
    "longrope",
)  # ... the frequencies of these, which depend on the longest text of a batch


def batches_by_length(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Yield the indices of texts in batches of similar length, none with more than `tokens` padded tokens.

    The longest texts come first, so that a batch that is too large fails at once and not at the end.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    start = 0
    while start < len(order):
        size = max(1, tokens // lengths[order[start]])
        yield order[start : start + size]
        start += size


def batches_of(encoder: Encoder, rows: Sequence[list[int]], tokens: int) -> list[list[int]]:
    """Divide texts into batches by their padded lengths, and return the indices of the texts in each batch.

    Args:
        rows: token ids of each text.
        tokens: largest number of padded tokens in a batch.
    """
    recipe = encoder.recipe
    lengths = [recipe.max_length if recipe.pad_to_max else len(row) for row in rows]
    return list(batches_by_length(lengths, tokens))


def run_batches(
    encoder: Encoder,
    batches: Sequence[list[int]],
    run: Callable[[list[int]], Result],
    take: Callable[[list[int], Result], None],
) -> None:
    """Call `run(indices)` for every batch, several at once on the processor, and `take(indices, result)` in order.

    Args:
        run: runs a forward pass of the encoder on a batch. Hooks on the backbone may not depend on other batches.
    """
    in_streams(batches, run, take, most=len(batches) if can_share(encoder) else 1)


def can_share(encoder: Encoder) -> bool:
    """Return whether several threads may run the backbone at once: on the processor, if no forward pass changes it.

    Code that comes with a checkpoint may keep tables that grow with the longest text, so its passes run one by one.
    """
    backbone = encoder.backbone
    own_code = not type(backbone).__module__.startswith(LIBRARY)
    return encoder.device.type == "cpu" and not own_code and not any(map(_changes, backbone.modules()))


def _changes(module: nn.Module) -> bool:
    """Return whether a forward pass changes a module: rotary positions whose frequencies depend on the length."""
    kind = str(getattr(module, "rope_type", ""))  # a dictionary in models with several kinds of blocks
    return any(name in kind for name in CHANGING_ROTATIONS)
