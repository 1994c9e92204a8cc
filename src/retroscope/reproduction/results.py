"""The results of a reproduction as one stored document, from which its page is made. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from statistics import NormalDist
from typing import Any

from retroscope.files.documents import SCHEMA, clean
from retroscope.reproduction.claims import RULES, STATISTICS, DoneTrials, rulings
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


def results_document(place: Workplace) -> dict[str, Any]:
    """Return all results of the trials that are done, of every figure, JSON-like.

    Raises:
        DamageError: if the study of a trial is not what was written.
    """
    study = place.study
    trials = read_trials(place)
    of_probes = {(data, model): one for (data, model, tower, protocol), one in trials.items()
                 if protocol == PUBLISHED and not tower}  # fmt: skip
    by_figure = {figure.number: point_results(study, figure.number, of_probes) for figure in study.figures}
    points = [one for results in by_figure.values() for one in results]
    document: dict[str, Any] = clean({
        "schema": SCHEMA,
        "study": study.name,
        "scale": place.scale.name,
        "made_up": any(one.made_up for one in trials.values()),
        "versions": {"retroscope": version("retroscope")},
        "trials": [_trial_facts(one) for one in trials.values()],
        "choices": {data: asdict(reported_choices(study, data)) for data in study.data},
        "states": count_states(points),
        "uncorrected": [{"figure": number} | count_beyond(results) for number, results in by_figure.items() if results],
        "points": [one.document() for one in points],
        "corrected": [row for figure in study.figures for row in _corrected_rows(study, figure, trials)],
        "neurons": [row for figure in study.figures for row in _neuron_rows(study, figure, trials)],
        "claims": [_claim_facts(study, number, trials) for number in range(len(study.claims))],
        "exhibits": exhibit_documents(study, trials),
    })  # fmt: skip
    return document


def read_trials(place: Workplace) -> dict[tuple[str, str, str, str], MeasuredTrial]:
    """Return every trial that is done at this scale, by data set, model, tower and protocol."""
    read = [read_trial(place, trial) for trial in trials_of(place.study, place.study.figures)]
    done = [one for one in read if one is not None]
    return {(one.trial.data, one.trial.model, one.trial.tower, one.trial.protocol): one for one in done}


def _trial_facts(one: MeasuredTrial) -> dict[str, Any]:
    return {"name": one.trial.name, "commits": one.facts["commits"], "made_up": one.made_up}


def _corrected_rows(study: PublishedStudy, figure: PublishedFigure, trials: DoneTrials) -> list[dict[str, Any]]:
    """Return the accuracies of the corrected protocol with intervals, of one figure."""
    quantile = NormalDist().inv_cdf(0.5 + study.level / 2)
    rows = []
    for model in figure.models if figure.kind == PROBES else ():
        one = trials.get((figure.data, model, "", CORRECTED))
        for probe in (SIMILARITY, PASSAGE_ONLY) if one else ():
            for passages in study.passages:
                for layer in range(study.models[model].blocks + 1):
                    labels: dict[str, Any] = {"probe": probe, "control": NONE, "passages": passages, "layer": layer}
                    mean, error = accuracy_of(_present(one), **labels)
                    rows.append({"figure": figure.number, "model": model, **labels, "accuracy": mean,
                                 "low": mean - quantile * error, "high": mean + quantile * error})  # fmt: skip
    return rows


def _present(one: MeasuredTrial | None) -> MeasuredTrial:
    if one is None:
        raise TypeError("the trial is not done")
    return one


def _neuron_rows(study: PublishedStudy, figure: PublishedFigure, trials: DoneTrials) -> list[dict[str, Any]]:
    """Return the active neurons of a figure under both protocols."""
    rows = []
    for protocol in (PUBLISHED, CORRECTED) if figure.kind == NEURONS else ():
        for model in figure.models:
            one = trials.get((figure.data, model, figure.tower, protocol))
            if one is None:
                continue
            facts: Mapping[str, Any] = {"figure": figure.number, "model": model, "protocol": protocol}
            made = neurons_of(one).attribution
            size = {"examples": made.examples, "noise": made.noise, "made_up": one.made_up}
            rows += [{**facts, **row, **size} for row in layer_rows(one, study.models[model].threshold)]
    return rows


def _claim_facts(study: PublishedStudy, number: int, trials: DoneTrials) -> dict[str, Any]:
    claim = study.claims[number]
    words = {"statistic": STATISTICS[claim.statistic], "rule": RULES[claim.expects]}
    return {"name": claim.name, "claim": claim.claim, "figure": claim.figure, "model": claim.model, **words,
            "rulings": [one.document() for one in rulings(study, claim, trials)]}  # fmt: skip


def figures_of(study: PublishedStudy, numbers: Sequence[int]) -> tuple[PublishedFigure, ...]:
    """Return the figures of these numbers, in the paper's order; all where none is named.

    Raises:
        SettingsError: for a number that the paper does not have.
    """
    return tuple(study.figure(number) for number in sorted(set(numbers))) if numbers else study.figures
