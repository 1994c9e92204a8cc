"""JSON documents: values that JSON can hold, files that are whole or not there. Schemas in docs/reference/json.md."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from retroscope.errors import AnalysisError

SCHEMA = 1  # of every document; raised when a reader of the old one would go wrong


def clean(value: Any) -> Any:
    """A value that JSON can hold: numpy scalars as numbers, NaN and infinity as null."""
    if isinstance(value, dict):
        return {str(k): clean(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def ordered(value: Any) -> Any:
    """The value with the names of every mapping in order: a recipe reads the same before and after the disk."""
    return json.loads(json.dumps(clean(value), sort_keys=True))


def as_json(document: Any) -> str:
    """A cleaned document as text."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def read_document(path: Path) -> dict[str, Any]:
    """A document that this version can read.

    Raises:
        AnalysisError: if it is damaged, or of another schema.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AnalysisError(f"this is not JSON: {error}", where=str(path), fix="run compare again") from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise AnalysisError(
            f"this file has schema {schema}, and this version reads {SCHEMA}",
            where=str(path),
            fix="read it with the version that wrote it, or run compare again",
        )
    return dict(document)
