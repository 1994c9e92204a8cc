"""Search the passages that state facts, with the questions that ask for these facts as queries."""

import re

import numpy as np
import pandas as pd

from retroscope.analyses.context import Context
from retroscope.collection.facts.questions import facts_as_collection
from retroscope.collection.facts.records import Fact, Facts
from retroscope.encoders.encoder import Retriever
from retroscope.retrieval.retrieve import retrieve

WORD = re.compile(r"\w+")


def search_facts(context: Context, facts: Facts, found_at: int) -> pd.DataFrame:
    """Search with the question of each fact, and return whether each model finds a passage that states the fact.

    The result has a row for each fact that has a question and passages. SIDE in the column "found/SIDE" is the role of
    a model; the value is 1 if a passage that states the fact is among the first `found_at`. The column "shared" is the
    largest share of the question's words that are in one of the fact's passages. The column "popularity" is the
    popularity that the facts give, if all facts give it. Otherwise it is the number of passages that name the subject.
    """
    collection = facts_as_collection(facts, "facts")
    measure = f"Success@{found_at}"
    asked = [fact for fact in facts.facts if fact.id in collection.queries]
    hits = {f"found/{side}": _found(context.on(collection, first=False), retriever, measure, asked)
            for side, retriever in context.models.items()}  # fmt: skip
    words = [f" {' '.join(WORD.findall(passage.text.casefold()))} " for passage in collection.passages.values()]
    return pd.DataFrame(
        {
            "fact": [fact.id for fact in asked],
            **hits,
            "shared": [_shared(fact) for fact in asked],
            "popularity": _popularity(asked, words),
        }
    )


def _found(context: Context, retriever: Retriever, measure: str, asked: list[Fact]) -> np.ndarray:
    scores = retrieve(context.encoded(retriever).vectors, context.collection, (measure,)).scores
    values: np.ndarray = scores.select(measure=measure).values.sel(query=[fact.id for fact in asked]).values
    return values


def _shared(fact: Fact) -> float:
    """Return the largest share of a question's words that one of the fact's passages contains."""
    words = set(WORD.findall(fact.question.casefold()))
    return max(len(words & set(WORD.findall(text.casefold()))) / max(1, len(words)) for text in fact.passages)


def _popularity(asked: list[Fact], passages: list[str]) -> list[float]:
    """Return the popularity of every subject: as given if all facts give it, else the number of passages that name it.

    Args:
        passages: the words of each passage between single spaces, with a space at both ends.
    """
    popularity = [fact.popularity for fact in asked if fact.popularity is not None]
    if len(popularity) == len(asked):
        return popularity
    subjects = [f" {' '.join(WORD.findall(fact.subject.casefold()))} " for fact in asked]
    return [float(sum(subject in passage for passage in passages)) for subject in subjects]
