"""Small architectures by name (such as "bert-tiny") for new backbones. Checking a name does not import transformers."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from retroscope.errors import SettingsError, unknown_name

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Size:
    """Sizes of an architecture: number of blocks, hidden size, number of attention heads, and size of the FFN."""

    layers: int
    width: int
    heads: int
    inner: int


# The widths of the small BERTs of Turc et al. (2019, arXiv 1908.08962); the others follow them.
SIZES: Mapping[str, Size] = {
    "tiny": Size(2, 128, 2, 512),
    "mini": Size(4, 256, 4, 1024),
    "small": Size(4, 512, 8, 2048),
    "medium": Size(8, 512, 8, 2048),
}


def _bert(size: Size, tokenizer: "PreTrainedTokenizerBase", positions: int) -> "PretrainedConfig":
    from transformers import BertConfig

    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=size.inner,
        max_position_embeddings=positions,
        pad_token_id=tokenizer.pad_token_id,
    )


def _llama(size: Size, tokenizer: "PreTrainedTokenizerBase", positions: int) -> "PretrainedConfig":
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        intermediate_size=size.inner * 2 // 3,  # three matrices in the place of two
        max_position_embeddings=positions,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def _t5(size: Size, tokenizer: "PreTrainedTokenizerBase", positions: int) -> "PretrainedConfig":
    from transformers import T5Config

    return T5Config(
        vocab_size=len(tokenizer),
        d_model=size.width,
        d_kv=size.width // size.heads,
        d_ff=size.inner,
        num_layers=size.layers,
        num_heads=size.heads,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )


Shape = Callable[["PreTrainedTokenizerBase", int], "PretrainedConfig"]
BUILDERS = {"bert": _bert, "llama": _llama, "t5": _t5}
FREE = re.compile(r"([1-9]\d?)x([1-9]\d{1,3})")
HEAD = 32  # size of a head of FAMILY-BLOCKSxWIDTH; the width must be a multiple of it


def shape_of(name: str) -> Shape:
    """Return a function that makes the configuration of an architecture, such as "bert-tiny" or "bert-3x128".

    Its arguments are the tokenizer and the largest number of positions. "bert-3x128" is FAMILY-BLOCKSxWIDTH: such an
    architecture has heads of size 32 and an FFN four times as wide as the hidden states.

    Raises:
        SettingsError: for an unknown name (the message lists the known ones), or for a width that is not a multiple of
            32.
    """
    family, _, size = name.partition("-")
    free = FREE.fullmatch(size)
    if family not in BUILDERS or (size not in SIZES and free is None):
        raise unknown_name("shape", name, [f"{kind}-{size}" for kind in BUILDERS for size in (*SIZES, "LAYERSxWIDTH")])
    if free is None:
        return partial(BUILDERS[family], SIZES[size])
    layers, width = int(free[1]), int(free[2])
    if width % HEAD:
        raise SettingsError(
            f"the width of the shape {name!r} is not a multiple of {HEAD}",
            fix=f"give a multiple of {HEAD}, e.g. {family}-{layers}x{HEAD * (width // HEAD + 1)}",
        )
    return partial(BUILDERS[family], Size(layers, width, width // HEAD, 4 * width))


def family_of(shape: str) -> str:
    """Return the model family in an architecture's name, such as "bert" in "bert-tiny"."""
    return shape.partition("-")[0]
