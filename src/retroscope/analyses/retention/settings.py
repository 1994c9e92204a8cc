"""Settings of the retention of facts."""

from dataclasses import dataclass, field
from typing import Literal

from retroscope.knowledge.settings import ReadoutSettings
from retroscope.ranges import OneOrMore, Seed, check_ranges


@dataclass(frozen=True, kw_only=True)
class RetentionSettings:
    """Settings of retention: facts, wordings and read-outs.

    Attributes:
        facts: `LAYOUT:PATH` or a path; layouts are facts, lama, pararel, entityquestions, popqa.
        text: file of neutral text, a document a line; None: the passages of the collection that state none of the
            facts.
        tower: whose states are read.
        per_relation: facts of a relation, at most; a random sample where there are more.
        wordings: wordings of a fact that are read, the cloze and its paraphrases, at most.
        readout: how the linear read-out is fitted.
        clusters: what counts as one observation: all facts of a relation, or of a subject; "auto" is the relation where
            there are at least 10.
        search: search the passages that state the facts with their questions, where the facts have both.
        found_at: rank up to which a passage counts as found.
        unknowable: strata whose facts no text states, neither before nor in fine-tuning.
        seed: seed of the sample and of the draw of other subjects.
    """

    facts: str | None = None
    text: str | None = None
    tower: Literal["query", "passage"] = "passage"
    per_relation: OneOrMore = 250
    wordings: OneOrMore = 3
    readout: ReadoutSettings = field(default_factory=ReadoutSettings)
    clusters: Literal["auto", "relation", "subject"] = "auto"
    search: bool = True
    found_at: OneOrMore = 10
    unknowable: tuple[str, ...] = ("unknown-held-out",)
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self)
