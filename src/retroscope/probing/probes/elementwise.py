"""The probe `elementwise`: a s(q, p) + w.(q*p), the retriever's similarity plus a weight for each dimension."""

from retroscope.probing.fitting.features import product_features
from retroscope.probing.probes.logit import fitted
from retroscope.probing.trial import ProbeOutcome, ProbeTrial


def elementwise(trial: ProbeTrial) -> ProbeOutcome:
    """Fit a probe on elementwise products of query and passage, added to the similarity."""
    return fitted(trial, product_features(trial), anchored=True)
