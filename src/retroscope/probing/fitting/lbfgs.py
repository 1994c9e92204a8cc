"""Limited-memory BFGS (Nocedal 1980) that fits many multinomial logit models over the same features at once.

Each model is one column of weights. The preconditioner is the Hessian at w = 0, which is the same for all columns
except for the ridge, so all columns with the same ridge use one Cholesky factor. The scores along a step are linear in
its length, so the line search needs no product with the feature matrix. Near the optimum, differences of the loss are
smaller than float32 rounding. The line search therefore uses derivatives only (the approximate Wolfe conditions of
Hager & Zhang 2005).

In arrays here, the column is the first dimension and the probe examples are the last: products with the few columns
that are left near the end are 3 to 5 times as fast, and the softmax over candidates is vectorised.
"""

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

MEMORY = 8  # pairs of steps and gradient changes kept
SLOPE_LEFT = 0.8  # the line search ends once the slope has fallen to this share (or its negative)
SEARCHES = 12
LEAST_SHIFT = 10  # rounding errors of the Hessian's trace: added at least, so that the Cholesky factor exists
PerColumn = Float[Tensor, "column"]
CandidateRows = Float[Tensor, "row feature"]  # a row for every candidate of every choice, candidate by candidate
ColumnWeights = Float[Tensor, "column feature"]
ScoreTable = Float[Tensor, "column candidate choice"]


@dataclass(frozen=True, eq=False)
class FitState:
    """State of the optimiser for those models (columns) whose fit is not finished.

    Attributes:
        column: index of each of these columns among all columns.
        ridge: ridge penalty of the column.
        pull: mean feature of the correct candidates, the gradient of the linear part of the loss.
        weights: current weights.
        scores: current scores of the candidates; -inf beyond the number of candidates of a column.
        gradient: gradient of the loss.
        newton: the gradient, multiplied by the preconditioner.
    """

    column: Int[Tensor, "column"]
    ridge: PerColumn
    pull: ColumnWeights
    weights: ColumnWeights
    scores: ScoreTable
    gradient: ColumnWeights
    newton: ColumnWeights

    def keep(self, which: Bool[Tensor, "column"]) -> "FitState":
        """Return the state of the columns (models) selected by `which`."""
        return replace(self, **{f.name: getattr(self, f.name)[which] for f in fields(self)})


@dataclass(frozen=True, eq=False)
class RememberedStep:
    """One earlier L-BFGS step, from which the inverse Hessian is estimated.

    Attributes:
        step: change of the weights.
        change: change of the gradient.
        newton: `change`, multiplied by the preconditioner.
        inverse: 1 / (step . change), or 0 if the product is no larger than its rounding error.
    """

    step: ColumnWeights
    change: ColumnWeights
    newton: ColumnWeights
    inverse: Float[Tensor, "column 1"]

    def keep(self, which: Bool[Tensor, "column"]) -> "RememberedStep":
        """Return this step for the columns (models) selected by `which`."""
        return RememberedStep(self.step[which], self.change[which], self.newton[which], self.inverse[which])


@dataclass(frozen=True, eq=False)
class Preconditioner:
    """Preconditioner (H + ridge I)^-1 for each distinct ridge, where H is the Hessian of the loss at w = 0.

    Attributes:
        factors: ridge -> Cholesky factor of H + ridge I.
    """

    factors: dict[float, Float[Tensor, "feature feature"]]

    def apply(self, vectors: ColumnWeights, ridge: PerColumn) -> ColumnWeights:
        """Multiply the vector of every model (column) by the preconditioner for its ridge penalty."""
        result = torch.empty_like(vectors)
        for value in set(ridge.tolist()):
            which = ridge == value
            result[which] = torch.cholesky_solve(vectors[which].T, self.factors[value]).T
        return result


def preconditioner(rows: CandidateRows, ridge: PerColumn) -> Preconditioner:
    """Return the preconditioner of the logit loss for these features: one Cholesky factor for each distinct ridge."""
    hessian = rows.T @ rows / len(rows)
    least = LEAST_SHIFT * torch.finfo(rows.dtype).eps * float(hessian.trace())
    unit = torch.eye(len(hessian), dtype=rows.dtype)
    return Preconditioner({r: torch.linalg.cholesky(hessian + max(r, least) * unit) for r in set(ridge.tolist())})


