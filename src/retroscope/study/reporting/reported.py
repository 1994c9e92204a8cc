"""Reported: the result and the section of an analysis with their inputs, so that a study makes them again only where an
input has changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Section
from retroscope.typesetting.subject import CollectionFacts, Model, Subject


@dataclass(frozen=True)
class SectionSubject:
    """The parts of a study's subject that its sections read: all but caveats and times, which each step changes."""

    title: str
    models: Mapping[str, Model]
    collections: tuple[CollectionFacts, ...]
    trainings: int
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, subject: Subject) -> "SectionSubject":
        """Return these parts of a subject."""
        return cls(subject.title, subject.models, subject.collections, subject.trainings, subject.settings)


@dataclass(frozen=True, eq=False)
class Reported:
    """The result and the section of an analysis, and the inputs from which they were made.

    Attributes:
        about: the part of the study's subject that sections read.
        section: section of the analysis, or None if there is nothing to report.
    """

    about: SectionSubject
    measurements: tuple[Measurement, ...]
    needed: Mapping[str, "Reported"]
    result: Any
    section: Section | None

    def is_of(
        self, about: SectionSubject, measurements: Sequence[Measurement], needed: Mapping[str, "Reported"]
    ) -> bool:
        """Return whether the result was made from exactly these inputs, and for an equal subject."""
        own, others = (*self.measurements, *self.needed.values()), (*measurements, *needed.values())
        if about != self.about or len(own) != len(others) or self.needed.keys() != needed.keys():
            return False
        return all(one is other for one, other in zip(own, others, strict=True))
