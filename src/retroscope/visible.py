"""Escape characters that control a terminal, such as cursor movements and colours.

Ids, texts and names of models are data. A terminal obeys control characters wherever they come from.
"""

import re

# Control characters but line break and tab; lone surrogates, which no terminal can write; separators of lines that only
# Unicode knows; and what turns the direction of a text.
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)


def visible(text: str) -> str:
    """Return a text in which every character that controls a terminal is escaped as in Python."""
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def visible_json(text: str) -> str:
    """Return a JSON text in which every character that controls a terminal is escaped as in JSON."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
