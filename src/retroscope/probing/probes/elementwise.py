"""w.(q*p): the retriever's own dot product, with a weight for each dimension."""

from retroscope.probing.features import product_features
from retroscope.probing.probes.logit import fitted
from retroscope.probing.trial import Outcome, Trial


def elementwise(trial: Trial) -> Outcome:
    """Is relevance readable dimension by dimension?"""
    return fitted(trial, product_features(trial))
