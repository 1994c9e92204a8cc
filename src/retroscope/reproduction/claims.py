"""Test each claim of the paper by a rule, on the published numbers and on our own under both protocols. No torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import inf, sqrt
from statistics import NormalDist
from typing import cast

import numpy as np

from retroscope.number_format import percent
from retroscope.reproduction.document import RulingFacts
from retroscope.reproduction.neuron_counts import example_shares
from retroscope.reproduction.places import MeasuredTrial
from retroscope.reproduction.points import (
    CONCAT,
    NONE,
    binomial_error,
    reported_choices,
    simultaneous_quantile,
)
from retroscope.reproduction.published import Claim, PublishedStudy
from retroscope.reproduction.trials import CORRECTED, PUBLISHED, SIMILARITY

AS_PUBLISHED = "as published"  # of the paper's own numbers
FEWEST = 10  # examples below which a mean has no interval here
MADE_UP = "smoke weights: no number here comes from the paper's models"

DoneTrials = Mapping[tuple[str, str, str, str], MeasuredTrial]  # (data, model, tower, protocol) -> a trial that is done


class ClaimOutcome(StrEnum):
    """Outcome of testing a claim by its rule: it holds, does not hold, is undecided, or could not be tested."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNDECIDED = "undecided"
    NOT_TESTABLE = "not testable"  # there is no number to test
    NOT_RUNNABLE = "not runnable here"


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """The outcome of testing one claim on one set of numbers: the published ones, or ours under one protocol.

    Attributes:
        numbers: "as published", or the protocol of our measurement: "ielab-2025" or "default" (corrected).
        outcome: outcome of the claim's rule.
        value, low, high: the statistic and the ends of its interval; None if it was not measured.
        what: N and layer, or number of examples, that the statistic is about; or the reason why there is none.
    """

    numbers: str
    outcome: ClaimOutcome
    value: float | None = None
    low: float | None = None
    high: float | None = None
    what: str = ""

    def document(self) -> RulingFacts:
        """Return the outcome of the claim, with its statistic and interval, as JSON-like values."""
        return cast(RulingFacts, asdict(self) | {"outcome": str(self.outcome)})


@dataclass(frozen=True, kw_only=True)
class CellChange:
    """The change of a probe's accuracy from backbone to retriever at one N and layer, with its standard error.

    N is the number of candidates of a probe example.
    """

    passages: int
    layer: int
    change: float
    error: float


RULES = {
    "changed": "Holds if the interval of the largest change lies beyond the margin on one side; does not hold if every "
    "change is within the margin by two one-sided tests at {alpha:g}.",
    "unchanged": "Holds if every change is within the margin by two one-sided tests at {alpha:g}; does not hold if the "
    "interval of the largest change lies beyond the margin on one side.",
    "higher": "Holds if the interval of the difference lies above zero; does not hold if it lies below.",
    "lower": "Holds if the interval of the difference lies below zero; does not hold if it lies above.",
}
STATISTICS = {
    "largest_change": "Largest change of accuracy from the backbone over all N and layers. Its interval is corrected "
    "for all of them (Bonferroni); the tests of equivalence must all pass, which needs no correction.",
    "active_share": "Difference in the share of an FFN matrix's neurons that an example activates, mean over layers, "
    "paired by example where both models have the same examples.",
}


def rulings(study: PublishedStudy, claim: Claim, trials: DoneTrials) -> list[Ruling]:
    """Return the three outcomes of testing a claim on the published numbers, and on ours under both protocols."""
    judge = JUDGES[claim.statistic]
    return [judge(study, claim, trials, numbers) for numbers in (AS_PUBLISHED, PUBLISHED, CORRECTED)]


def _largest_change(study: PublishedStudy, claim: Claim, trials: DoneTrials, numbers: str) -> Ruling:
    """Test a claim about the largest change of a probe's accuracy from backbone to retriever."""
    if numbers == AS_PUBLISHED:
        return judged_changes(study, claim, published_changes(study, claim), numbers)
    pair = _pair(study, claim, trials, numbers)
    if pair is None:
        return _absent(study, claim, trials, numbers)
    probe = CONCAT if numbers == PUBLISHED else SIMILARITY
    return judged_changes(study, claim, _measured_changes(study, pair, probe), numbers)


def published_changes(study: PublishedStudy, claim: Claim) -> list[CellChange]:
    """Return the published changes of accuracy from a claim's backbone to its retriever.

    There is one change for each N (number of candidates) and layer. The standard errors are binomial, for the smallest
    number of probe examples that agrees with the published stars.
    """
    data = study.figure(claim.figure).data
    choices = reported_choices(study, data).low
    backbone = study.models[claim.model].backbone
    accuracies = {(p.model, p.passages, p.layer): p.accuracy for p in study.points if p.data == data}
    changes = []
    for (model, passages, layer), accuracy in accuracies.items():
        if model == claim.model:
            before = accuracies[backbone, passages, layer]
            error = sqrt(binomial_error(accuracy, choices) ** 2 + binomial_error(before, choices) ** 2)
            changes.append(CellChange(passages=passages, layer=layer, change=accuracy - before, error=error))
    return changes


