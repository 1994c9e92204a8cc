"""Compare the scores of two retrievers: effects, intervals, p-values, corrected p-values and equivalence tests."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from retroscope.files.cache_records import versions
from retroscope.scores import Scores, align
from retroscope.statistics.cells import cell_values, families, to_table
from retroscope.statistics.difference import ComparisonMethod, Difference
from retroscope.statistics.resampling.clusters import Clusters, clusters_of
from retroscope.statistics.resampling.flips import Differences, PValues
from retroscope.statistics.resampling.outcomes import holding_zero, outcome_change, outcome_mean
from retroscope.statistics.resampling.shared_passages import Sharing, sharing
from retroscope.statistics.settings import AUTO, ComparisonSettings
from retroscope.statistics.testing.correction import correct
from retroscope.statistics.testing.doubts import inherited, one_sided, too_coarse, too_few
from retroscope.statistics.testing.equivalence import tost
from retroscope.statistics.testing.paired import PAIRED_TESTS, QueryValues, binary, n_pairs, paired_differences

SOFTWARE = ("retroscope", "numpy", "scipy", "statsmodels")  # that computes the numbers
EXACT = "mcnemar"  # the test of outcomes of 0 or 1
UNTESTED = "none"  # what the column test_used says of a cell with fewer than two pairs
INTERVALS = (
    "score interval for outcomes of 0 or 1 (Wilson, Tango), expanded percentile bootstrap over query texts otherwise"
)

ResultColumns = dict[str, np.ndarray]


def compare_scores(before: Scores, after: Scores, settings: ComparisonSettings | None = None) -> Difference:
    """Return the effects of fine-tuning with intervals and p-values, from scores before and after, paired by query id.

    Each query must have one number: average the scores of several passages of a query first. Queries with the same text
    (by the coordinate `text`) are one observation in every interval and test. Passages that queries share (by
    `Scores.passages`) enlarge the standard error (`resampling.shared_passages`).

    Raises:
        AnalysisError: if `before` and `after` have different queries or labels.
    """
    settings_used = settings or ComparisonSettings()
    before, after = align(before, after)
    old, new = _paired(cell_values(before), cell_values(after))
    change = paired_differences(old, new)
    shared = _Shared(
        clusters_of(before if before.texts is not None else after),
        families(before, settings_used.family_per, settings_used.headline),
    )
    tested = _tested(old, new, shared, settings_used)
    undecided = (tested["test_used"] == EXACT) & (tested["p"] > 1 - settings_used.level)
    columns = (
        _means(old, new, shared, settings_used)
        | _effect(old, new, undecided, shared, settings_used)
        | tested
        | _equivalence(old, new, shared, settings_used)
        | _counts(change)
    )
    family = shared.family
    sizes = _family_sizes(columns["p"], family)
    return Difference(
        name=before.name if before.name == after.name else f"{before.name} to {after.name}",
        before=before,
        after=after,
        table=to_table(before, columns),
        method=_method(before, columns, sizes, shared.clusters, settings_used),
        warnings=_doubts(before, after, columns, sizes, settings_used),
    )


def _paired(old: QueryValues, new: QueryValues) -> tuple[QueryValues, QueryValues]:
    missing = np.isnan(old) | np.isnan(new)
    return np.where(missing, np.nan, old), np.where(missing, np.nan, new)


@dataclass(frozen=True, eq=False)
class _Shared:
    """Input of the tests: texts and passages that queries share, and the family of tests of each label combination."""

    clusters: Clusters
    family: Int[np.ndarray, "cell"]


def _means(old: QueryValues, new: QueryValues, shared: _Shared, settings: ComparisonSettings) -> ResultColumns:
    first, second = (outcome_mean(values, settings.intervals, shared.clusters) for values in (old, new))
    return {
        "before": first.mean,
        "before_low": first.low,
        "before_high": first.high,
        "after": second.mean,
        "after_low": second.low,
        "after_high": second.high,
    }


def _effect(
    old: QueryValues,
    new: QueryValues,
    undecided: Bool[np.ndarray, "cell"],
    shared: _Shared,
    settings: ComparisonSettings,
) -> ResultColumns:
    """Return the mean change for every combination of labels (cell), with its interval.

    In every `undecided` cell, the interval includes 0. A cell is undecided if McNemar's exact test is not significant.
    """
    change = outcome_change(old, new, paired_differences(old, new), settings.intervals, shared.clusters)
    effect = holding_zero(change, undecided)
    return {"effect": effect.mean, "ci_low": effect.low, "ci_high": effect.high}


def _tested(old: QueryValues, new: QueryValues, shared: _Shared, settings: ComparisonSettings) -> ResultColumns:
    change = paired_differences(old, new)
    by_passages = sharing(change, shared.clusters) if settings.test != "unpaired_t" else None
    used = _tests(old, new, settings.test)
    p = np.full(len(used), np.nan)
    for name in sorted(set(used.tolist()) - {UNTESTED}):
        cells = used == name
        p[cells] = PAIRED_TESTS[name](old[:, cells], new[:, cells], settings.flips, shared.clusters)
    if by_passages is not None:
        p = by_passages.p_values(p)
    corrected = _within(shared, settings, settings.correction, p, (change, by_passages))
    return {"p": p, "p_corrected": corrected, "test_used": used}


def _tests(old: QueryValues, new: QueryValues, test: str) -> np.ndarray:
    """Return the test's name for every combination of labels (cell). "auto": McNemar's test if all values are 0 or 1.

    A cell with fewer than two pairs gets `UNTESTED`.
    """
    names = np.where(binary(old, new), EXACT, "paired_t") if test == AUTO else np.full(old.shape[1], test)
    return np.where(n_pairs(paired_differences(old, new)) >= 2, names, UNTESTED).astype(object)


def _within(
    shared: _Shared,
    settings: ComparisonSettings,
    correction: str,
    p: PValues,
    evidence: tuple[Differences, Sharing | None],
) -> PValues:
    """Correct p-values within each family of tests.

    Args:
        evidence: changes by query and combination of labels, and the effect of shared passages on standard errors; only
            `max_t` uses them. That effect depends on the confidence level, which is taken from the settings.
    """
    change, by_passages = evidence
    sums = shared.clusters.sums(change)
    corrected = np.full(len(p), np.nan)
    for number in np.unique(shared.family):
        cells = shared.family == number
        ratio = None if by_passages is None else by_passages.widening(settings.level)[cells]
        corrected[cells] = correct(correction, p[cells], sums[:, cells], settings.flips, ratio)
    return corrected


def _equivalence(old: QueryValues, new: QueryValues, shared: _Shared, settings: ComparisonSettings) -> ResultColumns:
    p = np.full(old.shape[1], np.nan)
    corrected = p
    if settings.margin is not None:
        p = tost(old, new, settings.margin, shared.clusters)
        evidence = (paired_differences(old, new), None)
        corrected = _within(shared, settings, _equivalence_correction(settings), p, evidence)
    with np.errstate(invalid="ignore"):
        equivalent = corrected <= 1 - settings.level
    return {"p_equivalence": p, "p_equivalence_corrected": corrected, "equivalent": equivalent}


def _equivalence_correction(settings: ComparisonSettings) -> str:
    """Return the name of the correction for the equivalence tests.

    Max-T flips signs around 0, which is not the null hypothesis of equivalence, so Holm replaces max-T.
    """
    return "holm" if settings.correction == "max_t" else settings.correction


def _counts(change: Differences) -> ResultColumns:
    return {
        "wins": (change > 0).sum(axis=0),
        "ties": (change == 0).sum(axis=0),
        "losses": (change < 0).sum(axis=0),
        "n": n_pairs(change),
    }


def _method(
    scores: Scores,
    columns: ResultColumns,
    sizes: Int[np.ndarray, "family"],
    clusters: Clusters,
    settings: ComparisonSettings,
) -> ComparisonMethod:
    names, counts = np.unique(columns["test_used"].astype(str), return_counts=True)
    return {
        "test": settings.test,
        "correction": settings.correction,
        "level": settings.level,
        "resamples": settings.resamples,
        "permutations": settings.permutations,
        "margin": settings.margin,
        "seed": settings.seed,
        "family": settings.family,
        "family_per": list(settings.family_per),
        "headline": settings.headline,
        "family_labels": {str(dim): scores.values.sizes[dim] for dim in scores.values.dims[1:]},
        "family_sizes": sizes.tolist(),
        "tests_used": dict(zip(names.tolist(), counts.tolist(), strict=True)),
        "equivalence_correction": _equivalence_correction(settings) if settings.margin is not None else None,
        "interval": INTERVALS,
        "queries": len(scores.query_ids),
        "versions": dict(versions(SOFTWARE)),
        "texts": clusters.n_texts,
        "passages": 0 if clusters.passages is None else clusters.passages.shape[1],
    }


def _family_sizes(p: Float[np.ndarray, "cell"], family: Int[np.ndarray, "cell"]) -> Int[np.ndarray, "family"]:
    """Count the tests with a p-value (not NaN) in each family."""
    return np.bincount(family, weights=np.isfinite(p)).astype(np.int64) if len(family) else np.zeros(0, np.int64)


def _doubts(
    before: Scores,
    after: Scores,
    columns: ResultColumns,
    sizes: Int[np.ndarray, "family"],
    settings: ComparisonSettings,
) -> tuple[str, ...]:
    flipped_cells = int((columns["test_used"] == "sign_flip").sum())
    doubts = (
        *inherited(before, after),
        too_few(before, columns["n"]),
        one_sided(before, after),
        too_coarse(flipped_cells, int(sizes.max(initial=0)), settings),
    )
    return tuple(warning for warning in doubts if warning)
