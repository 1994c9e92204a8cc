"""Queries that are not independent: repeated texts, and passages that many queries share.

The studies are those of `benchmarks/audit/clusters.py`: accuracies of 300 queries whose negatives are drawn from hubs,
and 726 queries of 390 texts. Two retrievers are equal in law, so that every difference found is false.
"""

from audit import clusters
from proof.proof import Proof, Rate, short


def proofs(studies: int) -> list[Proof]:
    """Return a row for shared passages, mild and hard, and one for repeated texts."""
    return [
        shared("100 hubs, Zipf 1", studies),
        shared("60 hubs, Zipf 1, 200 queries", studies),
        repeated(studies),
    ]


def shared(name: str, studies: int) -> Proof:
    """Return the row of one world of shared negatives."""
    covered, better, rejected, fewer = clusters.hub_study(name, studies)
    return Proof(
        instrument=f"Accuracy changed, where queries share negatives ({name})",
        control="the same queries taken as independent",
        reads=f"false {short(rejected)}, coverage {short(covered)}",
        failed=rejected > 0.1,
        false=Rate(round(fewer * studies), studies),
        power=None,
        planted="",
        coverage=Rate(round(better * studies), studies),
        held_against="independent hubs: intervals as without clusters (tests/statistics/test_clusters.py)",
    )


def repeated(studies: int) -> Proof:
    """Return the row of repeated query texts."""
    found = clusters.repeated_study(studies)
    (covered, better), (rejected, fewer) = found["coverage of .95"], found["mcnemar, level .05"]
    return Proof(
        instrument="Accuracy changed, where 726 queries have 390 texts",
        control="the same queries taken as independent",
        reads=f"false {short(rejected)}, coverage {short(covered)}",
        failed=rejected > 0.1,
        false=Rate(round(fewer * studies), studies),
        power=None,
        planted="",
        coverage=Rate(round(better * studies), studies),
        held_against="each text once: McNemar's own p (tests/statistics/test_clusters.py)",
    )
