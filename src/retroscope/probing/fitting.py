"""Converged multinomial logits, many at once.

Every learned probe scores a candidate by w.phi(query, passage), so that every (N, ridge,
labelling) is one column of weights over the same features, and all are solved together with
products of one feature matrix. The loss of a column is convex:

    L(w) = mean over choices [ log sum_j exp(w.x_j) - w.x_right ] + ridge/2 |w|^2

Limited-memory BFGS (Nocedal 1980) in the eigenbasis of the Hessian at w = 0, which all columns
share, so that its diagonal is the preconditioner. Scores move along a step without a new product,
so the line search costs none. Near the optimum the loss is flat below float32 rounding; the
search therefore looks at derivatives only (the approximate Wolfe conditions of Hager & Zhang 2005).
"""

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

MEMORY = 8  # pairs of steps and gradient changes kept
SLOPE_LEFT = 0.8  # the line search ends once the slope has fallen to this share (or its negative)
SEARCHES = 12
FeatureWeights = Float[Tensor, "feature column"]
PerColumn = Float[Tensor, "column"]
CandidateScores = Float[Tensor, "choice candidate column"]


@dataclass(frozen=True, eq=False)
class Problems:
    """Logits over the same choices; column c chooses among the first `sizes[c]` candidates.

    Attributes:
        features: x, best centred within each choice (a shift common to its candidates changes nothing).
        targets: place of the right candidate.
        ridge: > 0, weight of |w|^2 / 2 beside the mean loss of a choice.
        offset: what is added to w.x before any weight is fitted; 0 everywhere by default.
    """

    features: Float[Tensor, "choice candidate feature"]
    targets: Int[Tensor, "column choice"]
    sizes: Int[Tensor, "column"]
    ridge: PerColumn
    offset: CandidateScores | None = None


@dataclass(frozen=True, eq=False)
class Fit:
    """The solutions, with the evidence that they have converged.

    Attributes:
        weights: one column each.
        loss: mean loss of a choice in nats, with the ridge term.
        gradient: length of the gradient, as a share of its length at w = 0.
        excess: the loss is at most this far above its minimum, |gradient|^2 / (2 ridge), in nats;
            a certificate, because the ridge makes the loss strongly convex.
        iterations: until `excess` met the tolerance.
        converged: whether it did.
    """

    weights: FeatureWeights
    loss: PerColumn
    gradient: PerColumn
    excess: PerColumn
    iterations: Int[Tensor, "column"]
    converged: Bool[Tensor, "column"]


@dataclass(frozen=True, eq=False)
class _State:
    """The state of the optimiser, column last; finished columns leave it.

    `scores` are -inf beyond a column's size; `pull` is the mean feature of the right candidates,
    the linear part of the loss; `curvature` the diagonal Hessian at 0 with the ridge.
    """

    column: Int[Tensor, "column"]
    weights: FeatureWeights
    scores: Float[Tensor, "choice candidate column"]
    gradient: FeatureWeights
    pull: FeatureWeights
    curvature: FeatureWeights
    ridge: PerColumn

    def keep(self, which: Bool[Tensor, "column"]) -> "_State":
        return replace(self, **{f.name: getattr(self, f.name)[..., which] for f in fields(self)})


@dataclass(frozen=True, eq=False)
class _Pair:
    """One remembered step: change of weights, change of gradient, 1 / their product (0 where useless)."""

    step: FeatureWeights
    change: FeatureWeights
    inverse: PerColumn

    def keep(self, which: Bool[Tensor, "column"]) -> "_Pair":
        return _Pair(self.step[:, which], self.change[:, which], self.inverse[which])


