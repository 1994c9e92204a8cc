"""Settings of the baselines: which poolings of the frozen backbone are tried, and whether linear heads are trained."""

from dataclasses import dataclass
from typing import Annotated

from retroscope.errors import SettingsError, unknown_name
from retroscope.ranges import Distinct, OneOrMore, Seed, check_ranges

TRIED = ("cls", "mean", "last_token")
FEWEST_FOLDS = 3  # one is answered, one chooses, the others train


@dataclass(frozen=True, kw_only=True)
class BaselineSettings:
    """Settings of the baselines: poolings and linear heads that are tried at every layer of the frozen backbone.

    Attributes:
        poolings: poolings that are tried in addition to the retriever's own, if they make sense for the architecture.
        head: train a linear head on the frozen vectors.
        folds: number of folds of the queries. A fold is scored with heads that were trained, and variants that were
            chosen, on the other folds.
        seed: seed of the folds and of the shuffled judgments.
    """

    poolings: Annotated[tuple[str, ...], Distinct()] = TRIED
    head: bool = True
    folds: OneOrMore = 5
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self)
        for name in self.poolings:
            if name not in TRIED:
                raise unknown_name("pooling of the baselines", name, TRIED)
        if self.folds < FEWEST_FOLDS:
            raise SettingsError(
                f"baselines.folds is {self.folds}, which is too few",
                fix=f"give {FEWEST_FOLDS} or more; 5 is the default",
            )
