"""Learned probes: multinomial logit models over the candidates, fitted to convergence."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from retroscope.probing.accuracy import choice_accuracy, tie_tolerance
from retroscope.probing.controls import View
from retroscope.probing.fitting.anchor import Anchor, fit_anchor
from retroscope.probing.fitting.features import Featuriser, centred, spread
from retroscope.probing.fitting.logits import (
    CandidateScores,
    FeatureWeights,
    Problems,
    choice_scores,
    fit_choices,
    log_chances,
)
from retroscope.probing.trial import Features, ProbeOutcome, ProbeTrial
from retroscope.statistics.resampling.clusters import Clusters
from retroscope.statistics.resampling.shared_passages import standard_error

TEMPERATURES = tuple(2.0 ** (k / 2) for k in range(-12, 13))


@dataclass(frozen=True, eq=False)
class FitColumns:
    """The logit models that are fitted together (columns): one for each control, number N of candidates and ridge.

    They are in this order: the ridge changes fastest.
    """

    view: View
    ridges: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return how many controls, how many values of N, and how many ridge penalties there are."""
        return len(self.view.controls), len(self.view.sizes), len(self.ridges)

    @property
    def sizes(self) -> Int[Tensor, "column"]:
        """Return the number N of candidates in each column."""
        controls, _, ridges = self.shape
        return torch.tensor(self.view.sizes).repeat_interleave(ridges).repeat(controls)

    @property
    def ridge(self) -> Float[Tensor, "column"]:
        """Return the ridge penalty of each column."""
        controls, sizes, _ = self.shape
        return torch.tensor(self.ridges).repeat(controls * sizes)

    def targets(self, part: str) -> Int[Tensor, "column choice"]:
        """Return the index of the correct candidate for each column and each probe example of the part."""
        return torch.from_numpy(self.view.targets[part]).repeat_interleave(len(self.ridges), dim=1).flatten(0, 1)


@dataclass(frozen=True, eq=False)
class Inputs:
    """Inputs of a learned probe: features of the training examples, and the function that computes features.

    Attributes:
        trial: vectors and probe examples of one layer and split.
        featurise: function that computes the features of probe examples.
        unit: root mean square of each feature within a training example, by which features are divided.
        train: centred and scaled features of the training examples.
        anchor: the scaled similarity that is added to the score of the features, or None for a probe without it.
    """

    trial: ProbeTrial
    featurise: Featuriser
    unit: Float[Tensor, "feature"]
    train: Features
    anchor: Anchor | None

    def features(self, part: str) -> Features:
        """Return the centred features of one part's probe examples (e.g. "test"), each divided by its `unit`."""
        return self.train if part == "train" else centred(self.featurise(self.trial.view.parts[part])) / self.unit

    def offset(self, part: str) -> CandidateScores | None:
        """Return the scaled similarities to add to the scores of one part (e.g. "test"); None without an anchor."""
        return None if self.anchor is None else self.anchor.offset(self.trial.similarities[part])


def read_inputs(trial: ProbeTrial, featurise: Featuriser, columns: FitColumns, *, anchored: bool) -> Inputs:
    """Compute and scale the features of the training examples and, if `anchored`, fit the scale of the similarity.

    Args:
        featurise: function that computes the features of probe examples.
        anchored: add the retriever's similarity to the score, with a scale that is fitted for each column.
    """
    train = featurise(trial.view.parts["train"])
    unit = spread(train)
    anchor = _anchor(trial, columns) if anchored else None
    return Inputs(trial, featurise, unit, centred(train) / unit, anchor)


def _anchor(trial: ProbeTrial, columns: FitColumns) -> Anchor:
    """Fit the scale of the similarity for each control and N, and repeat it for every ridge penalty."""
    once = FitColumns(columns.view, (0.0,))
    anchor = fit_anchor(trial, trial.similarities["train"], once.targets("train"), once.sizes)
    ridges = len(columns.ridges)
    return Anchor(anchor.unit, anchor.scale.repeat_interleave(ridges), anchor.converged.repeat_interleave(ridges))


