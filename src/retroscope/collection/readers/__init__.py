"""One file per format on disk; each says what it reads and how it recognises it."""

from pathlib import Path
from typing import Protocol

from retroscope.collection.collection import Collection
from retroscope.collection.readers import (
    beir,
    dpr,
    flag_embedding,
    hugging_face,
    ielab,
    irds,
    ms_marco,
    sentence_transformers,
    tevatron,
    trec,
)
from retroscope.collection.readers.facts import reader as facts
from retroscope.collection.readers.options import ReadOptions


class Reader(Protocol):
    """The functions that every module of this package has."""

    def recognises(self, path: Path) -> bool:
        """Return whether the content at this path has this format."""

    def read(self, path: Path, options: ReadOptions) -> Collection:
        """Read a collection, or raise a CollectionError that says what is wrong, and where."""


READERS: dict[str, Reader] = {
    "beir": beir,
    "trec": trec,
    "ielab": ielab,
    "dpr": dpr,
    "tevatron": tevatron,
    "st": sentence_transformers,
    "msmarco": ms_marco,
    "flag": flag_embedding,
    "facts": facts,
    "hf": hugging_face,
    "ir_datasets": irds,
}
