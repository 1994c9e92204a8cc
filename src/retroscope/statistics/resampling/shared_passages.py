"""Standard error of a mean over queries that share passages.

Many query texts share passages (a hub among the negatives is a candidate of hundreds of queries). So the queries cannot
be divided into independent groups. The model of the score of query i is d_i = mean + sum of u_p over its passages p +
rest. Let S_g be the sum of d - mean over the queries of text g, Z_gp how often these queries have passage p, and B the
matrix Z Z' without its diagonal. The variances of u and of the rest follow from the two moments S'BS and S'S (method of
moments for random effects; Searle, Casella, McCulloch, Variance Components, 1992, ch. 5; cf. Cameron, Gelbach, Miller
2011, whose two-way estimate is the same sum over pairs that share a passage, without the correction for the estimated
mean). The variance of the mean is

    (texts + passages) / n^2,    passages = max(0, u) * 1'B1,

with Satterthwaite's degrees of freedom, 2 V^2 / Var V. V is a quadratic form S'AS with A = alpha B + beta I, so with S
~ N(0, Sigma) they are (tr A Sigma)^2 / tr (A Sigma)^2 (Searle, Casella, McCulloch 1992, appendix S; cf. Bell and
McCaffrey 2002): ten hubs are about ten observations, however many queries they are candidates of.

Queries may form groups that share no passage with one another (two languages, two kinds of questions). Fewer than
`FEW_GROUPS` groups, each with at least `MANY_PASSAGES` passages, are fixed effects: u is estimated around the mean of
each group, and the interval is for a collection of these groups. Otherwise the groups count as a random sample, e.g. of
the documents that questions were written for, and u is estimated around the mean of all queries.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse, stats
from scipy.sparse import csgraph

from retroscope.statistics.resampling.clusters import Cells, Clusters, Table, numbered

FEW_GROUPS = 5  # of so few no variance can be estimated
MANY_PASSAGES = 10  # in a group: with fewer, the passages may be the reason why the group differs
TRACE_DRAWS = 256  # of random signs for more texts than these; the standard error of a trace is at most 9 %
NO_TRACES = (0.0, 0.0, 0.0, 0.0)  # of a matrix of zeros


@dataclass(frozen=True, eq=False)
class Sharing:
    """The effect of shared passages on the standard error of each column's mean over queries.

    Attributes:
        ratio: standard error of the mean with shared passages, divided by the standard error without shared passages.
            It is at least 1.
        df: degrees of freedom of the standard error with shared passages.
        df_texts: degrees of freedom of the standard error without shared passages: number of texts - 1.
    """

    ratio: Cells
    df: Cells
    df_texts: Cells

    def widening(self, level: float) -> Cells:
        """Return, for each column, the factor by which shared passages widen an interval over texts at this level."""
        share = (1 + level) / 2
        grown = self.ratio * stats.t.ppf(share, self.df) / stats.t.ppf(share, self.df_texts)
        return np.where(self.ratio > 1, grown, 1.0)

    def p_values(self, p: Cells, sides: int = 2) -> Cells:
        """Correct p-values for shared passages: convert each to a t value, divide it by `ratio`, and convert it back.

        Args:
            sides: 2 for two-sided p-values, 1 for one-sided ones.
        """
        with np.errstate(invalid="ignore"):
            t = stats.t.isf(p / sides, self.df_texts) / self.ratio
        return np.where((self.ratio > 1) & (t > 0), np.fmax(p, sides * stats.t.sf(t, self.df)), p)


def standard_error(values: Table, clusters: Clusters) -> Cells:
    """Return the standard error of each column's mean. Queries with one text are one observation.

    If each text has one query, it is sd / sqrt(n). It is infinite for a single text, which has no standard deviation.

    Args:
        values: a row for each query, without NaN.
        clusters: which queries have the same text. Shared passages are ignored.
    """
    n, g = len(values), clusters.n_texts
    if g < 2:
        return np.full(values.shape[1], np.inf)
    sums = clusters.sums(values - values.mean(axis=0))
    return np.asarray(np.sqrt((sums**2).sum(axis=0) * g / (g - 1)) / n)


def sharing(values: Table, clusters: Clusters) -> Sharing | None:
    """Estimate the effect of shared passages on each column's standard error; None if no two texts share a passage."""
    if clusters.passages is None:
        return None
    values = np.asarray(values, dtype=np.float64)
    n_cells = values.shape[1]
    ratio, df, df_texts = np.ones(n_cells), np.ones(n_cells), np.ones(n_cells)
    shared = False
    for cells, rows in _patterns(np.isfinite(values)):
        if len(rows) == 0:  # cells without any measured query
            continue
        design = _design(clusters, rows)
        df_texts[cells] = df[cells] = max(1, len(design.sizes) - 1)
        if design.pairs == 0 or len(design.sizes) < 3:
            continue
        shared = True
        ratio[cells], df[cells] = _estimated(values[np.ix_(rows, cells)], clusters.text[rows], design)
    return Sharing(ratio, df, df_texts) if shared else None


