"""The questions that the first screen of a report answers. Light to import."""

from enum import StrEnum


class Question(StrEnum):
    """Questions of the first screen, in order. Questions that an analysis itself defines come before `TRUST`."""

    CHANGED = "Did retrieval change?"
    ALREADY = "What was already there?"
    WHERE = "Where did it happen?"
    COST = "What did it cost on other collections?"
    TRUST = "Can these instruments be trusted?"
    MISSING = "What was not measured, and which command would?"
