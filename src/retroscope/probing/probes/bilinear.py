"""The probe `bilinear`: a s(q, p) + q^T U C V^T p + w.p, with products of different dimensions in a subspace.

U and V are the top r principal directions of the training queries and passages, and C is a full r x r matrix. Learning
U and V would make the loss non-convex, and the result would depend on the start. With fixed U and V, the probe is
linear in (C, w), so its fit is convex and deterministic. Outside the r directions, the probe reads only the similarity
and w.p.
"""

from retroscope.probing.fitting.features import bilinear_features
from retroscope.probing.probes.logit import fitted
from retroscope.probing.trial import ProbeOutcome, ProbeTrial


def bilinear(trial: ProbeTrial) -> ProbeOutcome:
    """Fit a probe on products of principal coordinates of queries and passages, added to the similarity."""
    return fitted(trial, bilinear_features(trial), anchored=True)
