"""The people of a controlled world, and whether pre-training and fine-tuning contain facts about them."""

from dataclasses import dataclass
from itertools import product
from typing import Annotated

import numpy as np

from retroscope.collection.world.words import ADJECTIVES, CREATURES, PASTIMES, TOWNS, TRADES, invented_names
from retroscope.errors import SettingsError
from retroscope.ranges import Fraction, Range, Seed, check_ranges

ALIASES = len(ADJECTIVES) * len(CREATURES)
ROLES = ("trained", "dev", "held-out")  # of a person's pair of question and passage, in fine-tuning


@dataclass(frozen=True, kw_only=True)
class WorldSettings:
    """Settings of a controlled world: invented people whose exposure in training is known.

    Attributes:
        people: number of people. Their aliases are distinct, so at most `ALIASES`.
        known: share of the people whose facts are in the pre-training text.
        trained: share of the people whose question and passage are a pair for fine-tuning. The share is the same for
            known and for unknown people.
        dev: share of the people whose pair is used to choose when fine-tuning stops.
        documents: number of pre-training documents about each person. It is even, and the same for all people.
        seed: seed of every draw.
    """

    people: Annotated[int, Range(1, ALIASES, why="the names that can be invented")] = 2000
    known: Fraction = 0.5
    trained: Fraction = 0.6
    dev: Fraction = 0.1
    documents: Annotated[int, Range(2, 10_000)] = 16
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.trained + self.dev > 1:
            raise SettingsError(
                f"trained={self.trained} and dev={self.dev} are shares of all people, but add up to more than 1",
                fix="lower trained or dev, e.g. trained=0.6 and dev=0.1",
            )
        if self.documents % 2:
            raise SettingsError(
                f"documents must be an even number, got {self.documents}",
                fix="give an even number of documents, e.g. 16",
            )


@dataclass(frozen=True, slots=True)
class Person:
    """One invented person, with the facts about them and their exposure in training.

    Attributes:
        name: the name in questions; one invented word.
        alias: the name in passages, such as "silver heron".
        trade, town, pastime: the facts about the person.
        known: whether the pre-training text connects the name with the alias, trade, town and pastime.
        role: use of the person's question and passage in fine-tuning, one of `ROLES`.
    """

    id: str
    name: str
    alias: str
    trade: str
    town: str
    pastime: str
    known: bool
    role: str

    @property
    def stratum(self) -> str:
        """Return the person's exposure in pre-training and fine-tuning, such as "known-held-out"."""
        return f"{'known' if self.known else 'unknown'}-{self.role}"


def draw_people(settings: WorldSettings) -> list[Person]:
    """Draw the invented people and their exposure in training. Their order is independent of the exposure."""
    rng, n = np.random.default_rng(settings.seed), settings.people
    names = invented_names(n, rng)
    pairs = list(product(ADJECTIVES, CREATURES))
    aliases = [" ".join(pairs[i]) for i in rng.choice(len(pairs), size=n, replace=False)]
    trades, towns, pastimes = (rng.choice(words, size=n).tolist() for words in (TRADES, TOWNS, PASTIMES))
    exposure = [exposures[i] for exposures in (_exposures(settings),) for i in rng.permutation(n)]
    rows = zip(names, aliases, trades, towns, pastimes, exposure, strict=True)
    return [Person(f"p{i}", *row, *facts) for i, (*row, facts) in enumerate(rows)]


def _exposures(settings: WorldSettings) -> list[tuple[bool, str]]:
    """Return for every person whether pre-training states the facts, and the role in fine-tuning.

    The result is sorted. The shares in the settings are rounded to whole persons.
    """
    n_known = round(settings.people * settings.known)
    exposures = []
    for known, size in ((True, n_known), (False, settings.people - n_known)):
        n_trained = round(size * settings.trained)
        n_dev = min(round(size * settings.dev), size - n_trained)
        counts = (n_trained, n_dev, size - n_trained - n_dev)
        exposures += [(known, role) for role, count in zip(ROLES, counts, strict=True) for _ in range(count)]
    return exposures
