"""Analysis of health: do both models pass the self-tests that measurements rely on?

The section shows the recipe (pooling, prompts ...) of each model, the proof that its weights are loaded, and its
self-tests.
"""

from retroscope.analyses.analysis import Analysis, NoSettings, Reporter


def _settings() -> type:
    return NoSettings


def _reporter() -> Reporter:
    from retroscope.analyses.health.report import REPORTER

    return REPORTER


ANALYSIS = Analysis(
    name="health",
    title="Models",
    question="Can these models be measured?",
    package=__name__,
    settings=_settings,
    reporter=_reporter,
    required=True,
)
