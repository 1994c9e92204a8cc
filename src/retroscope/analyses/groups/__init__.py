"""Analysis of groups of queries: which groups gained by fine-tuning?

The effect on retrieval is compared between groups of queries that the collection defines.
"""

from retroscope.analyses.analysis import Analysis, Instrument, NoSettings, Phase, Reporter, VectorsRead
from retroscope.analyses.groups.question import WHICH


def _settings() -> type:
    return NoSettings


def _instrument() -> Instrument:
    from retroscope.analyses.groups.measure import INSTRUMENT

    return INSTRUMENT


def _reporter() -> Reporter:
    from retroscope.analyses.groups.report import REPORTER

    return REPORTER


ANALYSIS = Analysis(
    name="groups",
    title="Groups of queries",
    question=WHICH,
    package=__name__,
    settings=_settings,
    instrument=_instrument,
    reporter=_reporter,
    phase=Phase.SEARCH,
    needs=("retrieval",),
    vectors=VectorsRead.NONE,
    optional_input="groups",
    answers=(WHICH,),
)
