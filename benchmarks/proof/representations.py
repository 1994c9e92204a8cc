"""Drift of representations: how alike two models arrange the same texts, with an interval over texts.

Two models see the same texts through a common part and parts of their own. What a statistic comes to for all texts of
this kind is taken from many more texts than a study has.
"""

from collections.abc import Callable

import numpy as np

from proof.proof import Proof, rate, short
from retroscope.drift.dimensions import effective_rank
from retroscope.drift.geometry import EVENNESS, anisotropy, uniformity
from retroscope.drift.pairs import neighbour_overlap, rsa
from retroscope.drift.similarity import cka, procrustes, procrustes_chance
from retroscope.statistics.resampling.jackknife import jackknife

TEXTS, MANY, DIM = 200, 3000, 12
LENGTHS = 0.2  # standard deviation of the logarithm of the length of vectors
SHARED = 0.7
Statistic = Callable[[np.ndarray, np.ndarray], float]


def proofs(studies: int) -> list[Proof]:
    """Return a row for each statistic of likeness that has a value for all texts."""
    alike = [likeness("CKA", cka, studies, naive_cka), likeness("RSA", rsa, studies, None)]
    spaces = [space("anisotropy", anisotropy, cosines, studies), space("uniformity", uniformity, closeness, studies)]
    return [*alike, rotations(studies), neighbours(studies), dimensions(studies), *spaces]


def likeness(name: str, statistic: Statistic, studies: int, naive: Statistic | None) -> Proof:
    """Return the row of one statistic: 0 for unrelated models, its own value for related ones."""
    truth = statistic(*models(np.random.default_rng(0), SHARED, MANY))
    null = [estimated(statistic, seed, 0.0) for seed in range(studies)]
    related = [estimated(statistic, seed, SHARED) for seed in range(studies)]
    unrelated = float(np.mean([value for value, _, _ in null]))
    gap = max((abs(statistic(*pair) - naive(*pair)) for pair in map(small, range(5))), default=0.0) if naive else 0.0
    return Proof(
        instrument=f"{name}: two models are more similar than by chance",
        control="Two models that share nothing",
        reads=f"The similarity is {short(unrelated)} on average; for two models that share half of their variance it "
        f"is {short(truth)}",
        failed=abs(unrelated) < 0.05 < truth,
        false=rate(low > 0 or high < 0 for _, low, high in null),
        power=rate(low > 0 for _, low, _ in related),
        planted=f"{name} {short(truth)}, {TEXTS} texts",
        coverage=rate(low <= truth <= high for _, low, high in related),
        held_against=f"the formula with a text-by-text matrix: {gap:.0e}"
        if naive
        else "scipy.stats.spearmanr within it",
    )


