"""Settings of the comparison of two retrievers."""

from dataclasses import dataclass, replace
from typing import Annotated

from retroscope.errors import unknown_name
from retroscope.ranges import Distinct, OpenFraction, Range, Resamplings, Seed, check_ranges
from retroscope.statistics.resampling.flips import SignFlips
from retroscope.statistics.resampling.intervals import IntervalSettings
from retroscope.statistics.testing.correction import CORRECTIONS
from retroscope.statistics.testing.paired import PAIRED_TESTS

AUTO = "auto"
PUBLISHED_TEST = "unpaired_t"  # of arXiv 2505.07166, for probes


@dataclass(frozen=True, kw_only=True)
class ComparisonSettings:
    """Settings for comparing the scores of two retrievers: test, correction, intervals and equivalence margin.

    Attributes:
        test: a name in `PAIRED_TESTS`, or "auto": McNemar's test if all scores are 0 or 1, else the paired t test.
        correction: a name in `CORRECTIONS`.
        level: confidence level of the intervals. The error rate of the equivalence test is 1 - level.
        resamples: number of bootstrap resamples.
        permutations: number of sign flips, for a test that uses them.
        margin: the smallest difference that matters. If None, equivalence is not tested.
        seed: seed of the resamples and sign flips.
        family: the claim, in words, for which the tests are corrected together; stored with the result.
        family_per: dimensions whose labels form separate families, e.g. ("measure",). If empty, all tests are one
            family.
        headline: dimension and label that were declared in advance, e.g. ("measure", "nDCG@10"): the tests with this
            label are one family, and the tests with all other labels are another family.
    """

    test: str = AUTO
    correction: str = "holm"
    level: OpenFraction = 0.95
    resamples: Resamplings = 2000
    permutations: Resamplings = 10_000
    margin: Annotated[float, Range(0, 10**6, open=True, why="the smallest difference that matters")] | None = None
    seed: Seed = 0
    family: str = "all cells of this table"
    family_per: Annotated[tuple[str, ...], Distinct()] = ()
    headline: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.test not in (AUTO, *PAIRED_TESTS):
            raise unknown_name("test", self.test, (AUTO, *PAIRED_TESTS))
        if self.correction not in CORRECTIONS:
            raise unknown_name("correction", self.correction, CORRECTIONS)
        _ = self.intervals, self.flips  # they check their own fields

    @property
    def intervals(self) -> IntervalSettings:
        """Return the settings of the bootstrap intervals: level, number of resamples and seed."""
        return IntervalSettings(level=self.level, resamples=self.resamples, seed=self.seed)

    @property
    def flips(self) -> SignFlips:
        """Return the settings of the sign flips: number of permutations and seed."""
        return SignFlips(permutations=self.permutations, seed=self.seed)

    @property
    def paired(self) -> "ComparisonSettings":
        """Return the settings with the test "auto" instead of the unpaired test of arXiv 2505.07166.

        That test is used for probes only, so all other scores are compared with these settings.
        """
        return replace(self, test=AUTO) if self.test == PUBLISHED_TEST else self
