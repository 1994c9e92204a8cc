"""Result of activation patching: the margin that patched activations recover."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from retroscope.statistics import Difference

PATCH_COLUMNS = ("corruption", "tokens", "component", "kind", "layer", "total", "own", "random", "beyond", "beyond_low",
                 "beyond_high", "p", "share", "share_low", "share_high", "carries", "other", "other_random",
                 "other_beyond", "other_beyond_low", "other_beyond_high", "p_other_beyond", "other_carries",
                 "other_less_own", "other_low", "other_high", "p_other", "other_share", "other_share_low",
                 "other_share_high", "exchange_share", "exchange_share_low", "exchange_share_high", "n")  # fmt: skip
TOTAL_COLUMNS = ("corruption", "clean_less_corrupted", "low", "high", "p", "n")
RANDOM_COLUMNS = ("corruption", "tokens", "share", "largest")  # and "donor"


@dataclass(frozen=True, eq=False)
class SidePatches:
    """Margins that patched activations recover in one receiving model, with their tests.

    Attributes:
        name: name of the receiving model.
        donor: name of the other model, or "" if there is none.
        totals: a row for each corruption, with the columns `TOTAL_COLUMNS`: the loss of margin by the corruption.
        table: a row for each corruption, kind of tokens and component, with the columns `PATCH_COLUMNS`. `total` is the
            loss of margin by the corruption. `own` is the margin recovered by the receiver's own clean activation,
            `random` by a random change of the same size, and `beyond` their difference. `share` is `own`, divided by
            `total` (NaN if the total is not significant). A component `carries` what was corrupted if `beyond` is
            significant and has the sign of the total, and `share` is above 0. The same columns exist for the `other`
            model's activation, after subtraction of what its activation for the corrupted query recovers
            (`exchange_share`).
        random: the control, with the columns `RANDOM_COLUMNS` and "donor": which share of the total random changes of
            the donor's activations recover, as mean and maximum over components.
        against_random: `own` minus `random`, over (patch, component). A patch is a corruption and a kind of tokens.
        against_own: `other` minus `own`, over (patch, component), or None without another model.
    """

    name: str
    donor: str
    totals: pd.DataFrame
    table: pd.DataFrame
    random: pd.DataFrame
    against_random: Difference
    against_own: Difference | None = None

    @property
    def carrying(self) -> pd.DataFrame:
        """Return the rows of `table` with significant recovery of the margin (`carries`), the largest share first."""
        return self.table[self.table["carries"]].sort_values("share", ascending=False)


@dataclass(frozen=True, eq=False)
class PatchingResult:
    """Margins that patched activations recover in one model, or in each model of a pair.

    Attributes:
        sides: role of the receiving model ("before", "after", or "model") -> what patches recover in it.
        level: confidence level of the intervals.
    """

    sides: Mapping[str, SidePatches]
    level: float

    def document(self) -> dict[str, Any]:
        """Return the recovered margins of every patched model, and their tests, as JSON-like values."""
        return {
            side: {
                "receiver": one.name,
                "donor": one.donor or None,
                "totals": one.totals.to_dict(orient="records"),
                "patches": one.table.to_dict(orient="records"),
                "random": one.random.to_dict(orient="records"),
            }
            for side, one in self.sides.items()
        }
