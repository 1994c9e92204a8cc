"""Result of erasure: probe accuracy and retrieval before and after directions are erased. Computes nothing."""

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
    """Effects of erasure at every layer and rank, paired by query.

    Attributes:
        collection: its name.
        measure: the retrieval measure.
        chance: accuracy of a probe that reads nothing.
        level: error rate of the tests.
        table: a row for each side, layer and rank, with the columns `TABLE_COLUMNS`. `p_rank` is the p of more harm
            than by random subspaces of equal rank, over queries and draws. `p_corrected` is the p of more harm than by
            those and by subspaces of equal rank and variance. Both are Holm-corrected over the rows of a side. `use` is
            `USED` if both are significant, and `UNCLEAR` if only the first is. It is `UNUSED` if neither is
            significant, although erasure lowered the accuracy of the probe (`fell`) and random subspaces left enough to
            lose (not `at_floor`). Otherwise it is `INCONCLUSIVE`, and also if the erased directions correlate in
            held-out pairs no more than in shuffled ones (not `is_shared`).
        beyond: side -> retrieval after erasure against the mean after erasing random subspaces of equal rank, over
            (layer, rank).
        use: the loss beyond random, before and after fine-tuning, over (layer, rank), or None for one model.
        notes: what was measured.
        alarm: side -> p of the test that shuffled pairs harm more than random subspaces, for the mean over layers and
            ranks.
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
        """Return the largest rank, for which the statements give numbers."""
        return int(self.table["rank"].max())

    def by_layer(self, side: str) -> pd.DataFrame:
        """Return the rows of one model ("before", "after") at the largest rank, by layer."""
        return self.table[(self.table["side"] == side) & (self.table["rank"] == self.rank)]
