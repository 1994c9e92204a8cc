"""Compare the sizes in a checkpoint's configuration with its files, before a model is built."""

import math
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from torch import nn

from retroscope.encoders.checks.disk import Disk
from retroscope.errors import EncoderError, excerpt, listed

COUNT = re.compile(r"(num|n)_\w+|\w*layers?")  # numbers of things that are made one by one: blocks, heads, labels
MOST = 100_000  # of any of them
SIZE = re.compile(r"\w*(size|dim|embeddings|positions|length)|d_\w+|n_(embd|inner|ctx)")
LARGEST = 2**28  # of a dimension, or of a text in tokens
SPARE = 2**24  # numbers that a model may have besides those in its file
ATTENTION = ("eager", "sdpa", "flash_attention_2", "flex_attention")
USE_CONFIG_OF_WEIGHTS = "use the config.json that was saved with these weights"


def check_config(raw: Mapping[str, Any], where: Path) -> None:
    """Refuse impossible sizes, NaN or infinity, quantised weights or code from the hub, before a library reads them.

    Raises:
        EncoderError: if there is such a field. It names the field.
    """
    for key, value in _fields(raw):
        most = MOST if COUNT.fullmatch(key) else LARGEST if SIZE.fullmatch(key) else None
        if most is not None and isinstance(value, int | float) and not value <= most:
            raise EncoderError(
                f"{key} is {excerpt(value)}, but at most {most:,} is allowed",
                where=str(where),
                fix=USE_CONFIG_OF_WEIGHTS,
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise EncoderError(
                f"{key} is {excerpt(value)}, which is no number of JSON",
                where=str(where),
                fix=USE_CONFIG_OF_WEIGHTS,
            )
        if key.endswith("attn_implementation") and value is not None and value not in ATTENTION:
            raise EncoderError(
                f"{key} is {excerpt(value)}, which is not built in and may run code from the hub",
                where=str(where),
                fix=f"remove {key} from config.json, or set it there to one of {', '.join(ATTENTION)}",
            )
    if raw.get("quantization_config"):
        raise EncoderError(
            f"these weights are quantised (quantization_config: {excerpt(raw['quantization_config'])})",
            where=str(where),
            fix="give the checkpoint in float32, float16 or bfloat16, or a GGUF file, which is dequantised",
        )


def _fields(raw: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every field of a JSON object, nested ones included."""
    for key, value in raw.items():
        yield key, value
        if isinstance(value, Mapping):
            yield from _fields(value)


def check_blocks(blocks: object, disk: Disk) -> None:
    """Refuse a number of blocks that is not a whole number from 1 to the number of tensors in the checkpoint."""
    if not isinstance(blocks, int) or not 1 <= blocks <= len(disk.files):
        raise EncoderError(
            f"num_hidden_layers must be from 1 to {len(disk.files)}, the number of tensors in the weights; found "
            f"{excerpt(blocks)}",
            where=str(disk.folder / "config.json"),
            fix=USE_CONFIG_OF_WEIGHTS,
        )


def check_sizes(model: nn.Module, disk: Disk) -> None:
    """Refuse a model with far more values (of parameters and buffers) than its checkpoint stores.

    Args:
        model: the model on the meta device, so that its tensors use no memory.

    Raises:
        EncoderError: if it is too large. It names the model's largest tensors.
    """
    sizes = dict(chain(model.named_parameters(), model.named_buffers()))
    asked = sum(tensor.numel() for tensor in sizes.values())
    stored = sum(_numbers(shape) for shape in disk.shapes().values())
    if asked > 2 * stored + SPARE:
        largest = sorted(sizes, key=lambda name: -sizes[name].numel())[:3]
        raise EncoderError(
            f"config.json describes a model of {asked:,} values, but the checkpoint has {stored:,}; its largest "
            "tensors:"
            f"{listed([f'{name}: {tuple(sizes[name].shape)}' for name in largest])}",
            where=str(disk.folder),
            fix=USE_CONFIG_OF_WEIGHTS,
        )


def _numbers(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total
