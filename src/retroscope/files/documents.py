"""JSON documents: convert values, and write, read and hash documents. docs/reference/json.md has the schemas."""

import base64
import gzip
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from retroscope.errors import AnalysisError, DamageError
from retroscope.files.checksums import checksum, damaged, stored_bytes
from retroscope.files.whole import write_whole

SECRETS = re.compile(r"\bhf_[A-Za-z0-9]{16,}|(?<=://)[^/@\s]+(?=@)")  # tokens of the hub, passwords of URLs
PACKING = 9  # level of compression
SCHEMA = 2  # of every document; raised when a reader of the old one would go wrong
CHECKSUM = "checksum"  # field of a stored document: of its text without that field


def clean(value: Any) -> Any:
    """Convert a value so that JSON can hold it: numpy scalars become numbers, NaN and infinity become None."""
    if isinstance(value, dict):
        return {str(k): clean(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def impersonal(value: Any) -> Any:
    """Return JSON-like values with the user's home folder replaced by `~`, and tokens and passwords by `***`.

    Use it for paths and commands, but not for ids and texts, which are data and must not change.
    """
    if isinstance(value, dict):
        return {k: impersonal(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [impersonal(v) for v in value]
    if not isinstance(value, str):
        return value
    home = os.path.expanduser("~")
    without_secrets = SECRETS.sub("***", value)
    return (
        re.sub(rf"(?<![\w.~/-]){re.escape(home)}(?![\w.-])", "~", without_secrets)
        if home.strip("/~")
        else without_secrets
    )


def ordered(value: Any) -> Any:
    """Return a value as it is after writing it to JSON and reading it back: cleaned, with sorted keys."""
    return json.loads(json.dumps(clean(value), sort_keys=True))


def as_json(document: Any) -> str:
    """Return the JSON of a document (already converted by `clean`), with an indent of 1."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, completely or not at all."""
    write_whole(path, text.encode())


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of a value's JSON in hexadecimal digits. The order of keys has no effect.

    Raises:
        TypeError: if JSON cannot hold the value.
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document (already converted by `clean`), completely or not at all, with a field `checksum`."""
    write_text(path, as_json({**document, CHECKSUM: _checksum(document)}))


def read_document(path: Path, fix: str = "run the command again that made it") -> dict[str, Any]:
    """Read a document that `write_document` wrote, verify its checksum and schema number, and return it.

    Args:
        fix: what a user should do if the file is damaged.

    Raises:
        DamageError: if the file is missing or damaged.
        AnalysisError: if the document has another schema number.
    """
    try:
        document = json.loads(stored_bytes(path, fix))
    except (ValueError, RecursionError) as error:
        raise damaged(path, fix) from error
    if not isinstance(document, dict):
        raise damaged(path, fix)
    written = document.pop(CHECKSUM, None)
    if written is not None and written != _checksum(document):
        raise damaged(path, fix)
    if document.get("schema") != SCHEMA:
        raise _other_schema(document, path)
    if written is None:
        raise DamageError("this file has no checksum: the file is damaged, or an early version of Retroscope wrote it",
                          where=str(path), fix=fix)  # fmt: skip
    return document


def _checksum(document: Mapping[str, Any]) -> str:
    return checksum(as_json(document).encode())


def parse_document(content: bytes, path: Path) -> dict[str, Any]:
    """Parse a document whose content has been verified by its checksum.

    Args:
        path: file of the document, for the error.

    Raises:
        AnalysisError: if the document has another schema number.
    """
    document: dict[str, Any] = json.loads(content)
    if document.get("schema") != SCHEMA:
        raise _other_schema(document, path)
    return document


def _other_schema(document: Mapping[str, Any], path: Path) -> AnalysisError:
    versions = document.get("versions")
    version = versions.get("retroscope") if isinstance(versions, Mapping) else None
    written = f", written by retroscope {version}" if version else ""
    return AnalysisError(
        f"this file has schema {document.get('schema')}{written}, but this version reads only schema {SCHEMA}",
        where=str(path),
        fix=f"read the file with {f'retroscope {version}' if version else 'the version that wrote it'}, or repeat the "
        "command that made the file, with another output folder",
    )


def packed(text: str) -> str:
    """Return a text as gzip in base64, for embedding in a page. The same text always gives the same result."""
    return base64.b64encode(gzip.compress(text.encode(), PACKING, mtime=0)).decode("ascii")


def packed_json(value: object) -> str:
    """Return the JSON of a value as gzip in base64, for embedding in a page.

    Raises:
        ValueError: if a number is not finite, which JSON cannot hold.
    """
    return packed(json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False))
