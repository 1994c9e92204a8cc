"""Fit erasers: affine maps of vectors that remove the directions which queries and relevant passages share.

Vectors of one layer are whitened: y = L^-1/2 V^T (x - mean), where V are the leading m principal components and L their
variances. C = U S W^T is the covariance of y_q and y_p over pairs of a query and its relevant passage. The mean score
of a probe q^T M p is larger for relevant pairs than for unrelated pairs by tr(M^T C). If C is 0, this difference is 0
for every M. To make C zero, all m directions must be erased. Erasing r directions leaves the covariance along the other
m - r. From a query's vector, the concept W_r^T y_p is erased, where y_p is its relevant passage. From a passage's
vector, the concept U_r^T y_q is erased, where y_q is its query. LEACE (Belrose et al. 2023, arXiv 2306.03819) erases a
concept with the smallest change:

    x - V L^1/2 u u^T L^-1/2 V^T (x - mean)

Here, u is an orthonormal basis of the r directions, from the package `concept-erasure`. The control, a random subspace,
differs only in u.
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
    """Leading principal components of the vectors of queries or of passages, and their whitened coordinates.

    Attributes:
        mean: mean of the vectors.
        axes: principal directions, one per column.
        variances: variance of the vectors along each axis, the largest first.
        total: sum of the variances along all directions, including those without an axis here.
        coordinates: coordinates of the vectors along the axes, scaled to variance 1.
    """

    mean: Float[Tensor, "dim"]
    axes: Float[Tensor, "dim component"]
    variances: Float[Tensor, "component"]
    total: float
    coordinates: Float[Tensor, "pair component"]

    @classmethod
    def of(cls, vectors: TowerVectors) -> "Whitened":
        """Compute the principal components of vectors: at most one for every 10 vectors.

        Components whose variance is within rounding errors are left out.
        """
        exact = vectors.double()
        mean = exact.mean(0)
        variances, axes = torch.linalg.eigh((exact - mean).T @ (exact - mean) / (len(exact) - 1))
        variances, axes = variances.flip(0), axes.flip(1)
        size = exact.square().sum(1).mean()
        n_components = min(components(len(exact), exact.shape[1]), int((variances > NO_SPREAD**2 * size).sum()))
        axes, total = axes[:, :n_components], float(variances.sum())
        coordinates = (exact - mean) @ axes / variances[:n_components].sqrt()
        return cls(mean, axes, variances[:n_components], total, coordinates)

    def project(self, vectors: TowerVectors) -> Float[Tensor, "pair component"]:
        """Return the whitened coordinates of any vectors, e.g. held-out ones, along these components."""
        return (vectors.double() - self.mean) @ self.axes / self.variances.sqrt()

    def eraser(self, basis: Float[Tensor, "component rank"]) -> "LeaceEraser":
        """Return the LEACE map that erases some directions.

        Args:
            basis: orthonormal basis of the directions, in whitened coordinates.
        """
        scale = self.variances.sqrt()[:, None]
        eraser: LeaceEraser = _package().LeaceEraser(
            self.axes @ (scale * basis), (basis / scale).T @ self.axes.T, self.mean
        )
        return eraser

    def removed(self, basis: Float[Tensor, "component rank"]) -> float:
        """Return which share of the vectors' total variance is removed if these directions are erased.

        Args:
            basis: orthonormal basis of the directions, in whitened coordinates.
        """
        return float((self.variances[:, None] * basis.square()).sum()) / self.total


@dataclass(frozen=True, eq=False)
class PairVectors:
    """Pooled vectors of queries and of their relevant passages at one layer.

    Row i of "passage" is relevant to the query in row i of "query".
    """

    towers: Mapping[str, TowerVectors]

    def __len__(self) -> int:
        return len(self.towers["query"])

    @cached_property
    def whitened(self) -> Mapping[str, Whitened]:
        """Return principal components and whitened coordinates of the queries and of the passages."""
        return {tower: Whitened.of(vectors) for tower, vectors in self.towers.items()}

    def allows(self, rank: int) -> bool:
        """Return whether queries and passages each vary in at least `rank` directions."""
        return all(len(whitened.variances) >= rank for whitened in self.whitened.values())

    def shuffled(self, seed: int) -> "PairVectors":
        """Return random pairs in which every query has the relevant passage of another query."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        turned = torch.empty_like(order)
        turned[order] = order.roll(1)  # one cycle, so that no query keeps its passage
        return PairVectors({**self.towers, "passage": self.towers["passage"][turned]})


