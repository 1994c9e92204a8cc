"""Compute the result of an attribution from sums over examples, with warnings about its reliability."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from retroscope.attribution import result as r
from retroscope.attribution.aggregate import Aggregates, quantiles_of
from retroscope.attribution.integrals.quadrature import LAST_GAUSS
from retroscope.attribution.plan import AttributionPlan
from retroscope.attribution.published import published_doubts
from retroscope.number_format import percent
from retroscope.scores import QUERY, Scores
from retroscope.statistics.completeness import SiteGaps, site_gaps

LARGE_GAP = 0.01  # a median completeness gap above this, at a site that matters, is a warning
CONSTANT = 1e-3  # a coefficient of variation of F below this is a warning: all texts read nearly the same


def finished(
    plan: AttributionPlan, sums: Aggregates, row_tokens: int, reached: Mapping[str, float | None]
) -> r.NeuronAttribution:
    """Compute the result of an attribution from sums over its examples: means and quantiles of neurons, warnings.

    Args:
        row_tokens: how many tokens ran through the network at once, at nodes of the integration path.
        reached: the values of "precision_effect" and "agreement_reached" that the result records.
    """
    noise, lost = (int(sums.arrays[name].sum()) for name in ("noise", "lost"))
    facts = _facts(sums)
    recipe: r.AttributionRecipe = {
        **_recipe(plan),
        **facts,
        "row_tokens": row_tokens,
        "precision_effect": reached["precision_effect"],
        "agreement_reached": reached["agreement_reached"],
        "lost": lost,
    }
    warnings = tuple(_warnings(plan, sums, facts))
    layers = list(range(1, plan.encoder.anatomy.n_blocks + 1))
    scores = xr.DataArray(
        sums.arrays["stats"],
        dims=(QUERY, "statistic", "part", "layer"),
        coords={
            QUERY: [example.id for example in plan.examples],
            **_passages(plan),
            "statistic": list(sums.statistics),
            "part": list(sums.parts),
            "layer": layers,
        },
    )
    return r.NeuronAttribution(
        Scores("neurons", scores, recipe, warnings, _shared(plan)),
        {part: _neurons(sums, part, layers) for part in sums.parts},
        examples=len(plan.examples),
        noise=noise,
        recipe=recipe,
        warnings=warnings,
        noise_warned=noise > 0,
    )


def _passages(plan: AttributionPlan) -> dict[str, Any]:
    """Return the passage ids that define each query's F, as coordinates of the scores.

    `margin` has "positive" (the relevant passage) and "negative", `score` has "positive", and `norm` has neither.
    """
    run = {"positive": [u.positive for u in plan.examples], "negative": [u.negative for u in plan.examples]}
    named = {"norm": (), "score": ("positive",), "margin": ("positive", "negative")}[plan.settings.target]
    return {name: (QUERY, run[name]) for name in named}


def _shared(plan: AttributionPlan) -> dict[str, tuple[str, ...]]:
    """Return the ids of the passages that define each query's F, by query id. Empty for `norm`."""
    named = [(example.id, tuple(p for p in (example.positive, example.negative) if p)) for example in plan.examples]
    return {query: passages for query, passages in named if passages}


def _neurons(sums: Aggregates, part: str, layers: list[int]) -> xr.Dataset:
    """Return the means, counts and quantiles of one FFN matrix's neurons (see `NeuronAttribution.neurons`)."""
    arrays, settings = sums.arrays, sums.settings
    finite = ~arrays["lost"]
    sound = finite & ~arrays["noise"]
    halves, sound_halves = ([int((sums.half[of] == k).sum()) for k in (0, 1)] for of in (finite, sound))
    place = ("layer", "neuron")
    variables: dict[str, Any] = {
        "mean": (place, _over(arrays[f"{part}/mean"], int(finite.sum()))),
        "signed": (place, _over(arrays[f"{part}/signed"], int(finite.sum()))),
        "share": (place, _over(arrays[f"{part}/share"], int(sound.sum()))),
        "count": (("threshold", *place), arrays[f"{part}/count"]),
        "half_signed": (("half", *place), _each(arrays[f"{part}/half"], halves)),
        "half_share": (("half", *place), _each(arrays[f"{part}/half_share"], sound_halves)),
    }
    coords: dict[str, Any] = {"layer": layers, "threshold": list(settings.thresholds), "half": [0, 1]}
    if settings.quantiles:
        variables["share_quantile"] = (("quantile", *place), quantiles_of(arrays[f"{part}/bins"], settings.quantiles))
        coords["quantile"] = list(settings.quantiles)
    return xr.Dataset(variables, coords)


def _over(total: Float[np.ndarray, "*shape"], count: int) -> Float[np.ndarray, "*shape"]:
    """Divide totals by a count. The result is NaN if the count is 0."""
    return total / count if count else np.full_like(total, np.nan)


