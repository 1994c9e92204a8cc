"""Analysis of neurons: which FFN neurons matter for retrieval?

Every FFN neuron gets an attribution. An ablation tests whether retrieval needs the neurons with the largest
attribution.
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
    from retroscope.analyses.neurons.settings import NeuronsSettings

    return NeuronsSettings


def _instrument() -> Instrument:
    from retroscope.analyses.neurons.measure import INSTRUMENT

    return INSTRUMENT


def _reporter() -> Reporter:
    from retroscope.analyses.neurons.report import REPORTER

    return REPORTER


ANALYSIS = Analysis(
    name="neurons",
    title="Neurons",
    question="Which FFN neurons carry the score, and does retrieval need them?",
    package=__name__,
    settings=_settings,
    instrument=_instrument,
    sizes=(  # of the ablation's sample; a sample twice as large has about twice the queries
        AnalysisSize(None, LEFT_OUT),
        AnalysisSize({"attribution": {"limit": 16}, "ablation": {"passages": 125}}, 1.41),
        STANDARD,
        AnalysisSize({"ablation": {"passages": 500}}, 0.71),
        AnalysisSize({"attribution": {"limit": 64}, "ablation": {"passages": 1000}}, 0.5),
        # The passage tower takes many times as long: every ablation encodes all passages of the sample again.
        AnalysisSize({"attribution": {"limit": 64, "tower": "both"}, "ablation": {"passages": 1000}}, 0.45),
        AnalysisSize({"attribution": {"limit": 128, "tower": "both"}, "ablation": {"passages": 2000}}, 0.35),
        AnalysisSize({"attribution": {"limit": 256, "tower": "both"}, "ablation": {"passages": 4000}}, 0.25),
    ),
    precisions=("ablation.precision",),
    phase=Phase.INTERVENTIONS,
    reporter=_reporter,
    vectors=VectorsRead.NONE,
    reads_negatives=True,
)
