"""Corrections of p-values for multiple tests over a declared family.

Each correction takes the family's p-values, the differences (text, cell) they came from, and the factor by which shared
passages enlarge each cell's standard error. It returns p-values to compare with the uncorrected level. Holm and max-T
bound the chance of any false finding. BH bounds the share of false findings among all findings.
"""

import gc
from collections.abc import Callable

import numpy as np
from statsmodels.stats.multitest import multipletests

from retroscope.errors import unknown_name
from retroscope.statistics.resampling.flips import Differences, PValues, SignFlips, max_statistic_p

Correction = Callable[[PValues, Differences, SignFlips, PValues | None], PValues]


def none(p: PValues, differences: Differences, flips: SignFlips, ratio: PValues | None = None) -> PValues:
    """Return the p-values without correction, for cells that are separate claims."""
    return np.array(p)


def bonferroni(p: PValues, differences: Differences, flips: SignFlips, ratio: PValues | None = None) -> PValues:
    """Multiply each p by the size of the family (Bonferroni). Holm is always at least as powerful."""
    return _by_p(p, "bonferroni")


def holm(p: PValues, differences: Differences, flips: SignFlips, ratio: PValues | None = None) -> PValues:
    """Correct by Holm's step-down Bonferroni (1979): controls family-wise error under any dependence."""
    return _by_p(p, "holm")


def bh(p: PValues, differences: Differences, flips: SignFlips, ratio: PValues | None = None) -> PValues:
    """Correct by Benjamini and Hochberg (1995): controls the false discovery rate under positive dependence."""
    return _by_p(p, "fdr_bh")


def max_t(p: PValues, differences: Differences, flips: SignFlips, ratio: PValues | None = None) -> PValues:
    """Correct by the step-down maximum statistic under sign flips that are equal in all cells, e.g. for layers.

    It bounds the family-wise error like Holm's correction, but is less strict for cells that change together, such as
    neighbouring layers (Boytsov et al. 2013). The corrected p is never below the cell's own p-value, which may come
    from another test.
    """
    return np.asarray(np.maximum(p, max_statistic_p(differences, flips, ratio)))


CORRECTIONS: dict[str, Correction] = {
    "none": none,
    "bonferroni": bonferroni,
    "holm": holm,
    "bh": bh,
    "max_t": max_t,
}


def correct(name: str, p: PValues, differences: Differences, flips: SignFlips, ratio: PValues | None = None) -> PValues:
    """Correct p-values as one family by a named correction. NaN cells do not count."""
    if name not in CORRECTIONS:
        raise unknown_name("correction", name, CORRECTIONS)
    corrected = np.full(len(p), np.nan)
    tested = np.isfinite(p)
    if tested.any():
        grown = None if ratio is None else ratio[tested]
        corrected[tested] = CORRECTIONS[name](p[tested], differences[:, tested], flips, grown)
    return corrected


def _by_p(p: PValues, method: str) -> PValues:
    gc.freeze()  # statsmodels collects garbage at every call: with torch loaded a third of a second, which this spares
    try:
        return np.asarray(multipletests(p, method=method)[1], dtype=np.float64)
    finally:
        gc.unfreeze()
