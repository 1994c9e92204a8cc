"""Result of the analysis of attention heads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from retroscope.attribution.heads.accuracy import EstimateError
from retroscope.statistics import Difference

HEAD_COLUMNS = ("head", "role", "estimate", "effect", "ci_low", "ci_high", "p_corrected", "beyond", "beyond_low",
                "beyond_high", "p_beyond", "carries")  # fmt: skip


@dataclass(frozen=True)
class SetEffect:
    """One retrieval measure with all top heads fixed, compared with fixing random heads of the same layers.

    Attributes:
        intact, top, random: means over queries (for random sets, over the draws as well).
        lowest, highest: the lowest and the highest mean of a random set.
        beyond: `top` minus `random`. `low` and `high` are the ends of its interval.
        p_queries: p of `beyond`, paired by query, corrected over the measures.
        p_draws: p of the test whether the set of top heads could be one more random set.
        heads: number of top heads, and number of heads in the smallest random set.
        queries: number of queries that were searched with.
    """

    measure: str
    intact: float
    top: float
    random: float
    lowest: float
    highest: float
    beyond: float
    low: float
    high: float
    p_queries: float
    p_draws: float
    heads: tuple[int, int]
    queries: int

    @property
    def p(self) -> float:
        """Return the larger p of the two tests (over queries, over random sets), because a claim needs both."""
        return max(self.p_queries, self.p_draws)


@dataclass(frozen=True, eq=False)
class SideHeads:
    """Effects of the attention heads of one model on the margin and on retrieval.

    Changes of the margin are in standard deviations of the intact margin.

    Attributes:
        name: name of the model.
        spread: standard deviation of the intact margin over queries.
        estimates: mean first-order change of the margin, of every head.
        table: a row for each head that was ablated exactly, with the columns `HEAD_COLUMNS`. `role` is "top", "other's
            top" (at the top in the other model alone), "control" or "random". `effect` is the change of the margin, and
            `beyond` is this change minus the mean change by the controls of the head's layer. A head `carries` the
            margin if `effect` and `beyond` are both significant and below 0.
        exact: change of the margin by fixing each of these heads, paired by query.
        errors: errors of the estimates, for "all", "top" and "random" heads.
        sets: retrieval with all top heads fixed, one item for each measure.
        top: top heads. The first is the one whose ablation is estimated to lower the margin most.
        single: a row for each top head: the mean of every measure with this head alone fixed.
        eager: "gap" is the largest relative distance of vectors by the eager implementation of attention from those by
            the usual one, and "limit" the largest distance allowed; empty if attention was not measured.
        attention: shares of attention of all heads, or None if attention was not measured.
    """

    name: str
    spread: float
    estimates: Float[np.ndarray, "layer head"]
    table: pd.DataFrame
    exact: Difference
    errors: Mapping[str, EstimateError]
    sets: tuple[SetEffect, ...]
    top: tuple[str, ...]
    single: pd.DataFrame
    eager: Mapping[str, float] = field(default_factory=dict)
    attention: pd.DataFrame | None = None

    @property
    def carrying(self) -> pd.DataFrame:
        """Return the rows of `table` for the heads that the margin depends on (`carries`), the largest effect first."""
        return self.table[self.table["carries"]].sort_values("effect")


@dataclass(frozen=True, eq=False)
class HeadResult:
    """Effects of the attention heads of one model, or of two models and the changes between them.

    Attributes:
        sides: role of the model ("before" and "after", or "model" for a single one) -> its heads.
        towers: towers whose heads were fixed.
        level: confidence level of the intervals.
        change: how fine-tuning changed the exact effects (after - before), over the heads that were ablated, or None
            for one model.
        agreement: rank correlation of all heads' estimates between both models, or NaN for one model.
        shift: how fine-tuning changed the shares of attention, over (head, kind of token). The heads are those whose
            effect changed significantly, or all top heads if there are none. None if attention was not measured.
        notes: caveats on the searched sample.
    """

    sides: Mapping[str, SideHeads]
    towers: tuple[str, ...]
    level: float
    change: Difference | None = None
    agreement: float = float("nan")
    shift: Difference | None = None
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the effects of the attention heads of every model as JSON-like values."""
        return {side: _side_document(heads) for side, heads in self.sides.items()}


def _side_document(one: SideHeads) -> dict[str, Any]:
    return {
        "model": one.name,
        "spread": one.spread,
        "top": list(one.top),
        "heads": one.table.to_dict(orient="records"),
        "errors": {name: vars(error) for name, error in one.errors.items()},
        "retrieval": [{**vars(effect), "p": effect.p} for effect in one.sets],
        "single": one.single.to_dict(orient="records"),
        "eager": dict(one.eager),
    }
