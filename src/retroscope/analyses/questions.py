"""Questions that the answer of a study asks. Light to import."""

from enum import StrEnum


class Question(StrEnum):
    """The questions of the first screen, in order; an analysis may bring another one, which comes before `TRUST`."""

    CHANGED = "Did retrieval change?"
    ALREADY = "What was already there?"
    WHERE = "Where did it happen?"
    COST = "What did it cost on other collections?"
    TRUST = "Can these instruments be trusted?"
    MISSING = "What was not measured, and which command would?"
