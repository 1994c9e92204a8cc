"""Result of erasure: probe accuracy and retrieval before and after directions are erased."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from retroscope.statistics import Difference

INTACT, RETRIEVED, READABLE = "intact", "retrieved", "readable"  # scores of every side
ERASED = "erased"
USED, UNCLEAR, UNUSED, INCONCLUSIVE = "used", "unclear", "not significant", "inconclusive"
TABLE_COLUMNS = (
    "side", "layer", "rank", "readable", "readable_low", "readable_high", "readable_erased", "readable_random",
    "intact", "erased", "random", "variance", "removed", "removed_random", "beyond", "ci_low", "ci_high", "p_queries",
    "p_draws", "p_variance", "p_rank", "p_corrected", "is_readable", "use", "shuffled_beyond", "p_shuffled", "n",
    "shared", "shared_shuffled", "is_shared", "at_floor", "p_fall", "fell", "p_readable",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class ErasureResult:
    """Probe accuracy and retrieval after erasing directions, at every layer and number of directions (rank).

    Attributes:
        collection: name of the collection.
        measure: the retrieval measure.
        chance: accuracy of random guessing by a probe.
        level: error rate of the tests.
        table: a row for each side (role of the model), layer and rank, with the columns `TABLE_COLUMNS`. `p_rank` is
            the p of the test that erasure harms more than random subspaces of equal rank, over queries and draws.
            `p_corrected` is the p of the test that it harms more than these and more than subspaces of equal rank and
            variance. Both are Holm-corrected over the rows of a side. `use` is `USED` if both are significant, and
            `UNCLEAR` if only the first is. It is `UNUSED` if neither is significant, although erasure lowered the
            accuracy of the probe (`fell`) and random subspaces left enough to lose (not `at_floor`). Otherwise it is
            `INCONCLUSIVE`, and also if held-out pairs correlate along the erased directions no more than shuffled pairs
            (not `is_shared`).
        beyond: side -> retrieval after erasure minus the mean after erasing random subspaces of equal rank, over
            (layer, rank).
        use: how fine-tuning changed the loss by erasure (minus the loss by random subspaces), over (layer, rank), or
            None for one model.
        notes: notes on the sample, and caveats.
        alarm: side -> p of the test that erasing the directions of shuffled pairs harms more than erasing random
            subspaces, in the mean over layers and ranks.
    """

    collection: str
    measure: str
    chance: float
    level: float
    table: pd.DataFrame
    beyond: Mapping[str, Difference]
    use: Difference | None
    notes: tuple[str, ...]
    alarm: Mapping[str, float]

    @property
    def rank(self) -> int:
        """Return the largest number of erased directions (rank), for which the statements give numbers."""
        return int(self.table["rank"].max())

    def by_layer(self, side: str) -> pd.DataFrame:
        """Return the rows of `table` for one model at the largest rank, one for each layer.

        Args:
            side: role of the model: "before", "after" or "model".
        """
        return self.table[(self.table["side"] == side) & (self.table["rank"] == self.rank)]
