"""Words of a text, for counts and overlaps."""

import re

# Han characters and kana are written without spaces: each counts as a word.
SINGLE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{SINGLE}]|[^\W_{SINGLE}]+")


def words_of(text: str) -> list[str]:
    """Split a text into lower-case words: runs of letters and digits; each Han character and kana is a word."""
    return WORD.findall(text.lower())
