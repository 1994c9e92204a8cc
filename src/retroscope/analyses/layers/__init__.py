"""Analysis of layers: the vectors of which layer give the best retrieval? The vectors of every layer are searched."""

from retroscope.analyses.analysis import Analysis, Instrument, NoSettings, Reporter
from retroscope.analyses.questions import Question


def _settings() -> type:
    return NoSettings


def _instrument() -> Instrument:
    from retroscope.analyses.layers.measure import INSTRUMENT

    return INSTRUMENT


def _reporter() -> Reporter:
    from retroscope.analyses.layers.report import REPORTER

    return REPORTER


ANALYSIS = Analysis(
    name="layers",
    title="Retrieval by layer",
    question="Which layer retrieves best?",
    package=__name__,
    settings=_settings,
    instrument=_instrument,
    reporter=_reporter,
    every_collection=True,
    answers=(Question.WHERE,),
)
