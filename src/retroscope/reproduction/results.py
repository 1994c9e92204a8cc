"""Collect the results of all finished trials into the document `results.json`. No torch."""

from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from statistics import NormalDist
from typing import cast

from retroscope.files.documents import SCHEMA, clean
from retroscope.reproduction.claims import RULES, STATISTICS, DoneTrials, rulings
from retroscope.reproduction.document import Bracket, ClaimFacts, CorrectedFacts, NeuronFacts, Results, TrialFacts
from retroscope.reproduction.exhibits import PASSAGE_ONLY, exhibit_documents
from retroscope.reproduction.neuron_counts import layer_rows, neurons_of
from retroscope.reproduction.places import MeasuredTrial, Workplace, read_trial
from retroscope.reproduction.points import (
    NONE,
    accuracy_of,
    count_beyond,
    count_states,
    point_results,
    reported_choices,
)
from retroscope.reproduction.published import NEURONS, PROBES, PublishedFigure, PublishedStudy
from retroscope.reproduction.trials import CORRECTED, PUBLISHED, SIMILARITY, trials_of


def results_document(place: Workplace) -> Results:
    """Return the results of all finished measurements (trials) for all figures, as JSON-like values.

    Raises:
        DamageError: if the run folder of a trial is damaged.
    """
    study = place.study
    trials = read_trials(place)
    of_probes = {(data, model): each for (data, model, tower, protocol), each in trials.items()
                 if protocol == PUBLISHED and not tower}  # fmt: skip
    by_figure = {figure.number: point_results(study, figure.number, of_probes) for figure in study.figures}
    points = [each for results in by_figure.values() for each in results]
    document: Results = {
        "schema": SCHEMA,
        "study": study.name,
        "scale": place.scale.name,
        "made_up": any(each.made_up for each in trials.values()),
        "versions": {"retroscope": version("retroscope")},
        "trials": [_trial_facts(each) for each in trials.values()],
        "choices": {data: cast(Bracket, asdict(reported_choices(study, data))) for data in study.data},
        "states": count_states(points),
        "uncorrected": [{"figure": number, **count_beyond(results)}
                        for number, results in by_figure.items() if results],
        "points": [each.document() for each in points],
        "corrected": [row for figure in study.figures for row in _corrected_rows(study, figure, trials)],
        "neurons": [row for figure in study.figures for row in _neuron_rows(study, figure, trials)],
        "claims": [_claim_facts(study, number, trials) for number in range(len(study.claims))],
        "exhibits": exhibit_documents(study, trials),
    }  # fmt: skip
    return cast(Results, clean(document))


def read_trials(place: Workplace) -> dict[tuple[str, str, str, str], MeasuredTrial]:
    """Return all finished measurements (trials) at the scale of `place`, by (data set, model, tower, protocol)."""
    measured = [read_trial(place, trial) for trial in trials_of(place.study, place.study.figures)]
    finished = [trial for trial in measured if trial is not None]
    return {(trial.trial.data, trial.trial.model, trial.trial.tower, trial.trial.protocol): trial for trial in finished}


def _trial_facts(measured: MeasuredTrial) -> TrialFacts:
    return {"name": measured.trial.name, "commits": measured.facts["commits"], "made_up": measured.made_up}


def _corrected_rows(study: PublishedStudy, figure: PublishedFigure, trials: DoneTrials) -> list[CorrectedFacts]:
    """Return the accuracies of one figure under the corrected protocol with their intervals; empty for neurons."""
    quantile = NormalDist().inv_cdf(0.5 + study.level / 2)
    rows: list[CorrectedFacts] = []
    for model in figure.models if figure.kind == PROBES else ():
        measured = trials.get((figure.data, model, "", CORRECTED))
        for probe in (SIMILARITY, PASSAGE_ONLY) if measured else ():
            for passages in study.passages:
                for layer in range(study.models[model].blocks + 1):
                    mean, error = accuracy_of(
                        _present(measured), probe=probe, control=NONE, passages=passages, layer=layer
                    )
                    rows.append({"figure": figure.number, "model": model, "probe": probe, "control": NONE,
                                 "passages": passages, "layer": layer, "accuracy": mean,
                                 "low": mean - quantile * error, "high": mean + quantile * error})  # fmt: skip
    return rows


def _present(one: MeasuredTrial | None) -> MeasuredTrial:
    if one is None:
        raise TypeError("this trial has not finished, so there are no accuracies to read")
    return one


def _neuron_rows(study: PublishedStudy, figure: PublishedFigure, trials: DoneTrials) -> list[NeuronFacts]:
    """Return the counts of active neurons of one figure under both protocols; empty for probes."""
    rows: list[NeuronFacts] = []
    for protocol in (PUBLISHED, CORRECTED) if figure.kind == NEURONS else ():
        for model in figure.models:
            measured = trials.get((figure.data, model, figure.tower, protocol))
            if measured is None:
                continue
            attribution = neurons_of(measured).attribution
            rows += [{"figure": figure.number, "model": model, "protocol": protocol, **row,
                      "examples": attribution.examples, "noise": attribution.noise, "made_up": measured.made_up}
                     for row in layer_rows(measured, study.models[model].threshold)]  # fmt: skip
    return rows


def _claim_facts(study: PublishedStudy, number: int, trials: DoneTrials) -> ClaimFacts:
    claim = study.claims[number]
    return {"name": claim.name, "claim": claim.claim, "figure": claim.figure, "model": claim.model,
            "statistic": STATISTICS[claim.statistic], "rule": RULES[claim.expects].format(alpha=study.alpha),
            "rulings": [ruling.document() for ruling in rulings(study, claim, trials)]}  # fmt: skip


def figures_of(study: PublishedStudy, numbers: Sequence[int]) -> tuple[PublishedFigure, ...]:
    """Return the figures with these numbers, in the order of the paper; if no number is given, all figures.

    Raises:
        SettingsError: for a number that the paper does not have.
    """
    return tuple(study.figure(number) for number in sorted(set(numbers))) if numbers else study.figures