@dataclass(frozen=True, eq=False)
class Erasure:
    """Two functions that erase r directions from the states of one layer: one for queries, and one for passages.

    Attributes:
        erasers: tower -> function that erases the directions from the states of a layer.
        removed: tower -> share of the variance of its vectors that is removed.
    """

    erasers: Mapping[str, Eraser]
    removed: Mapping[str, float]


def components(pairs: int, width: int) -> int:
    """Return how many principal components are used: one for every 10 pairs, but at most `width` (the dimensions)."""
    return min(width, pairs // PAIRS_A_COMPONENT)


def check_erasers_installed() -> None:
    """Check that the package `concept-erasure` is installed, which fits the erasers.

    Raises:
        MissingExtraError: if it is not. The message has the command that installs it.
    """
    _package()


def pair_erasure(pairs: PairVectors, rank: int) -> Erasure:
    """Fit maps that erase the `rank` directions in which queries and relevant passages correlate most."""
    queries, passages = (pairs.whitened[tower].coordinates for tower in ("query", "passage"))
    left, right = _canonical(pairs, rank)
    concepts = {"query": passages @ right, "passage": queries @ left}
    return _erasure(pairs, {tower: concept_basis(pairs.whitened[tower], concepts[tower]) for tower in concepts})


def _canonical(
    pairs: PairVectors, rank: int
) -> tuple[Float[Tensor, "component rank"], Float[Tensor, "component rank"]]:
    """Return the `rank` leading canonical directions of queries, and those of passages, in whitened coordinates."""
    queries, passages = (pairs.whitened[tower].coordinates for tower in ("query", "passage"))
    left, _, right = torch.linalg.svd(queries.T @ passages / (len(pairs) - 1), full_matrices=False)
    return left[:, :rank], right[:rank].T


def held_out_correlations(pairs: PairVectors, held_out: PairVectors, rank: int, seed: int = 0) -> tuple[float, float]:
    """Return the mean canonical correlation of held-out pairs, and its 95 % quantile over random pairings.

    The `rank` canonical directions are fitted on `pairs`. On these pairs themselves, the leading correlations would be
    large even if queries and passages were unrelated.
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
    """Fit LEACE to whitened vectors, and return an orthonormal basis of the directions that it erases.

    For whitened vectors, the projection of LEACE is orthogonal. Its constraint on the variance is off, because an
    orthogonal projection cannot increase the variance. Its shrinkage of the covariance is off, too.
    """
    eraser = _package().LeaceEraser.fit(
        whitened.coordinates, concept, constrain_cov_trace=False, shrinkage=False, svd_tol=TINY
    )
    basis: Tensor = eraser.proj_left
    return basis


def random_erasure(pairs: PairVectors, rank: int, seed: int, like: Erasure | None = None) -> Erasure:
    """Return maps that erase `rank` random directions from queries, and as many from passages.

    Args:
        like: an erasure whose removed share of the variance is to be matched. For this, the random directions prefer
            components with a large (or small) variance. If None, they are uniform in whitened coordinates.
    """
    bases = {}
    for number, (tower, whitened) in enumerate(pairs.whitened.items()):
        generator = torch.Generator().manual_seed(2 * seed + number)
        draw = torch.randn(len(whitened.variances), rank, generator=generator, dtype=torch.float64)
        power = 0.0 if like is None else _power(whitened, draw, like.removed[tower])
        bases[tower] = _leaning(whitened, draw, power)
    return _erasure(pairs, bases)


def _power(whitened: Whitened, draw: Float[Tensor, "component rank"], removed: float) -> float:
    """Return the argument `power` of `_leaning` for random directions with the share `removed` of the variance.

    It is found by bisection.
    """
    low, high = -STEEPEST, STEEPEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        less = whitened.removed(_leaning(whitened, draw, middle)) < removed
        low, high = (middle, high) if less else (low, middle)
    return (low + high) / 2


def _leaning(
    whitened: Whitened, draw: Float[Tensor, "component rank"], power: float
) -> Float[Tensor, "component rank"]:
    """Return an orthonormal basis of random directions. The larger `power`, the more variance they remove.

    Args:
        draw: normal random numbers. Each component is weighted by its variance to the power `power`.
    """
    weights = (whitened.variances / whitened.variances.max()).pow(power)
    basis: Tensor = torch.linalg.qr(weights[:, None] * draw).Q
    return basis


def _erasure(pairs: PairVectors, bases: Mapping[str, Float[Tensor, "component rank"]]) -> Erasure:
    erasers = {tower: _single(pairs.whitened[tower].eraser(basis)) for tower, basis in bases.items()}
    return Erasure(erasers, {tower: pairs.whitened[tower].removed(basis) for tower, basis in bases.items()})


def _single(eraser: "LeaceEraser") -> Eraser:
    """Return a LEACE map as a function that computes in float32 on the device of its input."""
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
