"""Neurons with known effects, as they are attributed and ablated: planted ones, and controls with none."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from retroscope.analyses.neurons.result import AblationCurves, AttributedModel, NeuronResult, TowerNeurons
from retroscope.attribution.result import NeuronAttribution
from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings, compare_scores
from synthetic_subject import N_QUERIES, query_ids

N_EXAMPLES = 60
BLOCKS = tuple(range(1, 7))
WIDTHS = {"intermediate": 50, "output": 20}
THRESHOLDS = (0.01, 0.1, 0.5)
FRACTIONS = (0.001, 0.01, 0.1, 0.3)
CARRIER, CARRIERS = 3, (0, 1, 2, 3)  # in layer 3 of "intermediate", these neurons carry the answer after fine-tuning


def magnitudes(planted: float, seed: int = 7) -> dict[str, np.ndarray]:
    """part -> [example, layer, neuron]; the planted neurons are `planted` times as large."""
    rng = np.random.default_rng(seed)
    by_name = {part: rng.lognormal(sigma=0.7, size=(N_EXAMPLES, len(BLOCKS), n)) for part, n in WIDTHS.items()}
    by_name["intermediate"][:, CARRIER - 1, list(CARRIERS)] *= planted
    return by_name


def statistics_of(values: dict[str, np.ndarray], noise: int, gap: float) -> dict[str, np.ndarray]:
    """statistic -> [example, part, layer], by their definitions; the first `noise` examples have no shape."""
    largest = np.max([v.max(axis=(1, 2)) for v in values.values()], axis=0)
    names = ("total", "gini", "participation", "top_1%", *(f"active@{t:g}" for t in THRESHOLDS))
    by_name: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for v in values.values():
        n, ordered = v.shape[-1], np.sort(v, axis=-1)
        by_name["total"].append(v.sum(-1))
        by_name["gini"].append((ordered * (2 * np.arange(1, n + 1) - n - 1)).sum(-1) / (n * v.sum(-1)))
        by_name["participation"].append(v.sum(-1) ** 2 / (v**2).sum(-1) / n)
        by_name["top_1%"].append(v.max(-1) / v.sum(-1))
        for t in THRESHOLDS:
            by_name[f"active@{t:g}"].append((v / largest[:, None, None] >= t).mean(-1))
    made = {name: np.stack(parts, axis=1) for name, parts in by_name.items()}
    for name in set(made) - {"total"}:
        made[name][:noise] = np.nan
    flat = np.ones_like(made["total"])
    return {"change": flat, **made, "signed": flat * (1 + gap), "gap": flat * gap, "nodes": flat * 4}


def neuron_side(
    model: str = "toy-retriever",
    *,
    planted: float = 1.0,
    seed: int = 7,
    noise: int = 0,
    gap: float = 1e-4,
    **changes: Any,
) -> AttributedModel:
    values = magnitudes(planted, seed)
    stats = statistics_of(values, noise, gap)
    coords = {"query": [f"q{i}" for i in range(N_EXAMPLES)], "statistic": list(stats), "part": list(WIDTHS),
              "layer": list(BLOCKS)}  # fmt: skip
    scores = Scores("neurons", xr.DataArray(np.stack(list(stats.values()), axis=1), coords, tuple(coords)))
    largest = np.max([v.max(axis=(1, 2)) for v in values.values()], axis=0)[:, None, None]
    place = ("layer", "neuron")
    neurons = {
        part: xr.Dataset(
            {
                "mean": (place, v.mean(0)),
                "signed": (place, v.mean(0)),
                "share": (place, (v / largest)[noise:].mean(0) if noise < N_EXAMPLES else np.full(v.shape[1:], np.nan)),
                "count": (("threshold", *place), [(v / largest >= t)[noise:].sum(0) for t in THRESHOLDS]),
            },
            {"layer": list(BLOCKS), "threshold": list(THRESHOLDS)},
        )
        for part, v in values.items()
    }
    recipe = {"target": "margin", "tower": "passage", "method": "weight_path", "quadrature": "gauss:4", "seed": 0}
    ablated = changes.pop("ablation", None)
    attribution = NeuronAttribution(scores, neurons, N_EXAMPLES, noise, recipe, **changes)
    return AttributedModel(model, attribution, ablated)


def changed(side: AttributedModel, **changes: Any) -> AttributedModel:
    """Return the side with another attribution."""
    return replace(side, attribution=replace(side.attribution, **changes))


HOWS = ("top", "signed", "largest", "bottom", "random")


def ablation(*, harm: float = 0.4, largest: float = 0.02, seed: int = 11, draws: int = 5) -> AblationCurves:
    """The intact measure is about .6; holding the top costs up to `harm`, the largest up to `largest`, bottom nothing.

    Each draw costs about .01, and the ranking beside the top costs three quarters of what the top does.
    """
    rng = np.random.default_rng(seed)
    intact = np.clip(0.6 + 0.2 * rng.standard_normal(N_QUERIES), 0, 1)
    depth = np.linspace(0.25, 1, len(FRACTIONS))
    shape = (N_QUERIES, len(HOWS), draws, len(FRACTIONS), 1)
    flat = [np.full(draws, cost) for cost in (harm, 0.75 * harm, largest, 0.0)]
    cost = np.stack([*flat, rng.uniform(0, 0.02, draws)])
    values = intact[:, None, None, None, None] - (cost[:, :, None, None] * depth[:, None])[None]
    values = values + 0.05 * rng.standard_normal(shape)
    values[:, :-1, 1:] = np.nan
    coords = {"query": query_ids(), "how": list(HOWS), "draw": list(range(draws)),
              "fraction": list(FRACTIONS), "measure": ["RR@10"]}  # fmt: skip
    scores = Scores("ablation", xr.DataArray(values, coords, tuple(coords)))
    whole = xr.DataArray(intact[:, None], {"query": query_ids(), "measure": ["RR@10"]}, ("query", "measure"))
    recipe = {"by": "share", "beside": "signed", "fixed_at": "mean", "draws": draws, "seed": 0, "held_out": True,
              "queries": N_QUERIES, "attributed_queries": 0, "neurons": 420, "layers": len(BLOCKS),
              "level": 0.95}  # fmt: skip
    table, areas = ablation_table(values, intact), ablation_areas(values)
    return AblationCurves(scores, Scores("intact", whole), table, areas, recipe)


def ablation_table(values: np.ndarray, intact: np.ndarray) -> pd.DataFrame:
    rows = []
    for i, fraction in enumerate(FRACTIONS):
        top, signed, largest, bottom = (values[:, k, 0, i, 0] for k in range(4))
        random = values[:, -1, :, i, 0]
        below = bool((random.mean(0) > top.mean()).all())
        p = {"p_queries": stats.ttest_rel(random.mean(1), top).pvalue, "p_draws": p_draws(top, random),
             "p_largest": stats.ttest_rel(largest, top).pvalue}  # fmt: skip
        over = max(p["p_queries"], p["p_draws"]) if below and random.mean() > top.mean() else 1.0
        row = {"fraction": fraction, "measure": "RR@10", "neurons": max(1, round(420 * fraction)), "layers": 1,
               "n": len(top), "draws": random.shape[1], "intact": intact.mean(), "top": top.mean(),
               "signed": signed.mean(),
               "largest": largest.mean(), "bottom": bottom.mean(), "random": random.mean(),
               "below_every_draw": below, "shared_by_chance": 0.05, "shared_with_largest": 0.25, **p,
               "p_over_random": over,
               "p_confirmed": max(over, p["p_largest"]) if largest.mean() > top.mean() else 1.0}  # fmt: skip
        for name, harm in (("harm", random.mean() - top.mean()), ("harm_over_largest", largest.mean() - top.mean())):
            row |= {name: harm, f"{name}_low": harm - 0.01, f"{name}_high": harm + 0.01}
        not_above = int((random.mean(0) <= top.mean()).sum())
        rows.append(row | {"p": (1 + not_above) / (1 + random.shape[1])})
    table = pd.DataFrame(rows)
    for column, claim in (("p_over_random", "over_random"), ("p_confirmed", "confirmed")):
        table[column] = holm(table[column].to_numpy())
        table[claim] = table[column] <= 0.05
    return table


def holm(p: np.ndarray) -> np.ndarray:
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(steps, 1.0)[np.argsort(order)]


def p_draws(top: np.ndarray, random: np.ndarray) -> float:
    """By the definition: a further value of a normal sample, [query] against [query, draw]."""
    draws = random.mean(0)
    t = (draws.mean() - top.mean()) / (draws.std(ddof=1) * np.sqrt(1 + 1 / len(draws)))
    return float(stats.t.sf(t, len(draws) - 1))


def ablation_areas(values: np.ndarray) -> pd.DataFrame:
    random = values[:, -1].mean(axis=1)
    areas = [(how, (random - values[:, k, 0]).mean()) for k, how in enumerate(HOWS[:-1])]
    return pd.DataFrame(
        [(how, "RR@10", area, area - 0.01, area + 0.01, N_QUERIES) for how, area in areas],
        columns=["how", "measure", "area", "area_low", "area_high", "n"],
    )


def overlap_rows(between: float = 0.35, ceiling: float = 0.6) -> pd.DataFrame:
    rng = np.random.default_rng(13)
    rows = []
    for part, n in (*WIDTHS.items(), ("all", sum(WIDTHS.values()))):
        for layer in (*(BLOCKS if part != "all" else ()), 0):
            for measure, chance in (("jaccard", 0.01), ("spearman", 0.0)):
                move = 0.02 * rng.standard_normal(3)
                rows.append((part, layer, measure, n, between + move[0], ceiling + move[1], ceiling + move[2],
                             between + 0.1, chance))  # fmt: skip
    names = ["part", "layer", "measure", "neurons", "between", "before_halves", "after_halves", "whole", "chance"]
    return pd.DataFrame(rows, columns=names)


def tower_neurons(
    before: AttributedModel | None = None, after: AttributedModel | None = None, **changes: Any
) -> TowerNeurons:
    """Layer 3 carries after fine-tuning and nothing did before; its neurons matter, those of the backbone too."""
    if before is None and after is None:
        return replace(whole_neurons(), **changes)
    sides = {**whole_neurons().sides, **({"before": before} if before else {}), **({"after": after} if after else {})}
    return compared_neurons(sides, **changes)


def compared_neurons(sides: dict[str, AttributedModel], **changes: Any) -> TowerNeurons:
    settings = ComparisonSettings(resamples=200, family_per=("statistic",))
    before, after = (sides[side].attribution.scores for side in ("before", "after"))
    made = changes.pop("profile", None) or compare_scores(before, after, settings)
    return TowerNeurons(sides, made, **{"overlap": overlap_rows(), **changes})


@cache
def whole_neurons() -> TowerNeurons:
    return compared_neurons(
        {
            "before": neuron_side("toy-backbone", seed=6, ablation=ablation(seed=12)),
            "after": neuron_side(planted=20.0, ablation=ablation()),
        }
    )


def alone(side: AttributedModel) -> TowerNeurons:
    """Return the neurons of a model that is compared with none."""
    return TowerNeurons({"model": side})


def of_one_tower(tower: TowerNeurons) -> NeuronResult:
    """Return the result of one tower."""
    return NeuronResult({"passage": tower})
