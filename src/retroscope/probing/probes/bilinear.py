"""The probe `bilinear` scores a candidate by a s(q, p) + q^T U C V^T p + w.p, where s is the retriever's similarity.

U and V are the top r principal directions of the training queries and passages. C is a full r x r matrix, so any
dimension of the query may be multiplied by any dimension of the passage. If U and V were learned, the loss would not be
convex, and the result would depend on the start. With fixed U and V, the score is linear in (C, w), so the fit is
convex and deterministic. Outside the r directions, the score depends only on the similarity and w.p.
"""

from retroscope.probing.fitting.features import bilinear_features
from retroscope.probing.probes.logit import fitted
from retroscope.probing.trial import ProbeOutcome, ProbeTrial


def bilinear(trial: ProbeTrial) -> ProbeOutcome:
    """Fit a probe that adds a bilinear form of the principal coordinates of query and passage to their similarity."""
    return fitted(trial, bilinear_features(trial), anchored=True)