@dataclass(frozen=True, eq=False)
class _Design:
    """Matrices and sums of the variance estimate that depend only on which queries were measured, not on their scores.

    The letters are those of the module's docstring.

    Attributes:
        z: Z, how many queries of the text have the passage.
        own: diagonal of Z Z'.
        sizes: number of queries of each text.
        pairs: 1'B1, the sum of all entries of B.
        groups: index of each text's group; u is estimated around the means of the groups.
        coefficients: rows: S'BS and S'S; columns: the coefficients of the variances of u and of the rest in its
            expectation.
        traces: traces of B, B^2, B^3 and B^4, where B is centred so that its rows and columns sum to 0.
    """

    z: "sparse.csr_array"
    own: Float[np.ndarray, "text"]
    sizes: Float[np.ndarray, "text"]
    pairs: float
    groups: Int[np.ndarray, "text"]
    coefficients: Float[np.ndarray, "2 2"]
    traces: tuple[float, float, float, float]


def _design(clusters: Clusters, rows: Int[np.ndarray, "row"]) -> _Design:
    text = numbered(clusters.text[rows])
    g, n = int(text.max(initial=-1)) + 1, len(rows)
    to_texts = sparse.csr_array((np.ones(n), (text, np.arange(n))), shape=(g, n))
    passages = clusters.passages if clusters.passages is not None else sparse.csr_array((n, 0))
    z = sparse.csr_array(to_texts @ passages[rows])
    sizes = np.bincount(text, minlength=g).astype(np.float64)
    own = np.asarray(z.multiply(z).sum(axis=1)).ravel()

    def times(vector: np.ndarray) -> np.ndarray:
        return np.asarray(np.asarray(z @ (z.T @ vector)) - (own * vector.T).T)

    ones = np.ones(g)
    b1, bv = times(ones), times(sizes)
    pairs, weighted, tau = float(b1.sum()), float(sizes @ bv), float((sizes**2).sum())
    gram = z.T @ z
    square = float((gram.data**2).sum()) - float((own**2).sum())  # tr(B^2)
    coefficients = np.array(
        [
            [square - 2 * float(bv @ b1) / n + weighted * pairs / n**2, -weighted / n],
            [-2 * float(bv.sum()) / n + tau * pairs / n**2, n - tau / n],
        ]
    )
    return _Design(z, own, sizes, pairs, _groups(z), coefficients, _traces(times, g) if pairs else NO_TRACES)


def _groups(z: "sparse.csr_array") -> Int[np.ndarray, "text"]:
    """Return the index of each text's group, where texts of different groups have no common passage.

    All texts are in group 0 if there are too many groups, or groups with too few passages, to treat them as fixed.
    """
    n = z.shape[0]
    _, component = csgraph.connected_components(sparse.block_array([[None, z], [z.T, None]]), directed=False)
    groups = component[:n]
    together = np.flatnonzero(np.bincount(groups) > 1)
    passages = np.bincount(component[n:], minlength=int(component.max()) + 1)
    if len(together) >= FEW_GROUPS or (passages[together] < MANY_PASSAGES).any():
        return np.zeros(n, dtype=np.int64)
    return np.asarray(
        numbered(np.where(np.isin(groups, together), groups, n))
    )  # texts that share no passage are one group


