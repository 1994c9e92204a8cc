"""Decide as DPR does (`has_answer`) whether a passage contains an answer of a query.

Source: Karpukhin et al. 2020.

Passages and answers are normalised (Unicode NFD), split into tokens and lower-cased. A passage contains an answer if it
contains the answer's tokens, one after another. A token is a run of letters, numbers and combining marks, or any one
other character that is neither space nor control.
"""

import re
import sys
import unicodedata
from collections.abc import Iterable
from functools import cache


def answer_strings(answers: Iterable[str]) -> tuple[str, ...]:
    """Return each answer as its tokens joined by spaces (`token_string`). Leave out answers without a token.

    A text contains an answer if the `token_string` of the text contains that of the answer.
    """
    return tuple(string for answer in answers if (string := token_string(answer)).strip())


def token_string(text: str) -> str:
    """Return a text's tokens joined by single spaces, with a space before and after."""
    return f" {' '.join(_token().findall(unicodedata.normalize('NFD', text).lower()))} "


@cache
def _token() -> re.Pattern[str]:
    kinds = {kind: _ranges(kind) for kind in "LNMZC"}
    word = kinds["L"] + kinds["N"] + kinds["M"]
    return re.compile(f"[{word}]+|[^{word}{kinds['Z']}{kinds['C']}]")


def _ranges(kind: str) -> str:
    """Return the characters of a Unicode general category (given by its first letter) for use in a character class."""
    ranges: list[list[int]] = []
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code))[0] == kind:
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)
