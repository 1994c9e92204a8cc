"""Analysis of probes: can relevance be read from frozen vectors, and at which layer?

Probes choose the relevant passage from one layer's vectors.
"""

from retroscope.analyses.analysis import STANDARD, Analysis, AnalysisSize, Instrument, Reporter
from retroscope.analyses.questions import Question


def _settings() -> type:
    from retroscope.probing.settings import ProbeSettings

    return ProbeSettings


def _instrument() -> Instrument:
    from retroscope.analyses.probes.measure import INSTRUMENT

    return INSTRUMENT


def _reporter() -> Reporter:
    from retroscope.analyses.probes.report import REPORTER

    return REPORTER


ANALYSIS = Analysis(
    name="probes",
    title="Probes and controls",
    question="Is relevance readable, and at which layer?",
    package=__name__,
    settings=_settings,
    instrument=_instrument,
    sizes=(  # each split tests a fifth of the queries
        AnalysisSize({"seeds": 1, "passages": [5]}, 2.24),
        AnalysisSize({"seeds": 2}, 1.58),
        STANDARD,
    ),
    reporter=_reporter,
    answers=(Question.ALREADY,),
    reads_negatives=True,
)
