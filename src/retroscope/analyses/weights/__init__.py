"""Analysis of weights: which weights did fine-tuning change?

Every tensor of both models is compared. No data are needed.
"""

from retroscope.analyses.analysis import Analysis, Instrument, Phase, Reporter, VectorsRead

DIFF = "diff.json"  # what `retroscope diff` writes beside its page


def _settings() -> type:
    from retroscope.analyses.weights.settings import WeightSettings

    return WeightSettings


def _instrument() -> Instrument:
    from retroscope.analyses.weights.measure import INSTRUMENT

    return INSTRUMENT


def _reporter() -> Reporter:
    from retroscope.analyses.weights.report import REPORTER

    return REPORTER


ANALYSIS = Analysis(
    name="weights",
    title="Drift of the weights",
    question="Which weights changed?",
    package=__name__,
    settings=_settings,
    instrument=_instrument,
    phase=Phase.WEIGHTS,
    reporter=_reporter,
    vectors=VectorsRead.NONE,
)
