"""Analysis of retrieval: does the retriever rank the relevant passages higher than its backbone does?

Every judged query is searched with the final vectors.
"""

from retroscope.analyses.analysis import Analysis, Instrument, NoSettings, Phase, Reporter, VectorsRead
from retroscope.analyses.questions import Question


def _settings() -> type:
    return NoSettings


def _instrument() -> Instrument:
    from retroscope.analyses.retrieval.measure import INSTRUMENT

    return INSTRUMENT


def _reporter() -> Reporter:
    from retroscope.analyses.retrieval.report import REPORTER

    return REPORTER


ANALYSIS = Analysis(
    name="retrieval",
    title="Retrieval",
    question="Does the retriever find the right passages?",
    package=__name__,
    settings=_settings,
    instrument=_instrument,
    phase=Phase.SEARCH,
    vectors=VectorsRead.FINAL,
    reporter=_reporter,
    every_collection=True,
    required=True,
    answers=(Question.CHANGED, Question.COST),
)
