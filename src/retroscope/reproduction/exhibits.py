"""Measure the effects of the known defects of the published protocol, and of our differences from it. No torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, cast

import numpy as np
import yaml
from pydantic import TypeAdapter

from retroscope.reproduction.claims import DoneTrials
from retroscope.reproduction.document import ExhibitFacts
from retroscope.reproduction.neuron_counts import layer_rows, neurons_of
from retroscope.reproduction.places import MeasuredTrial
from retroscope.reproduction.points import CONCAT, NONE, accuracy_of, reported_choices
from retroscope.reproduction.published import NEURONS, PROBES, PublishedStudy, data_text
from retroscope.reproduction.trials import CORRECTED, PUBLISHED, SIMILARITY
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.settings import ComparisonSettings

PASSAGE_ONLY, SHUFFLED, RANDOM = "passage_only", "shuffled_queries", "random_weights"
RESAMPLES = 200  # of intervals that are not printed


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One defect of the published protocol, or one difference of this reproduction from it.

    Attributes:
        name: identifier, which stays the same between versions.
        kind: "defect" of the published protocol, or "departure" of this reproduction from it.
        title: a sentence that names the defect or difference.
        published, corrected: descriptions of the published procedure and of the corrected one.
        measure: name in `MEASURES` of the function that measures the effect.
    """

    name: str
    kind: Literal["defect", "departure"]
    title: str
    published: str
    corrected: str
    measure: str


@dataclass(frozen=True, kw_only=True)
class MeasuredEffect:
    """One measured effect of a defect of the published protocol, or of a difference from it.

    Attributes:
        of: the model and data set that were measured, e.g. "contriever on nq".
        quantity: description of the number, e.g. "probe examples reported here".
        value: the number, or None where it cannot be measured here.
        made_up: whether it was measured on made-up weights or texts.
    """

    of: str
    quantity: str
    value: float | None
    made_up: bool = False


def exhibits_of(name: str) -> tuple[Exhibit, ...]:
    """Return the defects of a published study, and our differences from its protocol, as the package lists them."""
    return TypeAdapter(tuple[Exhibit, ...]).validate_python(yaml.safe_load(data_text(name, "exhibits.yaml")))


def exhibit_documents(study: PublishedStudy, trials: DoneTrials) -> list[ExhibitFacts]:
    """Return all defects and differences with their measured effects, as JSON-like values."""
    documents = [
        asdict(exhibit) | {"effects": [asdict(effect) for effect in MEASURES[exhibit.measure](study, trials)]}
        for exhibit in exhibits_of(study.name)
    ]
    return cast(list[ExhibitFacts], documents)


def _named(trials: DoneTrials, kind: str, protocol: str) -> list[tuple[str, MeasuredTrial]]:
    """Return (description, trial) for every finished trial of a kind ("probes" or "neurons") under a protocol."""
    of_kind = [each for each in trials.values() if (each.trial.kind, each.trial.protocol) == (kind, protocol)]
    return [
        (f"{trial.model}{f', {trial.tower} tower' if trial.tower else ''} on {trial.data}", measured)
        for measured in of_kind
        for trial in [measured.trial]
    ]


def _largest_difference(trial: MeasuredTrial, one: Mapping[str, str], other: Mapping[str, str]) -> float:
    """Return the difference of two accuracies at the N and layer where its absolute value is largest.

    Args:
        one, other: labels of the two accuracies, e.g. {"probe": "concat", "control": "none"}.
    """
    means = trial.measurement.scores["model"].mean()
    gaps = (means.sel(one) - means.sel(other)).values
    return float(gaps.flat[int(np.nanargmax(np.abs(gaps)))])


