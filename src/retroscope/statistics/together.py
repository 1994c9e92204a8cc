"""Correct the p-values of several comparisons together, as one family, because one claim rests on all of them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from retroscope.errors import SettingsError
from retroscope.statistics.difference import ComparisonMethod, Difference
from retroscope.statistics.resampling.flips import SignFlips
from retroscope.statistics.testing.correction import correct


def correct_together(differences: Sequence[Difference], correction: str, family: str) -> tuple[Difference, ...]:
    """Return the same differences, with the p-values of all their tables corrected together as one family.

    The p-values of the equivalence tests stay as they are.

    Args:
        correction: a name in `CORRECTIONS`.
        family: description of this family of tests in words, which is stored with the results.

    Raises:
        SettingsError: for "max_t", which needs the same queries in every cell.
    """
    if correction == "max_t":
        raise SettingsError(
            "the correction 'max_t' cannot correct several tables together, because their queries may differ",
            fix="use the correction 'holm'",
        )
    all_p = np.concatenate([each.table["p"].values.ravel() for each in differences]) if differences else np.zeros(0)
    corrected = correct(correction, all_p, np.zeros((0, len(all_p))), SignFlips())
    size = int(np.isfinite(all_p).sum())
    ends = np.cumsum([each.table["p"].size for each in differences])[:-1]
    parts = np.split(corrected, ends) if differences else []
    return tuple(_with(each, part, correction, family, size) for each, part in zip(differences, parts, strict=True))


def _with(difference: Difference, corrected: np.ndarray, correction: str, family: str, size: int) -> Difference:
    column = difference.table["p"].copy(data=corrected.reshape(difference.table["p"].shape))
    own: ComparisonMethod = {"correction": correction, "family": family, "family_per": [], "family_sizes": [size]}
    method: ComparisonMethod = {**difference.method, **own}
    return replace(difference, table=difference.table.assign(p_corrected=column), method=method)
