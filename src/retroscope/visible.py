"""Escape characters that control a terminal, such as cursor movements and colours.

Ids, texts and names of models are data. A terminal obeys control characters wherever they come from.
"""

import re

# Control characters except line break and tab; lone surrogates, which no terminal can write; the line separators of
# Unicode; and characters that change the direction of a text.
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)


def visible(text: str) -> str:
    """Return a text in which every character that controls a terminal is escaped as in Python."""
    return _OBEYED.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def visible_json(text: str) -> str:
    """Return a JSON text in which every character that controls a terminal is escaped as in JSON."""
    return _OBEYED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
