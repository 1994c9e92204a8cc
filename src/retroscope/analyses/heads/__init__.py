"""Analysis of attention heads: which heads does retrieval depend on?

The effect of every head on the margin (score of the relevant passage minus score of a hard negative) is estimated to
first order. The heads with the largest estimates are ablated.
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
    from retroscope.analyses.heads.settings import HeadSettings

    return HeadSettings


def _instrument() -> Instrument:
    from retroscope.analyses.heads.measure import INSTRUMENT

    return INSTRUMENT


def _reporter() -> Reporter:
    from retroscope.analyses.heads.report import REPORTER

    return REPORTER


ANALYSIS = Analysis(
    name="heads",
    title="Attention heads",
    question="Which attention heads carry retrieval, and what do they attend to?",
    package=__name__,
    settings=_settings,
    instrument=_instrument,
    sizes=(AnalysisSize(None, LEFT_OUT), AnalysisSize({"limit": 48, "top": 4, "passages": 250}, 1.41), STANDARD),
    phase=Phase.INTERVENTIONS,
    reporter=_reporter,
    vectors=VectorsRead.NONE,
    reads_negatives=True,
    on_request=True,
)
