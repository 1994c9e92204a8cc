"""The probe `mean_difference` scores a candidate by a s(q, p) + w.(q*p) / ridge, where w is a difference of means.

The features are the elementwise products q*p. w is their mean over the relevant passages minus the mean of their
expectation over all candidates. The expectation uses the probabilities that the similarity alone gives the candidates
(equal if the similarity is constant). So w is the negative gradient of the logit loss at the similarity. As the ridge
of `elementwise` grows, its weights approach w / ridge, i.e. one gradient step.
"""

import torch

from retroscope.probing.fitting.features import product_features
from retroscope.probing.fitting.logits import CandidateScores, FeatureWeights, choice_scores
from retroscope.probing.probes.logit import FitColumns, Inputs, choose_column, read_inputs
from retroscope.probing.trial import ProbeOutcome, ProbeTrial, unfitted


def mean_difference(trial: ProbeTrial) -> ProbeOutcome:
    """Fit a probe that weights elementwise products by a difference of means and adds them to the similarity."""
    columns = FitColumns(trial.view, trial.options.ridge)
    inputs = read_inputs(trial, product_features(trial), columns, anchored=True)
    _, accuracy, train_accuracy = choose_column(inputs, columns, _differences(inputs, columns) / columns.ridge)
    return unfitted(accuracy, train_accuracy)


def _differences(inputs: Inputs, columns: FitColumns) -> FeatureWeights:
    """Return, for each column, the mean features of the correct candidates minus the mean expected features."""
    blank = torch.zeros(inputs.train.shape[2], len(columns.sizes))
    chances: CandidateScores = choice_scores(inputs.train, blank, columns.sizes, inputs.offset("train")).softmax(dim=1)
    right = torch.nn.functional.one_hot(columns.targets("train").T, inputs.train.shape[1]).mT
    return inputs.train.flatten(0, 1).T @ (right - chances).flatten(0, 1) / len(inputs.train)
