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
    return row(f"queries share negatives ({name})", studies, (covered, rejected), (better, fewer))


def repeated(studies: int) -> Proof:
    """Return the row of repeated query texts."""
    rates = clusters.repeated_study(studies)
    independent, by_text = zip(rates["coverage of .95"], rates["mcnemar, level .05"], strict=True)
    return row("726 queries have 390 texts", studies, independent, by_text)


def row(where: str, studies: int, independent: tuple[float, float], clustered: tuple[float, float]) -> Proof:
    """Return a row of coverages and false rates, of queries taken as independent and by clusters."""
    return Proof(
        instrument=f"Accuracy changed, if {where}",
        control="The same queries, taken as independent",
        reads=f"The share of false statements is {short(independent[1])}, and the coverage is {short(independent[0])}",
        failed=independent[1] > 0.1,
        false=Rate(round(clustered[1] * studies), studies),
        power=None,
        planted="",
        coverage=Rate(round(clustered[0] * studies), studies),
        held_against="queries that share nothing: equal to the last bit with and without clusters "
        "(tests/statistics/test_clusters.py)",
    )
