"""The state of a point, its derived tolerance, and the rules of claims."""

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
import xarray as xr

from retroscope.analyses.measurement import Measurement
from retroscope.reproduction.claims import CellChange, ClaimOutcome, judged_changes, published_changes, rulings
from retroscope.reproduction.places import MeasuredTrial
from retroscope.reproduction.points import (
    PointState,
    binomial_error,
    count_beyond,
    count_states,
    point_results,
    reported_choices,
    simultaneous_quantile,
)
from retroscope.reproduction.published import PublishedStudy
from retroscope.reproduction.trials import PUBLISHED, ModelTrial
from retroscope.scores import QUERY, Scores

QUERIES = 4000


def measured(
    paper: PublishedStudy, model: str, shift: float = 0.0, *, made_up: bool = False, seed: int = 0
) -> MeasuredTrial:
    """A trial whose accuracies are drawn from the published ones, shifted."""
    trial = ModelTrial(kind="probes", data="nq", model=model, protocol=PUBLISHED)
    layers = list(range(paper.models[model].blocks + 1))
    rng = np.random.default_rng(seed)
    values = np.zeros((QUERIES, 1, 1, len(paper.passages), len(layers)))
    for one in paper.points:
        if (one.data, one.model) == ("nq", model):
            drawn = rng.random(QUERIES) < one.accuracy + shift
            values[:, 0, 0, paper.passages.index(one.passages), one.layer] = drawn
    coords = {QUERY: [f"q{i}" for i in range(QUERIES)], "probe": ["concat"], "control": ["none"],
              "passages": list(paper.passages), "layer": layers}  # fmt: skip
    scores = Scores("probing", xr.DataArray(values, coords, tuple(coords)), {}, ())
    return MeasuredTrial(trial, Measurement({"model": scores}, {}, {}, {}, (), {}), {"made_up": made_up})


def states(paper: PublishedStudy, trial: MeasuredTrial) -> dict[str, int]:
    return count_states(point_results(paper, 1, {("nq", trial.trial.model): trial}))


def test_accuracies_drawn_from_the_published_ones_are_not_distinguishable(paper: PublishedStudy) -> None:
    """Over 20 replications of a figure's curve at most one point may fail: all hold together with 95 %."""
    failed = sum(states(paper, measured(paper, "bert-cls", seed=seed))["fails"] > 0 for seed in range(20))
    assert failed <= 3  # P(more than 3 of 20 | .05) = .016


def test_accuracies_that_are_shifted_fail(paper: PublishedStudy) -> None:
    found = states(paper, measured(paper, "bert-cls", shift=0.05))
    assert found["fails"] > 45
    assert found["not run"] == 208 - 52


def test_about_one_point_of_twenty_lies_beyond_the_uncorrected_limit(paper: PublishedStudy) -> None:
    """Somewhat fewer than 5 % of 1,040 points in 20 replications: here the published accuracies are the truth."""
    trials = [measured(paper, "bert-cls", seed=seed) for seed in range(20)]
    counts = [count_beyond(point_results(paper, 1, {("nq", "bert-cls"): one})) for one in trials]
    assert sum(one["compared"] for one in counts) == 20 * 52
    assert 20 <= sum(one["beyond"] for one in counts) <= 70


def test_a_shift_within_the_tolerance_lies_beyond_the_uncorrected_limit(paper: PublishedStudy) -> None:
    """What "not distinguishable" hides, the count shows."""
    results = point_results(paper, 1, {("nq", "bert-cls"): measured(paper, "bert-cls", shift=0.02)})
    assert count_states(results)["not distinguishable"] > 40
    assert count_beyond(results)["beyond"] > 25


def test_made_up_weights_never_fail(paper: PublishedStudy) -> None:
    found = states(paper, measured(paper, "bert-cls", shift=0.3, made_up=True))
    assert (found["fails"], found["not comparable"]) == (0, 52)


def test_a_point_that_equals_the_published_one_is_ok(paper: PublishedStudy) -> None:
    trial = measured(paper, "bert-cls")
    values = trial.measurement.scores["model"].values.copy()
    for one in paper.points:
        if (one.data, one.model) == ("nq", "bert-cls"):
            values[:, 0, 0, paper.passages.index(one.passages), one.layer] = one.accuracy
    scores = Scores("probing", values, {}, ())
    equal = replace(trial, measurement=replace(trial.measurement, scores={"model": scores}))
    assert states(paper, equal)["OK"] == 52