def _shuffled_queries(study: PublishedStudy, trials: DoneTrials) -> list[MeasuredEffect]:
    """Measure how much the accuracy changes if queries are shuffled, for the published and for the similarity probe."""
    effects = []
    for protocol, probe in ((PUBLISHED, CONCAT), (CORRECTED, SIMILARITY)):
        for of, trial in _named(trials, PROBES, protocol):
            gap = _largest_difference(trial, {"probe": probe, "control": NONE}, {"probe": probe, "control": SHUFFLED})
            quantity = f"{probe}: largest change of accuracy when queries are shuffled"
            effects.append(MeasuredEffect(of=of, quantity=quantity, value=-gap, made_up=trial.made_up))
    return effects


def _random_context(study: PublishedStudy, trials: DoneTrials) -> list[MeasuredEffect]:
    """Measure the share of weights that the published code does not load, and how far its accuracies are from ours.

    Our accuracies are measured with the checkpoint's weights and with random weights.
    """
    effects = []
    for of, trial in _named(trials, PROBES, PUBLISHED):
        loading = trial.facts["loading"]
        if loading is None:
            continue
        share = loading["missing"] / loading["weights"]
        effects.append(MeasuredEffect(of=of, value=share,
                                      quantity="share of the weights that AutoModel does not find in the checkpoint",
                                      made_up=trial.made_up))  # fmt: skip
        for control, weights in ((NONE, "with the checkpoint's weights"), (RANDOM, "with random weights")):
            quantity = f"mean distance of the published accuracies from ours {weights}"
            value = None if trial.made_up else _mean_distance(study, trial, control)
            effects.append(MeasuredEffect(of=of, quantity=quantity, value=value, made_up=trial.made_up))
    return effects


def _mean_distance(study: PublishedStudy, trial: MeasuredTrial, control: str) -> float:
    points = [point for point in study.points if (point.data, point.model) == (trial.trial.data, trial.trial.model)]
    ours = [
        accuracy_of(trial, probe=CONCAT, control=control, passages=point.passages, layer=point.layer)[0]
        for point in points
    ]
    return float(np.mean([abs(mine - point.accuracy) for mine, point in zip(ours, points, strict=True)]))


def _norm_target(study: PublishedStudy, trials: DoneTrials) -> list[MeasuredEffect]:
    """Measure what the target `norm` of the attribution changes, compared with the target `margin`.

    The effects are the share of texts whose norm cannot be attributed, and the overlap of the active neurons.
    """
    effects = []
    for of, trial in _named(trials, NEURONS, PUBLISHED):
        attribution = neurons_of(trial).attribution
        share = attribution.noise / attribution.examples if attribution.examples else None
        effects.append(MeasuredEffect(of=of, quantity="share of texts whose norm does not change along the path",
                                      value=share, made_up=trial.made_up))  # fmt: skip
        key = (trial.trial.data, trial.trial.model, trial.trial.tower, CORRECTED)
        if key in trials:
            quantity = "Jaccard index of the neurons active for target norm and for target margin"
            effects.append(MeasuredEffect(of=of, quantity=quantity, value=_jaccard(study, trial, trials[key]),
                                          made_up=trial.made_up))  # fmt: skip
    return effects


def _jaccard(study: PublishedStudy, one: MeasuredTrial, other: MeasuredTrial) -> float | None:
    """Return the Jaccard index of the active neurons of two trials, or None if neither has any.

    A neuron is active if at least one example activates it.
    """
    threshold = study.models[one.trial.model].threshold
    both, either = 0, 0
    first, second = neurons_of(one).attribution, neurons_of(other).attribution
    for part in first.parts:
        sets = [attribution.neurons[part]["count"].sel(threshold=threshold, method="nearest").values > 0
                for attribution in (first, second)]  # fmt: skip
        both += int((sets[0] & sets[1]).sum())
        either += int((sets[0] | sets[1]).sum())
    return both / either if either else None


