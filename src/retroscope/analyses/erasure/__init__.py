"""Analysis of erasure: does retrieval use the relevance that a probe can read from a layer?

The directions that relevant pairs share are erased at one layer, the layers above run again, and retrieval is measured.
"""

from retroscope.analyses.analysis import LEFT_OUT, STANDARD, Analysis, AnalysisSize, Instrument, Phase, Reporter


def _settings() -> type:
    from retroscope.analyses.erasure.settings import ErasureSettings

    return ErasureSettings


def _instrument() -> Instrument:
    from retroscope.analyses.erasure.measure import INSTRUMENT

    return INSTRUMENT


def _reporter() -> Reporter:
    from retroscope.analyses.erasure.report import REPORTER

    return REPORTER


ANALYSIS = Analysis(
    name="erasure",
    title="Erasure",
    question="Does retrieval use what a probe reads at a layer?",
    package=__name__,
    settings=_settings,
    instrument=_instrument,
    sizes=(
        AnalysisSize(None, LEFT_OUT),
        AnalysisSize({"passages": 375, "ranks": [6]}, 1.41),
        STANDARD,
        AnalysisSize({"passages": 1500}, 0.71),
    ),
    phase=Phase.INTERVENTIONS,
    reporter=_reporter,
    on_request=True,
)
