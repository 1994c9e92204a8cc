"""The type `Preset`: backbone and recipe of a published retriever, each field with its source."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CARD = "model card"
MODULES = "repository: modules.json, 1_Pooling/config.json, sentence_bert_config.json"
FIELDS = (
    "pooling",
    "similarity",
    "query_prompt",
    "passage_prompt",
    "max_length",
    "append_eos",
    "causal",
    "pool_prompt",
    "head",
)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """The published recipe of a retriever. A field that is not published is None; "" means that there is no prompt.

    Attributes:
        models: hub name of a retriever, or of a tower -> hub name of its backbone, or "" if none is published.
        families: the `model_type`s of its checkpoints.
        pooling, query_prompt, passage_prompt, max_length, append_eos, causal, pool_prompt: see `Recipe`.
        similarity: see `Retriever`.
        head: the modules after the pooling, as `Recipe.head` lists them.
        sources: name of a field, or "backbone" -> where its value is published. The entry "recipe" is for all other
            fields. "repository" means a file of the model's repository.
        checked: what the preset was compared with: a copy of the model's files, or the code of another library. ""
            means that it was compared with neither and rests on `sources` alone.
        note: a property of the model that a recipe cannot express.
    """

    models: Mapping[str, str]
    families: tuple[str, ...]
    pooling: str
    similarity: str
    query_prompt: str = ""
    passage_prompt: str = ""
    max_length: int | None = None
    append_eos: bool | None = None
    causal: bool | None = None
    pool_prompt: bool | None = None
    head: tuple[str, ...] | None = None
    sources: Mapping[str, str]
    checked: str = ""
    note: str = ""

    @property
    def stated(self) -> dict[str, Any]:
        """Return the recipe fields with a published value, in the order of `FIELDS`."""
        values = {name: getattr(self, name) for name in FIELDS}
        return {name: value for name, value in values.items() if value is not None}

    def source(self, field: str) -> str:
        """Return the place where a field's value is published."""
        return self.sources.get(field, self.sources["recipe"])
