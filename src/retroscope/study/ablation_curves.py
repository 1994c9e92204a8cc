"""Do the neurons that an attribution names matter? Retrieval with the top ones held, against as many others.

After Vast et al. (ICTIR 2024, arXiv 2406.19309), who prune the neurons that an attribution names: it is believed
where that does more harm than pruning others. Random and bottom neurons have the layer histogram of the top ones.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.attribution.concentration import how_many
from retroscope.attribution.result import NeuronAttribution
from retroscope.attribution.selection import HOWS, NeuronSet, Ranking, choose, ranked
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.scores import QUERY, TEXT, Scores
from retroscope.study.ablation_settings import ENOUGH, TOWERS, AblationSettings
from retroscope.study.ablation_table import area_table, curve_table, shared_by_chance
from retroscope.study.ablation_trial import Trial, check_towers, make_trial
from retroscope.study.held_out import Evaluated, evaluated_queries
from retroscope.study.measure import Progress
from retroscope.study.sampled import is_sampled, sampled
from retroscope.study.whole_search import WholeSearch, few_queries, sample_words, whole_search


@dataclass(frozen=True, eq=False)
class AblationCurves:
    """What ablation does to retrieval.

    Attributes:
        scores: dimensions (query, how, draw, fraction, measure); "top" and "bottom" have the draw 0 only, and the
            others are NaN.
        intact: (query, measure), nothing ablated.
        table: a row for each fraction and measure (see `ablation_table.curve_table`), with the number of `neurons`
            held and `shared_by_chance`, the expected share of the top ones in a random set.
        areas: a row for each measure and each of "top" and "bottom" (see `ablation_table.area_table`).
        top: fraction -> the neurons that "top" held.
        recipe: how it was made (JSON-like).
        warnings: reasons not to trust it.
    """

    scores: Scores
    intact: Scores
    table: pd.DataFrame
    areas: pd.DataFrame
    top: Mapping[float, NeuronSet]
    recipe: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


def ablation_curves(
    retriever: Retriever,
    collection: Collection,
    attribution: NeuronAttribution,
    settings: AblationSettings | None = None,
    progress: Progress | None = None,
    *,
    whole: WholeSearch | None = None,
) -> AblationCurves:
    """Retrieve with the top, the bottom and random neurons held, for each fraction, and with none.

    The ablated tower's texts are encoded `settings.ablations` + 2 times (16 by default), the other's once; the rest
    costs little. A corpus of more than `settings.passages` is sampled. Token ids and final vectors are held in memory.

    Args:
        progress: told (what, texts encoded, texts to encode).
        whole: what intact models find in the whole corpus, by which a sample is drawn; None: by BM25 alone.

    Raises:
        SettingsError: if an ablated tower has other weights than the attributed one.
        AnalysisError: if no query is held out.
    """
    settings = settings or AblationSettings()
    towers = TOWERS[settings.tower or attribution.recipe["tower"]]
    check_towers(retriever, attribution.recipe["tower"], towers)
    ranking = ranked(attribution, settings.by, settings.parts)
    queries = evaluated_queries(collection, attribution, held_out=settings.held_out, enough=ENOUGH)
    if whole is None and is_sampled(collection, settings.passages):
        whole = whole_search(collection, {}, settings.measures)
    rankings = whole.rankings if whole else ()
    searched = sampled(collection, queries.ids, settings.passages, settings.seed, rankings)
    trial = make_trial(
        retriever,
        searched,
        towers=towers,
        measures=settings.measures,
        hold_mean=settings.hold == "mean",
        batch_tokens=settings.batch_tokens,
        ablations=settings.ablations,
        progress=progress,
    )
    values = _values(trial, ranking, settings)
    recipe = {
        **_recipe(attribution, settings, ranking),
        **_searched(searched, collection, queries),
        "sample": whole.compared(retriever.name, values["intact"]) if whole else [],
        "towers": list(towers),
    }
    warnings = (*attribution.warnings, *_warnings(retriever, attribution, settings, ranking), *_left_out(recipe))
    return _curves(values, ranking, settings, recipe, warnings)


def _values(trial: Trial, ranking: Ranking, settings: AblationSettings) -> xr.Dataset:
    """`ablated` (query, how, draw, fraction, measure) and `intact` (query, measure)."""
    labels: dict[str, list[Any]] = {
        QUERY: list(trial.collection.queries),
        "how": list(HOWS),
        "draw": list(range(settings.draws)),
        "fraction": list(settings.fractions),
        "measure": list(settings.measures),
    }
    intact = trial.values(None)
    ablated = np.full([len(names) for names in labels.values()], np.nan)
    for (how, draw, fraction), neurons in _sets(ranking, settings):
        ablated[:, how, draw, fraction] = trial.values(neurons)
    numbers = trial.collection.query_texts
    coords = {**labels, TEXT: (QUERY, [numbers[query] for query in labels[QUERY]])}
    return xr.Dataset({"ablated": (tuple(labels), ablated), "intact": ((QUERY, "measure"), intact)}, coords)


def _sets(ranking: Ranking, settings: AblationSettings) -> Iterator[tuple[tuple[int, int, int], NeuronSet]]:
    """(how, draw, fraction) by position, and the neurons that are held there."""
    for at, fraction in enumerate(settings.fractions):
        for number, how in enumerate(HOWS):
            for draw in range(settings.draws if how == "random" else 1):
                yield (number, draw, at), choose(ranking, fraction, how, settings.seed + draw)


def _curves(
    values: xr.Dataset, ranking: Ranking, settings: AblationSettings, recipe: dict[str, Any], warnings: tuple[str, ...]
) -> AblationCurves:
    top = {fraction: choose(ranking, fraction, "top") for fraction in settings.fractions}
    table = curve_table(values["ablated"], values["intact"], settings.intervals)
    sets = table["fraction"].map(top)
    table.insert(2, "neurons", sets.map(len))
    table["shared_by_chance"] = sets.map(lambda some: shared_by_chance(some, ranking))
    return AblationCurves(
        Scores("ablation", values["ablated"], recipe, warnings),
        Scores("intact retrieval", values["intact"], recipe, warnings),
        table,
        area_table(values["ablated"], settings.intervals),
        top,
        recipe,
        warnings,
    )


def _recipe(attribution: NeuronAttribution, settings: AblationSettings, ranking: Ranking) -> dict[str, Any]:
    return {
        "attribution": dict(attribution.recipe),
        "by": settings.by,
        "parts": list(dict.fromkeys(part for part, _ in ranking.sites)),
        "neurons": ranking.n,
        "fractions": list(settings.fractions),
        "hold": settings.hold,
        "draws": settings.draws,
        "seed": settings.seed,
    }


def _searched(searched: Collection, whole: Collection, queries: Evaluated) -> dict[str, Any]:
    return {
        "collection": whole.name,
        "queries": len(searched.queries),
        "of_queries": len(queries.ids),
        "held_out": not queries.attributed,
        "attributed_queries": len(queries.attributed & searched.queries.keys()),
        "passages": len(searched.passages),
        "of_passages": len(whole.passages),
    }


def _left_out(recipe: Mapping[str, Any]) -> list[str]:
    if recipe["passages"] == recipe["of_passages"]:
        return []
    sample = f"{recipe['passages']:,} of {recipe['of_passages']:,} passages"
    said = f"ablation searched {sample} with {recipe['queries']:,} of {recipe['of_queries']:,} queries, a sample"
    return [said, *(f"ablation: {text}" for text in [*sample_words(recipe["sample"]), *few_queries(recipe["queries"])])]


def _warnings(
    retriever: Retriever, attribution: NeuronAttribution, settings: AblationSettings, ranking: Ranking
) -> Iterator[str]:
    encoder = retriever.tower(attribution.recipe["tower"])
    if attribution.recipe.get("fingerprint", encoder.fingerprint) != encoder.fingerprint:
        yield "the neurons were chosen by an attribution of other weights, or under another recipe, than are ablated"
    few = [fraction for fraction in settings.fractions if fraction * ranking.n < 0.5]
    if few:
        said = ", ".join(f"{fraction:g}" for fraction in few)
        yield f"of {ranking.n} neurons the fractions {said} are less than half a neuron; one neuron was taken"
    counts = [how_many(fraction, ranking.n) for fraction in settings.fractions]
    if len({*counts}) < len(counts):
        yield f"some fractions of {ranking.n} neurons are the same number of them: {counts}"
