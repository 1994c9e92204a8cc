"""Read grades and scores in the notation of the formats: ASCII digits, in the range that measures support.

Python's own `int` and `float` would also accept `1_000`, full-width digits, `nan`, and `1e3` for a grade.
"""

import math
import re
from contextlib import suppress

from retroscope.collection.records import LARGEST_GRADE
from retroscope.errors import CollectionError

GRADE = re.compile(r"[+-]?[0-9]+(\.0+)?")
SCORE = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
LONGEST = 30  # characters of a grade: Python refuses to read a number of thousands of digits


def relevance_of(value: object, where: str) -> int:
    """Read a relevance grade: a whole number from -1000 to 1000, as a number or a text of ASCII digits. 1.0 is 1.

    Raises:
        CollectionError: for anything else, e.g. 0.5, 1_000, 1e3, true, or an empty value.
    """
    text = "" if isinstance(value, bool) else str(value)
    if GRADE.fullmatch(text) and len(text) <= LONGEST and abs(float(text)) <= LARGEST_GRADE:
        return int(float(text))
    raise CollectionError(
        f"relevance must be a whole number from {-LARGEST_GRADE} to {LARGEST_GRADE}, found {_shortened(value)}",
        where=where,
        fix="use whole-number grades, e.g. 0, 1 and 2",
    )


def score_of(text: str, where: str) -> float:
    """Read a score of a run file: a finite decimal number in ASCII digits, with or without an exponent.

    Raises:
        CollectionError: for anything else, e.g. nan, inf, 1_000, 0x1.
    """
    number = finite_number(text)
    if number is not None:
        return number
    raise CollectionError(
        f"the score must be a finite number, found {_shortened(text)}",
        where=where,
        fix="write a decimal number as score; each line is: qid Q0 docid rank score tag",
    )


def finite_number(value: object) -> float | None:
    """Return the value of a number, or of a text in ASCII digits with or without an exponent; None for anything else.

    Texts such as 1_000, nan, 0x1 or full-width digits give None, as does true.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not SCORE.fullmatch(value):
        return None
    with suppress(OverflowError):  # a whole number beyond the range of floats
        return number if math.isfinite(number := float(value)) else None
    return None


def _shortened(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 2 * LONGEST else f"{shown[: 2 * LONGEST]} ..."