def expected_features(chances: ScoreTable, rows: CandidateRows) -> ColumnWeights:
    """Return, for each model (column), the features expected under these probabilities, as a mean over examples."""
    mean: ColumnWeights = chances.flatten(1) @ rows / chances.shape[2]
    return mean


def _length(vectors: ColumnWeights) -> PerColumn:
    lengths: PerColumn = torch.linalg.vector_norm(vectors, dim=1)
    return lengths


def _dots(one: ColumnWeights, other: ColumnWeights) -> Float[Tensor, "column 1"]:
    return (one * other).sum(dim=1, keepdim=True)


def lbfgs_step(
    rows: CandidateRows, state: FitState, memory: list[RememberedStep], metric: Preconditioner
) -> tuple[FitState, RememberedStep]:
    """Take one L-BFGS step for every model (column), and return the new state and the step.

    It needs two products with the feature matrix.

    Args:
        rows: features of every candidate of every probe example.
        state: state before the step.
        memory: earlier steps, oldest first.
        metric: the preconditioner.
    """
    direction = -_inverse_hessian(state, memory)
    along = (direction @ rows.T).reshape(state.scores.shape)
    length, scores, chances = _search(state, direction, along)
    weights = state.weights + length[:, None] * direction
    gradient = expected_features(chances, rows) - state.pull + state.ridge[:, None] * weights
    newton = metric.apply(gradient, state.ridge)
    after = replace(state, weights=weights, scores=scores, gradient=gradient, newton=newton)
    return after, _pair(state, after)


def _pair(before: FitState, after: FitState) -> RememberedStep:
    step, change = after.weights - before.weights, after.gradient - before.gradient
    product = _dots(step, change)
    rounding = torch.finfo(step.dtype).eps * (_length(step) * _length(change))[:, None]
    return RememberedStep(step, change, after.newton - before.newton, torch.where(product > rounding, 1 / product, 0.0))


def _inverse_hessian(state: FitState, memory: list[RememberedStep]) -> ColumnWeights:
    """Return the L-BFGS estimate of H^-1 g (two-loop recursion, Nocedal & Wright 2006, algorithm 7.4).

    The preconditioner is linear. So it is applied once to each new gradient, and only the results are combined here.
    """
    vector, newton, shares = state.gradient, state.newton, []
    for pair in reversed(memory):
        share = pair.inverse * _dots(pair.step, vector)
        vector, newton = vector - share * pair.change, newton - share * pair.newton
        shares.append(share)
    if memory:
        newton = newton * _scale(memory[-1])
    for pair, share in zip(memory, reversed(shares), strict=True):
        newton = newton + (share - pair.inverse * _dots(pair.change, newton)) * pair.step
    return newton


def _scale(pair: RememberedStep) -> Float[Tensor, "column 1"]:
    """Return the factor by which the inverse Hessian along the last step exceeds the preconditioner."""
    expected = pair.inverse * _dots(pair.change, pair.newton)
    return torch.where(expected > 0, 1 / expected, 1.0)


def _search(state: FitState, direction: ColumnWeights, along: ScoreTable) -> tuple[PerColumn, ScoreTable, ScoreTable]:
    """Search along each model's direction for a step with a small slope. Return the lengths, scores and probabilities.

    The search applies Newton's method to the slope, within an interval that contains its zero.

    Args:
        direction: direction of the step.
        along: change of the scores for a step of length 1.
    """
    linear = (direction * (state.ridge[:, None] * state.weights - state.pull)).sum(dim=1)
    square = state.ridge * direction.square().sum(dim=1)
    target = SLOPE_LEFT * (direction * state.gradient).sum(dim=1).abs()
    low, high = torch.zeros_like(linear), torch.full_like(linear, torch.inf)
    length = torch.ones_like(linear)
    for left in reversed(range(SEARCHES + 1)):
        scores = state.scores + length[:, None, None] * along
        chances = scores.softmax(dim=1)
        mean = (chances * along).sum(dim=1)
        slope = mean.mean(dim=1) + linear + length * square
        open_ = slope.abs() > target
        if not left or not bool(open_.any()):
            break
        bend = ((chances * along.square()).sum(dim=1) - mean.square()).mean(dim=1) + square
        low, high = torch.where(slope < 0, length, low), torch.where(slope < 0, high, length)
        newton = length - slope / bend
        fallback = torch.where(high.isinf(), 4 * length, (low + high) / 2)
        inside = (newton > low) & (newton < torch.minimum(high, 10 * length))
        length = torch.where(open_, torch.where(inside, newton, fallback), length)
    return length, scores, chances
