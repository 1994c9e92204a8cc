"""Ablation curves: retrieval with top neurons fixed, compared with as many random and as many large neurons.

Vast et al. (ICTIR 2024, arXiv 2406.19309) prune the neurons with the largest attribution. Here, an attribution is
confirmed if fixing its top neurons harms retrieval more than fixing random neurons, and more than fixing the largest
neurons, which are chosen without gradient or query. Every set has as many neurons in each layer as the top neurons.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.analyses.neurons.ablation.held_out import Evaluated, evaluated_queries
from retroscope.analyses.neurons.ablation.looks import Chosen, measure_in_looks
from retroscope.analyses.neurons.ablation.pools import pool_counts, pools_of, relevant_in
from retroscope.analyses.neurons.ablation.table import (
    GROUP,
    area_table,
    curve_table,
    nearest_to_reference,
    shared_by_chance,
)
from retroscope.analyses.neurons.ablation.trial import AblationTrial, Trials, check_towers
from retroscope.analyses.neurons.result import BOTTOM, LARGEST, RANDOM, TOP, AblationCurves, AblationRecipe
from retroscope.analyses.neurons.settings import ENOUGH, TOWERS, NeuronAblationSettings
from retroscope.attribution.result import NeuronAttribution
from retroscope.attribution.size_ranking import size_ranking
from retroscope.attribution.top_neurons.selection import NeuronSet, Ranking, choose, how_many, matched, ranked, shared
from retroscope.collection.collection import Collection
from retroscope.display import Shown, shown
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.precision import EXACT, PrecisionEffect, precision_effect
from retroscope.inputs.sampled import is_sampled
from retroscope.inputs.whole_search import WholeSearch, few_queries, sample_words, whole_search
from retroscope.number_format import exact_percent
from retroscope.progress import Progress
from retroscope.retrieval.measures import depth_caveats
from retroscope.scores import QUERY, TEXT, Scores


@dataclass(frozen=True, eq=False)
class Rankings:
    """Three rankings of the same neurons, from which an ablation chooses the neurons to fix.

    Attributes:
        chosen: ranking that the ablation tests, by `settings.by`.
        beside: second ranking, by `settings.beside`, whose curve is shown for comparison.
        size: ranking by how much fixing a neuron changes the output of its FFN.
    """

    chosen: Ranking
    beside: Ranking
    size: Ranking


def ablation_curves(
    retriever: Retriever,
    collection: Collection,
    attribution: NeuronAttribution,
    settings: NeuronAblationSettings | None = None,
    progress: Shown = None,
    *,
    whole: WholeSearch | None = None,
) -> AblationCurves:
    """Measure retrieval with no neuron fixed, and with fractions of the top, largest, bottom and random neurons fixed.

    The ablated tower's texts are encoded at most `settings.ablations` + 2 times (56 by default), and the other tower's
    texts once. Searches and tests take little time in comparison. A corpus of more than `settings.passages` is sampled,
    in groups of queries; the first group decides what is measured for the other groups (see `looks`). Token ids and
    final vectors are held in memory.

    Args:
        progress: called with (what, texts encoded, texts to encode), or True, False, None: see `display.shown`.
        whole: rankings of the whole corpus by the intact models, from which a sample is filled. If None, a sample is
            filled by BM25 alone.

    Raises:
        SettingsError: if an ablated tower has other weights than the attributed one.
        AnalysisError: if no query is held out.
    """
    with shown(progress) as report:
        settings = settings or NeuronAblationSettings()
        return _curves(retriever, collection, attribution, settings, progress=report, whole=whole)


def _curves(
    retriever: Retriever,
    collection: Collection,
    attribution: NeuronAttribution,
    settings: NeuronAblationSettings,
    *,
    progress: Progress | None,
    whole: WholeSearch | None,
) -> AblationCurves:
    towers = TOWERS[settings.tower or attribution.recipe["tower"]]
    check_towers(retriever, attribution.recipe["tower"], towers)
    ranking = ranked(attribution, settings.by, settings.parts)
    beside = ranked(attribution, settings.beside, settings.parts)
    queries = evaluated_queries(collection, attribution, held_out=settings.held_out, enough=ENOUGH)
    whole = whole or (whole_search(collection, {}) if is_sampled(collection, settings.passages) else None)
    pools = pools_of(collection, queries.ids, settings, whole.rankings if whole else ())
    trials = Trials(retriever, pools, towers, settings, progress)
    size = _size(trials.of(0), ranking, attribution.recipe["tower"])
    sets = dict(_sets(Rankings(ranking, beside, size), settings))
    relevant = relevant_in(pools)
    effect = _precision_effect(trials.of(0), sets, settings)
    values = _values(trials, sets, settings, relevant)
    recipe: AblationRecipe = {
        **_recipe(attribution, settings, ranking),
        **_sample_facts(pools, collection, queries),
        "sample": whole.compared(retriever.name, values["intact"]) if whole else [],
        "towers": list(towers),
        "precision_effect": None if effect is None else effect.document(),
    }
    warnings = (
        *attribution.warnings,
        *_warnings(retriever, attribution, settings, ranking),
        *_limits(recipe, settings.measures),
        *few_queries(*pools),
        *([effect.words()] if effect else []),
    )
    return AblationCurves(
        Scores("ablation", values["ablated"], recipe, warnings, relevant),
        Scores("intact retrieval", values["intact"], recipe, warnings, relevant),
        _table(values, sets, ranking, settings, relevant),
        area_table(values["ablated"], settings.intervals, relevant),
        recipe,
        warnings,
    )


def _size(trial: AblationTrial, ranking: Ranking, attributed: str) -> Ranking:
    """Rank neurons by how much fixing one of them changes the output of its FFN, over the texts of one tower."""
    tower = attributed if attributed in trial.moments else next(iter(trial.moments))
    return size_ranking(trial.texts[tower].encoder, trial.moments[tower], ranking, at_mean=trial.at_mean)


def _values(
    trials: Trials,
    sets: Mapping[Chosen, NeuronSet],
    settings: NeuronAblationSettings,
    relevant: Mapping[str, tuple[str, ...]],
) -> xr.Dataset:
    """Measure retrieval with every set of neurons fixed, and with none.

    Returns:
        The scores `ablated`, (query, how, draw, fraction, measure), and `intact`, (query, measure). `how` is the kind
            of fixed neurons, e.g. "top".
    """
    groups = [list(pool.queries) for pool in trials.pools]
    labels: dict[str, list[Any]] = {
        QUERY: [query for group in groups for query in group],
        "how": list(dict.fromkeys(how for how, _, _ in sets)),
        "draw": list(range(settings.draws)),
        "fraction": list(settings.fractions),
        "measure": list(settings.measures),
    }
    coords: dict[str, Any] = {**labels, TEXT: (QUERY, trials.query_texts)}
    if len(groups) > 1:
        coords[GROUP] = (QUERY, [number for number, group in enumerate(groups) for _ in group])
    ablated = xr.DataArray(np.full([len(names) for names in labels.values()], np.nan), coords, tuple(labels))
    measure_in_looks(ablated, lambda group, chosen: trials.of(group).values(sets[chosen]), settings, relevant)
    intact = np.concatenate([trials.of(group).values(None) for group in range(len(groups))])
    return xr.Dataset({"ablated": ablated, "intact": ((QUERY, "measure"), intact)})


def _sets(rankings: Rankings, settings: NeuronAblationSettings) -> Iterator[tuple[Chosen, NeuronSet]]:
    """Yield each set of neurons to fix with its key: kind of neurons (such as "top"), draw and fraction.

    All sets of a fraction have equally many neurons in each layer.
    """
    for fraction in settings.fractions:
        top = choose(rankings.chosen, fraction, TOP)
        yield (TOP, 0, fraction), top
        yield (settings.beside, 0, fraction), matched(rankings.beside, top)
        yield (LARGEST, 0, fraction), matched(rankings.size, top)
        yield (BOTTOM, 0, fraction), choose(rankings.chosen, fraction, BOTTOM)
        for draw in range(settings.draws):
            yield (RANDOM, draw, fraction), choose(rankings.chosen, fraction, RANDOM, settings.seed + draw)


def _precision_effect(
    trial: AblationTrial, sets: Mapping[Chosen, NeuronSet], settings: NeuronAblationSettings
) -> PrecisionEffect | None:
    """Measure how a lower precision changes the harm of the top neurons at the reference fraction; None in float32.

    The harm is measured on the first group of queries, in comparison with one random set of neurons.

    Raises:
        SettingsError: if the precision changes the harm too much.
    """
    if settings.precision == EXACT:
        return None
    fraction = nearest_to_reference(settings.fractions)
    exact, reduced = (
        trial.values(sets[RANDOM, 0, fraction], precision) - trial.values(sets[TOP, 0, fraction], precision)
        for precision in (EXACT, settings.precision)
    )
    quantity = (
        f"loss by fixing the top {exact_percent(fraction)} of the neurons beyond that by fixing random neurons "
        f"({settings.measures[0]})"
    )
    where = trial.retriever.name
    return precision_effect(settings.precision, quantity, exact[:, 0], reduced[:, 0], where=where)


def _table(
    values: xr.Dataset,
    sets: Mapping[Chosen, NeuronSet],
    ranking: Ranking,
    settings: NeuronAblationSettings,
    relevant: Mapping[str, tuple[str, ...]],
) -> pd.DataFrame:
    """Return `curve_table` of the measured scores, with four more columns about the top neurons of each fraction."""
    top, largest = ({f: sets[how, 0, f] for f in settings.fractions} for how in (TOP, LARGEST))
    table = curve_table(values["ablated"], values["intact"], settings.intervals, relevant)
    ablated = table["fraction"].map(top)
    table.insert(2, "neurons", ablated.map(len))
    table.insert(3, "layers", ablated.map(lambda some: len(some.layers)))
    table["shared_by_chance"] = ablated.map(lambda some: shared_by_chance(some, ranking))
    table["shared_with_largest"] = [shared(top[f], largest[f]) for f in table["fraction"]]
    return table


def _recipe(attribution: NeuronAttribution, settings: NeuronAblationSettings, ranking: Ranking) -> AblationRecipe:
    return {
        "attribution": attribution.recipe,
        "by": settings.by,
        "beside": settings.beside,
        "parts": list(dict.fromkeys(part for part, _ in ranking.sites)),
        "neurons": ranking.n,
        "layers": len({layer for _, layer in ranking.sites}),
        "fractions": list(settings.fractions),
        "fixed_at": settings.fixed_at,
        "precision": settings.precision,
        "draws": settings.draws,
        "seed": settings.seed,
        "level": settings.intervals.level,
    }


def _sample_facts(pools: Sequence[Collection], whole: Collection, queries: Evaluated) -> AblationRecipe:
    measured = {query for pool in pools for query in pool.queries}
    return {
        "collection": whole.name,
        "queries": len(measured),
        "of_queries": len(queries.ids),
        "held_out": not queries.attributed,
        "attributed_queries": len(queries.attributed & measured),
        **pool_counts(pools, whole),
    }


def _limits(recipe: AblationRecipe, measures: Sequence[str]) -> list[str]:
    """Return caveats: which sample was searched, and which measures need deeper rankings than it can give."""
    if recipe["passages"] == recipe["of_passages"] and len(recipe["pools"]) == 1:
        return depth_caveats(measures, recipe["passages"])
    sample = f"{recipe['passages']:,} of {recipe['of_passages']:,} passages"
    if len(recipe["pools"]) > 1:
        sample += f" (in {len(recipe['pools'])} groups of queries, each searched in passages of its own)"
    searched = f"the neuron ablation searched {sample} with {recipe['queries']:,} of {recipe['of_queries']:,} queries"
    return [searched, *depth_caveats(measures, min(recipe["pools"]), "sample"), *sample_words(recipe["sample"])]


def _warnings(
    retriever: Retriever, attribution: NeuronAttribution, settings: NeuronAblationSettings, ranking: Ranking
) -> Iterator[str]:
    encoder = retriever.tower(attribution.recipe["tower"])
    if attribution.recipe.get("fingerprint", encoder.fingerprint) != encoder.fingerprint:
        yield "the attribution that chose the neurons used other weights, or another recipe, than the ablation"
    few = [fraction for fraction in settings.fractions if fraction * ranking.n < 0.5]
    if few:
        fractions = ", ".join(f"{fraction:g}" for fraction in few)
        yield f"the fractions {fractions} of {ranking.n} neurons are less than half a neuron, so one neuron was fixed"
    counts = [how_many(fraction, ranking.n) for fraction in settings.fractions]
    if len({*counts}) < len(counts):
        yield f"several fractions of {ranking.n} neurons fix equally many neurons: {counts}"
