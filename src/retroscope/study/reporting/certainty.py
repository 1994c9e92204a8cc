"""Precision of a study: half-widths of the main interval of each analysis, now and with four times as many queries."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from retroscope.analyses.section import Section
from retroscope.number_format import count, score
from retroscope.statistics import Difference

MEASURE = "measure"


@dataclass(frozen=True)
class Certainty:
    """Half-width of the interval of an effect, and the number of queries over which the effect is averaged."""

    half_width: float
    queries: int

    def words(self) -> str:
        """Describe the half-width of the interval, now and with four times as many queries."""
        more = f"{score(self.half_width / 2)} with 4 times as many"
        return f"{score(self.half_width)} with {count(self.queries, 'query')} ({more})"


def certainties(sections: Mapping[str, Section], measure: str) -> dict[str, Certainty]:
    """Map each analysis that compares both models to its largest half-width in the first table of differences.

    Args:
        measure: measure whose intervals are taken, if a difference has several measures.
    """
    first = {name: next(iter(section.differences.values()), None) for name, section in sections.items()}
    widths = {name: _certainty(difference, measure) for name, difference in first.items() if difference is not None}
    return {name: width for name, width in widths.items() if width is not None}


def _certainty(difference: Difference, measure: str) -> Certainty | None:
    """Return the precision of a difference from its widest interval, or None if it has no interval."""
    table = difference.table
    if MEASURE in table.dims:
        if measure not in table[MEASURE].values:
            return None
        table = table.sel({MEASURE: measure})
    half = np.asarray((table["ci_high"] - table["ci_low"]) / 2, dtype=np.float64).ravel()
    known = np.isfinite(half)
    if not known.any():
        return None
    widest = int(np.nanargmax(half))
    return Certainty(float(half[widest]), int(np.asarray(table["n"]).ravel()[widest]))