def _unpaired_test(study: PublishedStudy, trials: DoneTrials) -> list[MeasuredEffect]:
    """Measure how often fine-tuning changes a probe's accuracy significantly, by an unpaired and by a paired test.

    The result is a share of all combinations of layer and N.
    """
    tests = {
        "unpaired t, Bonferroni (as published)": ComparisonSettings(test="unpaired_t", correction="bonferroni"),
        "paired t, Holm": ComparisonSettings(test="paired_t", correction="holm"),
    }
    effects = []
    for of, trial in _named(trials, PROBES, PUBLISHED):
        before = trials.get((trial.trial.data, study.models[trial.trial.model].backbone, "", PUBLISHED))
        if before is None:
            continue
        pair = [measured.measurement.scores["model"].select(probe=CONCAT, control=NONE) for measured in (before, trial)]
        for name, settings in tests.items():
            family = replace(settings, family_per=("passages",), resamples=RESAMPLES, permutations=RESAMPLES)
            p = compare_scores(pair[0], pair[1], family).table["p_corrected"].values
            value = float(np.nanmean(p < 1 - study.level)) if np.isfinite(p).any() else None
            quantity = f"share of layers and N at which the accuracy changes significantly by {name}"
            effects.append(MeasuredEffect(of=of, quantity=quantity, value=value, made_up=trial.made_up))
    return effects


def _undertrained_probe(study: PublishedStudy, trials: DoneTrials) -> list[MeasuredEffect]:
    """Measure by how much the same probe, trained to convergence, exceeds the accuracy of the published probe."""
    effects = []
    for of, trial in _named(trials, PROBES, PUBLISHED):
        gap = _largest_difference(trial, {"probe": PASSAGE_ONLY, "control": NONE}, {"probe": CONCAT, "control": NONE})
        quantity = "largest difference in accuracy: converged probe minus published probe"
        effects.append(MeasuredEffect(of=of, quantity=quantity, value=gap, made_up=trial.made_up))
    return effects


def _dropped_tail(study: PublishedStudy, trials: DoneTrials) -> list[MeasuredEffect]:
    """Count the active neurons that the published heat map leaves out, in every trial of neurons."""
    effects = []
    for of, trial in _named(trials, NEURONS, PUBLISHED):
        rows = layer_rows(trial, study.models[trial.trial.model].threshold)
        quantity = "active neurons that the published heat map leaves out"
        value = float(sum(row["dropped"] for row in rows))
        effects.append(MeasuredEffect(of=of, quantity=quantity, value=value, made_up=trial.made_up))
    return effects


def _choices(study: PublishedStudy, trials: DoneTrials) -> list[MeasuredEffect]:
    """Return the numbers of probe examples that the published stars imply, and the number that we report."""
    effects = []
    for data in study.data:
        bracket = reported_choices(study, data)
        for end, value in (("at least", bracket.low), ("at most", bracket.high)):
            quantity = f"probe examples behind the paper's accuracies, as its significance stars imply, {end}"
            effects.append(MeasuredEffect(of=data, quantity=quantity, value=float(round(value))))
    for of, trial in _named(trials, PROBES, PUBLISHED):
        reported = sum(sizes["test"] for sizes in trial.measurement.facts["split_sizes"])
        effects.append(MeasuredEffect(of=of, quantity="probe examples reported here", value=float(reported),
                                      made_up=trial.made_up))  # fmt: skip
    return effects


def _nothing(study: PublishedStudy, trials: DoneTrials) -> list[MeasuredEffect]:
    """Return no effects, for a defect or difference whose effect this reproduction does not measure."""
    return []


MEASURES: dict[str, Callable[[PublishedStudy, DoneTrials], Sequence[MeasuredEffect]]] = {
    "shuffled_queries": _shuffled_queries,
    "random_context": _random_context,
    "norm_target": _norm_target,
    "unpaired_test": _unpaired_test,
    "undertrained_probe": _undertrained_probe,
    "dropped_tail": _dropped_tail,
    "choices": _choices,
    "commits": _nothing,
    "not_measured": _nothing,
}
