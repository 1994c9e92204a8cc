"""The type `Recipe`: everything besides the weights that turns a text into a vector.

A number measured on embeddings means nothing without their recipe. A recipe therefore records the source of each field.
It is printed, and stored with every result.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypedDict

from retroscope.errors import SettingsError, did_you_mean


class RecipeFacts(TypedDict):
    """The fields of a `Recipe` (pooling, prompt ...) as JSON-like values, as files store them."""

    pooling: str
    max_length: int
    prompt: str
    suffix: str
    append_eos: bool
    padding_side: str
    pad_to_max: bool
    pool_prompt: bool
    causal: bool | None
    head: list[str]
    normalize_layers: bool
    truncate_dim: int | None
    sources: dict[str, str]


@dataclass(frozen=True)
class Recipe:
    """Everything, except the weights, that determines the vector of a text.

    Attributes:
        pooling: a name in `POOLINGS`.
        max_length: how many tokens of a text are kept, special tokens and prompt included.
        prompt: text put before every text, e.g. "query: ".
        suffix: text put after every text.
        append_eos: whether every text ends with the EOS token, also a text that was cut (RepLLaMA).
        padding_side: where a batch is padded, "right" or "left".
        pad_to_max: whether a batch is padded to `max_length` instead of to its longest text.
        pool_prompt: whether the prompt's tokens are pooled (False: INSTRUCTOR-style models).
        causal: whether attention is causal. None leaves it to the architecture.
        head: names of the modules that are applied to the pooled last layer, in order, e.g. ("dense", "normalize").
        normalize_layers: whether the pooled vector of every layer is L2-normalised.
        truncate_dim: how many leading dimensions of the final vector are kept (Matryoshka). None keeps all.
        sources: name of a field -> source of its value ("checkpoint: 1_Pooling/config.json", "user", "default", ...).
    """

    pooling: str
    max_length: int
    prompt: str = ""
    suffix: str = ""
    append_eos: bool = False
    padding_side: str = "right"
    pad_to_max: bool = False
    pool_prompt: bool = True
    causal: bool | None = None
    head: tuple[str, ...] = ()
    normalize_layers: bool = False
    truncate_dim: int | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def but(self, source: str, **changes: Any) -> "Recipe":
        """Return a copy of the recipe with changed fields. The source of these fields is `source`."""
        for name in changes:
            if name not in self.__dataclass_fields__ or name == "sources":
                fields = [f for f in self.__dataclass_fields__ if f != "sources"]
                raise SettingsError(f"a recipe has no field {name!r}", fix=did_you_mean(name, fields))
        return replace(self, **changes, sources={**self.sources, **dict.fromkeys(changes, source)})

    def as_dict(self) -> RecipeFacts:
        """Return the recipe as JSON-like values, for stored files."""
        values: Any = {**asdict(self), "head": list(self.head), "sources": dict(self.sources)}
        facts: RecipeFacts = values
        return facts

    def identity(self) -> dict[str, object]:
        """Return the fields that determine vectors: all except the sources. They are part of cache keys."""
        return {k: v for k, v in self.as_dict().items() if k != "sources"}
