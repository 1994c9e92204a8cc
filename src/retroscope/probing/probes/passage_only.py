"""w.p: a linear probe of the passage alone, which measures the accuracy that is possible without the query.

It has no anchor: a similarity would read the query. Its weights shrink to 0.
"""

from retroscope.probing.features import passage_features
from retroscope.probing.probes.logit import fitted
from retroscope.probing.trial import ProbeOutcome, ProbeTrial


def passage_only(trial: ProbeTrial) -> ProbeOutcome:
    """Fit the probe to the features of the passage alone."""
    return fitted(trial, passage_features(trial), anchored=False)
