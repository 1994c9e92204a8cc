"""Convert facts to a retrieval collection of questions about the facts and of passages that state them."""

from collections.abc import Sequence

from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.facts.records import Fact, Facts
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.errors import CollectionError


def facts_as_collection(facts: Facts, name: str) -> Collection:
    """Return a collection with a query for each fact that has a question and passages. Each passage occurs once.

    The id of a query is that of its fact. Facts without a question or without a passage are left out and counted.

    Raises:
        CollectionError: if no fact has both a question and a passage.
    """
    asked = [fact for fact in facts.facts if fact.question and fact.passages]
    if not asked:
        raise CollectionError(
            "no fact has a question and a passage that states the fact",
            where=facts.source,
            fix="fill the fields `question` and `passages` of the facts, or give another collection, e.g. beir:FOLDER",
        )
    numbers = passage_numbers(asked)
    left_out = len(facts) - len(asked)
    notes = (f"{left_out} facts without a question or a passage, left out",) if left_out else ()
    return make_collection(
        name,
        (Passage(f"p{number}", text) for text, number in numbers.items()),
        (Query(fact.id, fact.question, (fact.object, *fact.others)) for fact in asked),
        (
            Judgment(fact.id, f"p{number}")
            for fact in asked
            for number in dict.fromkeys(numbers[text] for text in fact.passages)
        ),
        source=facts.source,
        mapping={"format": "facts", "layout": facts.layout},
        notes=(*facts.notes, *notes),
    )


def passage_numbers(facts: Sequence[Fact]) -> dict[str, int]:
    """Number the distinct passage texts of the facts from 0, in the order of first appearance."""
    numbers: dict[str, int] = {}
    for fact in facts:
        for text in fact.passages:
            numbers.setdefault(text, len(numbers))
    return numbers
