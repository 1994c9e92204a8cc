"""Correct the p-values of several comparisons as one family, for one claim about several tables."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from retroscope.errors import SettingsError
from retroscope.statistics.difference import ComparisonMethod, Difference
from retroscope.statistics.resampling.flips import SignFlips
from retroscope.statistics.testing.correction import correct


def correct_together(differences: Sequence[Difference], correction: str, family: str) -> tuple[Difference, ...]:
    """Return the same differences with p-values corrected over all their cells together.

    `family` describes the cells in words. The equivalence test keeps its own correction.

    Raises:
        SettingsError: for "max_t", which needs the same queries in every cell.
    """
    if correction == "max_t":
        raise SettingsError(
            "the correction 'max_t' needs the same queries in every table", fix="use the correction 'holm'"
        )
    every = np.concatenate([one.table["p"].values.ravel() for one in differences]) if differences else np.zeros(0)
    corrected = correct(correction, every, np.zeros((0, len(every))), SignFlips())
    size = int(np.isfinite(every).sum())
    ends = np.cumsum([one.table["p"].size for one in differences])[:-1]
    parts = np.split(corrected, ends) if differences else []
    return tuple(_with(one, part, correction, family, size) for one, part in zip(differences, parts, strict=True))


def _with(one: Difference, corrected: np.ndarray, correction: str, family: str, size: int) -> Difference:
    column = one.table["p"].copy(data=corrected.reshape(one.table["p"].shape))
    own: ComparisonMethod = {"correction": correction, "family": family, "family_per": [], "family_sizes": [size]}
    method: ComparisonMethod = {**one.method, **own}
    return replace(one, table=one.table.assign(p_corrected=column), method=method)
