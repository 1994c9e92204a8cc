"""Compare every published accuracy (a point in a figure) with ours: difference, tolerance and outcome. No torch.

The tolerance is derived from the standard errors of both accuracies. The published accuracy gets the binomial standard
error for the smallest number of test examples that is compatible with the paper's significance stars. Our accuracy has
the standard error of the mean over its queries. The tolerance is the standard error of the difference times a normal
quantile, which is corrected for the number of points of the figure (Bonferroni), plus the rounding error of the printed
number and the reading error of the plot.

The tolerance rests on two assumptions. First, the published stars come from a t-test that treats the test examples of
both models as two independent samples. Second, the test examples are independent. In fact they share questions and
passages, so the binomial error is too small. The correction makes the tolerance wide, so "not distinguishable" does not
mean agreement. The uncorrected limit of a single point is therefore reported as well, with the number of points beyond
this limit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import sqrt
from statistics import NormalDist
from typing import cast

import numpy as np

from retroscope.reproduction.document import PointCounts, PointFacts
from retroscope.reproduction.places import MeasuredTrial
from retroscope.reproduction.published import PublishedPoint, PublishedStudy

CONCAT, NONE = "concat", "none"


class PointState(StrEnum):
    """Outcome of comparing one published accuracy with ours."""

    OK = "OK"  # equal within the errors of printing and reading
    NOT_DISTINGUISHABLE = "not distinguishable"  # no further apart than the tolerance
    FAILS = "fails"
    NOT_RUN = "not run"
    NOT_COMPARABLE = "not comparable"  # ours is of made-up weights


@dataclass(frozen=True, kw_only=True)
class ReportedChoices:
    """Smallest and largest number of test examples that agree with the paper's significance stars.

    A star at a small difference implies at least `low` test examples. A missing star at a large difference implies at
    most `high` test examples.
    """

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class PointResult:
    """One published accuracy and ours, with the tolerance and the outcome of the comparison.

    Attributes:
        figure: number of the figure.
        point: the published accuracy.
        ours: our accuracy, or None if it was not measured.
        error: standard error of `ours`.
        tolerance: largest difference allowed at this point if all points of the figure are tested together.
        single_limit: largest difference allowed if this point is tested alone, at the level of the study and without
            correction.
        state, reason: the outcome of the comparison, and its reason in words.
    """

    figure: int
    point: PublishedPoint
    ours: float | None
    error: float | None
    tolerance: float | None
    single_limit: float | None
    state: PointState
    reason: str

    def document(self) -> PointFacts:
        """Return the comparison as JSON-like values."""
        own = {"ours": self.ours, "error": self.error, "tolerance": self.tolerance, "single_limit": self.single_limit}
        facts = {"figure": self.figure, **asdict(self.point), **own, "state": str(self.state), "reason": self.reason}
        return cast(PointFacts, facts)


def reported_choices(study: PublishedStudy, data: str) -> ReportedChoices:
    """Return the smallest and largest number of test examples with which all significance stars of a data set agree.

    The paper does not report this number. The published test is Student's t for two samples of n zeros and ones each;
    for thousands of test examples it is the normal test with variance p (1 - p) of each sample. A difference with a
    star is taken to be as large as the errors of printing and reading allow, and a difference without a star as small.
    """
    points = {(point.model, point.passages, point.layer): point for point in study.points if point.data == data}
    slack = 2 * (study.reading_error + study.rounding_error)
    low, high = 0.0, float("inf")
    for (model, passages, layer), point in points.items():
        backbone = study.models[model].backbone
        if not backbone:
            continue
        before = points[backbone, passages, layer].accuracy
        needed = star_quantile(study, model) ** 2 * (_variance(point.accuracy) + _variance(before))
        difference = abs(point.accuracy - before)
        if point.star:
            low = max(low, needed / (difference + slack) ** 2)
        elif difference > slack:
            high = min(high, needed / (difference - slack) ** 2)
    return ReportedChoices(low=low, high=high)


def star_quantile(study: PublishedStudy, model: str) -> float:
    """Return the normal quantile of a published star: two-sided, with Bonferroni's correction over the layers."""
    tests = study.layer_tests[study.models[model].pooling]
    return NormalDist().inv_cdf(1 - (1 - study.level) / tests / 2)


