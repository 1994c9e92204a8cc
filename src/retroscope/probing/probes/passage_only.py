"""The probe `passage_only`: w.p, which measures the accuracy that is possible without the query.

It has no anchor: a similarity would read the query. Its weights shrink to 0.
"""

from retroscope.probing.fitting.features import passage_features
from retroscope.probing.probes.logit import fitted
from retroscope.probing.trial import ProbeOutcome, ProbeTrial


def passage_only(trial: ProbeTrial) -> ProbeOutcome:
    """Fit a probe on the passage's own vector, without the query."""
    return fitted(trial, passage_features(trial), anchored=False)
