"""Settings of the analysis of facts that can still be read after fine-tuning."""

from dataclasses import dataclass, field
from typing import Literal

from retroscope.knowledge.settings import ReadoutSettings
from retroscope.ranges import OneOrMore, Seed, check_ranges


@dataclass(frozen=True, kw_only=True)
class RetentionSettings:
    """Settings for reading facts from a model: which facts are read, in which wordings, and how read-outs are fitted.

    Attributes:
        facts: file of facts: a path or `LAYOUT:PATH`. The layouts are facts, lama, pararel, entityquestions, popqa.
        text: file of neutral text, one document per line. If None, those passages of the collection that state none of
            the facts.
        tower: tower whose states are read.
        per_relation: the largest number of facts of a relation, drawn at random if there are more.
        wordings: the largest number of wordings of a fact that are read: the cloze and its paraphrases.
        readout: how the linear read-out is fitted.
        clusters: what counts as one observation: all facts of a "relation", or of a "subject". "auto" takes the
            relation if there are at least 10 relations, or else the subject.
        search: search the passages that state the facts, with the questions that ask for them as queries, if the facts
            have both.
        found_at: a passage counts as found up to this rank.
        unknowable: strata whose facts are stated in no text, neither in pre-training nor in fine-tuning.
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
