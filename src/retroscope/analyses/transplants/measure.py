"""Which parts matter? The weights of one model put into the other, part by part, and retrieval measured each time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from retroscope.analyses.transplants.hybrid_scores import MEASURES, TOWERS, Hybrids, Measured, hybrid_scores
from retroscope.analyses.transplants.infer import TransplantScores, differences, with_results
from retroscope.analyses.transplants.interactions import players, subset_names
from retroscope.analyses.transplants.random_controls import random_scores
from retroscope.analyses.transplants.result import TransplantFindings
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.analyses.transplants.words import transplant_statements
from retroscope.collection.collection import Collection
from retroscope.documents import SCHEMA, clean
from retroscope.encoders.encoder import Retriever
from retroscope.errors import EncoderError, SettingsError
from retroscope.inputs.cache import default_cache
from retroscope.inputs.pairing import check_pair, recipe_differences, same_weights, told_apart
from retroscope.inputs.provenance import command_line, software
from retroscope.inputs.sampled import sampled
from retroscope.inputs.whole_search import WholeSearch, few_queries, sample_words, whole_search_of
from retroscope.progress import Progress
from retroscope.retrieval.measures import depth as deepest
from retroscope.retrieval.retrieve import check_measures
from retroscope.scores import Scores
from retroscope.statistics.settings import ComparisonSettings
from retroscope.study.settings import DataSettings, ModelSettings, plain
from retroscope.surgery.transplant import check_transplantable as check_weights
from retroscope.surgery.transplant import named, sweep

MOST_HELD = 2**31  # numbers of all hybrids' vectors, which are in memory together


@dataclass(frozen=True, kw_only=True)
class TransplantSettings:
    """What `transplant` does.

    Attributes:
        before: the backbone.
        after: the retriever fine-tuned from it.
        data: the collection.
        sweep: which hybrids, and how they are measured.
        statistics: every hybrid against its intact receiver, paired by query; the hybrids of a measure are a family.
    """

    before: ModelSettings | None = None
    after: ModelSettings | None = None
    data: DataSettings | None = None
    sweep: SweepSettings = field(default_factory=SweepSettings)
    statistics: ComparisonSettings = field(default_factory=ComparisonSettings)


def transplant(
    before: Retriever,
    after: Retriever,
    collection: Collection,
    settings: TransplantSettings | None = None,
    progress: Progress | None = None,
    *,
    cache: str | Path | None = None,
) -> TransplantFindings:
    """Retrieval with hybrids of a backbone and its retriever, each against its intact receiver.

    Args:
        before: the backbone.
        after: the retriever fine-tuned from it.
        collection: on which both are measured.
        settings: which hybrids; `before`, `after` and `data` in it are ignored.
        progress: told (what, done, total).
        cache: folder where a sweep that is stopped goes on; by default the user's cache folder.

    Raises:
        EncoderError: for two architectures.
    """
    chosen = settings or TransplantSettings()
    check_transplants(before, after)
    home = Path(cache) if cache else default_cache()
    before, after = told_apart(before, after)
    swept = replace(chosen.sweep, measures=chosen.sweep.measures or MEASURES)
    check_measures(swept.measures or MEASURES, collection)
    measured = measure_transplants(before, after, collection, swept, chosen.statistics, cache=home, progress=progress)
    found = TransplantFindings(
        before=before.name,
        after=after.name,
        collection=collection.name,
        n_blocks=after.passage.anatomy.n_blocks,
        differences=differences(measured.hybrids, chosen.statistics),
        measures=swept.measures or MEASURES,
        command=command_line(),
        settings=plain(chosen),
        versions=software(),
    )
    return with_results(found, measured, chosen.statistics)


def check_transplants(before: Retriever, after: Retriever) -> None:
    """Refuse a pair between which nothing can be transplanted, or nothing is worth it."""
    check_pair(before, after)
    check_towers(before, after)
    reason = same_models(before, after)
    if reason:
        raise SettingsError(reason, fix="give the backbone, and the retriever that was fine-tuned from it")


def check_towers(before: Retriever, after: Retriever) -> None:
    """Refuse two architectures."""
    for tower in TOWERS:
        check_weights(before.tower(tower), after.tower(tower))


def why_not(before: Retriever, after: Retriever) -> str:
    """Why nothing can be transplanted; empty where it can."""
    try:
        check_towers(before, after)
    except EncoderError as error:
        return error.what
    return same_models(before, after)


def same_models(before: Retriever, after: Retriever) -> str:
    """Why there is nothing to transplant; empty where there is."""
    if all(same_weights(before.tower(tower), after.tower(tower)) for tower in TOWERS):
        return f"{before.name} and {after.name} have the same weights: there is nothing to transplant"
    return ""


def measure_transplants(
    before: Retriever,
    after: Retriever,
    collection: Collection,
    settings: SweepSettings,
    statistics: ComparisonSettings,
    *,
    cache: Path,
    whole: WholeSearch | None = None,
    progress: Progress | None = None,
) -> TransplantScores:
    """Per-query scores of every hybrid, of its intact receiver, of random changes, and of subsets of groups.

    Args:
        statistics: which places are held against random changes: those whose effect is significant.
        whole: what both find in the whole corpus, where it is known; else it is searched here if a sample is drawn.

    Raises:
        EncoderError: for two architectures.
    """
    pair = (before, after)
    check_towers(*pair)
    depth = after.passage.anatomy.n_blocks
    names = settings.transplants or sweep(depth, settings.shares, settings.groups)
    for name in names:
        named(name, depth)
    measures = settings.measures or MEASURES
    whole = whole or whole_search_of(
        pair, collection, settings.passages, deepest(measures), cache=cache, progress=progress
    )
    rankings = whole.rankings if whole else ()
    searched = sampled(collection, collection.judged_queries, settings.passages, settings.seed, rankings)
    wanted = tuple(dict.fromkeys(("none", *names, "all")))
    refuse_large(searched, max(len(wanted) * len(settings.directions), 2**settings.interactions), after)
    run = Hybrids(pair, searched, wanted, settings, cache, progress)
    found = hybrid_scores(run)
    sample = _sample_rows(found, whole)
    return TransplantScores(
        found,
        random_scores(run, differences(found, statistics)),
        _subsets(run, depth),
        _caveats(before, after, collection, searched, sample),
        sample,
    )


def _subsets(run: Hybrids, depth: int) -> dict[str, Scores]:
    """Every subset of the groups, in the first direction: the other's are the same models."""
    if not run.settings.interactions:
        return {}
    direction = run.settings.directions[0]
    names = tuple(subset_names(players(depth, run.settings.interactions)).values())
    settings = replace(run.settings, directions=(direction,))
    intact, hybrids = hybrid_scores(replace(run, names=names, settings=settings, stage="subsets"))[direction]
    none = intact.values.isel(transplant=[0]).assign_coords(transplant=["none"])
    every = xr.concat([none, hybrids.values], "transplant")
    kept = every.copy(data=np.ascontiguousarray(every.values))  # as it is read again
    return {direction: replace(hybrids, name="subsets", values=kept)}


