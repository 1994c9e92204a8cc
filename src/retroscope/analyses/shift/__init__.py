"""Analysis of domain shift: how far are the passages of other collections from those of the first?

The distance is measured by words, lengths, tokens, embeddings and nearest neighbours.
"""

from retroscope.analyses.analysis import Analysis, Instrument, Reporter


def _settings() -> type:
    from retroscope.drift.settings import ShiftSettings

    return ShiftSettings


def _instrument() -> Instrument:
    from retroscope.analyses.shift.measure import INSTRUMENT

    return INSTRUMENT


def _reporter() -> Reporter:
    from retroscope.analyses.shift.report import REPORTER

    return REPORTER


ANALYSIS = Analysis(
    name="shift",
    title="Domain shift",
    question="How far are the other collections from the first?",
    package=__name__,
    settings=_settings,
    instrument=_instrument,
    reporter=_reporter,
    needs=("retrieval",),
    every_collection=True,
    optional_input="collections",
)
