"""Fit many multinomial logit models at once, until their convergence is proved.

Every learned probe scores a candidate by w.x, where x are features of query and passage. Each combination of number of
candidates N, ridge and labels has its own weights, a column of one weight matrix, over the same features. All columns
are therefore fitted together, with products of one feature matrix. The loss of a column is convex:

    L(w) = mean over probe examples [ log sum_j exp(w.x_j) - w.x_right ] + ridge/2 |w|^2

The solver is in `lbfgs`. This module has the problems, their solutions, and the bound that proves convergence.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from retroscope.probing.fitting.lbfgs import (
    MEMORY,
    CandidateRows,
    ColumnWeights,
    FitState,
    PerColumn,
    Preconditioner,
    RememberedStep,
    expected_features,
    lbfgs_step,
    preconditioner,
)

FeatureWeights = Float[Tensor, "feature column"]
CandidateScores = Float[Tensor, "choice candidate column"]


@dataclass(frozen=True, eq=False)
class Problems:
    """Multinomial logit problems over the same probe examples. Problem (column) c uses the first `sizes[c]` candidates.

    Attributes:
        features: x, ideally centred within each probe example (adding a constant to all candidates changes nothing).
        targets: index of the correct candidate of each probe example in each column.
        sizes: number of candidates in each column.
        ridge: weight of |w|^2 / 2 in each column's loss; above 0.
        offset: fixed number that is added to each score w.x; 0 everywhere by default.
    """

    features: Float[Tensor, "choice candidate feature"]
    targets: Int[Tensor, "column choice"]
    sizes: Int[Tensor, "column"]
    ridge: PerColumn
    offset: CandidateScores | None = None


@dataclass(frozen=True, eq=False)
class Fit:
    """The fitted weights of all logit models (columns), with evidence that the fits converged.

    Attributes:
        weights: one column of weights for each problem.
        loss: mean loss of a probe example in nats, with the ridge term.
        gradient: length of the gradient, divided by its length at w = 0.
        excess: upper bound on the difference of the loss from its minimum, |gradient|^2 / (2 ridge), in nats. The bound
            holds because the ridge makes the loss strongly convex.
        iterations: number of iterations until `excess` was within the tolerance.
        converged: whether `excess` is within the tolerance.
    """

    weights: FeatureWeights
    loss: PerColumn
    gradient: PerColumn
    excess: PerColumn
    iterations: Int[Tensor, "column"]
    converged: Bool[Tensor, "column"]


def fit_choices(problems: Problems, *, tolerance: float = 1e-5, max_iterations: int = 300) -> Fit:
    """Fit every logit model (column) until its loss is proved to be within `tolerance` nats of the minimum.

    A column that does not converge within `max_iterations` is returned with `converged` False.
    """
    rows = _rows(problems.features)
    metric = preconditioner(rows, problems.ridge)
    state = _start(problems, rows, metric)
    first = torch.linalg.vector_norm(state.gradient, dim=1)
    weights, gradient = torch.zeros_like(state.weights), torch.zeros_like(state.gradient)
    iterations = torch.full_like(state.column, max_iterations)
    memory: list[RememberedStep] = []
    for iteration in range(max_iterations + 1):
        is_finished = (_excess(state.gradient, state.ridge) <= tolerance) | (iteration == max_iterations)
        finished = state.column[is_finished]
        iterations[finished] = iteration
        weights[finished], gradient[finished] = state.weights[is_finished], state.gradient[is_finished]
        if bool(is_finished.all()):
            break
        if bool(is_finished.any()):
            state, memory = state.keep(~is_finished), [pair.keep(~is_finished) for pair in memory]
        state, pair = lbfgs_step(rows, state, memory, metric)
        memory = [*memory[-(MEMORY - 1) :], pair]
    excess = _excess(gradient, problems.ridge)
    return Fit(
        weights=weights.T,
        loss=mean_loss(choice_scores(problems.features, weights.T, problems.sizes, problems.offset), problems.targets)
        + problems.ridge / 2 * weights.square().sum(dim=1),
        gradient=torch.linalg.vector_norm(gradient, dim=1) / first.clamp_min(torch.finfo(first.dtype).tiny),
        excess=excess,
        iterations=iterations,
        converged=excess <= tolerance,
    )


def choice_scores(
    features: Float[Tensor, "choice candidate feature"],
    weights: FeatureWeights,
    sizes: Int[Tensor, "column"],
    offset: CandidateScores | None = None,
) -> CandidateScores:
    """Return the score w.x + offset of every candidate under every model (column).

    The score is -inf for a candidate that a column does not use, because its index is not below the column's size.
    """
    scores = (weights.T @ features.flatten(0, 1).T).reshape(-1, *features.shape[:2]).permute(1, 2, 0)
    scores = scores if offset is None else scores + offset
    return scores.masked_fill(~_within(features.shape[1], sizes).T, -torch.inf)


def mean_loss(scores: CandidateScores, targets: Int[Tensor, "column choice"]) -> PerColumn:
    """Return the mean cross-entropy of each model (column) over the probe examples, in nats."""
    return -log_chances(scores, targets).mean(dim=0)


def log_chances(scores: CandidateScores, targets: Int[Tensor, "column choice"]) -> Float[Tensor, "choice column"]:
    """Return the log probability of the correct candidate, in nats, for each probe example and model (column)."""
    return scores.gather(1, targets.T[:, None, :]).squeeze(1) - scores.logsumexp(dim=1)


def _excess(gradient: ColumnWeights, ridge: PerColumn) -> PerColumn:
    return gradient.square().sum(dim=1) / (2 * ridge)


def _within(candidates: int, sizes: Int[Tensor, "column"]) -> Bool[Tensor, "column candidate"]:
    return torch.arange(candidates).lt(sizes[:, None])


def _rows(features: Float[Tensor, "choice candidate feature"]) -> CandidateRows:
    return features.transpose(0, 1).flatten(0, 1)


def _start(problems: Problems, rows: CandidateRows, metric: Preconditioner) -> FitState:
    """Return the state of the optimiser at w = 0 for all models (columns)."""
    choices, candidates, _ = problems.features.shape
    columns = len(problems.sizes)
    scores = rows.new_zeros(columns, candidates, choices)
    if problems.offset is not None:
        scores += problems.offset.permute(2, 1, 0)
    scores = scores.masked_fill(~_within(candidates, problems.sizes)[:, :, None], -torch.inf)
    right = torch.zeros_like(scores).scatter(1, problems.targets[:, None], 1.0)
    pull, push = expected_features(right, rows), expected_features(scores.softmax(dim=1), rows)
    gradient = push - pull
    newton = metric.apply(gradient, problems.ridge)
    column = torch.arange(columns)
    return FitState(column, problems.ridge, pull, torch.zeros_like(pull), scores, gradient, newton)