def neighbours(studies: int) -> Proof:
    """Return the row of common nearest neighbours, whose value by chance is k / (texts - 1)."""
    k, chance = 10, 10 / (TEXTS - 1)
    null = [estimated(neighbour_overlap, seed, 0.0) for seed in range(studies)]
    related = [estimated(neighbour_overlap, seed, SHARED) for seed in range(max(1, studies // 4))]
    unrelated = float(np.mean([value for value, _, _ in null]))
    mean = float(np.mean([value for value, _, _ in related]))
    return Proof(
        instrument=f"Common neighbours (k = {k}): two models share more of them than by chance",
        control="Two models that share nothing",
        reads=f"The overlap is {short(unrelated)} (chance: {short(chance)}); for two models that share half of their "
        f"variance it is {short(mean)}",
        failed=abs(unrelated - chance) < 0.01 < mean - chance,
        false=rate(low > chance or high < chance for _, low, high in null),
        power=rate(low > chance for _, low, _ in related),
        planted=f"overlap {short(mean)}, {TEXTS} texts",
        coverage=None,
        held_against="its value by chance, k / (texts - 1)",
    )


def rotations(studies: int) -> Proof:
    """Return the row of Procrustes similarity, whose value by chance is that of texts paired at random."""

    def said(seed: int, shared: float) -> tuple[float, float, float]:
        one, two = models(np.random.default_rng(1000 + seed), shared, TEXTS)
        value, low, high = jackknife(lambda rows: procrustes(one[rows], two[rows]), TEXTS, seed=seed)
        chance = procrustes_chance(one, two, seed)
        return value - chance, low - chance, high - chance

    null = [said(seed, 0.0) for seed in range(studies)]
    related = [said(seed, SHARED) for seed in range(max(1, studies // 4))]
    unrelated, above = (float(np.mean([value for value, _, _ in found])) for found in (null, related))
    rotated = max(
        abs(1 - procrustes(one, 3 * one @ np.linalg.qr(two.T @ two)[0] + 2)) for one, two in map(small, range(5))
    )
    return Proof(
        instrument="Procrustes: two models are more similar than by chance",
        control="Two models that share nothing",
        reads=f"The similarity is {short(unrelated)} above that of randomly paired texts; for two models that share "
        f"half of their variance it is {short(above)} above it",
        failed=abs(unrelated) < 0.05 < above,
        false=rate(low > 0 for _, low, _ in null),
        power=rate(low > 0 for _, low, _ in related),
        planted=f"{short(above)} above chance, {TEXTS} texts",
        coverage=None,
        held_against=f"1 for a rotated, scaled and shifted copy: {rotated:.0e}",
    )


def dimensions(studies: int) -> Proof:
    """Return the row of the effective rank of the population that texts are drawn from."""
    wide = 150
    sd = np.exp(-np.linspace(0, 2, wide))
    truth = float(np.exp(-np.sum(sd / sd.sum() * np.log(sd / sd.sum()))))
    ends, plain = [], []
    for seed in range(studies):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((TEXTS, wide)) * sd * np.exp(LENGTHS * rng.standard_normal((TEXTS, 1)))
        ends.append(jackknife(lambda rows, x=x: effective_rank(x[rows]), TEXTS, seed=seed))
        values = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
        share = values / values.sum()
        plain.append(float(np.exp(-np.sum(share * np.log(np.maximum(share, 1e-12))))))
    mean = float(np.mean([value for value, _, _ in ends]))
    return Proof(
        instrument="Effective rank of an embedding space",
        control="The effective rank of the sampled texts, without correction",
        reads=f"It is {np.mean(plain):.1f}, and the true value is {truth:.1f}; the corrected value is {mean:.1f}",
        failed=abs(float(np.mean(plain)) - truth) > 2 * abs(mean - truth),
        false=None,
        power=None,
        planted="",
        coverage=rate(low <= truth <= high for _, low, high in ends),
        held_against=f"its closed form for {wide} dimensions and {TEXTS} texts of different lengths (SD of the "
        f"logarithm: {short(LENGTHS)})",
    )


def space(name: str, statistic: Callable[[np.ndarray], float], of_pairs: Callable, studies: int) -> Proof:
    """Return the row of a mean over pairs of texts; pairs taken as independent are its control."""

    def texts(random: np.random.Generator, n: int) -> np.ndarray:
        return np.asarray(random.standard_normal((n, DIM)) + 0.8)

    many = [of_pairs(texts(np.random.default_rng([99, i]), TEXTS)) for i in range(1000)]
    truth = many[0][1](float(np.mean([pairs.mean() for pairs, _ in many])))
    inside, naive, gap = [], [], 0.0
    for seed in range(studies):
        x = texts(np.random.default_rng(seed), TEXTS)
        value, low, high = jackknife(lambda rows, x=x: statistic(x[rows]), TEXTS, seed=seed)
        pairs, turned = of_pairs(x)
        half = 1.96 * pairs.std() / np.sqrt(len(pairs))
        gap = max(gap, abs(turned(pairs.mean()) - value))
        inside.append(low <= truth <= high)
        naive.append(turned(pairs.mean() - half) <= truth <= turned(pairs.mean() + half))
    plain = rate(naive)
    return Proof(
        instrument=f"Shape of an embedding space: {name}",
        control="An interval that takes pairs of texts as independent",
        reads=f"Its coverage is {short(plain.value)}; that of the interval over groups of texts is "
        f"{short(rate(inside).value)}",
        failed=plain.value < 0.9 < rate(inside).value,
        false=None,
        power=None,
        planted="",
        coverage=rate(inside),
        held_against=f"all pairs computed one by one: differs by at most {gap:.0e}",
    )


def cosines(x: np.ndarray) -> tuple[np.ndarray, Callable[[float], float]]:
    """Return the cosines of all pairs, whose mean is the anisotropy."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return (unit @ unit.T)[np.triu_indices(len(x), 1)], float


def closeness(x: np.ndarray) -> tuple[np.ndarray, Callable[[float], float]]:
    """Return exp(-t d^2) of all pairs, the logarithm of whose mean is the uniformity."""
    near, _ = cosines(x)
    return np.exp(-EVENNESS * (2 - 2 * near)), lambda mean: float(np.log(mean))


def models(random: np.random.Generator, shared: float, texts: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two models' vectors of the same texts; `shared` is the correlation of their common part."""
    common = random.standard_normal((texts, DIM)) * np.linspace(1.5, 0.5, DIM)
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((DIM, DIM)))[0]
    sides = []
    for rotation in (np.eye(DIM), turn):
        own = random.standard_normal((texts, DIM)) * np.linspace(1.5, 0.5, DIM)
        sides.append((np.sqrt(shared) * common + np.sqrt(1 - shared) * own) @ rotation)
    return sides[0], sides[1]


def estimated(statistic: Statistic, seed: int, shared: float) -> tuple[float, float, float]:
    """Return the statistic and its interval, as a study makes them."""
    one, two = models(np.random.default_rng(1000 + seed), shared, TEXTS)
    return jackknife(lambda rows: statistic(one[rows], two[rows]), TEXTS, seed=seed)


def small(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two models of few texts, for formulas that need a text-by-text matrix."""
    return models(np.random.default_rng(seed), SHARED, 30)


def naive_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Return CKA by the unbiased HSIC as Song et al. (2012, eq. 5) print it."""

    def hsic(a: np.ndarray, b: np.ndarray) -> float:
        n = len(a)
        k, m = (v @ v.T - np.diag(np.diag(v @ v.T)) for v in (a, b))
        ones = np.ones(n)
        middle = (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
        return float((np.trace(k @ m) + middle - 2 / (n - 2) * ones @ k @ m @ ones) / (n * (n - 3)))

    return hsic(x, y) / float(np.sqrt(hsic(x, x) * hsic(y, y)))
