"""Result of groups."""

from dataclasses import dataclass

from retroscope.statistics import Difference

GROUPS = "groups"  # frame of the measurement: query_id, group


@dataclass(frozen=True, eq=False)
class GroupsResult:
    """Retrieval by group of queries, paired by query.

    Attributes:
        measure: the headline measure of the study.
        effect: over `group`; all groups are one family of tests.
    """

    measure: str
    effect: Difference