def test_a_random_context_encoder_is_the_stated_reason(paper: PublishedStudy) -> None:
    results = point_results(paper, 1, {("nq", "dpr-context"): measured(paper, "dpr-context", shift=0.1)})
    reasons = {one.reason for one in results if one.state is PointState.FAILS}
    assert reasons == {"published with random weights"}


def test_the_tolerance_is_derived(paper: PublishedStudy) -> None:
    trial = measured(paper, "bert-cls")
    one = next(r for r in point_results(paper, 1, {("nq", "bert-cls"): trial}) if r.ours is not None)
    choices = reported_choices(paper, "nq").low
    errors = sqrt(binomial_error(one.point.accuracy, choices) ** 2 + one.error**2)  # type: ignore[operator]
    assert one.tolerance == pytest.approx(simultaneous_quantile(paper, 208) * errors + 0.00015)
    assert one.single_limit == pytest.approx(1.959964 * errors + 0.00015)
    assert one.error == pytest.approx(binomial_error(one.point.accuracy, QUERIES), rel=0.05)


CLAIMS = {
    ("changed", 0.10): ClaimOutcome.HOLDS,
    ("changed", 0.001): ClaimOutcome.FAILS,
    ("changed", 0.02): ClaimOutcome.UNDECIDED,
    ("unchanged", 0.10): ClaimOutcome.FAILS,
    ("unchanged", 0.001): ClaimOutcome.HOLDS,
    ("unchanged", -0.10): ClaimOutcome.FAILS,
}


@pytest.mark.parametrize(("expects", "change"), CLAIMS)
def test_claims_are_judged_by_their_rule(paper: PublishedStudy, expects: str, change: float) -> None:
    claim = replace(paper.claims[0], expects=expects)
    cells = [CellChange(passages=2, layer=k, change=change if k == 3 else 0.0, error=0.002) for k in range(13)]
    assert judged_changes(paper, claim, cells, "as published").outcome is CLAIMS[expects, change]


def test_equivalence_is_an_intersection_union_test(paper: PublishedStudy) -> None:
    """At an error of .0073, that of MS MARCO, no change in 52 cells is unchanged; one change of .01 is undecided."""
    cells = [CellChange(passages=n, layer=k, change=0.0, error=0.0073) for n in (2, 3, 4, 5) for k in range(13)]
    assert simultaneous_quantile(paper, 52) * 0.0073 > paper.margin  # corrected, nothing could ever be unchanged
    assert judged_changes(paper, paper.claims[0], cells, "as published").outcome is ClaimOutcome.HOLDS
    cells[7] = replace(cells[7], change=0.01)
    ruling = judged_changes(paper, paper.claims[0], cells, "as published")
    assert ruling.outcome is ClaimOutcome.UNDECIDED
    assert "51 of 52 changes within the margin" in ruling.what


def test_equivalence_is_seldom_claimed_of_a_change_as_large_as_the_margin(paper: PublishedStudy) -> None:
    """The control that must fail: one cell changed by the margin is called unchanged in at most 5 % of draws."""
    rng = np.random.default_rng(0)
    truth = np.zeros(52)
    truth[20] = paper.margin
    held = 0
    for drawn in truth + rng.normal(0, 0.002, (1000, 52)):
        cells = [CellChange(passages=2, layer=k, change=float(change), error=0.002) for k, change in enumerate(drawn)]
        held += judged_changes(paper, paper.claims[0], cells, "ours").outcome is ClaimOutcome.HOLDS
    assert 30 <= held <= 70  # P(outside | .05) = .003; a corrected test would hold in none


def test_claims_without_a_number_are_not_testable(paper: PublishedStudy) -> None:
    outcomes = [rulings(paper, claim, {})[0].outcome for claim in paper.claims if claim.statistic == "active_share"]
    assert outcomes == [ClaimOutcome.NOT_TESTABLE] * 5


def test_claims_without_an_interval_are_undecided(paper: PublishedStudy) -> None:
    cells = [CellChange(passages=2, layer=0, change=0.5, error=float("inf"))]
    assert judged_changes(paper, paper.claims[0], cells, "as published").outcome is ClaimOutcome.UNDECIDED


def test_the_published_numbers_decide_some_claims(paper: PublishedStudy) -> None:
    """By the paper's own numbers RepLLaMA changed; DPR's question encoder did, too, on MS MARCO."""
    of = {one.name: one for one in paper.claims}
    for name, outcome in (("repllama-nq", ClaimOutcome.HOLDS), ("dpr-question-msmarco", ClaimOutcome.FAILS)):
        changes = published_changes(paper, of[name])
        assert judged_changes(paper, of[name], changes, "as published").outcome is outcome
