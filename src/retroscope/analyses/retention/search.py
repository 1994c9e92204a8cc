"""Search the passages that state facts with the questions that ask for them."""

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
    """Return a row for each fact that has a question and passages: whether each model finds one of its passages.

    The column "found/SIDE" says whether a passage that states the fact is among the first `found_at`. The column
    "shared" is the share of the question's words that are in the fact's passages. The column "popularity" is the
    popularity that the facts give, if all facts give it. Otherwise it is the number of passages that name the subject.
    """
    collection = facts_as_collection(facts, "facts")
    measure = f"Success@{found_at}"
    asked = [fact for fact in facts.facts if fact.id in collection.queries]
    found = {f"found/{side}": _found(context.on(collection, first=False), one, measure, asked)
             for side, one in context.models.items()}  # fmt: skip
    words = [f" {' '.join(WORD.findall(one.text.casefold()))} " for one in collection.passages.values()]
    return pd.DataFrame(
        {
            "fact": [fact.id for fact in asked],
            **found,
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
    """Return the popularity of every fact's subject: as given if all facts give it, else the passages that name it.

    Args:
        passages: the words of each passage between single spaces, with a space at both ends.
    """
    given = [fact.popularity for fact in asked if fact.popularity is not None]
    if len(given) == len(asked):
        return given
    subjects = [f" {' '.join(WORD.findall(fact.subject.casefold()))} " for fact in asked]
    return [float(sum(subject in passage for passage in passages)) for subject in subjects]
