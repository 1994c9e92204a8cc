"""The anchor of a learned probe: the retriever's scaled similarity, towards which the ridge penalty shrinks the probe.

A probe that shrinks to 0 must learn from a few hundred probe examples what the similarity knows without training. Its
accuracy is then below that of the similarity wherever the similarity is good. So the score of a candidate is

    a s(q, p) + w.x

where s is the retriever's similarity (dot or cosine) on the vectors of the layer, and x are the features. The scale `a`
is fitted first, alone, on the training examples. Then w is fitted with its ridge penalty, with `a` fixed. As the ridge
grows, w vanishes, and the score orders the candidates as the similarity does: `a` is at least `LEAST_SCALE`, so the
anchor never reverses the order. Only w can.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from retroscope.probing.fitting.features import centred, spread
from retroscope.probing.fitting.logits import CandidateScores, Problems, fit_choices
from retroscope.probing.trial import Features, ProbeTrial

# The ridge on `a`, for a similarity of unit spread within a choice: it only keeps `a` finite where the
# similarity separates all training choices.
SCALE_RIDGE = 1e-3

# The least `a`, in logits for a similarity of unit spread. A free sign is one parameter that every test fold
# learns from the others: where nothing is readable the folds agree by luck. A tenth of a logit costs about .005
# nats there, and outweighs the weights under the largest ridge of the default grid.
LEAST_SCALE = 0.1


@dataclass(frozen=True, eq=False)
class Anchor:
    """The fitted scale of the retriever's similarity in a probe's score, for each control, N and ridge (column).

    Attributes:
        unit: root mean square of the similarity within a training example, by which the similarity is divided; infinite
            if the candidates of every training example have equal similarities.
        scale: `a`, for the similarity divided by `unit`; at least `LEAST_SCALE`.
        converged: whether the fit of `a` converged.
    """

    unit: Float[Tensor, "1"]
    scale: Float[Tensor, "column"]
    converged: torch.Tensor

    def offset(self, similarity: Features) -> CandidateScores:
        """Return the scaled similarities a s(q, p), which are added to the scores w.x, for every column of the fit."""
        return centred(similarity) / self.unit * self.scale


def fit_anchor(
    trial: ProbeTrial, similarity: Features, targets: Int[Tensor, "column choice"], sizes: Int[Tensor, "column"]
) -> Anchor:
    """Fit the scale of the retriever's similarity in a probe's score, on training examples and without other features.

    Args:
        similarity: similarities of the training examples.
        targets: index of the correct candidate of each probe example, for each column.
        sizes: number N of candidates in each column.
    """
    unit = spread(similarity)
    problems = Problems(centred(similarity) / unit, targets, sizes, torch.full((len(sizes),), SCALE_RIDGE))
    fit = fit_choices(problems, tolerance=trial.options.tolerance, max_iterations=trial.options.max_iterations)
    return Anchor(unit, fit.weights[0].clamp_min(LEAST_SCALE), fit.converged)
