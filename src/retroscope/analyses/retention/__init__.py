"""Analysis of retention: which facts can still be read from the model after fine-tuning?

Facts are read from the states of both models. The facts that can be read are compared with those that search finds.
"""

from retroscope.analyses.analysis import Analysis, Instrument, Phase, Reporter, VectorsRead


def _settings() -> type:
    from retroscope.analyses.retention.settings import RetentionSettings

    return RetentionSettings


def _instrument() -> Instrument:
    from retroscope.analyses.retention.measure import INSTRUMENT

    return INSTRUMENT


def _reporter() -> Reporter:
    from retroscope.analyses.retention.report import REPORTER

    return REPORTER


ANALYSIS = Analysis(
    name="retention",
    title="Facts",
    question="Which facts can still be read from the model, and are they the ones that it retrieves?",
    package=__name__,
    settings=_settings,
    instrument=_instrument,
    reporter=_reporter,
    phase=Phase.INTERVENTIONS,
    vectors=VectorsRead.NONE,
    on_request=True,
)
