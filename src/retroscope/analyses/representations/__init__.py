"""Analysis of representations: at which layers do both models represent the same texts differently?

Both models' vectors of the same texts are compared layer by layer.
"""

from retroscope.analyses.analysis import Analysis, Instrument, Reporter


def _settings() -> type:
    from retroscope.drift.settings import DriftSettings

    return DriftSettings


def _instrument() -> Instrument:
    from retroscope.analyses.representations.measure import INSTRUMENT

    return INSTRUMENT


def _reporter() -> Reporter:
    from retroscope.analyses.representations.report import REPORTER

    return REPORTER


ANALYSIS = Analysis(
    name="representations",
    title="Drift of the representations",
    question="Where do representations diverge?",
    package=__name__,
    settings=_settings,
    instrument=_instrument,
    reporter=_reporter,
    needs=("retrieval",),
    every_collection=True,
)
