"""Analysis of the vocabulary: which words do vectors decode to, by the backbone's language-model head?"""

from retroscope.analyses.analysis import Analysis, Instrument, Reporter


def _settings() -> type:
    from retroscope.analyses.vocabulary.settings import VocabularySettings

    return VocabularySettings


def _instrument() -> Instrument:
    from retroscope.analyses.vocabulary.measure import INSTRUMENT

    return INSTRUMENT


def _reporter() -> Reporter:
    from retroscope.analyses.vocabulary.report import REPORTER

    return REPORTER


ANALYSIS = Analysis(
    name="vocabulary",
    title="Vocabulary",
    question="Which words does the backbone's LM head read from the vectors?",
    package=__name__,
    settings=_settings,
    instrument=_instrument,
    reporter=_reporter,
    needs=("retrieval",),
    on_request=True,
)
