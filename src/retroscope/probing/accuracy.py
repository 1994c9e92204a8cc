"""Accuracy of choosing one candidate by its score; a tie of k candidates counts as 1/k."""

import numpy as np
from jaxtyping import Bool, Float, Int

EPS = float(np.finfo(np.float32).eps)


def tie_tolerance(scale: Float[np.ndarray, "*any"] | float, dim: int) -> Float[np.ndarray, "*any"]:
    """Return the largest difference that rounding may cause between equal float32 scores: eps sqrt(dim) scale.

    A score is a sum of `dim` products. Each product is rounded by at most eps times its size. The errors are
    independent in sign and add up like a random walk.

    Args:
        scale: bound on the size of the score: |q||p| for a dot product, or the largest score of a probe example.
        dim: number of products in the sum.
    """
    return np.asarray(np.asarray(scale, dtype=np.float64) * EPS * np.sqrt(dim))


def choice_accuracy(
    scores: Float[np.ndarray, "*label choice candidate"],
    valid: Bool[np.ndarray, "..."] | None = None,
    *,
    right: Int[np.ndarray, "..."] | int = 0,
    tolerance: Float[np.ndarray, "..."] | float = 0.0,
) -> Float[np.ndarray, "*label choice"]:
    """Return the accuracy of each probe example: 1 if the correct candidate scores highest, 1/k in a tie of k, else 0.

    A tie never favours the first candidate. The CLS vectors of layer 0 are equal for all texts, so an arg-max over
    equal scores would give an accuracy of 1.0 if the relevant passage is stored first.

    Args:
        valid: mask of the candidates to choose from (broadcast to the scores); all by default.
        right: index of the correct candidate (broadcast to the probe examples).
        tolerance: largest difference from the highest score that counts as a tie (see `tie_tolerance`).
    """
    usable = scores if valid is None else np.where(valid, scores, -np.inf)
    best = usable.max(axis=-1, keepdims=True)
    tied = usable >= best - np.asarray(tolerance)[..., None]
    places = np.broadcast_to(right, scores.shape[:-1])[..., None]
    return np.asarray(np.take_along_axis(tied, places, axis=-1)[..., 0] / tied.sum(axis=-1))
