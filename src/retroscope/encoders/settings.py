"""Settings of loading models. Missing settings come from the checkpoint, or have defaults that are printed.

No torch: settings are checked before it is imported. tests/cli/test_defaults.py compares the names here with the
registries that define them.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

from retroscope.encoders.presets.table import PRESETS
from retroscope.errors import SettingsError, excerpt, unknown_name
from retroscope.ranges import OneOrMore, check_ranges

PUBLISHED_PROTOCOL = "ielab-2025"  # of arXiv 2505.07166, quirks included
PROTOCOLS = ("default", PUBLISHED_PROTOCOL)
POOLING_NAMES = ("cls", "pooler", "mean", "last_token", "last_column", "max", "weighted_mean", "mean_sqrt_len")
SIMILARITY_NAMES = ("cosine", "dot")
DEVICE, DEVICES = re.compile(r"(cpu|cuda|mps)(:\d{1,4})?"), "use 'cpu', 'cuda', 'cuda:1', 'mps' ..."
DTYPES = ("float32", "bfloat16", "float16", "float64")  # as torch calls them


def short_name(source: str | Path) -> str:
    """Return a default name for a checkpoint: the last part of its path."""
    return Path(source).name or Path(source).resolve().name


@dataclass(frozen=True, kw_only=True)
class LoadSettings:
    """Settings of loading a model. A field that is None is taken from protocol, checkpoint or default.

    Attributes:
        pooling: a name in `POOLING_NAMES`. It is required for a plain checkpoint, which does not record its pooling.
        max_length: number of tokens of a text that are kept, special tokens included; for both towers.
        query_prompt: text put before every query.
        passage_prompt: text put before every passage.
        similarity: "cosine" or "dot".
        protocol: "default", or "ielab-2025" for the published study with its quirks.
        device: e.g. "cpu", "cuda:0". A device that does not exist is an error.
        dtype: number format of the backbone's weights and activations. Adapters are merged in float32 first.
        causal: False removes the causal mask of a decoder, so that a token attends to both sides (LLM2Vec).
        append_eos: end every text with EOS (RepLLaMA).
        padding_side: side on which a batch is padded, "right" or "left".
        truncate_dim: number of leading dimensions of the final vector that are kept.
        trust_remote_code: run code that the checkpoint contains. Use it only for checkpoints whose code you have read.
        name: the model's name in tables, by default the last part of the source.
        base: the backbone of an adapter, if the path in the adapter's settings no longer exists.
        revision: branch, tag or commit of a hub checkpoint.
        preset: a name in `PRESETS`. Its recipe fills the fields that the checkpoint does not record. If None, the
            preset of the hub name, if there is one.
    """

    pooling: str | None = None
    max_length: OneOrMore | None = None
    query_prompt: str | None = None
    passage_prompt: str | None = None
    similarity: str | None = None
    protocol: str = "default"
    device: str = "cpu"
    dtype: str = "float32"
    causal: bool | None = None
    append_eos: bool | None = None
    padding_side: str | None = None
    truncate_dim: OneOrMore | None = None
    trust_remote_code: bool = False
    name: str | None = None
    base: str | None = None
    revision: str | None = None
    preset: str | None = None

    def __post_init__(self) -> None:
        check_ranges(self)
        known: Mapping[str, Collection[str]] = {
            "pooling": POOLING_NAMES,
            "similarity": SIMILARITY_NAMES,
            "protocol": PROTOCOLS,
            "dtype": DTYPES,
            "padding_side": ("left", "right"),
            "preset": PRESETS,
        }
        for field, names in known.items():
            value = getattr(self, field)
            if value is not None and value not in names:
                raise unknown_name(field, value, names)
        if DEVICE.fullmatch(self.device) is None:
            raise SettingsError(f"unknown device {excerpt(self.device)}", fix=DEVICES)

    def prompt(self, tower: str) -> str | None:
        """Return the user's prompt for the "query" or "passage" tower, or None if there is none."""
        return {"query": self.query_prompt, "passage": self.passage_prompt}[tower]


class LoadOptions(TypedDict, total=False):
    """The fields of `LoadSettings` as keyword arguments."""

    pooling: str | None
    max_length: int | None
    query_prompt: str | None
    passage_prompt: str | None
    similarity: str | None
    protocol: str
    device: str
    dtype: str
    causal: bool | None
    append_eos: bool | None
    padding_side: str | None
    truncate_dim: int | None
    trust_remote_code: bool
    name: str | None
    base: str | None
    revision: str | None
    preset: str | None


@dataclass(frozen=True)
class EncoderSource:
    """Source and settings of one encoder, from which another process can load the same encoder.

    Attributes:
        source: absolute path, or a hub name.
        tower: "query" or "passage".
        random_weights: seed of the random weights of a copy. If None, the encoder has the checkpoint's weights.
    """

    source: str
    settings: LoadSettings
    tower: str
    random_weights: int | None = None

    def randomised(self, seed: int) -> "EncoderSource":
        """Return the source of a copy of the encoder with random weights from this seed."""
        return replace(self, random_weights=seed)


def source_of(source: str | Path, settings: LoadSettings, tower: str) -> EncoderSource:
    """Describe an encoder's checkpoint and settings, so that another process can load it.

    A local path becomes absolute, because other processes work in other folders.
    """
    here = Path(source)
    return EncoderSource(str(here.absolute() if here.exists() else source), settings, tower)
