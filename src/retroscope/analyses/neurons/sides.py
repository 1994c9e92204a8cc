"""The neurons of one retriever, attributed and ablated, as the report wants them and as a folder keeps them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from retroscope.analyses.neurons.ablation_curves import AblationCurves, ablation_curves
from retroscope.analyses.neurons.attribute import plan_on_collection, shared_negatives
from retroscope.analyses.neurons.result import PUBLISHED, Ablation, HeatMap, NeuronSide
from retroscope.attribution.attribute import attribute_neurons
from retroscope.attribution.overlap import overlap
from retroscope.attribution.plan import AttributionPlan
from retroscope.attribution.result import NeuronAttribution
from retroscope.attribution.settings import NeuronSettings
from retroscope.attribution.store import load_attribution, save_attribution
from retroscope.collection.collection import Collection
from retroscope.collection.records import Candidates
from retroscope.encoders.encoder import Retriever
from retroscope.errors import SettingsError
from retroscope.files import whole_folder
from retroscope.inputs.whole_search import WholeSearch, whole_search_of
from retroscope.progress import Progress, Stages
from retroscope.retrieval.measures import depth
from retroscope.scores import load_scores
from retroscope.study.settings import StudySettings

SHARED_NEGATIVE = "the candidate with the smallest mean rank by both retrievers"
STORE, TABLE, AREAS, OVERLAP = "neurons.zarr", "ablation.parquet", "ablation-areas.parquet", "overlap.parquet"


@dataclass(frozen=True, eq=False)
class MeasuredNeurons:
    """One side's neurons, and how long each stage took."""

    side: NeuronSide
    attribution: NeuronAttribution
    seconds: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Neurons:
    """Both sides of a comparison, by one tower, and how far they name the same neurons (`attribution.overlap`)."""

    sides: Mapping[str, NeuronSide]
    agreement: pd.DataFrame | None


def measure_neurons(
    retriever: Retriever,
    collection: Collection,
    candidates: Sequence[Candidates],
    settings: StudySettings,
    *,
    cache: Path,
    whole: WholeSearch | None = None,
    progress: Progress | None = None,
) -> MeasuredNeurons:
    """Attribute, and ablate where the settings say so."""
    start = time.perf_counter()
    plan = plan_on_collection(retriever, collection, candidates, wanted(settings), settings.protocol)
    planned = {"neurons: plan": time.perf_counter() - start}
    found = run_plan(plan, retriever, collection, settings, cache=cache, whole=whole, progress=progress)
    return MeasuredNeurons(found.side, found.attribution, {**planned, **found.seconds})


def measure_pair(
    pair: Mapping[str, Retriever],
    collection: Collection,
    candidates: Sequence[Candidates],
    settings: StudySettings,
    *,
    cache: Path,
    whole: WholeSearch | None = None,
    progress: Progress | None = None,
) -> dict[str, dict[str, MeasuredNeurons]]:
    """Tower -> side -> its neurons; the margins of both sides are against the same negatives."""
    if settings.neurons is None:
        return {}
    chosen = settings.neurons
    common = shared_negatives(list(pair.values()), collection, candidates, chosen, settings.protocol)
    found: dict[str, dict[str, MeasuredNeurons]] = {}
    for tower in chosen.towers:
        one = replace(settings, neurons=replace(chosen, tower=tower))
        for side, retriever in pair.items():
            made = measure_neurons(retriever, collection, common, one, cache=cache, whole=whole, progress=progress)
            found.setdefault(tower, {})[side] = _with_shared_negative(made) if chosen.target == "margin" else made
    return found


def _with_shared_negative(made: MeasuredNeurons) -> MeasuredNeurons:
    """With the choice of the negative in its recipe."""
    recipe = {**made.attribution.recipe, "negative": SHARED_NEGATIVE}
    scores = replace(made.attribution.scores, recipe=recipe)
    return replace(
        made,
        side=replace(made.side, scores=scores, recipe=recipe),
        attribution=replace(made.attribution, scores=scores, recipe=recipe),
    )


def paired(towers: Mapping[str, Mapping[str, MeasuredNeurons]], which: int) -> Neurons | None:
    """Both sides of the first (0) or second (1) tower, and how far they agree; None where it was not attributed."""
    if which >= len(towers):
        return None
    sides = list(towers.values())[which]
    agreement = overlap_table(sides["before"].attribution, sides["after"].attribution)
    return Neurons({name: found.side for name, found in sides.items()}, agreement)


def wanted(settings: StudySettings) -> NeuronSettings:
    """How neurons are attributed; an error where they were left out."""
    if settings.neurons is None:
        raise SettingsError("the settings leave neurons out", where="neurons: null", fix="take that line away")
    return settings.neurons


