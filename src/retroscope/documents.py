"""JSON documents: values that JSON can hold, their text, files and hashes. Schemas in docs/reference/json.md."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from retroscope.errors import AnalysisError
from retroscope.files import write_whole

SECRETS = re.compile(r"\bhf_[A-Za-z0-9]{16,}|(?<=://)[^/@\s]+(?=@)")  # tokens of the hub, passwords of URLs
SCHEMA = 2  # of every document; raised when a reader of the old one would go wrong


def clean(value: Any) -> Any:
    """Return the value as JSON can hold it: numpy scalars as numbers, NaN and infinity as null."""
    if isinstance(value, dict):
        return {str(k): clean(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def impersonal(value: Any) -> Any:
    """Return JSON-like facts without the user's home folder, for which `~` stands, and without secrets.

    For paths and commands, not for ids and texts, which are data.
    """
    if isinstance(value, dict):
        return {k: impersonal(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [impersonal(v) for v in value]
    if not isinstance(value, str):
        return value
    home = os.path.expanduser("~")
    known = SECRETS.sub("***", value)
    return re.sub(rf"(?<![\w.~/-]){re.escape(home)}(?![\w.-])", "~", known) if home.strip("/~") else known


def ordered(value: Any) -> Any:
    """Return the cleaned value with the names of every mapping sorted: equal before and after it was stored."""
    return json.loads(json.dumps(clean(value), sort_keys=True))


def as_json(document: Any) -> str:
    """Return a cleaned document as indented text."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    write_whole(path, text.encode())


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of a value as JSON, in hexadecimal; the order of a mapping's names does not count.

    Raises:
        TypeError: if JSON cannot hold the value.
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def read_document(path: Path) -> dict[str, Any]:
    """Read a document whose schema this version knows.

    Raises:
        AnalysisError: if it is damaged, or of another schema.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AnalysisError(f"this is not JSON: {error}", where=str(path), fix="run compare again") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise _other_schema(document if isinstance(document, dict) else {}, path)
    return dict(document)


def _other_schema(document: Mapping[str, Any], path: Path) -> AnalysisError:
    """Return the error for a document of another schema, with the version that wrote it where it says so."""
    versions = document.get("versions")
    version = versions.get("retroscope") if isinstance(versions, Mapping) else None
    written = f", written by retroscope {version}" if version else ""
    return AnalysisError(
        f"this file has schema {document.get('schema')}{written}, and this version reads schema {SCHEMA}",
        where=str(path),
        fix=f"read it with {f'retroscope {version}' if version else 'the version that wrote it'}, or run the command "
        "again that made it, into another folder",
    )
