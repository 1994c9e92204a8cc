"""Test and report the effect of fine-tuning over several training runs, from the scores of each."""

from collections.abc import Sequence
from dataclasses import replace

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.probes.result import ProbesResult
from retroscope.analyses.retrieval.result import RetrievalResult
from retroscope.analyses.section import Reading, Section
from retroscope.analyses.training_runs.infer import over_trainings
from retroscope.analyses.training_runs.result import TrainingsResult
from retroscope.analyses.training_runs.tables import training_tables
from retroscope.analyses.training_runs.words import statements
from retroscope.scores import Scores
from retroscope.statistics import Difference
from retroscope.statistics.trainings import stack_trainings
from retroscope.typesetting.frames import PLAIN, rows


def infer(measurements: Sequence[Measurement], reading: Reading) -> TrainingsResult | None:
    """Compare the retrieval and probe accuracies of the backbone with those of all training runs of the retriever.

    The first training's scores come from the analyses retrieval and probes.
    """
    retrieval = reading.result("retrieval", RetrievalResult)
    if not measurements or retrieval is None:
        return None
    others, subject = measurements[0], reading.subject
    names = [subject.after.name, *others.facts["names"]]
    of_each = _of_each(others, "retrieval")
    trainings = stack_trainings("retrieval of every training", [retrieval.effect.after, *of_each], names)
    probes = reading.result("probes", ProbesResult)
    return over_trainings(
        (retrieval.effect.before, trainings),
        None if probes is None or probes.effect is None else _probes(probes.effect, _of_each(others, "probes"), names),
        headline=subject.measures[0],
        settings=subject.paired_statistics,
    )


def _of_each(others: Measurement, name: str) -> list[Scores]:
    """Return the scores "retrieval" or "probes" of every other training run, in order."""
    numbers = range(2, 2 + len(others.facts["names"]))
    return [others.scores[f"{k}/{name}"] for k in numbers if f"{k}/{name}" in others.scores]


def _probes(own: Difference, others: Sequence[Scores], names: Sequence[str]) -> tuple[Scores, Scores] | None:
    """Return the probe accuracies of the backbone and of all trainings, for the common probes, without controls."""
    if not others:
        return None
    probes = others[0].values["probe"].values
    before, after, *rest = (
        replace(scores, values=scores.values.sel(probe=list(probes), control=PLAIN).drop_vars("control"))
        for scores in (own.before, own.after, *others)
    )
    return before, stack_trainings("probing of every training", [after, *rest], names)


def report(result: TrainingsResult, reading: Reading) -> Section:
    """Return the report section: the effects over all training runs together, and a table of each run."""
    frames = {"trainings": result.retrieval, "trainings_each": rows(result.each)}
    probing = result.probing
    if probing is not None:
        frames["trainings_probing"] = probing
    return Section(
        statements=statements(result, reading.subject),
        tables=training_tables(result, reading.subject),
        frames=frames,
        methods={"Over trainings": result.method},
        document={
            "names": list(result.names),
            "retrieval": result.retrieval.to_dict(orient="records"),
            "probing": [] if probing is None else probing.to_dict(orient="records"),
            "each": rows(result.each).to_dict(orient="records"),
            "level": result.level,
        },
        values={"names": result.names},
    )


REPORTER = Reporter(infer, report)
