"""Hostile inputs: one case is a door, what is put in front of it, and whether it must be refused."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Make = Callable[[Path], Any]  # an empty folder -> what the door is given


@dataclass(frozen=True)
class Case:
    """One hostile input.

    Attributes:
        door: a name in `hostile_doors.DOORS`.
        kind: the class that it belongs to.
        name: of the case, in its class.
        make: fills an empty folder and returns what the door is given.
        refused: it must be refused; False: it may be harmless, too.
    """

    door: str
    kind: str
    name: str
    make: Make
    refused: bool = True

    @property
    def title(self) -> str:
        return f"{self.door}: {self.kind}: {self.name}"


Cases = Iterator[Case]


def put(path: Path, content: bytes | str) -> Path:
    """Write a file, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    return path


def edited(path: Path, **changes: Any) -> None:
    """Change fields of a JSON object."""
    document = json.loads(path.read_text()) if path.exists() else {}
    put(path, json.dumps(document | changes))


DEEP = "[" * 200_000
LONG_NUMBER = "9" * 5000
# What no JSON object should be: name -> the content of its file.
BROKEN_JSON: dict[str, bytes] = {
    "empty": b"",
    "half": b'{"a": ',
    "a list": b"[1, 2]",
    "a number": b"3",
    "null": b"null",
    "not UTF-8": b'{"a": "\xff\xfe"}',
    "deep": DEEP.encode(),
    "deep objects": b'{"a":' * 100_000,
    "long number": f'{{"a": {LONG_NUMBER}}}'.encode(),
    "repeated key": b'{"a": 1, "a": 2}',
    "zeros": bytes(1000),
    "text": b"not json at all",
}
# Values that no size is, and no text.
NO_SIZES: dict[str, Any] = {
    "text": "abc", "negative": -1, "zero": 0, "huge": 10**9, "astronomic": 10**15, "broken": 1.5, "list": [],
    "object": {}, "infinite": float("inf"), "not a number": float("nan"), "digits": "12",
}  # fmt: skip
NO_TEXTS: dict[str, Any] = {"number": 3, "list": ["a"], "object": {"a": 1}, "true": True}
