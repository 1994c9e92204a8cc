"""Fit erasers: affine maps that remove what a linear map can predict of the partner in a relevant pair.

Vectors of one layer are whitened: y = L^-1/2 V^T (x - mean), where V are the leading m principal components and L their
variances. C = U S W^T is the covariance of y_q and y_p over pairs of a query and its relevant passage. The mean score
of a probe q^T M p is larger for relevant pairs than for unrelated pairs by tr(M^T C). If C is 0, this difference is 0
for every M. To make C zero, all m directions must be erased. Erasing r directions leaves the covariance along the
others. The concept to erase from a query's vector is W_r^T y_p of its passage. The concept to erase from a passage's
vector is U_r^T y_q of its query. LEACE (Belrose et al. 2023, arXiv 2306.03819) erases each concept with the smallest
change:

    x - V L^1/2 u u^T L^-1/2 V^T (x - mean)

with u an orthonormal basis of the r directions that `concept-erasure` finds. A random subspace differs only in u.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from retroscope.errors import MissingExtraError

if TYPE_CHECKING:
    from concept_erasure import LeaceEraser

Eraser = Callable[[Tensor], Tensor]
TowerVectors = Float[Tensor, "pair dim"]
PAIRS_A_COMPONENT = 10  # fewer pairs would find correlations in noise
PAIRINGS, LEVEL = 1000, 0.95  # shuffles of held-out pairs, and the share of them that lie below their level
NO_SPREAD = 1e-5  # standard deviation, as a share of the vectors' size, below which differences are rounding
TINY = 1e-6  # singular value of a concept's covariance with the vectors below which there is nothing to erase
STEEPEST = 8.0  # power of the variances up to which random directions lean to the largest
HALVINGS = 40


@dataclass(frozen=True, eq=False)
class Whitened:
    """Leading principal components of one tower's vectors, and the whitened coordinates of the vectors.

    Attributes:
        mean: mean of the vectors.
        axes: principal directions, the columns.
        variances: variances along the axes, the largest first.
        total: variance of the vectors along all directions.
        coordinates: coordinates of the vectors, each of unit variance.
    """

    mean: Float[Tensor, "dim"]
    axes: Float[Tensor, "dim component"]
    variances: Float[Tensor, "component"]
    total: float
    coordinates: Float[Tensor, "pair component"]

    @classmethod
    def of(cls, vectors: TowerVectors) -> "Whitened":
        """Compute as many principal components of the vectors as the number of vectors allows."""
        exact = vectors.double()
        mean = exact.mean(0)
        variances, axes = torch.linalg.eigh((exact - mean).T @ (exact - mean) / (len(exact) - 1))
        variances, axes = variances.flip(0), axes.flip(1)
        size = exact.square().sum(1).mean()
        kept = min(components(len(exact), exact.shape[1]), int((variances > NO_SPREAD**2 * size).sum()))
        axes, total = axes[:, :kept], float(variances.sum())
        coordinates = (exact - mean) @ axes / variances[:kept].sqrt()
        return cls(mean, axes, variances[:kept], total, coordinates)

    def project(self, vectors: TowerVectors) -> Float[Tensor, "pair component"]:
        """Return the whitened coordinates of other vectors."""
        return (vectors.double() - self.mean) @ self.axes / self.variances.sqrt()

    def eraser(self, basis: Float[Tensor, "component rank"]) -> "LeaceEraser":
        """Return the eraser of these directions in the whitened space."""
        scale = self.variances.sqrt()[:, None]
        eraser: LeaceEraser = _package().LeaceEraser(
            self.axes @ (scale * basis), (basis / scale).T @ self.axes.T, self.mean
        )
        return eraser

    def removed(self, basis: Float[Tensor, "component rank"]) -> float:
        """Return the share of the variance that erasing these directions removes, tr(u^T L u) / tr(S)."""
        return float((self.variances[:, None] * basis.square()).sum()) / self.total


@dataclass(frozen=True, eq=False)
class PairVectors:
    """Pooled vectors of one layer: row i of "query" and row i of "passage" are a relevant pair."""

    towers: Mapping[str, TowerVectors]

    def __len__(self) -> int:
        return len(self.towers["query"])

    @cached_property
    def whitened(self) -> Mapping[str, Whitened]:
        """Return the principal components of both towers."""
        return {tower: Whitened.of(vectors) for tower, vectors in self.towers.items()}

    def allows(self, rank: int) -> bool:
        """Return whether the vectors of both towers vary in at least `rank` directions."""
        return all(len(one.variances) >= rank for one in self.whitened.values())

    def shuffled(self, seed: int) -> "PairVectors":
        """Return the pairs with each query's passage replaced by that of another query."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        turned = torch.empty_like(order)
        turned[order] = order.roll(1)  # one cycle, so that no query keeps its passage
        return PairVectors({**self.towers, "passage": self.towers["passage"][turned]})


@dataclass(frozen=True, eq=False)
class Erasure:
    """Erasers of r directions of one layer, one for each tower.

    Attributes:
        erasers: tower -> affine map of the states.
        removed: tower -> share of the variance of its vectors that the map removes.
    """

    erasers: Mapping[str, Eraser]
    removed: Mapping[str, float]


