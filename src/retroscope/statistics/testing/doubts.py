"""Warnings about a comparison of two retrievers: missing values, too few queries, too few sign flips."""

import numpy as np
from jaxtyping import Int

from retroscope.errors import listed
from retroscope.scores import Scores
from retroscope.statistics.cells import cell_names, cell_values
from retroscope.statistics.settings import ComparisonSettings


def inherited(before: Scores, after: Scores) -> tuple[str, ...]:
    """Return the warnings of the scores before and after, each with the prefix "before: " or "after: "."""
    sides = (("before", before.warnings), ("after", after.warnings))
    return tuple(f"{side}: {warning}" for side, warnings in sides for warning in warnings)


def too_few(scores: Scores, n: Int[np.ndarray, "cell"]) -> str:
    """Return a warning that names the label combinations with fewer than two paired queries; "" if there are none."""
    cells = np.flatnonzero(n < 2).tolist()
    names = cell_names(scores, cells)
    if not names:
        return ""
    return f"scores with fewer than 2 queries measured before and after were not tested:{listed(names)}"


def one_sided(before: Scores, after: Scores) -> str:
    """Return a warning that counts queries with a score in only one of the two models; "" if there are none."""
    one_missing = np.isnan(cell_values(before)) != np.isnan(cell_values(after))
    rows = int(one_missing.any(axis=1).sum())
    if not rows:
        return ""
    return (
        f"{rows} queries lack some of their scores before or after, and are left out of the comparisons of these scores"
    )


def too_coarse(flipped_cells: int, family: int, settings: ComparisonSettings) -> str:
    """Return a warning if so few sign flips were drawn that no corrected p-value can be significant; "" otherwise.

    Args:
        flipped_cells: number of tests by sign flips.
        family: number of tests in the largest family.
    """
    if not flipped_cells or settings.correction not in ("holm", "bonferroni"):
        return ""
    smallest = family / (settings.permutations + 1)
    if smallest <= 1 - settings.level:
        return ""
    return (
        f"{settings.permutations} sign flips cannot give a corrected p below {smallest:.2g} in a family of {family} "
        f"tests: set permutations to {int(np.ceil(family / (1 - settings.level)))} or more, or correct with 'max_t'"
    )