def fit_choices(problems: Problems, *, tolerance: float = 1e-5, max_iterations: int = 300) -> Fit:
    """Solve every column until its loss is certified within `tolerance` nats of the minimum.

    A column that does not get there within `max_iterations` comes back with `converged` False.
    """
    rotated, state, basis = _start(problems)
    first = state.gradient.norm(dim=0)
    weights, gradient = torch.zeros_like(state.weights), torch.zeros_like(state.gradient)
    iterations = torch.full_like(state.column, max_iterations)
    memory: list[_Pair] = []
    for iteration in range(max_iterations + 1):
        done = (_excess(state.gradient, state.ridge) <= tolerance) | (iteration == max_iterations)
        finished = state.column[done]
        iterations[finished] = iteration
        weights[:, finished], gradient[:, finished] = state.weights[:, done], state.gradient[:, done]
        if bool(done.all()):
            break
        if bool(done.any()):
            state, memory = state.keep(~done), [pair.keep(~done) for pair in memory]
        state, pair = _step(rotated, state, memory)
        memory = [*memory[-(MEMORY - 1) :], pair]
    excess = _excess(gradient, problems.ridge)
    weights = basis @ weights
    return Fit(
        weights=weights,
        loss=mean_loss(choice_scores(problems.features, weights, problems.sizes, problems.offset), problems.targets)
        + problems.ridge / 2 * weights.square().sum(dim=0),
        gradient=gradient.norm(dim=0) / first.clamp_min(torch.finfo(first.dtype).tiny),
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
    """Return w.x, with the offset, of every candidate; -inf beyond the first `sizes` of a column."""
    scores = (features.flatten(0, 1) @ weights).reshape(*features.shape[:2], -1)
    scores = scores if offset is None else scores + offset
    return scores.masked_fill(~_within(features.shape[1], sizes), -torch.inf)


def mean_loss(scores: Float[Tensor, "choice candidate column"], targets: Int[Tensor, "column choice"]) -> PerColumn:
    """Return the mean of -log softmax at the right candidate, in nats."""
    return -log_chances(scores, targets).mean(dim=0)


def log_chances(
    scores: Float[Tensor, "choice candidate column"], targets: Int[Tensor, "column choice"]
) -> Float[Tensor, "choice column"]:
    """Log softmax at the right candidate, in nats."""
    return scores.gather(1, targets.T[:, None, :]).squeeze(1) - scores.logsumexp(dim=1)


def _within(candidates: int, sizes: Int[Tensor, "column"]) -> Bool[Tensor, "candidate column"]:
    return torch.arange(candidates)[:, None].lt(sizes)


def _start(problems: Problems) -> tuple[Float[Tensor, "row feature"], _State, Float[Tensor, "feature feature"]]:
    """Return the features in the eigenbasis of the Hessian at 0, the state at w = 0, and the basis."""
    x = problems.features
    choices, candidates, _ = x.shape
    rows = x.flatten(0, 1)
    values, basis = torch.linalg.eigh((rows.T @ rows) / rows.shape[0])
    rotated = rows @ basis
    within = _within(candidates, problems.sizes)
    start = torch.zeros(choices, candidates, len(problems.sizes), dtype=x.dtype)
    scores = (start if problems.offset is None else start + problems.offset).masked_fill(~within, -torch.inf)
    right = torch.nn.functional.one_hot(problems.targets.T, candidates).mT.to(x.dtype)
    pull = rotated.T @ right.flatten(0, 1) / choices
    push = rotated.T @ scores.softmax(dim=1).flatten(0, 1) / choices
    weights = torch.zeros_like(pull)
    curvature = values.clamp_min(0)[:, None] + problems.ridge
    column = torch.arange(len(problems.sizes))
    return rotated, _State(column, weights, scores, push - pull, pull, curvature, problems.ridge), basis


def _excess(gradient: FeatureWeights, ridge: PerColumn) -> PerColumn:
    return gradient.square().sum(dim=0) / (2 * ridge)


def _step(rotated: Float[Tensor, "row feature"], state: _State, memory: list[_Pair]) -> tuple[_State, _Pair]:
    """Take one L-BFGS step of every column: two products with the features."""
    direction = -_inverse_hessian(state, memory)
    along = (rotated @ direction).reshape(state.scores.shape)
    length = _search(state, direction, along)
    scores = state.scores + length * along
    weights = state.weights + length * direction
    push = rotated.T @ scores.softmax(dim=1).flatten(0, 1) / scores.shape[0]
    gradient = push - state.pull + state.ridge * weights
    moved = replace(state, weights=weights, scores=scores, gradient=gradient)
    return moved, _pair(weights - state.weights, gradient - state.gradient)


def _pair(step: FeatureWeights, change: FeatureWeights) -> _Pair:
    product = (step * change).sum(dim=0)
    rounding = torch.finfo(step.dtype).eps * step.norm(dim=0) * change.norm(dim=0)
    return _Pair(step, change, torch.where(product > rounding, 1 / product, 0.0))


def _inverse_hessian(state: _State, memory: list[_Pair]) -> FeatureWeights:
    """Return the L-BFGS estimate of H^-1 g (two-loop recursion, Nocedal & Wright 2006, algorithm 7.4)."""
    vector, shares = state.gradient, []
    for pair in reversed(memory):
        share = pair.inverse * (pair.step * vector).sum(dim=0)
        vector = vector - share * pair.change
        shares.append(share)
    vector = vector / state.curvature
    if memory:
        vector = vector * _scale(memory[-1], state.curvature)
    for pair, share in zip(memory, reversed(shares), strict=True):
        vector = vector + (share - pair.inverse * (pair.change * vector).sum(dim=0)) * pair.step
    return vector


def _scale(pair: _Pair, curvature: FeatureWeights) -> PerColumn:
    """Return how much flatter the loss is now than at w = 0, along the last step."""
    expected = pair.inverse * (pair.change.square() / curvature).sum(dim=0)
    return torch.where(expected > 0, 1 / expected, 1.0)


def _search(state: _State, direction: FeatureWeights, along: Float[Tensor, "choice candidate column"]) -> PerColumn:
    """Step lengths where the slope has fallen enough: Newton on the slope, kept inside its bracket."""
    linear = (direction * (state.ridge * state.weights - state.pull)).sum(dim=0)
    square = state.ridge * direction.square().sum(dim=0)
    target = SLOPE_LEFT * (direction * state.gradient).sum(dim=0).abs()
    low, high = torch.zeros_like(linear), torch.full_like(linear, torch.inf)
    length = torch.ones_like(linear)
    for _ in range(SEARCHES):
        chances = (state.scores + length * along).softmax(dim=1)
        mean = (chances * along).sum(dim=1)
        slope = mean.mean(dim=0) + linear + length * square
        open_ = slope.abs() > target
        if not bool(open_.any()):
            break
        bend = ((chances * along.square()).sum(dim=1) - mean.square()).mean(dim=0) + square
        low, high = torch.where(slope < 0, length, low), torch.where(slope < 0, high, length)
        newton = length - slope / bend
        fallback = torch.where(high.isinf(), 4 * length, (low + high) / 2)
        inside = (newton > low) & (newton < torch.minimum(high, 10 * length))
        length = torch.where(open_, torch.where(inside, newton, fallback), length)
    return length
