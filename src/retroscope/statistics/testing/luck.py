"""Probability that several measurements point to the same place in the model (e.g. a block) by chance.

A measurement (e.g. the drift of the weights), called an instrument here, gives every place a value. The transplants,
called the answer here, give every place an effect. Under the null hypothesis that the instrument does not depend on the
answer, every assignment of its values to the places is equally likely.
"""

from collections.abc import Sequence
from itertools import permutations

import numpy as np
from jaxtyping import Float
from scipy.stats import binom, rankdata

EXACT = 7  # places up to which all permutations are tried: 5,040
DRAWN = 5_000  # permutations, where there are more places


def chance_of_agreeing(places: int, instruments: int, agreeing: int = 1) -> float:
    """Return the probability that `agreeing` or more measurements name one given place (e.g. a block) by chance.

    Each measurement (instrument) is assumed to name every place with equal probability, independently of the others.
    Correlated instruments agree together more often than this (see `chance_of_one_answer`).
    """
    return float(binom.sf(agreeing - 1, instruments, 1 / places))


def chance_of_one_answer(places: Sequence[str], named: Sequence[str], agreeing: int) -> float:
    """Return the share of places (e.g. blocks) that at least `agreeing` measurements (instruments) name.

    It is the probability that so many instruments name the answer if every place is equally likely to be the answer.
    The named places stay fixed, so no assumption is made about the dependence of the instruments. If the answer is such
    a place, the share is at least 1 / (number of places).

    Args:
        named: the place that each instrument names.
    """
    return float(np.mean([list(named).count(place) >= agreeing for place in places]))


def profile_p(
    values: Float[np.ndarray, "place"], answer: Float[np.ndarray, "place"], seed: int = 0
) -> tuple[float, float]:
    """Return the rank correlation of two arrays with a value for each place (e.g. block), and its one-sided p-value.

    The values are those of a measurement (instrument) and the effects of transplants (`answer`). The p-value is that of
    a permutation test. It is exact up to `EXACT` places. For more places, `DRAWN` permutations are drawn, and p is (1 +
    drawn permutations that reach the observed correlation) / (1 + drawn permutations).
    """
    ranks, answer_ranks = (_standardised(rankdata(v)) for v in (values, answer))
    correlation = float(ranks @ answer_ranks)
    n = len(ranks)
    if n <= EXACT:
        orders = np.array(list(permutations(range(n))))
        return correlation, float(np.mean(ranks[orders] @ answer_ranks >= correlation - 1e-9))
    rng = np.random.default_rng(seed)
    drawn = rng.permuted(np.tile(ranks, (DRAWN, 1)), axis=1)
    return correlation, float((1 + (drawn @ answer_ranks >= correlation - 1e-9).sum()) / (1 + len(drawn)))


def _standardised(ranks: Float[np.ndarray, "place"]) -> Float[np.ndarray, "place"]:
    centred = ranks - ranks.mean()
    size = np.linalg.norm(centred)
    return np.asarray(centred / size if size else centred)
