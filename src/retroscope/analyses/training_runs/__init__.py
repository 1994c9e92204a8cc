"""Analysis of training runs: do the effects also hold for other training runs of the retriever?

Each other training run is searched and probed like the first. The analysis of transplants compares trainings itself.
"""

from retroscope.analyses.analysis import TRAININGS, Analysis, Instrument, NoSettings, Reporter


def _settings() -> type:
    return NoSettings


def _instrument() -> Instrument:
    from retroscope.analyses.training_runs.measure import INSTRUMENT

    return INSTRUMENT


def _reporter() -> Reporter:
    from retroscope.analyses.training_runs.report import REPORTER

    return REPORTER


ANALYSIS = Analysis(
    name="training_runs",
    title="Over trainings",
    question="Does the effect hold over trainings?",
    package=__name__,
    settings=_settings,
    instrument=_instrument,
    reporter=_reporter,
    needs=("retrieval", "probes"),
    optional_input=TRAININGS,
    option="--training MODEL",
    over_trainings=True,
)
