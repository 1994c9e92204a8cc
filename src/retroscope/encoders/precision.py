"""Names of the precisions of forward passes, and the effect of a lower precision on a result. No torch.

A lower precision is only for passes whose vectors are not stored. `hardware.in_precision` runs a pass in a precision.
"""

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from jaxtyping import Float

from retroscope.errors import SettingsError, unknown_name

EXACT = "float32"
TF32 = "tf32"  # float32 numbers, multiplied in tensor cores with 10 bits of mantissa
AUTOCAST = ("bfloat16", "float16")  # number formats of torch's autocast
PRECISION_NAMES = (EXACT, TF32, *AUTOCAST)
# Difference of a mean of a retrieval measure (RR@10, nDCG@10) that a lower precision may make. Half-widths of such
# means over 300 queries are .03 to .04; a third of that would be seen.
TOLERANCE = 0.01


def check_precision(name: str) -> None:
    """Raise a SettingsError for a precision that is not in `PRECISION_NAMES`."""
    if name not in PRECISION_NAMES:
        raise unknown_name("precision", name, PRECISION_NAMES)


class EffectFacts(TypedDict):
    """The effect of a lower precision on a mean over queries, as JSON-like values (see `PrecisionEffect`)."""

    precision: str
    quantity: str
    queries: int
    exact: float
    reduced: float
    standard_error: float
    difference: float


@dataclass(frozen=True)
class PrecisionEffect:
    """The effect of a lower precision on a mean over queries, measured on some of the queries (a pilot).

    Attributes:
        precision: name of the lower precision.
        quantity: name of what was measured, e.g. "harm of the top 1 % over random neurons (RR@10)".
        queries: number of queries in the pilot.
        exact: the mean in float32.
        reduced: the mean in the lower precision.
        standard_error: standard error of the difference, paired by query.
    """

    precision: str
    quantity: str
    queries: int
    exact: float
    reduced: float
    standard_error: float

    @property
    def difference(self) -> float:
        """Return the mean in the lower precision minus the mean in float32."""
        return self.reduced - self.exact

    def document(self) -> EffectFacts:
        """Return the effect as JSON-like values."""
        return {
            "precision": self.precision,
            "quantity": self.quantity,
            "queries": self.queries,
            "exact": self.exact,
            "reduced": self.reduced,
            "standard_error": self.standard_error,
            "difference": self.difference,
        }

    def words(self) -> str:
        """Describe the effect in one sentence without a full stop."""
        return (
            f"in {self.precision}, the {self.quantity} of {self.queries:,} queries is {self.reduced:.4f}, in {EXACT} "
            f"{self.exact:.4f}: a difference of {self.difference:+.4f} (standard error {self.standard_error:.4f})"
        )


def precision_effect(
    precision: str,
    quantity: str,
    exact: Float[np.ndarray, "query"],
    reduced: Float[np.ndarray, "query"],
    *,
    where: str = "",
) -> PrecisionEffect:
    """Measure how a lower precision changes the mean of a quantity over the same queries.

    Args:
        where: name of the model, for the error message.

    Raises:
        SettingsError: if the means differ by more than `TOLERANCE`, or are not finite.
    """
    change = np.asarray(reduced) - np.asarray(exact)
    many = len(change) > 1 and bool(np.isfinite(change).all())
    error = float(change.std(ddof=1) / np.sqrt(len(change))) if many else float("nan")
    effect = PrecisionEffect(precision, quantity, len(change), float(np.mean(exact)), float(np.mean(reduced)), error)
    if not abs(effect.difference) <= TOLERANCE:  # not finite: refused, too
        raise SettingsError(
            f"precision {precision} is not accurate enough (the difference may be at most {TOLERANCE:g}): "
            f"{effect.words()}",
            where=where,
            fix=f"use precision {EXACT}, e.g. --precision {EXACT}",
        )
    return effect
