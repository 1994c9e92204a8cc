"""Project two models' embedding spaces into one plane by principal components, and measure what the plane loses."""

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
        before, after: positions of the texts in the plane, by the backbone and by the retriever.
        variance_before, variance_after: share of each model's variance that lies in the plane.
        distances_before, distances_after: for each model, Pearson's correlation between distances of texts in the plane
            and in the embedding space, over all pairs of texts.
        shift: distance between the mean vectors of the two models. It is not visible in the plane, because each model's
            mean is subtracted. The unit is the backbone's mean distance of a text from its mean; NaN if that is 0.
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

    Each model's vectors are centred on their own mean. The plane is spanned by the two largest principal components of
    the vectors of both models together. No rotation aligns the models, because the retriever was fine-tuned from the
    backbone, so both have the same axes.

    Args:
        before, after: vectors (text, dim) of the two models, the same texts in the same order.
        cosine: whether vectors are compared by cosine. If so, all are scaled to length 1. Otherwise the vectors of a
            model are divided by the root mean square of their lengths.
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
        variance_before=_variance_kept(places[0], centred[0]),
        variance_after=_variance_kept(places[1], centred[1]),
        distances_before=_correlation(places[0], centred[0]),
        distances_after=_correlation(places[1], centred[1]),
        shift=shift / spread if spread else float("nan"),
    )


def _scaled(vectors: Float[np.ndarray, "text dim"], *, cosine: bool) -> Float[np.ndarray, "text dim"]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scale = lengths if cosine else np.sqrt(np.mean(lengths**2))
    return np.asarray(vectors / np.where(scale > 0, scale, 1))


def _variance_kept(place: Plane, vectors: Float[np.ndarray, "text dim"]) -> float:
    total = float((vectors**2).sum())
    return float((place**2).sum()) / total if total else float("nan")


def _correlation(place: Plane, vectors: Float[np.ndarray, "text dim"]) -> float:
    near, far = pdist(place), pdist(vectors)
    return float(np.corrcoef(near, far)[0, 1]) if near.std() and far.std() else float("nan")
