"""The probe `passage_only` scores a candidate by w.p, to measure the accuracy that is possible without the query.

The similarity is not added to the score, because it depends on the query. The ridge shrinks the weights to 0.
"""

from retroscope.probing.fitting.features import passage_features
from retroscope.probing.probes.logit import fitted
from retroscope.probing.trial import ProbeOutcome, ProbeTrial


def passage_only(trial: ProbeTrial) -> ProbeOutcome:
    """Fit a probe whose features are the passage's vector alone, without the query."""
    return fitted(trial, passage_features(trial), anchored=False)
