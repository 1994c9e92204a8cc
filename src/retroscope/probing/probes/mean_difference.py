"""w = mean over training of (q*p_right - mean over candidates of q*p): no optimiser, no ridge.

On features of unit spread this is the negative gradient of the logit at w = 0, which is the
direction of `elementwise` as its ridge goes to infinity: what one step from nothing can read.
"""

import torch

from retroscope.probing.features import centred, product_features, spread
from retroscope.probing.fitting import choice_scores
from retroscope.probing.probes.logit import Columns, judged
from retroscope.probing.trial import Outcome, Trial, unfitted


def mean_difference(trial: Trial) -> Outcome:
    """Is relevance readable from class means alone?"""
    featurise = product_features(trial)
    train = featurise(trial.view.parts["train"])
    scale = spread(train)
    columns = Columns(trial.view, (torch.inf,))
    features, targets = centred(train) / scale, columns.targets("train")
    choice = torch.arange(len(features))
    weights = [
        (features[choice, target] - features[:, :size].mean(dim=1)).mean(dim=0)
        for target, size in zip(targets, columns.sizes.tolist(), strict=True)
    ]
    test = centred(featurise(trial.view.parts["test"])) / scale
    scores = choice_scores(test, torch.stack(weights, dim=1), columns.sizes)
    return unfitted(judged(scores, trial.view, dim=features.shape[2]))