def components(pairs: int, width: int) -> int:
    """Return the number of principal components that can be used with this many pairs."""
    return min(width, pairs // PAIRS_A_COMPONENT)


def check_erasers_installed() -> None:
    """Refuse to start if the package that fits erasers is not installed.

    Raises:
        MissingExtraError: with the command that installs it.
    """
    _package()


def pair_erasure(pairs: PairVectors, rank: int) -> Erasure:
    """Return the erasers of the `rank` directions in which queries and passages correlate most."""
    queries, passages = (pairs.whitened[tower].coordinates for tower in ("query", "passage"))
    left, right = _canonical(pairs, rank)
    concepts = {"query": passages @ right, "passage": queries @ left}
    return _erasure(pairs, {tower: concept_basis(pairs.whitened[tower], concepts[tower]) for tower in concepts})


def _canonical(
    pairs: PairVectors, rank: int
) -> tuple[Float[Tensor, "component rank"], Float[Tensor, "component rank"]]:
    """Return the leading canonical directions of queries and of passages, in their whitened spaces."""
    queries, passages = (pairs.whitened[tower].coordinates for tower in ("query", "passage"))
    left, _, right = torch.linalg.svd(queries.T @ passages / (len(pairs) - 1), full_matrices=False)
    return left[:, :rank], right[:rank].T


def held_out_correlations(pairs: PairVectors, held_out: PairVectors, rank: int, seed: int = 0) -> tuple[float, float]:
    """Return the mean canonical correlation in held-out pairs, and the 95 % quantile over their shuffles.

    In the training pairs themselves, the leading correlations are large even if the vectors are unrelated.
    """
    variates = []
    for tower, directions in zip(("query", "passage"), _canonical(pairs, rank), strict=True):
        variate = pairs.whitened[tower].project(held_out.towers[tower]) @ directions
        centred = variate - variate.mean(0)
        variates.append(centred / centred.norm(dim=0).clamp_min(TINY))
    queries, passages = variates
    generator = torch.Generator().manual_seed(seed)
    shuffles = [torch.randperm(len(passages), generator=generator) for _ in range(PAIRINGS)]
    shuffled = torch.stack([(queries * passages[order]).sum(0).mean() for order in shuffles])
    return float((queries * passages).sum(0).mean()), float(shuffled.quantile(LEVEL))


def concept_basis(whitened: Whitened, concept: Float[Tensor, "pair rank"]) -> Float[Tensor, "component rank"]:
    """Fit LEACE to whitened vectors, and return the directions that it erases.

    The vectors are already white, so the projection of LEACE is orthogonal. Two of its options are off: the constraint
    on the variance, because the variance cannot grow, and the shrinkage of the covariance.
    """
    eraser = _package().LeaceEraser.fit(
        whitened.coordinates, concept, constrain_cov_trace=False, shrinkage=False, svd_tol=TINY
    )
    basis: Tensor = eraser.proj_left
    return basis


def random_erasure(pairs: PairVectors, rank: int, seed: int, like: Erasure | None = None) -> Erasure:
    """Return erasers of random subspaces of `rank` directions, uniform in each tower's whitened space.

    Args:
        like: an erasure whose removed share of the variance is matched: directions are drawn with a preference for
            components of large (or small) variance.
    """
    bases = {}
    for number, (tower, whitened) in enumerate(pairs.whitened.items()):
        generator = torch.Generator().manual_seed(2 * seed + number)
        draw = torch.randn(len(whitened.variances), rank, generator=generator, dtype=torch.float64)
        power = 0.0 if like is None else _power(whitened, draw, like.removed[tower])
        bases[tower] = _leaning(whitened, draw, power)
    return _erasure(pairs, bases)


def _power(whitened: Whitened, draw: Float[Tensor, "component rank"], removed: float) -> float:
    """Find, by bisection, the power of the variances at which a random subspace removes a given share of variance."""
    low, high = -STEEPEST, STEEPEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        less = whitened.removed(_leaning(whitened, draw, middle)) < removed
        low, high = (middle, high) if less else (low, middle)
    return (low + high) / 2


def _leaning(
    whitened: Whitened, draw: Float[Tensor, "component rank"], power: float
) -> Float[Tensor, "component rank"]:
    """Return an orthonormal basis of random directions, each component weighted by its variance to a power."""
    weights = (whitened.variances / whitened.variances.max()).pow(power)
    basis: Tensor = torch.linalg.qr(weights[:, None] * draw).Q
    return basis


def _erasure(pairs: PairVectors, bases: Mapping[str, Float[Tensor, "component rank"]]) -> Erasure:
    erasers = {tower: _single(pairs.whitened[tower].eraser(basis)) for tower, basis in bases.items()}
    return Erasure(erasers, {tower: pairs.whitened[tower].removed(basis) for tower, basis in bases.items()})


def _single(eraser: "LeaceEraser") -> Eraser:
    """Return a LEACE map as a function in single precision, on the device of its input."""
    parts = [part.float() for part in (eraser.proj_left, eraser.proj_right, eraser.bias) if part is not None]

    def erase(states: Tensor) -> Tensor:
        erased: Tensor = _package().LeaceEraser(*(part.to(states.device) for part in parts))(states)
        return erased

    return erase


def _package() -> Any:
    try:
        import concept_erasure
    except ImportError as error:
        raise MissingExtraError(
            "erasure needs the package concept-erasure", fix="pip install 'retroscope[erasure]'"
        ) from error
    return concept_erasure
