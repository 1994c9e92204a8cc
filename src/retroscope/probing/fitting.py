"""Converged multinomial logits, many at once.

Every learned probe scores a candidate by w.phi(query, passage), so that every (N, ridge,
labelling) is one column of weights over the same features, and all are solved together with
products of one feature matrix. The loss of a column is convex:

    L(w) = mean over choices [ log sum_j exp(w.x_j) - w.x_right ] + ridge/2 |w|^2

Limited-memory BFGS (Nocedal 1980), preconditioned by the Hessian at w = 0, which all columns share
up to their ridge: one Cholesky factor serves all columns of a ridge. Scores move along a step without
a new product, so the line search costs none. Near the optimum the loss is flat below float32 rounding;
the search therefore looks at derivatives only (the approximate Wolfe conditions of Hager & Zhang 2005).

Callers index a column last. The solver stores it first and the choices last: products with the few
columns that are left near the end are 3 to 5 times as fast, and a softmax over candidates is vectorised.
"""

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

MEMORY = 8  # pairs of steps and gradient changes kept
SLOPE_LEFT = 0.8  # the line search ends once the slope has fallen to this share (or its negative)
SEARCHES = 12
LEAST_SHIFT = 10  # rounding errors of the Hessian's trace: added at least, so that the Cholesky factor exists
FeatureWeights = Float[Tensor, "feature column"]
PerColumn = Float[Tensor, "column"]
CandidateScores = Float[Tensor, "choice candidate column"]
Rows = Float[Tensor, "row feature"]  # a row for every candidate of every choice, candidate by candidate
Weights = Float[Tensor, "column feature"]
Table = Float[Tensor, "column candidate choice"]


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
    """The state of the optimiser; finished columns leave it.

    `scores` are -inf beyond a column's size; `pull` is the mean feature of
    the right candidates, the linear part of the loss; `newton` is the preconditioned gradient.
    """

    column: Int[Tensor, "column"]
    ridge: PerColumn
    pull: Weights
    weights: Weights
    scores: Table
    gradient: Weights
    newton: Weights

    def keep(self, which: Bool[Tensor, "column"]) -> "_State":
        return replace(self, **{f.name: getattr(self, f.name)[which] for f in fields(self)})


@dataclass(frozen=True, eq=False)
class _Pair:
    """One remembered step: the change of weights, gradient and `newton`, and 1 / (step . change) (0 where useless)."""

    step: Weights
    change: Weights
    newton: Weights
    inverse: Float[Tensor, "column 1"]

    def keep(self, which: Bool[Tensor, "column"]) -> "_Pair":
        return _Pair(self.step[which], self.change[which], self.newton[which], self.inverse[which])


@dataclass(frozen=True, eq=False)
class _Preconditioner:
    """(H + ridge)^-1 for every distinct ridge, with H the Hessian at w = 0 where all candidates take part."""

    factors: dict[float, Float[Tensor, "feature feature"]]

    def apply(self, vectors: Weights, ridge: PerColumn) -> Weights:
        """Return every column's vector times the inverse of its ridge."""
        result = torch.empty_like(vectors)
        for value in set(ridge.tolist()):
            which = ridge == value
            result[which] = torch.cholesky_solve(vectors[which].T, self.factors[value]).T
        return result


