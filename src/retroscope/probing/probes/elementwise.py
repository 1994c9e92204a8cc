"""The probe `elementwise` scores a candidate by a s(q, p) + w.(q*p): similarity plus weighted elementwise product."""

from retroscope.probing.fitting.features import product_features
from retroscope.probing.probes.logit import fitted
from retroscope.probing.trial import ProbeOutcome, ProbeTrial


def elementwise(trial: ProbeTrial) -> ProbeOutcome:
    """Fit a probe that adds a weighted sum of the elementwise product of query and passage to their similarity."""
    return fitted(trial, product_features(trial), anchored=True)
