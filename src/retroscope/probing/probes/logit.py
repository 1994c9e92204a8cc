"""The family of learned probes: a multinomial logit over the candidates, fitted to convergence."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from retroscope.probing.accuracy import choice_accuracy, tie_tolerance
from retroscope.probing.controls import View
from retroscope.probing.features import Featuriser, centred, spread
from retroscope.probing.fitting import Problems, choice_scores, fit_choices, log_chances
from retroscope.probing.trial import Outcome, Trial

TEMPERATURES = tuple(2.0 ** (k / 2) for k in range(-12, 13))


@dataclass(frozen=True, eq=False)
class Columns:
    """Every (control, N, ridge) of a view as one column, in that order."""

    view: View
    ridges: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of controls, of sizes and of ridges."""
        return len(self.view.controls), len(self.view.sizes), len(self.ridges)

    @property
    def sizes(self) -> Int[Tensor, "column"]:
        """N of each column."""
        controls, _, ridges = self.shape
        return torch.tensor(self.view.sizes).repeat_interleave(ridges).repeat(controls)

    @property
    def ridge(self) -> Float[Tensor, "column"]:
        """Ridge of each column."""
        controls, sizes, _ = self.shape
        return torch.tensor(self.ridges).repeat(controls * sizes)

    def targets(self, part: str) -> Int[Tensor, "column choice"]:
        """Place of the right candidate for each column."""
        return torch.from_numpy(self.view.targets[part]).repeat_interleave(len(self.ridges), dim=1).flatten(0, 1)


def fitted(trial: Trial, featurise: Featuriser) -> Outcome:
    """Fit all controls, N and ridges at once; keep the ridge that validates best; choose on the test."""
    parts = trial.view.parts
    train = featurise(parts["train"])
    scale = spread(train)
    columns = Columns(trial.view, trial.options.ridge)
    fit = fit_choices(
        Problems(centred(train) / scale, columns.targets("train"), columns.sizes, columns.ridge),
        tolerance=trial.options.tolerance,
        max_iterations=trial.options.max_iterations,
    )
    validation = choice_scores(centred(featurise(parts["validation"])) / scale, fit.weights, columns.sizes)
    best = _best_ridge(tempered_loss(validation, columns.targets("validation")), columns)
    test = choice_scores(centred(featurise(parts["test"])) / scale, fit.weights[:, best], columns.sizes[best])

    def table(values: Tensor) -> np.ndarray:
        return values[best].reshape(columns.shape[:2]).numpy()

    return Outcome(
        accuracy=judged(test, trial.view, dim=len(fit.weights)),
        ridge=table(columns.ridge).astype(np.float64),
        iterations=table(fit.iterations),
        gradient=table(fit.gradient).astype(np.float64),
        excess=table(fit.excess).astype(np.float64),
        converged=table(fit.converged),
    )


def judged(
    scores: Float[Tensor, "choice candidate column"], view: View, dim: int
) -> Float[np.ndarray, "control size choice"]:
    """Credit of the test choices, for one column of scores per control and size."""
    table = scores.permute(2, 0, 1).reshape(len(view.controls), len(view.sizes), *scores.shape[:2]).numpy()
    valid = np.isfinite(table)
    largest = np.where(valid, np.abs(table), 0.0).max(axis=-1)
    return choice_accuracy(table, valid, right=view.targets["test"], tolerance=tie_tolerance(largest, dim))


def tempered_loss(
    scores: Float[Tensor, "choice candidate column"], targets: Int[Tensor, "column choice"]
) -> Float[Tensor, "column"]:
    """Mean loss at each column's best temperature (after Guo et al. 2017, section 4).

    The validation negatives are refilled and so easier than the test's; the plain loss would
    reward the confidence that this excuses, and choose too small a ridge.
    """
    losses = [-log_chances(scores * t, targets).mean(dim=0) for t in TEMPERATURES]
    return torch.stack(losses).min(dim=0).values


def _best_ridge(losses: Float[Tensor, "column"], columns: Columns) -> Int[Tensor, "chosen"]:
    """The column of the best ridge for each control and size."""
    table = losses.reshape(-1, len(columns.ridges))
    return table.argmin(dim=1) + torch.arange(len(table)) * len(columns.ridges)
