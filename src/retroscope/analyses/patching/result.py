"""Result of activation patching. Computes nothing."""

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
        name: name of the receiver.
        donor: name of the other model; "" where there is none.
        totals: a row a corruption, columns `TOTAL_COLUMNS`: what it takes from the margin.
        table: a row a corruption, choice of tokens and component, columns `PATCH_COLUMNS`: the `total` that the
            corruption takes, the recovered margin with the component's `own` clean activation and with a `random`
            change of that size, how far the first goes `beyond` the second, and its `share` of the total (NaN where
            that is not significant); whether the component `carries` what was corrupted: goes beyond, significantly, in
            the direction of the total; and the same with the `other` model's activation, of which what its activation
            of the corrupted query does, the `exchange_share`, is subtracted.
        random: the control, columns `RANDOM_COLUMNS`: the mean and the largest share of the total that random changes
            of each donor's activations recover, over components.
        against_random: own less random, over (patch, component); a patch is a corruption and tokens.
        against_own: `other` less `own`, over (patch, component); None without another model.
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
        """Return the rows of components whose clean activation recovers the margin significantly, largest first."""
        return self.table[self.table["carries"]].sort_values("share", ascending=False)


@dataclass(frozen=True, eq=False)
class PatchingResult:
    """Result of activation patching in one model, or in both of a pair.

    Attributes:
        sides: receiver ("before", "after", or "model") -> its patches.
        level: confidence level of the intervals.
    """

    sides: Mapping[str, SidePatches]
    level: float

    def document(self) -> dict[str, Any]:
        """Return the numbers of every receiving model as JSON-like values."""
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
