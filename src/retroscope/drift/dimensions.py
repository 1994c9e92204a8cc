"""Effective number of dimensions of an embedding space, estimated for the population from a sample of texts.

The effective rank of a sample of n texts is too low, because the sample's covariance has a wider spectrum than the
population's. The bias is larger if the number of dimensions is near n (132 instead of 152 with 768 dimensions and 1,000
texts), and if the vectors differ in length. The population's spectrum is therefore estimated by inverting the law of
Marchenko and Pastur (El Karoui 2008, Annals of Statistics 36), in its form for vectors of different lengths (El Karoui
2009, Annals of Applied Probability 19). The effective rank of this spectrum is reported.
"""

import numpy as np
from jaxtyping import Float
from scipy import optimize

from retroscope.representations.vectors import Vectors

ROUNDING = 1e-10  # of the largest variance: what is below is rounding
EQUATIONS = 60  # points at which the law is demanded
GRID = 100  # variances that the population may have
TOLERANCE = 1e-12  # of the interior method, and of Newton's
STEPS = 200  # of Newton's method, at most; it doubles the digits in each
LOWEST = 0.05  # of the sample's least variance: the population's may be lower where dimensions outnumber texts

Eigenvalues = Float[np.ndarray, "value"]


def effective_rank(x: Vectors) -> float:
    """Estimate the effective rank of the vectors of the population from which the texts are sampled.

    It is exp of the entropy of the normalised standard deviations along the principal directions (Roy and Vetterli
    2007). It is 1 if all texts have the same vector.
    """
    variances, counts = population_spectrum(x)
    sd = np.sqrt(variances)
    if not sd.any():
        return 1.0
    share = sd / (counts @ sd)
    return float(np.exp(-(counts @ (share * np.log(share)))))


def population_spectrum(x: Vectors) -> tuple[Eigenvalues, Eigenvalues]:
    """Estimate the eigenvalues of the population's covariance, and how many there are of each (not a whole number).

    Model: the centred vector of a text is sqrt(w) times a random vector. w has mean 1. The random vector has variance t
    in c directions, for several t. At each z < 0, with n - 1 degrees of freedom and the sample's eigenvalues l, there
    are e and v with

        mean of w e / (1 + w e) = sum of l / (l - z) / (n - 1) = -z e v,
        -z e = sum of c t / (1 + t v) / (n - 1).

    The first line determines e and v. The second line, at many z, is a linear system for c >= 0, which is solved by
    least squares. The sum of c is at most the number of dimensions that vary. With w = 1, v is the sample's companion
    Stieltjes transform.
    """
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    free = len(x) - 1
    gram = centred.T @ centred if x.shape[1] <= len(x) else centred @ centred.T
    energies = np.maximum(np.linalg.eigvalsh(gram), 0)
    sample = energies[energies > ROUNDING * energies.max()] / free
    if not len(sample):
        return np.zeros(1), np.ones(1)
    z = -np.geomspace(sample.min(), sample.max(), EQUATIONS)
    share = (sample / (sample - z[:, None])).sum(axis=1) / free
    e = _shared_out(share, squared_lengths(centred, energies))
    variances = np.geomspace(LOWEST * sample.min(), sample.max(), GRID)
    law = variances / (1 + variances * (share / (-z * e))[:, None]) / free
    most = int((np.ptp(x, axis=0) > 0).sum())
    # one more unknown takes up the dimensions without variance
    scaled = np.hstack([law / (-z * e)[:, None], np.zeros((len(z), 1))])
    system = np.vstack([scaled, np.full(GRID + 1, 1 / most)])
    return variances, nonnegative_least_squares(system, np.ones(len(z) + 1))[:GRID]


def squared_lengths(centred: Float[np.ndarray, "text dim"], energies: Eigenvalues) -> Float[np.ndarray, "text"]:
    """Estimate the factor w by which a text's vector varies more (or less) than the average text's, from its length.

    The model is that of `population_spectrum`. Let r be the squared lengths, divided by their mean. They vary even if
    all w are 1: for normal vectors, the variance is 2 p, where p is the mean squared cosine of two texts. Since 1 + var
    r = (1 + var w)(1 + 2 p), r is shrunk towards 1 until its variance is var w.

    Args:
        energies: eigenvalues of the matrix of the dot products of all pairs of texts.
    """
    lengths = np.vecdot(centred, centred)
    r, n = lengths / lengths.mean(), len(lengths)
    pairs = (np.square(energies).sum() - np.square(lengths).sum()) / (n * (n - 1)) / lengths.mean() ** 2
    spread = float(r.var())
    beyond = max((1 + spread) / (1 + 2 * max(pairs, 0)) - 1, 0)
    return np.asarray(1 + np.sqrt(beyond / spread) * (r - 1)) if beyond > 0 else np.ones(n)


def _shared_out(share: Float[np.ndarray, "equation"], w: Float[np.ndarray, "text"]) -> Float[np.ndarray, "equation"]:
    """Solve mean of w e / (1 + w e) = share for e, at every equation, and return e.

    Newton's method starts at the solution for w = 1, which is not above the solution (Jensen). The mean is concave in
    e, so no step goes beyond the solution.
    """
    e = np.asarray(share / (1 - share))
    for _ in range(STEPS):
        part = w * e[:, None]
        step = (share - (part / (1 + part)).mean(axis=1)) / (w / np.square(1 + part)).mean(axis=1)
        e = e + np.maximum(step, 0)
        if (step <= TOLERANCE * e).all():
            break
    return e


def nonnegative_least_squares(
    system: Float[np.ndarray, "equation unknown"], target: Float[np.ndarray, "equation"]
) -> Float[np.ndarray, "unknown"]:
    """Solve nonnegative least squares: return the c >= 0 that minimises |`system` @ c - `target`|.

    Because of rounding, the active-set method of Lawson and Hanson may cycle (this happened once in some thousand
    layers of real models). In this case, a slower interior-point method solves the same problem.
    """
    try:
        counts: Float[np.ndarray, "unknown"] = optimize.nnls(system, target)[0]
    except RuntimeError:  # it raises this for nothing else
        counts = optimize.lsq_linear(system, target, bounds=(0, np.inf), method="trf", tol=TOLERANCE).x
    return counts
