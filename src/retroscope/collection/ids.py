"""Check ids: any text without control characters is allowed."""

import unicodedata
from collections.abc import Iterable

from retroscope.errors import CollectionError


def holds_control(text: str) -> bool:
    """Return whether a text has a control character (Unicode category Cc): NUL, line breaks, tabs, DEL ..."""
    return not text.isprintable() and any(unicodedata.category(character) == "Cc" for character in text)


def check_id(text: str, where: str) -> str:
    """Return the id, or raise a CollectionError if it contains a control character.

    The tool trec_eval cuts an id at a NUL, so ids with the same beginning become equal. Other control characters break
    lines and columns of run files.
    """
    if holds_control(text):
        raise CollectionError(
            f"the id {text!r} contains a control character",
            where=where,
            fix="remove the control character from this id in every file (corpus, queries, qrels)",
        )
    return text


def with_control(ids: Iterable[str]) -> list[str]:
    """Return the `repr` of each id that contains a control character."""
    return [repr(text) for text in ids if holds_control(text)]
