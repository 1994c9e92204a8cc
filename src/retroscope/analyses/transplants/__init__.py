"""Which fine-tuned weights does retrieval need? Weights of one model are transplanted into the other."""

from retroscope.analyses.analysis import Analysis, Instrument, Phase, Reporter


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
    phase=Phase.INTERVENTIONS,
    reporter=_reporter,
    every_collection=True,
    reads_vectors=False,
)
