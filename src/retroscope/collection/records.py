"""The records of a retrieval collection: passages, queries, judgments and candidates."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypedDict
from unicodedata import normalize

# trec_eval, which computes most measures, keeps a table with a row for every grade of a query: 2^31 - 1 takes all
# memory, and 2^32 wraps around to 0. Gains of 2^grade are finite up to 1023.
LARGEST_GRADE = 1000

Run = Mapping[str, Sequence[tuple[str, float]]]
"""What a search returned: query id -> (passage id, score), the best first."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A unit of text that can be retrieved."""

    id: str
    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Query:
    """An information need in words.

    Attributes:
        answers: short answers, if the source gives them; each of them answers the query.
        group: name of the query's group, for effects by group of queries, or "" if the source names none.
    """

    id: str
    text: str
    answers: tuple[str, ...] = ()
    group: str = ""


@dataclass(frozen=True, slots=True)
class Judgment:
    """Relevance grade of a passage for a query (a line of qrels), from -1000 to 1000. 0 or less is not relevant."""

    query_id: str
    passage_id: str
    relevance: int = 1


@dataclass(frozen=True, slots=True)
class Candidates:
    """One probe example: a query, one relevant passage, and hard negatives, hardest first.

    A query with several relevant passages has several `Candidates`.
    """

    query_id: str
    positive: str
    negatives: tuple[str, ...]


def folded(text: str) -> str:
    """Return a text with folded case, single spaces and Unicode's NFKC, the form in which texts are compared.

    The same text can be stored as different characters: an accent as part of its letter or after it, letters and digits
    of full width.
    """
    case = text.casefold()
    return " ".join((case if text.isascii() else normalize("NFKC", normalize("NFKC", text).casefold())).split())


def first_of_each(texts: Iterable[str]) -> Iterator[int]:
    """Yield the index of every text that differs from all earlier ones (see `folded`), compared by 8-byte digests."""
    seen: set[bytes] = set()
    for place, text in enumerate(texts):
        digest = blake2b(folded(text).encode(), digest_size=8).digest()
        if digest not in seen:
            seen.add(digest)
            yield place


class ScreenedCounts(TypedDict):
    """Counts of passages that were not used as negatives, as JSON-like values (see `screen.LeftOut`)."""

    with_answer: int
    of_same_text: int
    answered: int


class NegativesRecipe(TypedDict, total=False):
    """Source and settings of hard negatives, as JSON-like values.

    The keys "method" to "bm25s" exist for BM25 only, "source" for the source's own negatives, "run" for a run file.
    Only studies have the keys "choices", "short" and "left_out".
    """

    how: str
    n: int
    pool: int
    method: str
    k1: float
    b: float
    stop_words: str
    stemmer: None
    token_pattern: str
    text: str
    ties: str
    bm25s: str
    source: str
    run: str
    choices: int
    short: int
    left_out: ScreenedCounts
