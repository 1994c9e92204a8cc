"""Parse foreign JSON. Text that is invalid, ambiguous or built to break a parser always raises `BrokenJsonError`."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from retroscope.errors import cut, excerpt
from retroscope.files.reading import LONGEST_REASON


class BrokenJsonError(Exception):
    """The error for JSON that is invalid or ambiguous. `what` says what is wrong, and `fix` what to do."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


def parse_json(text: str) -> Any:
    """Parse a JSON text and return its value.

    Raises:
        BrokenJsonError: if the text is not JSON, or has repeated keys, numbers of thousands of digits or deep nesting.
    """
    with broken_json():
        return json.loads(text, object_pairs_hook=each_once)


@contextmanager
def broken_json() -> Iterator[None]:
    """Convert all errors of Python's JSON parser to `BrokenJsonError` while the context is open."""
    try:
        yield
    except json.JSONDecodeError as error:
        raise BrokenJsonError(f"{error.msg} (column {error.colno})") from error
    except RecursionError as error:
        raise BrokenJsonError("lists or objects are nested too deeply") from error
    except ValueError as error:  # Python reads no whole number of more than 4,300 digits
        raise BrokenJsonError(cut(str(error).partition(";")[0], LONGEST_REASON)) from error


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object's (key, value) pairs as a dictionary.

    Raises:
        BrokenJsonError: if a key occurs more than once.
    """
    values = dict(pairs)
    if len(values) != len(pairs):
        names = ", ".join(map(excerpt, names_twice([name for name, _ in pairs])))
        raise BrokenJsonError(f"keys that occur more than once: {names}", "keep one entry for each key")
    return values


def names_twice(names: list[str]) -> list[str]:
    """Return the names that occur more than once."""
    return [name for name, count in Counter(names).items() if count > 1]
