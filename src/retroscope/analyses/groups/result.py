"""Result of the analysis of groups of queries."""

from dataclasses import dataclass

from retroscope.statistics import Difference

GROUPS = "groups"  # frame of the measurement: query_id, group


@dataclass(frozen=True, eq=False)
class GroupsResult:
    """Retrieval in each group of queries before and after fine-tuning, paired by query.

    Attributes:
        measure: the headline measure of the study.
        effect: effect of fine-tuning over `group`. The tests of all groups are corrected together.
    """

    measure: str
    effect: Difference
