"""Analysis of transplants: which fine-tuned weights does retrieval need?

Weights of one model are transplanted into the other, and retrieval is measured with the resulting hybrid.
"""

from retroscope.analyses.analysis import (
    LEFT_OUT,
    STANDARD,
    Analysis,
    AnalysisSize,
    Instrument,
    Phase,
    Reporter,
    VectorsRead,
)


def _settings() -> type:
    from retroscope.analyses.transplants.settings import SweepSettings

    return SweepSettings


def _instrument() -> Instrument:
    from retroscope.analyses.transplants.measure import INSTRUMENT

    return INSTRUMENT


def _reporter() -> Reporter:
    from retroscope.analyses.transplants.report import REPORTER

    return REPORTER


LARGE = {"groups": 12, "split_groups": True, "shares": [0.25, 0.5, 0.75], "draws": 8, "interactions": 4}

ANALYSIS = Analysis(
    name="transplants",
    title="Transplants",
    question="Which of the fine-tuned weights does retrieval need?",
    package=__name__,
    settings=_settings,
    instrument=_instrument,
    sizes=(  # a sample twice as large has about twice the queries; the smallest has no random changes to compare with
        AnalysisSize(None, LEFT_OUT),
        AnalysisSize({"passages": 75, "draws": 0}, 1.41),
        STANDARD,
        AnalysisSize({"passages": 375, "split_groups": True, "draws": 4}, 0.63),
        AnalysisSize(
            {"passages": 750, "groups": 12, "split_groups": True, "shares": [0.25, 0.5, 0.75], "draws": 8}, 0.45
        ),
        AnalysisSize(LARGE | {"passages": 1500}, 0.32),
        AnalysisSize(LARGE | {"passages": 3000}, 0.22),
    ),
    precisions=("precision",),
    phase=Phase.INTERVENTIONS,
    reporter=_reporter,
    every_collection=True,
    vectors=VectorsRead.NONE,
    over_trainings=True,
)
