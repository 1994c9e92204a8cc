"""Analysis of transplants: which fine-tuned weights does retrieval need?

Weights of one model are transplanted into the other.
"""

from retroscope.analyses.analysis import LEFT_OUT, STANDARD, Analysis, AnalysisSize, Instrument, Phase, Reporter


def _settings() -> type:
    from retroscope.analyses.transplants.settings import SweepSettings

    return SweepSettings


def _instrument() -> Instrument:
    from retroscope.analyses.transplants.measure import INSTRUMENT

    return INSTRUMENT


def _reporter() -> Reporter:
    from retroscope.analyses.transplants.report import REPORTER

    return REPORTER


ANALYSIS = Analysis(
    name="transplants",
    title="Transplants",
    question="Which parts of what fine-tuning changed does retrieval need?",
    package=__name__,
    settings=_settings,
    instrument=_instrument,
    sizes=(  # a sample twice as large has about twice the queries; the smallest has no random changes to compare with
        AnalysisSize(None, LEFT_OUT),
        AnalysisSize({"passages": 190, "groups": 4, "shares": [], "draws": 0}, 2.0),
        AnalysisSize({"passages": 375}, 1.41),
        STANDARD,
        AnalysisSize({"passages": 1500, "interactions": 4}, 0.71),
        AnalysisSize({"passages": 3000, "interactions": 4}, 0.5),
    ),
    phase=Phase.INTERVENTIONS,
    reporter=_reporter,
    every_collection=True,
    reads_vectors=False,
)