def fitted(trial: ProbeTrial, featurise: Featuriser, *, anchored: bool) -> ProbeOutcome:
    """Fit a probe for all controls, N and ridge penalties at once, select the ridge by validation, and test the result.

    Args:
        featurise: function that computes the features of a query and a passage.
        anchored: shrink the probe to the retriever's similarity (see `fitting.anchor`) instead of to 0. This is for
            every probe that uses the query.
    """
    columns = FitColumns(trial.view, trial.options.ridge)
    inputs = read_inputs(trial, featurise, columns, anchored=anchored)
    fit = fit_choices(
        Problems(inputs.train, columns.targets("train"), columns.sizes, columns.ridge, inputs.offset("train")),
        tolerance=trial.options.tolerance,
        max_iterations=trial.options.max_iterations,
    )
    best, accuracy, train_accuracy = choose_column(inputs, columns, fit.weights)
    converged = fit.converged if inputs.anchor is None else fit.converged & inputs.anchor.converged

    def table(values: Tensor) -> np.ndarray:
        return values[best].reshape(columns.shape[:2]).numpy()

    return ProbeOutcome(
        accuracy=accuracy,
        train_accuracy=train_accuracy,
        ridge=table(columns.ridge).astype(np.float64),
        iterations=table(fit.iterations),
        gradient=table(fit.gradient).astype(np.float64),
        excess=table(fit.excess).astype(np.float64),
        converged=table(converged),
    )


def choose_column(
    inputs: Inputs, columns: FitColumns, weights: FeatureWeights
) -> tuple[Int[Tensor, "chosen"], Float[np.ndarray, "control size choice"], Float[np.ndarray, "control size"]]:
    """Select a ridge penalty for each control and N by validation loss.

    Return the index of its column, the accuracy of every test example, and the mean accuracy of the training examples.
    """
    validation = choice_scores(inputs.features("validation"), weights, columns.sizes, inputs.offset("validation"))
    losses = tempered_losses(validation, columns.targets("validation"))
    best = best_ridge(losses, columns, None if inputs.anchor is None else inputs.trial.texts_of("validation"))

    def credit(part: str) -> Float[np.ndarray, "control size choice"]:
        offset = inputs.offset(part)
        best_offset = None if offset is None else offset[..., best]
        scores = choice_scores(inputs.features(part), weights[:, best], columns.sizes[best], best_offset)
        return judged(scores, columns.view, part, dim=len(weights))

    return best, credit("test"), credit("train").mean(axis=2)


def judged(
    scores: Float[Tensor, "choice candidate column"], view: View, part: str, dim: int
) -> Float[np.ndarray, "control size choice"]:
    """Return the accuracy of each probe example of one part of the split, given the scores of its candidates.

    Args:
        scores: one column for each control and N, in this order.
        dim: number of features, which determines the rounding error within which scores tie.
    """
    table = scores.permute(2, 0, 1).reshape(len(view.controls), len(view.sizes), *scores.shape[:2]).numpy()
    valid = np.isfinite(table)
    largest = np.where(valid, np.abs(table), 0.0).max(axis=-1)
    return choice_accuracy(table, valid, right=view.targets[part], tolerance=tie_tolerance(largest, dim))


def tempered_losses(
    scores: Float[Tensor, "choice candidate column"], targets: Int[Tensor, "column choice"]
) -> Float[Tensor, "choice column"]:
    """Return the cross-entropy of each probe example at the temperature that is best for the model (column).

    This is temperature scaling (Guo et al., 2017, section 4).

    The validation negatives come from fewer passages and are therefore easier than the test negatives. Without the
    temperature, the loss would reward the overconfidence that easier negatives permit, and select too small a ridge.
    """
    losses = torch.stack([-log_chances(scores * t, targets) for t in TEMPERATURES])
    best = losses.mean(dim=1).argmin(dim=0)
    return losses.gather(0, best.expand(1, len(targets.T), -1)).squeeze(0)


def best_ridge(
    losses: Float[Tensor, "choice column"], columns: FitColumns, clusters: Clusters | None
) -> Int[Tensor, "chosen"]:
    """Return, for each control and N, the index of the column whose ridge penalty is selected by validation loss.

    Args:
        losses: losses of the validation examples.
        clusters: which probe examples have the same query text; they are one observation. With clusters, the largest
            ridge is chosen whose mean loss exceeds the smallest mean loss by at most one standard error, paired by
            probe example (Breiman et al. 1984, section 3.4.3). A few dozen validation examples then do not move a probe
            away from the similarity by chance. If None, the ridge with the smallest mean loss is chosen.
    """
    table = losses.reshape(len(losses), -1, len(columns.ridges))
    least = table.mean(dim=0).argmin(dim=1)
    column = least
    if clusters is not None:
        excess = table - table.gather(2, least.expand(len(losses), -1)[..., None])
        error = torch.from_numpy(standard_error(excess.flatten(1).double().numpy(), clusters)).view(excess.shape[1:])
        alike = excess.mean(dim=0) <= error
        ridges = torch.tensor(columns.ridges)
        column = torch.where(alike, ridges, -1.0).argmax(dim=1)
    return column + torch.arange(len(column)) * len(columns.ridges)
