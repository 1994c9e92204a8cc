"""Corrections of p-values for multiple tests over a declared family.

Each correction takes the p-values of a family, the differences (one row per text, one column per test) that they were
computed from, and the factor by which shared passages enlarge each test's standard error. It returns p-values to
compare with the uncorrected error rate, e.g. .05. Holm and max-T bound the probability of any false finding. BH bounds
the expected share of false findings among all findings.
"""

import gc
from collections.abc import Callable

import numpy as np
from statsmodels.stats.multitest import multipletests

from retroscope.errors import unknown_name
from retroscope.statistics.resampling.flips import Differences, PValues, SignFlips, max_statistic_p

Correction = Callable[[PValues, Differences, SignFlips, PValues | None], PValues]


def none(p: PValues, differences: Differences, flips: SignFlips, ratio: PValues | None = None) -> PValues:
    """Return the p-values unchanged, for tests of separate claims."""
    return np.array(p)


def bonferroni(p: PValues, differences: Differences, flips: SignFlips, ratio: PValues | None = None) -> PValues:
    """Correct by Bonferroni: multiply each p by the number of tests in the family. Holm is at least as powerful."""
    return _by_p(p, "bonferroni")


def holm(p: PValues, differences: Differences, flips: SignFlips, ratio: PValues | None = None) -> PValues:
    """Correct by Holm's step-down Bonferroni method (1979), which controls family-wise error under any dependence."""
    return _by_p(p, "holm")


def bh(p: PValues, differences: Differences, flips: SignFlips, ratio: PValues | None = None) -> PValues:
    """Correct by Benjamini and Hochberg (1995), which controls the false discovery rate under positive dependence."""
    return _by_p(p, "fdr_bh")


def max_t(p: PValues, differences: Differences, flips: SignFlips, ratio: PValues | None = None) -> PValues:
    """Correct by the step-down maximum statistic (max-T), with the same random sign flips in all columns.

    It bounds the family-wise error like Holm's correction, but is less strict for values that change together, such as
    those of neighbouring layers (Boytsov et al. 2013). The corrected p is never below the uncorrected p of the same
    column. (That may come from a test other than sign flips.)
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
    """Correct p-values as one family by the correction named `name`. A p that is NaN stays NaN and does not count.

    Args:
        name: a name in `CORRECTIONS`.
        p: uncorrected p-values.
        differences: after minus before, summed by text; only "max_t" uses them.
        flips: settings of the sign flips of "max_t".
        ratio: factor by which shared passages enlarge each column's standard error. None counts as 1.
    """
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
