"""Analysis of baselines: how well does the backbone retrieve without fine-tuning?

The baselines are the best pooling, layer and transformation of the frozen backbone's vectors, BM25, and a copy of the
backbone with random weights.
"""

from retroscope.analyses.analysis import Analysis, Instrument, Reporter
from retroscope.analyses.questions import Question


def _settings() -> type:
    from retroscope.analyses.baselines.settings import BaselineSettings

    return BaselineSettings


def _instrument() -> Instrument:
    from retroscope.analyses.baselines.measure import INSTRUMENT

    return INSTRUMENT


def _reporter() -> Reporter:
    from retroscope.analyses.baselines.report import REPORTER

    return REPORTER


ANALYSIS = Analysis(
    name="baselines",
    title="What was already there",
    question="What can the backbone already find, and what does that leave to fine-tuning?",
    package=__name__,
    settings=_settings,
    instrument=_instrument,
    reporter=_reporter,
    needs=("retrieval",),
    answers=(Question.ALREADY,),
)
