"""How long are the queries for each tokenizer? A toy analysis, which another package could bring."""

from retroscope.analyses.analysis import Analysis, Instrument, NoSettings, Reporter


def _settings() -> type:
    return NoSettings


def _instrument() -> Instrument:
    from toy_analysis.measure import INSTRUMENT

    return INSTRUMENT


def _reporter() -> Reporter:
    from toy_analysis.report import REPORTER

    return REPORTER


ANALYSIS = Analysis(
    name="tokens",
    title="Tokens of the queries",
    question="How long are the queries for each tokenizer?",
    package=__name__,
    settings=_settings,
    instrument=_instrument,
    reporter=_reporter,
)
