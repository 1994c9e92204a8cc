"""The delete-a-group jackknife: intervals for statistics of many texts that are not means (such as CKA).

Kott (2001), The delete-a-group jackknife, J. Official Statistics 17: the groups are random, the interval is Student's
with G - 1 degrees of freedom.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Int
from scipy import stats

from retroscope.errors import AnalysisError

GROUPS = 10
KeptRows = Int[np.ndarray, "n"]


def fewest_texts(neighbours: int = 0) -> int:
    """Return the smallest number of texts for which a jackknife interval is computed.

    Every group has at least two texts. If one group is left out, each remaining text still has more than `neighbours`
    other texts, so at least one of them is not among its nearest neighbours.
    """
    left = neighbours + 2
    return max(2 * GROUPS, -(-left * GROUPS // (GROUPS - 1)))


def jackknife(
    statistic: Callable[[KeptRows], float], n: int, *, level: float = 0.95, groups: int = GROUPS, seed: int = 0
) -> tuple[float, float, float]:
    """Return a statistic of all `n` texts, and the two ends of its jackknife interval.

    Args:
        statistic: function that computes the statistic from the indices of the texts to use.
        n: number of texts.
        level: confidence level of the interval.
        groups: number G of groups, whose sizes differ by at most one text. Each group is left out once.
        seed: seed of the random division into groups.

    Raises:
        AnalysisError: for fewer than two texts in a group.
    """
    if n < 2 * groups:
        raise AnalysisError(
            f"{n} texts are too few for a jackknife with {groups} groups",
            where="jackknife",
            fix=f"give at least {2 * groups} texts",
        )
    whole = statistic(np.arange(n))
    group = np.random.default_rng(seed).permutation(np.arange(n) % groups)
    left = np.array([statistic(np.flatnonzero(group != g)) for g in range(groups)])
    spread = np.sqrt((groups - 1) / groups * np.square(left - whole).sum())
    half = float(stats.t.ppf((1 + level) / 2, groups - 1)) * float(spread)
    return whole, whole - half, whole + half
