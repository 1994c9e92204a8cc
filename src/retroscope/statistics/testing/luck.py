"""Probability that several instruments name the same place by chance.

An instrument gives every place a value, and so does the answer. If the instrument does not depend on the answer, every
assignment of its values to the places is as likely as the observed one.
"""

from collections.abc import Sequence
from itertools import permutations

import numpy as np
from jaxtyping import Float
from scipy.stats import binom, rankdata

EXACT = 7  # places up to which all permutations are tried: 5,040
DRAWN = 5_000  # permutations, where there are more places


def chance_of_agreeing(places: int, instruments: int, agreeing: int = 1) -> float:
    """Return the probability that at least `agreeing` instruments name a given place by chance.

    The names of each instrument are permuted independently, so that it names every place with equal probability.
    Correlated instruments agree together more often than this (see `chance_of_one_answer`).
    """
    return float(binom.sf(agreeing - 1, instruments, 1 / places))


def chance_of_one_answer(places: Sequence[str], named: Sequence[str], agreeing: int) -> float:
    """Return the probability that at least `agreeing` instruments name the answer if every place is equally likely.

    The instruments keep their places, so no assumption is made about their dependence. The result is the share of
    places that at least `agreeing` instruments name; if the answer is such a place, this share is at least 1 / (number
    of places).
    """
    return float(np.mean([list(named).count(place) >= agreeing for place in places]))


def profile_p(
    values: Float[np.ndarray, "place"], answer: Float[np.ndarray, "place"], seed: int = 0
) -> tuple[float, float]:
    """Return the rank correlation of two profiles over places, and its one-sided permutation p.

    It is exact up to `EXACT` places, else (1 + drawn permutations that reach the observed value) / (1 + drawn
    permutations).
    """
    one, two = (_standardised(rankdata(v)) for v in (values, answer))
    seen = float(one @ two)
    n = len(one)
    if n <= EXACT:
        every = np.array(list(permutations(range(n))))
        return seen, float(np.mean(one[every] @ two >= seen - 1e-9))
    rng = np.random.default_rng(seed)
    drawn = rng.permuted(np.tile(one, (DRAWN, 1)), axis=1)
    return seen, float((1 + (drawn @ two >= seen - 1e-9).sum()) / (1 + len(drawn)))


def _standardised(ranks: Float[np.ndarray, "place"]) -> Float[np.ndarray, "place"]:
    centred = ranks - ranks.mean()
    size = np.linalg.norm(centred)
    return np.asarray(centred / size if size else centred)
