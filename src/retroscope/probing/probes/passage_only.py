"""w.p: what is possible without reading the query; the optimum that `concat` strives for.

It has no anchor: a similarity would read the query. Its weights shrink to 0.
"""

from retroscope.probing.features import passage_features
from retroscope.probing.probes.logit import fitted
from retroscope.probing.trial import ProbeOutcome, ProbeTrial


def passage_only(trial: ProbeTrial) -> ProbeOutcome:
    """Fit the passage alone: what can be chosen without reading the query."""
    return fitted(trial, passage_features(trial), anchored=False)
