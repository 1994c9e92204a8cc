"""Analysis of neurons: which FFN neurons matter for retrieval?

Every FFN neuron is attributed; ablation tests whether retrieval needs the top ones.
"""

from retroscope.analyses.analysis import LEFT_OUT, STANDARD, Analysis, AnalysisSize, Instrument, Phase, Reporter


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
        # Of the query tower alone, whose ablation encodes no passage again; of the other one nothing is known.
        AnalysisSize({"attribution": {"tower": "query", "limit": 32}, "ablation": {"passages": 500}}, 2.83),
        AnalysisSize({"attribution": {"limit": 16}, "ablation": {"passages": 250}}, 2.0),
        AnalysisSize({"attribution": {"limit": 32}, "ablation": {"passages": 500}}, 1.41),
        STANDARD,
        AnalysisSize({"attribution": {"limit": 128}, "ablation": {"passages": 2000}}, 0.71),
        AnalysisSize({"attribution": {"limit": 256}, "ablation": {"passages": 4000}}, 0.5),
    ),
    phase=Phase.INTERVENTIONS,
    reporter=_reporter,
    reads_vectors=False,
    reads_negatives=True,
)
