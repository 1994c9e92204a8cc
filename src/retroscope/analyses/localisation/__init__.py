"""Analysis of localisation: which blocks carry the effect of fine-tuning, and do several measurements agree?

Every other measurement (e.g. weight drift, probes) is compared with transplants of blocks.
"""

from retroscope.analyses.analysis import Analysis, NoSettings, Reporter
from retroscope.analyses.questions import Question


def _settings() -> type:
    return NoSettings


def _reporter() -> Reporter:
    from retroscope.analyses.localisation.report import REPORTER

    return REPORTER


ANALYSIS = Analysis(
    name="localisation",
    title="Localisation",
    question="Which blocks carry the effect, and do the measurements agree?",
    package=__name__,
    settings=_settings,
    reporter=_reporter,
    needs=("transplants", "weights", "representations", "probes", "layers", "neurons"),
    sums_up=("transplants",),
    answers=(Question.WHERE,),
)
