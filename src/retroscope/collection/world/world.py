"""The controlled world: people, their passages and questions, and a text for pre-training."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.collection.world.people import Person, WorldSettings, draw_people
from retroscope.collection.world.texts import QUESTIONS, documents, lexical_questions, passage, questions
from retroscope.errors import SettingsError, unknown_name

STRATA = ("known-trained", "known-held-out", "unknown-trained", "unknown-held-out")
NEGATIVES = 50
ASKED_OF_TRAINED = 3  # questions of a trained person that are for training; the next one tests


@dataclass(frozen=True)
class World:
    """A controlled world: invented people, a collection about them, and a text for pre-training.

    The same settings (and `flipped`) give the same world, to the letter.

    Attributes:
        flipped: ids of people whose exposure is the opposite of the drawn one (known instead of unknown, or the
            reverse). They change the pre-training text, but no name, passage or question.
    """

    settings: WorldSettings
    flipped: frozenset[str] = frozenset()

    @cached_property
    def people(self) -> tuple[Person, ...]:
        """Return the people, in an order that is independent of their exposure in training."""
        drawn = draw_people(self.settings)
        return tuple(
            replace(person, known=not person.known) if person.id in self.flipped else person for person in drawn
        )

    @cached_property
    def passages(self) -> tuple[Passage, ...]:
        """Return the passage of each person, under the person's id."""
        rng = np.random.default_rng([self.settings.seed, 1])
        return tuple(Passage(person.id, passage(person, rng)) for person in self.people)

    @cached_property
    def pretraining(self) -> tuple[str, ...]:
        """Return the pre-training documents in random order. Each document is about one person.

        Never pack two documents into one sequence, because this would link them.
        """
        rng = np.random.default_rng([self.settings.seed, 2])
        texts = [text for person in self.people for text in documents(person, self.settings.documents, rng)]
        return tuple(texts[at] for at in rng.permutation(len(texts)))

    @cached_property
    def splits(self) -> dict[str, list[tuple[Query, str]]]:
        """Return the questions of each split of `SPLITS`, each question with the id of its relevant passage."""
        questions: dict[str, list[tuple[Query, str]]] = {name: [] for name in SPLITS}
        for person in self.people:
            for name, query in _asked(person):
                questions[name].append((query, person.id))
        return questions

    @cached_property
    def negatives(self) -> dict[str, tuple[str, ...]]:
        """Map each question id to the ids of its hard negatives.

        They are up to `NEGATIVES` passages about other people, whose exposure in training is the same (`stratum`).

        A passage and its negatives differ only in the person that they are about, and all have the same exposure in
        training. So a probe that does not read the question cannot distinguish them. BM25 would select by function
        words, the only words that question and passage share.
        """
        rng = np.random.default_rng([self.settings.seed, 5])
        alike: dict[str, list[str]] = {}
        stratum = {person.id: person.stratum for person in self.people}
        for person in self.people:
            alike.setdefault(person.stratum, []).append(person.id)
        asked = {query.id: relevant for split in self.splits.values() for query, relevant in split}
        negatives = {}
        for query, relevant in asked.items():
            others = [person for person in alike[stratum[relevant]] if person != relevant]
            drawn = rng.permutation(len(others))[:NEGATIVES]
            negatives[query] = tuple(others[at] for at in drawn)
        return negatives

    def collection(self, split: str = "test") -> Collection:
        """Return the collection of all passages and the questions of one split."""
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        asked = self.splits[split]
        return make_collection(
            f"world-{split}",
            self.passages,
            (query for query, _ in asked),
            (Judgment(query.id, relevant) for query, relevant in asked),
        )


SPLITS = {
    "train": "questions for fine-tuning about trained people, half of them by name and half by alias",
    "dev": "questions by name about people who are neither trained nor tested, to choose when training stops",
    "test": "questions by name about held-out people, known and unknown",
    **{
        name: f"questions by name about {name.replace('-', ' ', 1)} people, worded unlike their training questions"
        for name in STRATA
    },
    "lexical": "questions by alias about held-out people, the control that needs no knowledge",
}


def make_world(settings: WorldSettings | None = None, flipped: Iterable[str] = ()) -> World:
    """Make a controlled world: invented people, a collection about them, and a text for pre-training.

    People in `flipped` get the opposite exposure in pre-training.

    Raises:
        SettingsError: if `flipped` contains an id that no person has.
    """
    world = World(settings or WorldSettings(), frozenset(flipped))
    strangers = sorted(world.flipped - {person.id for person in world.people})
    if strangers:
        raise SettingsError(
            f"no person of this world has the id {strangers[0]!r}, which is in `flipped`",
            fix="give ids of people in `World.people`, e.g. 'p0'",
        )
    return world


def world_facts(world: World) -> dict[str, Any]:
    """Return the settings and sizes of a world as JSON-like values."""
    return {
        "settings": asdict(world.settings),
        **({"flipped": sorted(world.flipped)} if world.flipped else {}),
        "people": len(world.people),
        "documents": len(world.pretraining),
        "splits": {name: len(asked) for name, asked in world.splits.items()},
    }


def world_summary(world: World) -> str:
    """Describe how many people, documents and questions a world has, and what each split is for."""
    sizes = f"{len(world.people):,} people, {len(world.pretraining):,} documents of pre-training text"
    return "\n".join([sizes, *(f"  {name}: {len(world.splits[name]):,} {what}" for name, what in SPLITS.items())])


def tested_wording(person: Person) -> int:
    """Return the index in `QUESTIONS` of a person's test question, which does not depend on other people."""
    return sum(map(ord, person.name)) % len(QUESTIONS)


def _asked(person: Person) -> Iterator[tuple[str, Query]]:
    """Yield (split, question) for the questions about a person."""
    by_name, by_alias = questions(person), lexical_questions(person)
    tested = tested_wording(person)
    order = [(tested + 1 + i) % len(QUESTIONS) for i in range(len(QUESTIONS))]
    if person.role == "trained":
        for at in order[:ASKED_OF_TRAINED]:
            yield "train", Query(f"{person.id}-name-{at}", by_name[at])
            yield "train", Query(f"{person.id}-alias-{at}", by_alias[at])
    group = "known people" if person.known else "unknown people"
    named = Query(f"{person.id}-name-{tested}", by_name[tested], group=group)
    if person.role == "dev":
        yield "dev", named
        return
    yield person.stratum, named
    if person.role == "held-out":
        yield "test", named
        yield "lexical", Query(f"{person.id}-alias-{tested}", by_alias[tested])
