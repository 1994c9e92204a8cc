"""Compute intervals over training runs and queries together, from the scores of every query."""

from dataclasses import replace

from retroscope.analyses.training_runs.result import TrainingsResult
from retroscope.scores import Scores
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.trainings import TRAINING, corrected_within, effects_over_trainings, uncorrected_effects


def over_trainings(
    retrieval: tuple[Scores, Scores],
    probes: tuple[Scores, Scores] | None,
    headline: str,
    settings: ComparisonSettings,
) -> TrainingsResult | None:
    """Return the effects of fine-tuning over all training runs, with intervals over runs and queries together.

    The result is None if fewer than two query texts were measured on the headline measure.

    Args:
        retrieval: scores of the backbone, (query, measure), and of every training, (query, training, measure).
        probes: probe accuracies without controls, (query, probe, passages, layer), or None if nothing was probed.
        headline: the headline measure, which is tested on its own. The tests of all other measures are corrected
            together.
        settings: confidence level of the intervals, and how each training is tested.
    """
    before, trainings = retrieval
    names = tuple(str(name) for name in trainings.values[TRAINING].values)
    level, of_probes = settings.intervals.level, None
    repeated = _for_every_training(before, names)
    of_measures = uncorrected_effects(repeated, trainings, level)
    if headline not in of_measures["measure"].tolist():
        return None
    if probes is not None:
        of_probes = effects_over_trainings(_for_every_training(probes[0], names), probes[1], level, "probe")
    each = replace(settings, family_per=(TRAINING,), headline=("measure", headline))
    return TrainingsResult(
        names=names,
        each=compare_scores(repeated, trainings, each),
        retrieval=corrected_within(of_measures, of_measures["measure"] == headline),
        probing=of_probes,
        level=level,
    )


def _for_every_training(before: Scores, names: tuple[str, ...]) -> Scores:
    """Repeat the backbone's scores along a dimension `training`, once for each training run of the retriever."""
    wide = before.values.expand_dims({TRAINING: list(names)}).transpose("query", TRAINING, ...)
    return replace(before, values=wide)
