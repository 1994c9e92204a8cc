"""Compute the features of a learned probe from query and passage vectors, and scale them.

Only differences of features within a probe example affect which candidate a probe picks. So the mean over the
candidates of a probe example is subtracted from every feature. The feature is then divided by the root mean square of
these differences over the training examples. The Hessian of the logit loss at w = 0 then has a unit diagonal, and a
ridge penalty means the same for every layer and model. A feature without differences becomes 0 and has no effect.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from retroscope.probing.splits import Choices
from retroscope.probing.trial import Features, ProbeTrial

# A spread below this share of a feature's own size is rounding (float32 eps is 1.2e-7): layer-0
# CLS vectors are equal for all texts, yet come out of matrix products a few eps apart.
NO_SPREAD = 1e-5

Featuriser = Callable[[Choices], Features]


def passage_features(trial: ProbeTrial) -> Featuriser:
    """Return a function from probe examples to features: the vector of each candidate passage."""
    return trial.passage_vectors


def product_features(trial: ProbeTrial) -> Featuriser:
    """Return a function from probe examples to features: the elementwise product of query and candidate vector."""
    return lambda choices: trial.query_vectors(choices)[:, None] * trial.passage_vectors(choices)


def bilinear_features(trial: ProbeTrial) -> Featuriser:
    """Return a function from probe examples to features: products of principal coordinates, and the candidate's vector.

    The products are those of each of the first `rank` coordinates of the query with each of the passage.
    """
    train, rank = trial.view.parts["train"], trial.options.rank
    queries = _principal(trial.queries, train.query, rank)
    passages = _principal(trial.passages, train.passages, rank)

    def featurise(choices: Choices) -> Features:
        a, b = queries[torch.from_numpy(choices.query)], passages[torch.from_numpy(choices.passages)]
        pairs = a[:, None, :, None] * b[:, :, None, :]
        return torch.cat([pairs.flatten(2), trial.passage_vectors(choices)], dim=2)

    return featurise


def centred(features: Features) -> Features:
    """Subtract the mean features of the probe example from the features of each candidate."""
    return features - features.mean(dim=1, keepdim=True)


def spread(features: Features) -> Float[Tensor, "feature"]:
    """Return the root mean square of each feature, after subtracting its mean within every probe example.

    It is infinite if the differences from this mean are no larger than rounding errors.
    """
    within = centred(features).square().mean(dim=(0, 1)).sqrt()
    size = features.square().mean(dim=(0, 1)).sqrt()
    return torch.where(within > NO_SPREAD * size, within, torch.inf)


def _principal(
    vectors: Float[Tensor, "text dim"], train: Int[np.ndarray, "..."], rank: int
) -> Float[Tensor, "text rank"]:
    """Return the coordinates of all vectors along the first `rank` principal directions of the training texts.

    Args:
        train: indices of the training texts.
    """
    training_vectors = vectors[torch.from_numpy(np.unique(train))].double()
    mean = training_vectors.mean(dim=0)
    values, directions = torch.linalg.eigh(
        (training_vectors - mean).T @ (training_vectors - mean) / len(training_vectors)
    )
    real = values > NO_SPREAD**2 * training_vectors.square().mean()
    coordinates: Tensor = (vectors - mean.float()) @ (directions * real)[:, -rank:].float()
    return coordinates
