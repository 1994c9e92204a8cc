"""The facts of a controlled world, with each person's exposure in pre-training and fine-tuning."""

from collections.abc import Iterator

from retroscope.collection.facts.records import MASK, Fact, Facts, make_facts
from retroscope.collection.world.people import Person
from retroscope.collection.world.texts import ALIAS_FACTS, PASTIME_FACTS, QUESTIONS, TOWN_FACTS, TRADE_FACTS
from retroscope.collection.world.world import World, tested_wording

# Relation -> the sentences of the pre-training text that state it of a name, its object last.
CLOZES = {
    "alias": tuple(text for text in ALIAS_FACTS if text.startswith(("{name} ", "People know {name} "))),
    "trade": TRADE_FACTS,
    "town": TOWN_FACTS,
    "pastime": PASTIME_FACTS,
}


def facts_of_world(world: World) -> Facts:
    """Return four facts about the name of every person, with the person's stratum (exposure in training).

    The pre-training text states the facts of known people. It never connects the name of an unknown person with a fact,
    so no model can know these facts from it.
    """
    texts = {passage.id: passage.text for passage in world.passages}
    facts = [fact for person in world.people for fact in _facts(person, texts[person.id])]
    return make_facts(facts, "world", "world")


def _facts(person: Person, passage: str) -> Iterator[Fact]:
    question = QUESTIONS[tested_wording(person)].format(who=person.name)
    for relation, templates in CLOZES.items():
        blank = {"who": person.name, "name": person.name, relation: MASK}
        clozes = [text.format(**blank) for text in templates]
        yield Fact(
            f"{person.id}-{relation}",
            relation,
            person.name,
            getattr(person, relation),
            clozes[0],
            tuple(clozes[1:]),
            question=question,
            passages=(passage,),
            stratum=person.stratum,
        )