def fit_choices(problems: Problems, *, tolerance: float = 1e-5, max_iterations: int = 300) -> Fit:
    """Solve every column until its loss is certified within `tolerance` nats of the minimum.

    A column that does not get there within `max_iterations` comes back with `converged` False.
    """
    rows = _rows(problems.features)
    metric = _preconditioner(rows, problems.ridge)
    state = _start(problems, rows, metric)
    first = _length(state.gradient)
    weights, gradient = torch.zeros_like(state.weights), torch.zeros_like(state.gradient)
    iterations = torch.full_like(state.column, max_iterations)
    memory: list[_Pair] = []
    for iteration in range(max_iterations + 1):
        done = (_excess(state.gradient, state.ridge) <= tolerance) | (iteration == max_iterations)
        finished = state.column[done]
        iterations[finished] = iteration
        weights[finished], gradient[finished] = state.weights[done], state.gradient[done]
        if bool(done.all()):
            break
        if bool(done.any()):
            state, memory = state.keep(~done), [pair.keep(~done) for pair in memory]
        state, pair = _step(rows, state, memory, metric)
        memory = [*memory[-(MEMORY - 1) :], pair]
    excess = _excess(gradient, problems.ridge)
    return Fit(
        weights=weights.T,
        loss=mean_loss(choice_scores(problems.features, weights.T, problems.sizes, problems.offset), problems.targets)
        + problems.ridge / 2 * weights.square().sum(dim=1),
        gradient=_length(gradient) / first.clamp_min(torch.finfo(first.dtype).tiny),
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
    scores = (weights.T @ features.flatten(0, 1).T).reshape(-1, *features.shape[:2]).permute(1, 2, 0)
    scores = scores if offset is None else scores + offset
    return scores.masked_fill(~_within(features.shape[1], sizes).T, -torch.inf)


def mean_loss(scores: CandidateScores, targets: Int[Tensor, "column choice"]) -> PerColumn:
    """Return the mean of -log softmax at the right candidate, in nats."""
    return -log_chances(scores, targets).mean(dim=0)


def log_chances(scores: CandidateScores, targets: Int[Tensor, "column choice"]) -> Float[Tensor, "choice column"]:
    """Log softmax at the right candidate, in nats."""
    return scores.gather(1, targets.T[:, None, :]).squeeze(1) - scores.logsumexp(dim=1)


def _within(candidates: int, sizes: Int[Tensor, "column"]) -> Bool[Tensor, "column candidate"]:
    return torch.arange(candidates).lt(sizes[:, None])


def _rows(features: Float[Tensor, "choice candidate feature"]) -> Rows:
    return features.transpose(0, 1).flatten(0, 1)


def _preconditioner(rows: Rows, ridge: PerColumn) -> _Preconditioner:
    hessian = rows.T @ rows / len(rows)
    least = LEAST_SHIFT * torch.finfo(rows.dtype).eps * float(hessian.trace())
    unit = torch.eye(len(hessian), dtype=rows.dtype)
    return _Preconditioner({r: torch.linalg.cholesky(hessian + max(r, least) * unit) for r in set(ridge.tolist())})


def _start(problems: Problems, rows: Rows, metric: _Preconditioner) -> _State:
    """Return the state at w = 0."""
    choices, candidates, _ = problems.features.shape
    columns = len(problems.sizes)
    scores = rows.new_zeros(columns, candidates, choices)
    if problems.offset is not None:
        scores += problems.offset.permute(2, 1, 0)
    scores = scores.masked_fill(~_within(candidates, problems.sizes)[:, :, None], -torch.inf)
    right = torch.zeros_like(scores).scatter(1, problems.targets[:, None], 1.0)
    pull, push = _expected(right, rows), _expected(scores.softmax(dim=1), rows)
    gradient = push - pull
    newton = metric.apply(gradient, problems.ridge)
    column = torch.arange(columns)
    return _State(column, problems.ridge, pull, torch.zeros_like(pull), scores, gradient, newton)


def _expected(chances: Table, rows: Rows) -> Weights:
    """Return the mean feature of the candidates that are chosen with these chances."""
    return chances.flatten(1) @ rows / chances.shape[2]


def _excess(gradient: Weights, ridge: PerColumn) -> PerColumn:
    return gradient.square().sum(dim=1) / (2 * ridge)


def _length(vectors: Weights) -> PerColumn:
    return torch.linalg.vector_norm(vectors, dim=1)


def _dots(one: Weights, other: Weights) -> Float[Tensor, "column 1"]:
    return (one * other).sum(dim=1, keepdim=True)


def _step(rows: Rows, state: _State, memory: list[_Pair], metric: _Preconditioner) -> tuple[_State, _Pair]:
    """Take one L-BFGS step of every column: two products with the features."""
    direction = -_inverse_hessian(state, memory)
    along = (direction @ rows.T).reshape(state.scores.shape)
    length, scores, chances = _search(state, direction, along)
    weights = state.weights + length[:, None] * direction
    gradient = _expected(chances, rows) - state.pull + state.ridge[:, None] * weights
    newton = metric.apply(gradient, state.ridge)
    moved = replace(state, weights=weights, scores=scores, gradient=gradient, newton=newton)
    return moved, _pair(state, moved)


def _pair(before: _State, after: _State) -> _Pair:
    step, change = after.weights - before.weights, after.gradient - before.gradient
    product = _dots(step, change)
    rounding = torch.finfo(step.dtype).eps * (_length(step) * _length(change))[:, None]
    return _Pair(step, change, after.newton - before.newton, torch.where(product > rounding, 1 / product, 0.0))


def _inverse_hessian(state: _State, memory: list[_Pair]) -> Weights:
    """Return the L-BFGS estimate of H^-1 g (two-loop recursion, Nocedal & Wright 2006, algorithm 7.4).

    The preconditioner is linear. So it is applied to each new gradient once, and the results are combined here.
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


def _scale(pair: _Pair) -> Float[Tensor, "column 1"]:
    """Return how much flatter the loss is now than at w = 0, along the last step."""
    expected = pair.inverse * _dots(pair.change, pair.newton)
    return torch.where(expected > 0, 1 / expected, 1.0)


def _search(state: _State, direction: Weights, along: Table) -> tuple[PerColumn, Table, Table]:
    """Return step lengths where the slope has fallen enough, and the scores and chances there.

    Newton on the slope, kept inside its bracket.
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
