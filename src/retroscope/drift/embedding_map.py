"""Project two models' embedding spaces into one plane by principal components, and measure the loss."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import pdist

from retroscope.representations.vectors import Vectors

Plane = Float[np.ndarray, "text 2"]


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """Two models' vectors of the same texts, projected into one plane.

    Attributes:
        before, after: positions of the texts.
        variance_before, variance_after: share of each side's variance that the plane keeps.
        distances_before, distances_after: correlation (Pearson) of the distances of all pairs of texts in the plane
            with those in the embedding space.
        shift: distance between the two means, which are subtracted from both sides, as a multiple of the mean distance
            of a text from its mean before, or NaN if that distance is 0.
    """

    before: Plane
    after: Plane
    variance_before: float
    variance_after: float
    distances_before: float
    distances_after: float
    shift: float


def embedding_map(before: Vectors, after: Vectors, *, cosine: bool) -> EmbeddingMap:
    """Project the vectors of the same texts by two models into one plane.

    Both sides are centred on their own mean, so the position of a text is relative to the others. The plane is spanned
    by the two largest principal components of both sides together. Neither side is rotated, because fine-tuning starts
    from the backbone and both models share their axes.

    Args:
        before, after: (text, dim), the same texts in the same order.
        cosine: whether vectors are compared by cosine, so that their lengths do not count. Otherwise each side is
            divided by the root mean square of its lengths.
    """
    sides = [_scaled(vectors.astype(np.float64), cosine=cosine) for vectors in (before, after)]
    centred = [vectors - vectors.mean(axis=0) for vectors in sides]
    _, _, axes = np.linalg.svd(np.concatenate(centred), full_matrices=False)
    plane = axes[:2] * np.sign(axes[:2][np.arange(2), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    places = [vectors @ plane.T for vectors in centred]
    spread = float(np.linalg.norm(centred[0], axis=1).mean())
    shift = float(np.linalg.norm(sides[1].mean(axis=0) - sides[0].mean(axis=0)))
    return EmbeddingMap(
        before=places[0],
        after=places[1],
        variance_before=_kept(places[0], centred[0]),
        variance_after=_kept(places[1], centred[1]),
        distances_before=_correlation(places[0], centred[0]),
        distances_after=_correlation(places[1], centred[1]),
        shift=shift / spread if spread else float("nan"),
    )


def _scaled(vectors: Float[np.ndarray, "text dim"], *, cosine: bool) -> Float[np.ndarray, "text dim"]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scale = lengths if cosine else np.sqrt(np.mean(lengths**2))
    return np.asarray(vectors / np.where(scale > 0, scale, 1))


def _kept(place: Plane, vectors: Float[np.ndarray, "text dim"]) -> float:
    whole = float((vectors**2).sum())
    return float((place**2).sum()) / whole if whole else float("nan")


def _correlation(place: Plane, vectors: Float[np.ndarray, "text dim"]) -> float:
    near, far = pdist(place), pdist(vectors)
    return float(np.corrcoef(near, far)[0, 1]) if near.std() and far.std() else float("nan")
