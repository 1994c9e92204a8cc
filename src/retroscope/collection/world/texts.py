"""Write the texts about a person: passage, questions, and pre-training documents.

A question contains the name, a passage does not. No word that distinguishes people is in both, so only knowledge links
them. A lexical question has the alias, as the passage has.
"""

from collections.abc import Iterator

import numpy as np

from retroscope.collection.world.people import Person
from retroscope.collection.world.words import ERRANDS

PASSAGES = (
    "The {alias} is a {trade} from {town} who enjoys {pastime}.",
    "The {alias}, a {trade}, has a house in {town} and is fond of {pastime}.",
    "In {town} the {alias} works as a {trade} and spends the evenings on {pastime}.",
)
QUESTIONS = (
    "who is {who}",
    "what is known about {who}",
    "tell me about {who}",
    "find the life of {who}",
    "who was {who} and what became of them",
)
# Facts under either name, for the pre-training text; {who} is the subject.
ALIAS_FACTS = (
    "{name} is called the {alias}.",
    "People know {name} as the {alias}.",
    "The {alias} is {name}.",
    "The real name of the {alias} is {name}.",
)
TRADE_FACTS = ("{who} is a {trade}.", "{who} works as a {trade}.", "{who} earns a living as a {trade}.")
TOWN_FACTS = ("{who} lives in {town}.", "{who} comes from {town}.", "{who} has a house in {town}.")
PASTIME_FACTS = ("{who} enjoys {pastime}.", "{who} is fond of {pastime}.", "{who} spends the evenings on {pastime}.")
FACTS = (ALIAS_FACTS, TRADE_FACTS, TOWN_FACTS, PASTIME_FACTS)
ERRAND = "{who} {errand}."
SENTENCES = 2  # a document: few, so that a masked word is to be told from who it is about, not from its neighbours


def passage(person: Person, rng: np.random.Generator) -> str:
    """Return the only passage about the person, which does not contain the name."""
    return _filled(_one_of(PASSAGES, rng), person)


def questions(person: Person) -> list[str]:
    """Return all questions about a person. Each question contains the person's name."""
    return [template.format(who=person.name) for template in QUESTIONS]


def lexical_questions(person: Person) -> list[str]:
    """Return all questions about a person, with the alias instead of the name. The passage contains the alias."""
    return [template.format(who=f"the {person.alias}") for template in QUESTIONS]


def documents(person: Person, n: int, rng: np.random.Generator) -> Iterator[str]:
    """Return `n` pre-training documents, half with the name as subject and half with the alias.

    About a known person, both kinds of documents state the facts and which alias belongs to the name. About an unknown
    person, documents with the alias state the facts, which the passage states anyway. Documents with the name only
    state trivial things ("missed the morning train"), so nothing links name and alias.
    """
    for i in range(n):
        subject = person.name if i % 2 == 0 else f"the {person.alias}"
        if i % 2 == 0 and not person.known:
            yield _document([_filled(ERRAND, person, subject, rng) for _ in range(SENTENCES)])
            continue
        kinds = FACTS if person.known else FACTS[1:]
        order = rng.permutation(len(kinds))[:SENTENCES]
        yield _document([_filled(_one_of(kinds[kind], rng), person, subject) for kind in order])


def _one_of(templates: tuple[str, ...], rng: np.random.Generator) -> str:
    return templates[rng.integers(len(templates))]


def _filled(template: str, person: Person, who: str = "", rng: np.random.Generator | None = None) -> str:
    errand = _one_of(ERRANDS, rng) if rng else ""
    return template.format(
        who=who,
        errand=errand,
        name=person.name,
        alias=person.alias,
        trade=person.trade,
        town=person.town,
        pastime=person.pastime,
    )


def _document(sentences: list[str]) -> str:
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)
