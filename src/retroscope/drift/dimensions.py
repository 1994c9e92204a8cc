"""Effective number of dimensions of an embedding space, estimated for the population from a sample of texts.

The effective rank of n texts themselves is too low: their covariance has a wider spectrum than the population's, the
more so the nearer the number of dimensions comes to n (132 for 152 with 768 dimensions and 1,000 texts). The
population's spectrum is therefore estimated by inverting the law of Marchenko and Pastur (El Karoui 2008, Annals of
Statistics 36), and its effective rank is reported.
"""

import numpy as np
from jaxtyping import Float
from scipy import optimize

from retroscope.representations.store import Vectors

ROUNDING = 1e-10  # of the largest variance: what is below is rounding
EQUATIONS = 60  # points at which the law is demanded
GRID = 100  # variances that the population may have
TOLERANCE = 1e-12  # of the interior method
LOWEST = 0.05  # of the sample's least variance: the population's may be lower where dimensions outnumber texts

Eigenvalues = Float[np.ndarray, "value"]


def effective_rank(x: Vectors) -> float:
    """Return the effective rank of the population from which the texts are sampled.

    It is exp of the entropy of the shares of its standard deviations (Roy and Vetterli 2007); 1 if all texts are equal.
    """
    variances, counts = population_spectrum(x)
    sd = np.sqrt(variances)
    if not sd.any():
        return 1.0
    share = sd / (counts @ sd)
    return float(np.exp(-(counts @ (share * np.log(share)))))


def population_spectrum(x: Vectors) -> tuple[Eigenvalues, Eigenvalues]:
    """Estimate the variances of the population, and the number of directions with each (not a whole number).

    The sample's companion Stieltjes transform v at z < 0 obeys, with population variances t of counts c over n - 1
    degrees of freedom, z + 1 / v = sum of c t / (1 + t v) / (n - 1) (Marchenko and Pastur 1967; Silverstein 1995). At
    many z this is a linear system in c >= 0, solved by least squares. The sum of c is at most the dimensions that vary.
    """
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    free = len(x) - 1
    gram = centred.T @ centred if x.shape[1] <= len(x) else centred @ centred.T
    sample = np.maximum(np.linalg.eigvalsh(gram), 0) / free
    sample = sample[sample > ROUNDING * sample.max()]
    if not len(sample):
        return np.zeros(1), np.ones(1)
    z = -np.geomspace(sample.min(), sample.max(), EQUATIONS)
    v = (1 / (sample - z[:, None])).sum(axis=1) / free - (1 - len(sample) / free) / z
    variances = np.geomspace(LOWEST * sample.min(), sample.max(), GRID)
    law = variances / (1 + variances * v[:, None]) / free
    given = z + 1 / v
    most = int((np.ptp(x, axis=0) > 0).sum())
    # one more unknown takes up the dimensions without variance
    system = np.vstack([np.hstack([law / given[:, None], np.zeros((len(z), 1))]), np.full(GRID + 1, 1 / most)])
    return variances, nonnegative_least_squares(system, np.ones(len(z) + 1))[:GRID]


def nonnegative_least_squares(
    system: Float[np.ndarray, "equation unknown"], wanted: Float[np.ndarray, "equation"]
) -> Float[np.ndarray, "unknown"]:
    """Return the c >= 0 whose product with a matrix is nearest to the wanted values.

    Because of rounding, the active-set method of Lawson and Hanson may cycle (this happened once in some thousand
    layers of real models). A slower interior-point method then solves the same problem.
    """
    try:
        counts: Float[np.ndarray, "unknown"] = optimize.nnls(system, wanted)[0]
    except RuntimeError:  # it raises this for nothing else
        counts = optimize.lsq_linear(system, wanted, bounds=(0, np.inf), method="trf", tol=TOLERANCE).x
    return counts
