"""compare(before, after) -> Study: the same analyses on two retrievers, paired by query."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pandas as pd

from retroscope.analyses.baselines.measure import already_there
from retroscope.analyses.neurons.sides import MeasuredNeurons, measure_pair, paired
from retroscope.analyses.representations.measure import why_not
from retroscope.analyses.retrieval.examples import flip_examples
from retroscope.analyses.trainings.measure import measure_trainings
from retroscope.analyses.transplants.measure import check_names
from retroscope.analyses.transplants.measure import why_not as why_not_transplanted
from retroscope.attribution.units import left_out
from retroscope.collection.collection import Collection
from retroscope.collection.negatives import MinedNegatives, hard_negatives
from retroscope.collection.records import Candidates
from retroscope.documents import SCHEMA, clean
from retroscope.encoders.encoder import Retriever
from retroscope.errors import AnalysisError
from retroscope.inputs.cache import default_cache
from retroscope.inputs.encoding import doubts
from retroscope.inputs.pairing import check_pair, recipe_differences, told_apart
from retroscope.inputs.provenance import collection_facts, command_line, model_facts, software, truncation_caveats
from retroscope.probing.tasks import build_task
from retroscope.progress import Progress
from retroscope.retrieval.measures import depth_caveats
from retroscope.retrieval.retrieve import check_measures
from retroscope.scores import Scores
from retroscope.study.extras import Extra, searched_whole, transplanted, what_moved, what_moved_elsewhere
from retroscope.study.measure import Measured, measure, ranking_caveats, twin_of
from retroscope.study.protocols import departures
from retroscope.study.settings import StudySettings
from retroscope.study.study import Study

FLIP_MEASURES = ("RR@10", "RR", "nDCG@10")  # by the first of these that is measured, else the headline


def compare(
    before: Retriever,
    after: Retriever,
    collection: Collection,
    settings: StudySettings | None = None,
    *,
    elsewhere: Collection | None = None,
    sisters: Sequence[Retriever] = (),
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Study:
    """Measure a backbone and the retriever fine-tuned from it the same way, and pair them by query.

    Args:
        before: the backbone.
        after: the retriever fine-tuned from it.
        collection: on which both are measured.
        settings: of every room; models and collections in it are ignored.
        elsewhere: a second collection, of another kind of text.
        sisters: other trainings of the retriever (other seeds): for intervals over trainings and queries together.
        cache: folder of the vector stores; by default the user's cache folder.
        progress: told (what, done, total).

    Raises:
        EncoderError: if the two have different numbers of layers, so that no layer can be paired.
    """
    settings, home = settings or StudySettings(), Path(cache) if cache else default_cache()
    check_pair(before, after)
    check_measures(settings.retrieval.measures, collection)
    before, after = told_apart(before, after)
    elsewhere = _other_name(elsewhere, collection.name)
    settings, missing = _possible(before, after, collection, settings)
    _check_others(before, after, settings, elsewhere, sisters)
    negatives = mine(collection, settings)
    pair = {"before": before, "after": after}
    # each side's own: where architecture and recipe are the same the vectors are, too, and come from the cache
    twins = {name: twin_of(one, collection, home, settings, progress) for name, one in pair.items()}
    sides = {
        name: measure(one, collection, negatives, settings, cache=home, twin=twins[name], progress=progress)
        for name, one in pair.items()
    }
    whole = searched_whole(sides, collection, settings)
    others = measure_trainings(sides, sisters, collection, negatives, settings, cache=home, progress=progress)
    neurons = measure_pair(pair, collection, negatives.candidates, settings, cache=home, whole=whole, progress=progress)
    extras = [
        Extra(caveats=[*_neuron_caveats(collection, negatives, settings), *missing], timings=_times(neurons)),
        moved := what_moved(
            sides, collection, settings, twin=twins["before"], sisters=others.vectors, progress=progress
        ),
        transplanted(before, after, collection, settings, home, whole=whole, progress=progress),
        second := what_moved_elsewhere(before, after, elsewhere, settings, home, progress=progress),
        already_there(sides, twins["before"], collection, settings, home, progress=progress),
        others.extra,
    ]
    study = Study(
        _facts(sides, collection, negatives, settings, extras),
        settings,
        _scores(sides, extras),
        _seeds(sides),
        neurons=paired(neurons, 0),
        query_neurons=paired(neurons, 1),
        moved=moved.moved,
        bare_moved=moved.bare,
        elsewhere=second.moved,
    )
    return _with_examples(study, collection, sides)


def _other_name(elsewhere: Collection | None, name: str) -> Collection | None:
    """Return the second collection under another name than the first's."""
    if elsewhere is None or elsewhere.name != name:
        return elsewhere
    return replace(elsewhere, name=f"{name} (elsewhere)")


