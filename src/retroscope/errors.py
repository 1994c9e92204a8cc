"""The errors of Retroscope: each says what is wrong, where, and how to correct it."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 10  # how many problems of one kind a message lists; the others are only counted
LONGEST_VALUE = 60  # characters of a value that a message shows
LONGEST_MESSAGE = 500  # characters of a line of a message; a list of known names may be as long as `LONGEST_FIX`
LONGEST_FIX = 5000


class RetroscopeError(Exception):
    """Base of all errors that a user can correct: `what` is wrong, `where`, and the `fix`."""

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = "\n".join(cut(line, LONGEST_MESSAGE) for line in what.split("\n"))
        self.where = cut(where, LONGEST_FIX)
        self.fix = cut(fix, LONGEST_FIX)

    def __str__(self) -> str:
        place = f"{cut(self.where, LONGEST_FIX)}: " if self.where else ""  # readers may add the place later
        advice = f"\n  fix: {self.fix}" if self.fix else ""
        return f"{place}{self.what}{advice}"


class CollectionError(RetroscopeError):
    """Error of a retrieval collection on disk or in memory."""


class EncoderError(RetroscopeError):
    """Error of a checkpoint that cannot be loaded, or whose encoder fails its self-tests."""


class UnknownPoolingError(EncoderError):
    """Error of a checkpoint that does not record its pooling, so that the user must name a pooling."""


class LibraryError(EncoderError):
    """Error of the library that wrote a model folder: it cannot load the folder, or cannot encode a batch."""


class RepresentationError(RetroscopeError):
    """Error of stored vectors that are damaged, or that belong to another model or other texts."""


class DamageError(RetroscopeError):
    """Error of a stored file that is missing, or whose checksum does not match."""


class AnalysisError(RetroscopeError):
    """Error of an analysis that is impossible for the given scores or vectors."""


class TrainingError(RetroscopeError):
    """Error of a training that cannot start or cannot continue."""


class EngineError(RetroscopeError):
    """Error of an engine (local or Ray) that could not complete its work, or of incomplete stored results."""


class SettingsError(RetroscopeError):
    """Error of a setting with an unknown name or an invalid value."""


class MissingExtraError(RetroscopeError):
    """Error of a feature whose optional dependency is not installed."""


def cut(text: str, longest: int) -> str:
    """Cut a text to its first `longest` characters and add its length; return a shorter text unchanged."""
    return text if len(text) <= longest else f"{text[:longest]} ... ({len(text):,} characters)"


def excerpt(value: object) -> str:
    """Return a value as Python writes it, cut to `LONGEST_VALUE` characters."""
    try:
        return cut(repr(value), LONGEST_VALUE)
    except (ValueError, RecursionError):  # a number of thousands of digits, lists in lists in lists
        return f"({type(value).__name__} that is too long to show)"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return advice for an unknown name: similar known names, if there are any, then all known names. Ignore case."""
    names = sorted(known)
    folded = {name.casefold(): name for name in reversed(names)}
    near = [folded[name] for name in get_close_matches(word.casefold()[:LONGEST_MESSAGE], folded, n=3, cutoff=0.6)]
    if near:
        return f"did you mean {' or '.join(repr(name) for name in near)}? Known: {', '.join(names)}"
    return f"use one of: {', '.join(names)}" if names else "check the path"


def unknown_name(kind: str, word: str, known: Iterable[str]) -> SettingsError:
    """Return the error for a name that does not exist. `kind` says what it should name, e.g. "pooling"."""
    return SettingsError(f"unknown {kind} {excerpt(word)}", fix=did_you_mean(word, known))


def listed(problems: Sequence[str]) -> str:
    """Return problems of one kind as a bulleted text: the first `SHOWN` problems, then how many more there are."""
    lines = [f"\n  - {problem}" for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"\n  - ... and {len(problems) - SHOWN} more")
    return "".join(lines)


def demand_columns(name: str, frame: "pd.DataFrame", columns: Sequence[str], *, where: str) -> None:
    """Raise an error if the table `name` of a result lacks any of these columns.

    Args:
        where: name of the result's type, for the error.

    Raises:
        AnalysisError: if columns are missing. The message names them.
    """
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        raise AnalysisError(
            f"the table {name!r} lacks the columns {', '.join(missing)}",
            where=where,
            fix=f"give a table with the columns {', '.join(columns)}",
        )