def _traces(times: Callable[[np.ndarray], np.ndarray], n: int) -> tuple[float, float, float, float]:
    """Return the traces of the powers 1 to 4 of a symmetric matrix that is centred to rows and columns of sum 0.

    Up to `TRACE_DRAWS` texts the traces are exact, and independent of the order of the queries. For more texts they are
    estimated with random signs (Hutchinson 1990).

    Args:
        times: function that multiplies the matrix by a vector, or by each column of a matrix.
        n: number of rows of the matrix.
    """
    exact = n <= TRACE_DRAWS
    probes = np.eye(n) if exact else np.random.default_rng(0).choice((-1.0, 1.0), size=(n, TRACE_DRAWS))
    start = probes - probes.mean(axis=0)
    once = times(start)
    once -= once.mean(axis=0)
    twice = times(once)
    twice -= twice.mean(axis=0)
    pairs = ((start, once), (once, once), (once, twice), (twice, twice))
    one, two, three, four = (float(np.vdot(a, b)) / (1 if exact else TRACE_DRAWS) for a, b in pairs)
    return one, two, three, four


def _estimated(values: Table, text: Int[np.ndarray, "row"], design: _Design) -> tuple[Cells, Cells]:
    """Return how much shared passages enlarge the standard error (`ratio`), and its degrees of freedom.

    All columns have values for the same queries.
    """
    n, g = len(values), len(design.sizes)
    sums = Clusters(numbered(text)).sums(values - values.mean(axis=0))
    squares = (sums**2).sum(axis=0)
    within = _within(sums, design)
    of_passages = np.asarray(design.z.T @ within)
    moments = np.stack([(of_passages**2).sum(axis=0) - design.own @ within**2, (within**2).sum(axis=0)])
    if abs(np.linalg.det(design.coefficients)) < 1e-9 * np.abs(design.coefficients).max() ** 2:
        return np.ones(values.shape[1]), np.full(values.shape[1], g - 1.0)
    inverse = np.linalg.inv(design.coefficients)
    u, rest = inverse @ moments
    passages = np.maximum(u, 0.0) * design.pairs
    texts = np.maximum(rest * n, 0.0)
    plain = squares * g / (g - 1)  # what the bootstrap over texts, and t, take for the variance of the sum
    whole = np.maximum(passages + texts, plain)
    apart = (passages > 0) & (plain > 0)
    ratio = np.sqrt(np.where(apart, whole / np.where(apart, plain, 1.0), 1.0))
    alpha, beta = design.pairs * inverse[0] + n * inverse[1]
    own = np.maximum(u, 0.0) * design.own.mean() + np.maximum(rest, 0.0) * n / g
    df = _freedom(design, (alpha, beta), (np.maximum(u, 0.0), own))
    return ratio, np.where(ratio > 1, np.clip(df, 1.0, g - 1.0), g - 1.0)


def _within(sums: Float[np.ndarray, "text cell"], design: _Design) -> Float[np.ndarray, "text cell"]:
    """Centre the sums of the texts within their groups.

    From the sum of each text, subtract its number of queries times the mean per query of its group.
    """
    if not design.groups.any():
        return sums
    into = np.eye(int(design.groups.max()) + 1)[design.groups]
    means = (into.T @ sums) / (into.T @ design.sizes)[:, None]
    return np.asarray(sums - means[design.groups] * design.sizes[:, None])


def _freedom(design: _Design, form: tuple[float, float], sigma: tuple[Cells, Cells]) -> Cells:
    """Return Satterthwaite's degrees of freedom of a variance estimate S'AS, where S has the covariance Sigma.

    Args:
        form: alpha and beta in A = alpha B + beta I.
        sigma: the coefficients of B and of I in Sigma, for each cell.
    """
    (alpha, beta), (shared, own) = form, sigma
    square, line, level = alpha * shared, alpha * own + beta * shared, beta * own  # A Sigma, in powers of B
    one, two, three, four = design.traces
    rank = len(design.sizes) - 1
    mean = square * two + line * one + level * rank
    spread = square**2 * four + 2 * square * line * three + (line**2 + 2 * square * level) * two
    spread = spread + 2 * line * level * one + level**2 * rank
    return np.where(spread > 0, mean**2 / np.where(spread > 0, spread, 1.0), rank)


def _patterns(measured: np.ndarray) -> Iterator[tuple[Int[np.ndarray, "cell"], Int[np.ndarray, "row"]]]:
    """Group the columns that have values for the same queries. Yield the indices of these columns and queries."""
    patterns, pattern_of_cell = np.unique(measured, axis=1, return_inverse=True)
    for k in range(patterns.shape[1]):
        yield np.flatnonzero(pattern_of_cell.ravel() == k), np.flatnonzero(patterns[:, k])