def _with_examples(study: Study, collection: Collection, sides: Mapping[str, Measured]) -> Study:
    """Return the study with its rankings, and with the texts of queries that gained and lost."""
    runs = _runs(sides)
    examples = flip_examples(study.retrieval, collection, runs, study.facts["flip_measure"])
    return replace(study, facts={**study.facts, **examples}, runs=runs)


def _possible(
    before: Retriever, after: Retriever, collection: Collection, settings: StudySettings
) -> tuple[StudySettings, list[str]]:
    """The settings without what cannot be measured of this pair, and why; known before anything is encoded."""
    reasons = []
    unmoved = why_not(before, after, collection) if settings.drift is not None else ""
    if unmoved:
        settings = replace(settings, drift=None)
        reasons.append(f"what moved was not measured: {unmoved}")
    unfit = why_not_transplanted(before, after) if settings.transplants is not None else ""
    if unfit:
        settings = replace(settings, transplants=None)
        reasons.append(f"no weights were transplanted: {unfit}")
    if settings.transplants is not None:
        check_names(after.passage.anatomy.n_blocks, settings.transplants)
    return settings, reasons


def _check_others(
    before: Retriever,
    after: Retriever,
    settings: StudySettings,
    elsewhere: Collection | None,
    sisters: Sequence[Retriever],
) -> None:
    """Refuse a second collection or training that could not be used, before anything is encoded."""
    if elsewhere is not None and settings.drift is None:
        raise AnalysisError(
            "a second collection is for what moved, which is not measured", fix="leave it out, or ask for drift"
        )
    for sister in sisters:
        check_pair(after, sister)
    few = why_not(before, after, elsewhere) if elsewhere is not None else ""
    if few:
        raise AnalysisError(f"what moved elsewhere cannot be measured: {few}", where=getattr(elsewhere, "name", ""))


def _times(neurons: Mapping[str, Mapping[str, MeasuredNeurons]]) -> dict[str, float]:
    return {
        f"{name}, {tower} tower: {stage}": s
        for tower, sides in neurons.items()
        for name, side in sides.items()
        for stage, s in side.seconds.items()
    }


def _neuron_caveats(collection: Collection, negatives: MinedNegatives, settings: StudySettings) -> list[str]:
    chosen = settings.neurons
    if chosen is None:
        return []
    said = [
        t for tower in chosen.towers for t in left_out(collection, negatives.candidates, replace(chosen, tower=tower))
    ]
    return list(dict.fromkeys(said))


def mine(collection: Collection, settings: StudySettings, *, probing: bool = True) -> MinedNegatives:
    """Hard negatives as the settings say; that they can be split is known before anything is encoded.

    Args:
        probing: they are for probes, too; else nothing is split.

    Raises:
        AnalysisError: if there are too few for the probes.
    """
    wanted = settings.negatives
    run = Path(wanted.run) if wanted.run else None
    published = settings.protocol == "ielab-2025" and bool(collection.candidates)
    how = wanted.how if wanted.how != "auto" else "given" if published else "bm25"
    found = hard_negatives(collection, wanted.pool, how=how, run=run, pool=wanted.pool)
    if published and how == "given":
        found = replace(found, candidates=tuple(_repeated(c, settings) for c in found.candidates))
    if not probing:
        return found
    task = build_task(found.candidates, max(settings.probing.passages), collection.query_texts)
    for seed in settings.probing.seed_values:
        settings.probing.rules.split(task, seed)
    return found


