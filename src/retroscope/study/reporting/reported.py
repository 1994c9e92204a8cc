"""The type `Reported`: result and section of an analysis, which are made again only if their inputs have changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Section
from retroscope.typesetting.subject import CollectionFacts, Model, Subject


@dataclass(frozen=True)
class SectionSubject:
    """The facts of a study that the sections of its report read.

    Caveats and times, which every analysis changes, are left out.
    """

    title: str
    models: Mapping[str, Model]
    collections: tuple[CollectionFacts, ...]
    trainings: int
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, subject: Subject) -> "SectionSubject":
        """Return the facts of a study without caveats and times."""
        return cls(subject.title, subject.models, subject.collections, subject.trainings, subject.settings)


@dataclass(frozen=True, eq=False)
class Reported:
    """The result of an analysis and its section of the report, with the inputs from which they were made.

    Attributes:
        about: what the section reads of the study.
        measurements: measurements of the analysis, one for each collection.
        needed: name of another analysis that this one needs -> its result and section.
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
        """Return whether the result was made from exactly these inputs."""
        own, others = (*self.measurements, *self.needed.values()), (*measurements, *needed.values())
        if about != self.about or len(own) != len(others) or self.needed.keys() != needed.keys():
            return False
        return all(mine is theirs for mine, theirs in zip(own, others, strict=True))
