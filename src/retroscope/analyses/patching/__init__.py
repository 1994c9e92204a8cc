"""Analysis of activation patching: which activations carry what corrupting a query removes?

Activations for clean queries are put into forward passes of corrupted queries, and the margin is measured.
"""

from retroscope.analyses.analysis import (
    LEFT_OUT,
    STANDARD,
    Analysis,
    AnalysisSize,
    Instrument,
    Phase,
    Reporter,
    VectorsRead,
)


def _settings() -> type:
    from retroscope.analyses.patching.settings import PatchingSettings

    return PatchingSettings


def _instrument() -> Instrument:
    from retroscope.analyses.patching.measure import INSTRUMENT

    return INSTRUMENT


def _reporter() -> Reporter:
    from retroscope.analyses.patching.report import REPORTER

    return REPORTER


ANALYSIS = Analysis(
    name="patching",
    title="Activation patching",
    question="Which activations of each model carry the information that corrupting a query removes?",
    package=__name__,
    settings=_settings,
    instrument=_instrument,
    sizes=(AnalysisSize(None, LEFT_OUT), AnalysisSize({"limit": 32}, 1.41), STANDARD),
    phase=Phase.INTERVENTIONS,
    reporter=_reporter,
    vectors=VectorsRead.NONE,
    reads_negatives=True,
    on_request=True,
)
