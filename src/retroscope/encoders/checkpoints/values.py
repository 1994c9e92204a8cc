"""Read values of a checkpoint's JSON files, each with its required type.

Python's own conversions accept wrong values: `bool("false")` is true, `str({})` is a prompt, `int(True)` is a length of
1, and neither a length of 0 nor a slice up to -3 is an error.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retroscope.errors import EncoderError, excerpt

JsonRecord = Mapping[str, Any]
LARGEST = 10**9
AT_LEAST_1 = "a whole number of at least 1"


def whole_number(raw: JsonRecord, key: str, where: Path) -> int | None:
    """Read the whole number from 1 to `LARGEST` at a key of a JSON object. Return None if the key is absent.

    Raises:
        EncoderError: for anything else: 0, -3, 1.5, true, "128".
    """
    value = raw.get(key)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST):
        return value
    raise _wrong(key, AT_LEAST_1, value, where)


def required_number(raw: JsonRecord, key: str, where: Path) -> int:
    """Read the whole number of at least 1 that a JSON object must have at a key."""
    value = whole_number(raw, key, where)
    if value is None:
        raise _wrong(key, AT_LEAST_1, value, where)
    return value


def flag(raw: JsonRecord, key: str, where: Path, *, default: bool = False) -> bool:
    """Read the truth value at a key of a JSON object. Return the default if the key is absent.

    Raises:
        EncoderError: for anything else: "false", 1.
    """
    value = raw.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _wrong(key, "true or false", value, where)
    return value


def text(raw: JsonRecord, key: str, where: Path) -> str | None:
    """Read the text at a key of a JSON object. Return None if the key is absent.

    Raises:
        EncoderError: for anything else.
    """
    value = raw.get(key)
    if value is not None and not isinstance(value, str):
        raise _wrong(key, "a text", value, where)
    return value


def needed_text(raw: JsonRecord, key: str, where: Path) -> str:
    """Read the text that a JSON object must have at a key."""
    value = text(raw, key, where)
    if value is None:
        raise _wrong(key, "a text", value, where)
    return value


def texts(raw: JsonRecord, key: str, where: Path) -> list[str]:
    """Read the list of texts at a key of a JSON object. Return an empty list if the key is absent.

    Raises:
        EncoderError: for anything else.
    """
    value = raw.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _wrong(key, "a list of texts", value, where)
    return value


def inside(folder: Path, name: str, where: Path) -> Path:
    """Return the path `name` inside a folder, and refuse a path outside the folder.

    Raises:
        EncoderError: for an absolute path, or a path with ".." or a NUL character.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
        raise _wrong("a path", "inside this folder", name, where)
    return folder / name


def group(raw: JsonRecord, key: str, where: Path) -> dict[str, Any]:
    """Read the object at a key of a JSON object. Return an empty one if the key is absent.

    Raises:
        EncoderError: for anything else.
    """
    value = raw.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(key, "a JSON object", value, where)
    return value


def _wrong(key: str, wanted: str, value: object, where: Path) -> EncoderError:
    return EncoderError(
        f"{key} must be {wanted}, found {excerpt(value)}",
        where=str(where),
        fix="correct the file, or download it again",
    )
