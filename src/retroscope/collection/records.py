"""The records of a retrieval collection, in the field's words."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Passage:
    """A unit of text that can be retrieved."""

    id: str
    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Query:
    """An information need in words."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Judgment:
    """How relevant a passage is to a query (a line of qrels); 0 or less is not relevant."""

    query_id: str
    passage_id: str
    relevance: int = 1


@dataclass(frozen=True, slots=True)
class Candidates:
    """One choice for a probe: a query, one relevant passage, and hard negatives, hardest first.

    A query with several relevant passages has several `Candidates`.
    """

    query_id: str
    positive: str
    negatives: tuple[str, ...]
