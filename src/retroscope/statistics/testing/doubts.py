"""Find reasons to doubt a comparison while it is computed."""

import numpy as np
from jaxtyping import Int

from retroscope.errors import listed
from retroscope.scores import Scores
from retroscope.statistics.cells import cell_names, cell_values
from retroscope.statistics.settings import ComparisonSettings


def inherited(before: Scores, after: Scores) -> tuple[str, ...]:
    """Return the warnings of both sets of scores, each labelled "before" or "after"."""
    sides = (("before", before.warnings), ("after", after.warnings))
    return tuple(f"{side}: {warning}" for side, warnings in sides for warning in warnings)


def too_few(scores: Scores, n: Int[np.ndarray, "cell"]) -> str:
    """Return a warning that names the cells with fewer than two pairs, or "" if there are none."""
    cells = np.flatnonzero(n < 2).tolist()
    names = cell_names(scores, cells)
    return f"{len(names)} cells have fewer than 2 paired queries and were not tested:{listed(names)}" if names else ""


def one_sided(before: Scores, after: Scores) -> str:
    """Return a warning with the number of queries that lack a value before or after in some cell, or "" if none do."""
    odd = np.isnan(cell_values(before)) != np.isnan(cell_values(after))
    rows = int(odd.any(axis=1).sum())
    return f"{rows} queries are measured on one side only in some cell and are left out there" if rows else ""


def too_coarse(flipped_cells: int, family: int, settings: ComparisonSettings) -> str:
    """Return a warning if too few flips were drawn for any corrected p-value to be significant, or "" otherwise."""
    if not flipped_cells or settings.correction not in ("holm", "bonferroni"):
        return ""
    smallest = family / (settings.permutations + 1)
    if smallest <= 1 - settings.level:
        return ""
    return (
        f"{settings.permutations} sign flips cannot give a corrected p below {smallest:.2g} in a family of {family}: "
        f"set permutations to {int(np.ceil(family / (1 - settings.level)))} or more, or correct with 'max_t'"
    )
