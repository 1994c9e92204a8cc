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
    """The published recipe of a retriever: None means that a field is not stated, "" that there is no prompt.

    Attributes:
        models: hub name of a retriever, or of a tower -> hub name of its backbone, or "" if none is published.
        families: `model_type`s that its checkpoints have.
        pooling, query_prompt, passage_prompt, max_length, append_eos, causal, pool_prompt: see `Recipe`.
        similarity: see `Retriever`.
        head: the modules after the pooling, as `Recipe.head` lists them.
        sources: field, or "backbone" -> where the value is published; "repository": a file of the model's repository.
        checked: the copy of the model's files, or the code of another library, that a row was compared with, or "" if
            it was compared with neither and rests on `sources`.
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
        """Return the fields that the preset states, in the order of `FIELDS`."""
        values = {name: getattr(self, name) for name in FIELDS}
        return {name: value for name, value in values.items() if value is not None}

    def source(self, field: str) -> str:
        """Return the place where a field's value is published."""
        return self.sources.get(field, self.sources["recipe"])