def run_plan(
    plan: AttributionPlan,
    retriever: Retriever,
    collection: Collection | None,
    settings: StudySettings,
    *,
    cache: Path,
    whole: WholeSearch | None = None,
    progress: Progress | None = None,
) -> MeasuredNeurons:
    """What a plan says, and its ablation; texts without a collection have nothing to ablate on.

    Args:
        whole: what all models of the study find in the whole corpus; None: a sample is drawn by this model's ranks.
    """
    stages = Stages(f"{retriever.name}, {plan.settings.scaled} tower", progress)
    made = attribute_neurons(plan, cache, stages.inside("neurons"))
    if collection is not None and plan.settings.target != "norm":  # whose units are distinct texts
        made = replace(made, scores=made.scores.with_texts(collection.query_texts))
    stages.ended("neurons")
    curves, why_not = None, ""
    if settings.ablation is not None and collection is not None:
        why_not = _nothing_to_rank(made)
        if not why_not:
            # searched as the retriever searches: the published way of embedding is for its neuron counts alone
            whole = whole or whole_search_of(
                [retriever],
                collection,
                settings.ablation.passages,
                depth(settings.ablation.measures),
                cache=cache,
                extraction=settings.extraction,
                progress=stages.named(),
            )
            curves = ablation_curves(retriever, collection, made, settings.ablation, stages.named(), whole=whole)
        stages.ended("neurons: ablation")
    side = neuron_side(retriever.name, made, curves)
    if why_not:
        side = replace(side, warnings=(*side.warnings, why_not))
    return MeasuredNeurons(side, made, stages.seconds)


def _nothing_to_rank(made: NeuronAttribution) -> str:
    """Why neurons cannot be ablated by their attribution; empty where they can."""
    if made.noise + int(made.recipe["lost"]) < made.units:
        return ""
    return "no ablation was run: every unit is noise or not finite, so no neuron is above another"


def neuron_side(model: str, made: NeuronAttribution, curves: AblationCurves | None) -> NeuronSide:
    """As the report wants it."""
    ablation = None
    if curves is not None:
        parts = (curves.scores, curves.intact, curves.table, curves.areas, curves.recipe, curves.warnings)
        ablation = Ablation(*parts)
    return NeuronSide(model, made.scores, made.neurons, made.units, made.noise, made.recipe, made.warnings, ablation)


def heat_map(protocol: str, side: NeuronSide) -> HeatMap:
    """The layout of the protocol, at the largest threshold that was counted where its own was not."""
    if protocol != "ielab-2025":
        return HeatMap()
    return PUBLISHED if PUBLISHED.value in side.thresholds else replace(PUBLISHED, value=side.thresholds[-1])


def overlap_table(before: NeuronAttribution, after: NeuronAttribution) -> pd.DataFrame | None:
    """How far the two name the same neurons; None where their matrices are not of one shape."""
    shapes = [{part: dict(table.sizes) for part, table in made.neurons.items()} for made in (before, after)]
    return overlap(before, after).table if shapes[0] == shapes[1] else None


def save_neurons(neurons: Neurons, folder: Path) -> None:
    """Write every side into `folder`, in place of what an earlier run left there.

    Raises:
        SettingsError: if the folder holds files that are not ours.
    """
    with whole_folder(folder) as new:
        _write(neurons, new)


def _write(neurons: Neurons, folder: Path) -> None:
    for name, side in neurons.sides.items():
        made = NeuronAttribution(side.scores, side.neurons, side.units, side.noise, side.recipe, side.warnings)
        save_attribution(made, folder / STORE, name)
        if side.ablation is not None:
            side.ablation.scores.save(folder / STORE, f"{name}/ablation")
            side.ablation.intact.save(folder / STORE, f"{name}/intact")
            side.ablation.table.to_parquet(folder / f"{name}-{TABLE}", index=False)
            side.ablation.areas.to_parquet(folder / f"{name}-{AREAS}", index=False)
    if neurons.agreement is not None:
        neurons.agreement.to_parquet(folder / OVERLAP, index=False)


def load_neurons(models: Mapping[str, str], folder: Path) -> Neurons | None:
    """What `save_neurons` wrote, for side -> model name; None where nothing was."""
    there = [name for name in models if (folder / STORE / name).exists()]
    if not there:
        return None
    agreement = pd.read_parquet(folder / OVERLAP) if (folder / OVERLAP).exists() else None
    return Neurons({name: _load_side(name, models[name], folder) for name in there}, agreement)


def _load_side(name: str, model: str, folder: Path) -> NeuronSide:
    made = load_attribution(folder / STORE, name)
    ablation = None
    if (folder / f"{name}-{TABLE}").exists():
        scores, intact = (load_scores(folder / STORE, f"{name}/{group}") for group in ("ablation", "intact"))
        table, areas = (pd.read_parquet(folder / f"{name}-{file}") for file in (TABLE, AREAS))
        ablation = Ablation(scores, intact, table, areas, scores.recipe, scores.warnings)
    return NeuronSide(model, made.scores, made.neurons, made.units, made.noise, made.recipe, made.warnings, ablation)
