"""Statistics of differences between two retrievers: paired tests, corrections, intervals, equivalence. No torch."""

from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.difference import Difference, Flip
from retroscope.statistics.resampling.flips import SignFlips
from retroscope.statistics.resampling.intervals import Interval, IntervalSettings, bootstrap_mean
from retroscope.statistics.resampling.outcomes import outcome_mean
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.summaries import summarise
from retroscope.statistics.testing.correction import CORRECTIONS, correct
from retroscope.statistics.testing.equivalence import tost
from retroscope.statistics.testing.paired import PAIRED_TESTS, mcnemar, paired_t, sign_flip, wilcoxon
from retroscope.statistics.together import correct_together

__all__ = [
    "CORRECTIONS",
    "PAIRED_TESTS",
    "ComparisonSettings",
    "Difference",
    "Flip",
    "Interval",
    "IntervalSettings",
    "SignFlips",
    "bootstrap_mean",
    "compare_scores",
    "correct",
    "correct_together",
    "mcnemar",
    "outcome_mean",
    "paired_t",
    "sign_flip",
    "summarise",
    "tost",
    "wilcoxon",
]
