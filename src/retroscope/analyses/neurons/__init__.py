"""Which neurons matter? Every FFN neuron is attributed; ablation tests whether retrieval needs the top ones."""

from retroscope.analyses.analysis import Analysis, Instrument, Phase, Reporter


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
    question="Which FFN neurons carry it, and does retrieval need them?",
    package=__name__,
    settings=_settings,
    instrument=_instrument,
    phase=Phase.INTERVENTIONS,
    reporter=_reporter,
    reads_vectors=False,
    reads_negatives=True,
)
