"""Compute the features of a learned probe from query and passage vectors, and scale them.

Only differences of features within a probe example affect which candidate a probe picks. So the mean over the
candidates of a probe example is subtracted from every feature. The feature is then divided by its spread within the
training examples, i.e. by the root of the mean square of these differences. The Hessian of the logit at w = 0 then has
a unit diagonal, and one ridge means the same for every layer and model. A feature without spread becomes 0 and cannot
decide.
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
    """Return a function that gives the passage's own vector as features."""
    return trial.passage_vectors


def product_features(trial: ProbeTrial) -> Featuriser:
    """Return a function that gives the elementwise products of query and passage as features."""
    return lambda choices: trial.query_vectors(choices)[:, None] * trial.passage_vectors(choices)


def bilinear_features(trial: ProbeTrial) -> Featuriser:
    """Return a function that gives the products of all principal coordinates of query and passage as features.

    The passage's own vector follows the products.
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
    """Return the root mean square of each feature within its probe example, infinite if the feature is only rounding
    error.
    """
    within = centred(features).square().mean(dim=(0, 1)).sqrt()
    size = features.square().mean(dim=(0, 1)).sqrt()
    return torch.where(within > NO_SPREAD * size, within, torch.inf)


def _principal(
    vectors: Float[Tensor, "text dim"], train: Int[np.ndarray, "..."], rank: int
) -> Float[Tensor, "text rank"]:
    """Return the coordinates of all vectors along the first principal directions of the training texts."""
    known = vectors[torch.from_numpy(np.unique(train))].double()
    mean = known.mean(dim=0)
    values, directions = torch.linalg.eigh((known - mean).T @ (known - mean) / len(known))
    real = values > NO_SPREAD**2 * known.square().mean()
    coordinates: Tensor = (vectors - mean.float()) @ (directions * real)[:, -rank:].float()
    return coordinates