def _each(totals: Float[np.ndarray, "half layer neuron"], counts: list[int]) -> Float[np.ndarray, "half layer neuron"]:
    return np.stack([_over(total, count) for total, count in zip(totals, counts, strict=True)])


def _recipe(plan: AttributionPlan) -> r.AttributionRecipe:
    settings = plan.settings
    return {
        "model": plan.encoder.name,
        "fingerprint": plan.encoder.fingerprint,
        "recipe": plan.encoder.recipe.as_dict(),
        "method": settings.method,
        "target": settings.target,
        "tower": settings.scaled,
        "quadrature": settings.rule,
        "parts": list(settings.parts),
        "thresholds": list(settings.thresholds),
        "negatives": settings.negatives if settings.target == "margin" else None,
        "batch_size": settings.batch_size,
        "padding_pooled": plan.padding_pooled,
        "precision": settings.precision,
        "seed": settings.seed,
        "agreement": settings.agreement,
        "examples": len(plan.examples),
        "device": str(plan.encoder.device),
    }


def _facts(sums: Aggregates) -> r.AttributionRecipe:
    """Return the mean and standard deviation of F, and the completeness gaps, as entries of `AttributionRecipe`."""
    value, stats = sums.arrays["value"][~sums.arrays["lost"]], sums.arrays["stats"]
    if not len(value):
        return {
            "f_mean": None,
            "f_deviation": None,
            "f_variation": None,
            "gap_median": None,
            "gap_largest": None,
            "gap_judged": None,
            "gap_site": None,
            "completeness": {},
        }
    mean, deviation = float(value.mean()), float(value.std())
    gap, total, nodes = (stats[:, sums.statistics.index(name)] for name in (r.GAP, r.TOTAL, r.NODES))
    by_site = site_gaps(gap, total, [sums.arrays[f"{part}/share"] for part in sums.parts])
    at = by_site.judged
    return {
        "f_mean": mean,
        "f_deviation": deviation,
        "f_variation": deviation / abs(mean) if mean else None,
        "gap_median": None if at is None else float(np.nanmedian(gap)),  # a method may claim no completeness
        "gap_largest": None if at is None else float(np.nanmax(gap)),
        "gap_judged": None if at is None else float(by_site.median[at]),
        "gap_site": None if at is None else f"layer {at[1] + 1}, {sums.parts[at[0]]}",
        "completeness": _completeness(sums.parts, by_site, np.nanmean(nodes, axis=0)),
    }


def _completeness(
    parts: Sequence[str], by_site: SiteGaps, nodes: Float[np.ndarray, "part layer"]
) -> dict[str, dict[str, list[float | None]]]:
    """Return four quantities for each FFN matrix, each with one value per layer.

    They are "gap" and "gap_worst" (median and 99 % quantile of the completeness gap), "share" (the layer's share of
    this matrix's attribution over all layers), and "nodes" (mean number of path nodes).
    """
    columns = {"gap": by_site.median, "gap_worst": by_site.worst, "share": by_site.weight, "nodes": nodes}
    return {
        part: {name: [None if np.isnan(x) else float(x) for x in values[k]] for name, values in columns.items()}
        for k, part in enumerate(parts)
    }


def _warnings(plan: AttributionPlan, sums: Aggregates, facts: r.AttributionRecipe) -> list[str]:
    warnings = []
    noise, lost = (int(sums.arrays[name].sum()) for name in ("noise", "lost"))
    if lost:
        warnings.append(
            f"{lost} of {len(plan.examples)} examples have values that are not finite ({plan.settings.precision}); "
            "they are left out of all results"
        )
    if noise:
        warnings.append(
            f"noise: in {noise} of {len(plan.examples)} examples, F changes by no more than rounding when an FFN "
            "matrix is scaled from 0 to 1; these examples are left out wherever attributions are divided by the "
            "example's largest attribution"
        )
    if plan.padding_pooled:
        warnings += published_doubts(plan.encoder)
    variation = facts["f_variation"]
    if plan.settings.target == "norm" and variation is not None and variation < CONSTANT:
        warnings.append(
            f"the target F is nearly the same for all texts (coefficient of variation {variation:.1e}), so its "
            "attribution does not show what differs between texts"
        )
    if facts["gap_judged"] is not None and facts["gap_judged"] > LARGE_GAP:
        warnings.append(
            f"the path integral is inaccurate at {facts['gap_site']}: for half of the examples, the sum of the "
            f"attributions differs from F(1) - F(0) by more than {percent(facts['gap_judged'])} of the sum of their "
            f"absolute values; use more nodes than {plan.settings.rule} allows, e.g. auto:0.01:{LAST_GAUSS}"
        )
    return warnings
