"""Estimate the time of an exact search and of its measures, from the numbers of queries, passages and measures."""

from collections.abc import Sequence

from retroscope.retrieval.measures import depth
from retroscope.retrieval.search import SPARE

# Seconds, by benchmarks/plan.py on one core of 1.2e11 operations a second.
MEASURE = 3e-5  # one measure of one query
RESCORED = 2e-9  # one number of a passage whose score is computed again in float64
PREPARED = 1.2e-8  # one number of a passage that is read and brought to unit length


def search_seconds(queries: int, passages: int, width: int, measures: Sequence[str], product_rate: float) -> float:
    """Estimate how many seconds it takes to search with all queries and to compute the measures.

    Args:
        queries: number of queries.
        passages: number of passages.
        measures: names of the measures.
        width: number of dimensions of a vector.
        product_rate: operations per second of a float32 product (`encoders.work.product_rate`).
    """
    again = min(depth(measures) + SPARE, passages)
    products = 2.0 * queries * passages * width / product_rate
    return products + queries * (MEASURE * len(measures) + RESCORED * again * width) + PREPARED * passages * width