def _repeated(candidates: Candidates, settings: StudySettings) -> Candidates:
    """Negatives repeated up to the number that the largest N needs, as in the published data sets."""
    wanted = max(settings.probing.passages) - 1
    return replace(
        candidates, negatives=tuple(islice(cycle(candidates.negatives), max(wanted, len(candidates.negatives))))
    )


def _facts(
    sides: Mapping[str, Measured],
    collection: Collection,
    negatives: MinedNegatives,
    settings: StudySettings,
    extras: Sequence[Extra],
) -> dict[str, Any]:
    measures = settings.retrieval.measures
    models = {name: model_facts(side.retriever, side.self_tests) for name, side in sides.items()}
    facts = {
        "schema": SCHEMA,
        "title": f"{models['before']['name']} and {models['after']['name']} on {collection.name}",
        **models,
        "collection": collection_facts(collection, negatives),
        "flip_measure": next((m for m in FLIP_MEASURES if m in measures), measures[0]),
        "caveats": [
            *departures(settings),
            *depth_caveats(measures, len(collection.passages)),
            *(f"collection: {note}" for note in collection.notes),
            *_caveats(sides),
            *(text for extra in extras for text in extra.caveats),
        ],
        "command": command_line(),
        "versions": software(),
        "timings": {f"{name}: {stage}": s for name, side in sides.items() for stage, s in side.seconds.items()}
        | {stage: s for extra in extras for stage, s in extra.timings.items()},
        "probing": [
            {"side": name, **record}
            for name, side in sides.items()
            if side.probing
            for record in side.probing.records(settings.statistics.level)
        ],
        "query_texts": {},
        "top_passages": {},
    }
    for extra in extras:
        facts |= extra.facts
    return {name: clean(value) for name, value in facts.items()}


def _caveats(sides: Mapping[str, Measured]) -> list[str]:
    said = recipe_differences(*(side.retriever for side in sides.values()))
    said += [
        f"{name}: compared by {one.similarity}, {one.similarity_source}, not by its own {one.own_similarity}"
        for name, one in ((name, side.retriever) for name, side in sides.items())
        if one.own_similarity
    ]
    for name, side in sides.items():
        said += [f"{name}: {doubt}" for doubt in doubts(side.self_tests)]
        said += [*truncation_caveats(name, side.vectors.recipe), *ranking_caveats(name, side)]
        if side.probing:
            said += [f"{name}: {warning}" for warning in side.probing.warnings]
            said += side.probing.left_out  # the same on both sides: said once
    if _same_vectors(sides):
        said.append("both sides make exactly the same vectors: the same model was given twice")
    return list(dict.fromkeys(said))


def _same_vectors(sides: Mapping[str, Measured]) -> bool:
    towers = ("query", "passage")
    one, two = (tuple(side.vectors.recipe[t]["vectors"] for t in towers) for side in sides.values())
    return one == two


def _scores(sides: Mapping[str, Measured], extras: Sequence[Extra]) -> dict[str, Scores]:
    found = {name: scores for extra in extras for name, scores in extra.scores.items()}
    for name, side in sides.items():
        found |= {f"{name}/{analysis}": scores for analysis, scores in side.scores.items()}
    return found


def _seeds(sides: Mapping[str, Measured]) -> pd.DataFrame | None:
    frames: list[pd.DataFrame] = []
    for name, side in sides.items():
        if side.probing is not None and side.probing.by_seed.size:
            frames.append(side.probing.by_seed_frame().assign(side=name))
    return pd.concat(frames, ignore_index=True) if frames else None


def _runs(sides: Mapping[str, Measured]) -> dict[str, Any]:
    return {name: side.retrieval.run for name, side in sides.items()}