def simultaneous_quantile(study: PublishedStudy, number: int) -> float:
    """Return the normal quantile of two-sided intervals that hold simultaneously for `number` points (Bonferroni)."""
    return NormalDist().inv_cdf(1 - (1 - study.level) / max(1, number) / 2)


def binomial_error(accuracy: float, choices: float) -> float:
    """Return the binomial standard error of an accuracy over `choices` probe examples; infinite for 0."""
    return sqrt(_variance(accuracy) / choices) if choices else float("inf")


def _variance(accuracy: float) -> float:
    return accuracy * (1 - accuracy)


def accuracy_of(measured: MeasuredTrial, **labels: object) -> tuple[float, float]:
    """Return the accuracy that a trial measured for these labels (mean over queries), and its standard error.

    Args:
        labels: e.g. probe="concat", control="none", passages=2, layer=6.
    """
    values = measured.measurement.scores["model"].values.sel(labels).values
    accuracies = np.asarray(values, dtype=float).ravel()
    accuracies = accuracies[np.isfinite(accuracies)]
    n = len(accuracies)
    if not n:
        return float("nan"), float("nan")
    return float(accuracies.mean()), float(accuracies.std(ddof=1) / sqrt(n)) if n > 1 else float("inf")


def point_results(
    study: PublishedStudy, number: int, measured: Mapping[tuple[str, str], MeasuredTrial]
) -> list[PointResult]:
    """Compare every published accuracy of a figure with ours.

    Args:
        number: number of the figure.
        measured: (data set, model) -> finished trial under the published protocol.
    """
    points = study.points_of(study.figure(number))
    return [_point_result(study, number, point, measured.get((point.data, point.model)), len(points))
            for point in points]  # fmt: skip


def _point_result(
    study: PublishedStudy, number: int, point: PublishedPoint, trial: MeasuredTrial | None, family: int
) -> PointResult:
    if trial is None:
        return PointResult(figure=number, point=point, ours=None, error=None, tolerance=None, single_limit=None,
                           state=PointState.NOT_RUN, reason="this model was not measured on this data set")  # fmt: skip
    ours, error = accuracy_of(trial, probe=CONCAT, control=NONE, passages=point.passages, layer=point.layer)
    choices = reported_choices(study, point.data).low
    printed = study.reading_error + study.rounding_error
    both = sqrt(binomial_error(point.accuracy, choices) ** 2 + error**2)
    tolerance, single = (simultaneous_quantile(study, many) * both + printed for many in (family, 1))
    state, reason = _judged(study, point, ours, tolerance, made_up=trial.made_up)
    return PointResult(figure=number, point=point, ours=ours, error=error, tolerance=tolerance, single_limit=single,
                       state=state, reason=reason)  # fmt: skip


def _judged(
    study: PublishedStudy, point: PublishedPoint, ours: float, tolerance: float, *, made_up: bool
) -> tuple[PointState, str]:
    """Return the outcome of comparing a published accuracy with ours, and its reason in words."""
    if made_up:
        return PointState.NOT_COMPARABLE, "smoke weights"
    difference = abs(ours - point.accuracy)
    if difference <= study.reading_error + study.rounding_error:
        return PointState.OK, "equal as printed"
    if difference <= tolerance:
        return PointState.NOT_DISTINGUISHABLE, "within the sampling error of the probe examples"
    if study.models[point.model].published_at_random:
        return PointState.FAILS, "published with random weights"
    return PointState.FAILS, "beyond the sampling error of the probe examples"


def count_states(results: Sequence[PointResult]) -> dict[str, int]:
    """Map each outcome of a comparison to the number of published accuracies that have it."""
    return {str(state): sum(result.state is state for result in results) for state in PointState}


def count_beyond(results: Sequence[PointResult]) -> PointCounts:
    """Count the published accuracies that were compared, and those that differ by more than their `single_limit`."""
    compared = [result for result in results if result.state not in (PointState.NOT_RUN, PointState.NOT_COMPARABLE)]
    return {"compared": len(compared), "beyond": sum(_is_beyond(result) for result in compared)}


def _is_beyond(one: PointResult) -> bool:
    if one.ours is None or one.single_limit is None:
        return False
    return abs(one.ours - one.point.accuracy) > one.single_limit