def _sample_rows(found: Measured, whole: WholeSearch | None) -> list[dict[str, Any]]:
    """Of every intact receiver; empty where the whole corpus was searched."""
    if whole is None:
        return []
    intact = {scores.recipe["receiver"]: scores.values.isel(transplant=0, drop=True) for scores, _ in found.values()}
    return [row for model, values in intact.items() for row in whole.compared(model, values)]


def refuse_large(searched: Collection, hybrids: int, after: Retriever) -> None:
    """An error before hours are spent on vectors that memory cannot hold."""
    width = int(after.passage.backbone.config.get_text_config().hidden_size)
    texts = len(searched.passages) + len(searched.queries)
    if texts * hybrids * width > MOST_HELD:
        raise SettingsError(
            f"{hybrids} hybrids of {texts:,} texts are {4 * texts * hybrids * width / 2**30:,.0f} GiB of vectors",
            fix="search a sample (passages), or name fewer transplants",
        )


def check_names(depth: int, settings: SweepSettings) -> None:
    """Refuse a name that is none, before anything is encoded."""
    for name in settings.transplants or ():
        named(name, depth)


def _caveats(
    before: Retriever, after: Retriever, whole: Collection, searched: Collection, sample: Sequence[Mapping[str, Any]]
) -> list[str]:
    said = [f"{len(searched.judged_queries):,} queries over {len(searched.passages):,} passages were measured"]
    said += few_queries(len(searched.judged_queries))
    said += [f"{text}; a hybrid has its receiver's recipe" for text in recipe_differences(before, after)]
    if len(searched.passages) < len(whole.passages):
        said.append(
            f"a sample of {len(searched.passages):,} of {len(whole.passages):,} passages was searched, with "
            f"{len(searched.queries):,} of {len(whole.judged_queries):,} queries: fewer passages compete"
        )
        said += sample_words(sample)
    return [*said, *whole.notes]


def interactions_document(f: TransplantFindings) -> dict[str, Any]:
    """Shapley values and pairs of every direction that has them."""
    return {
        direction: {"shapley": one.shapley.to_dict(orient="records"), "pairs": one.pairs.to_dict(orient="records")}
        for direction, one in f.interactions.items()
    }


def transplant_document(f: TransplantFindings) -> dict[str, Any]:
    """What `transplant --json` says."""
    made: dict[str, Any] = clean(
        {
            "schema": SCHEMA,
            "title": f.title,
            "verdict": [s.text for s in transplant_statements(f)],
            "caveats": list(f.caveats),
            "sample": list(f.sample),
            "transplants": f.table().to_dict(orient="records"),
            "controls": f.controls.to_dict(orient="records"),
            "interactions": interactions_document(f),
            "settings": dict(f.settings),
            "versions": dict(f.versions),
            "command": f.command,
        }
    )
    return made