def _measured_changes(study: PublishedStudy, pair: tuple[MeasuredTrial, MeasuredTrial], probe: str) -> list[CellChange]:
    """Return the changes of accuracy from backbone to retriever that we measured, paired by query.

    There is one change for each N (number of candidates) and layer.

    Args:
        pair: the finished measurements of the backbone and of the retriever.
        probe: name of the probe.
    """
    changes = []
    before, after = (trial.measurement.scores["model"].values.sel(probe=probe, control=NONE) for trial in pair)
    difference = after - before  # xarray keeps the queries that both have
    for passages in study.passages:
        for layer in difference.coords["layer"].values.tolist():
            values = difference.sel(passages=passages, layer=layer).values
            paired = values[np.isfinite(values)]
            error = float(paired.std(ddof=1) / sqrt(len(paired))) if len(paired) >= FEWEST else inf
            change = float(paired.mean()) if len(paired) else 0.0
            changes.append(CellChange(passages=passages, layer=layer, change=change, error=error))
    return changes


def judged_changes(study: PublishedStudy, claim: Claim, changes: Sequence[CellChange], numbers: str) -> Ruling:
    """Decide whether a claim holds, from the changes of accuracy for all N (numbers of candidates) and layers.

    For the claim that some accuracy changed, the interval of the largest change is corrected for its selection. The
    claim that no accuracy changed is an intersection-union test, in which each change is tested for equivalence at the
    full error rate (Berger and Hsu 1996).
    """
    quantile = simultaneous_quantile(study, len(changes))
    largest = max(changes, key=lambda each: abs(each.change))
    low, high = largest.change - quantile * largest.error, largest.change + quantile * largest.error
    changed = low > study.margin or high < -study.margin
    one_sided = NormalDist().inv_cdf(study.level)
    within = sum(abs(each.change) + one_sided * each.error < study.margin for each in changes)
    unchanged = within == len(changes)
    expected = {"changed": (changed, unchanged), "unchanged": (unchanged, changed)}[claim.expects]
    return Ruling(
        numbers=numbers, outcome=_outcome(*expected), value=largest.change, low=low, high=high,
        what=f"largest change at N = {largest.passages}, layer {largest.layer}; {within} of {len(changes)} changes "
        f"within the margin of {study.margin:g}",
    )  # fmt: skip


def _active_share(study: PublishedStudy, claim: Claim, trials: DoneTrials, numbers: str) -> Ruling:
    """Test a claim about the share of active neurons. The published counts are only images, so they are not tested."""
    if numbers == AS_PUBLISHED:
        return Ruling(
            numbers=numbers, outcome=ClaimOutcome.NOT_TESTABLE, what="the paper prints its counts only as images"
        )
    pair = _pair(study, claim, trials, numbers)
    if pair is None:
        return _absent(study, claim, trials, numbers)
    threshold = study.models[claim.model].threshold
    before, after = (example_shares(trial, threshold, claim.part, claim.layers) for trial in pair)
    values = (after - before).values
    paired = values[np.isfinite(values)]
    if len(paired) < FEWEST:
        few = f"only {len(paired)} examples have a value for both models"
        return Ruling(numbers=numbers, outcome=ClaimOutcome.UNDECIDED, what=few)
    quantile = NormalDist().inv_cdf(0.5 + study.level / 2)
    mean, half = float(paired.mean()), quantile * float(paired.std(ddof=1)) / sqrt(len(paired))
    relative = mean / float(before.mean()) if float(before.mean()) else float("nan")
    higher, lower = mean - half > 0, mean + half < 0
    expected = {"higher": (higher, lower), "lower": (lower, higher)}[claim.expects]
    return Ruling(numbers=numbers, outcome=_outcome(*expected), value=mean, low=mean - half, high=mean + half,
                  what=f"relative change {percent(relative, effect=True)}, over {len(paired):,} examples")  # fmt: skip


def _outcome(holds: bool, fails: bool) -> ClaimOutcome:
    return ClaimOutcome.HOLDS if holds else ClaimOutcome.FAILS if fails else ClaimOutcome.UNDECIDED


def _pair(
    study: PublishedStudy, claim: Claim, trials: DoneTrials, protocol: str
) -> tuple[MeasuredTrial, MeasuredTrial] | None:
    """Return the measurements of a claim's backbone and of its retriever under a protocol.

    The result is None if one measurement is not finished, or was made on made-up weights or texts.
    """
    figure = study.figure(claim.figure)
    models = (study.models[claim.model].backbone, claim.model)
    before, after = (trials.get((figure.data, model, figure.tower, protocol)) for model in models)
    if before is None or after is None or before.made_up or after.made_up:
        return None
    return before, after


def _absent(study: PublishedStudy, claim: Claim, trials: DoneTrials, protocol: str) -> Ruling:
    figure = study.figure(claim.figure)
    made_up = any(trial.made_up for key, trial in trials.items() if key[0] == figure.data and key[3] == protocol)
    reason = MADE_UP if made_up else "not run"
    return Ruling(numbers=protocol, outcome=ClaimOutcome.NOT_RUNNABLE, what=reason)


JUDGES: dict[str, Callable[[PublishedStudy, Claim, DoneTrials, str], Ruling]] = {
    "largest_change": _largest_change,
    "active_share": _active_share,
}
