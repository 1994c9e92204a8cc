"""What a run will do, how large and how long, said before it starts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from retroscope.analyses.baselines.plan import baselines_line, other_poolings, plan_baselines
from retroscope.analyses.neurons.attribute import plan_on_collection
from retroscope.analyses.transplants.measure import TransplantSettings, why_not
from retroscope.analyses.transplants.plan import plan_transplants, transplants_line
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.attribution.plan import facts
from retroscope.attribution.settings import NeuronSettings
from retroscope.collection.collection import Collection
from retroscope.collection.records import Candidates
from retroscope.documents import SCHEMA
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.twin import random_twin
from retroscope.inputs.sampled import is_sampled, sampled
from retroscope.inputs.texts import a_few, seconds_each, texts_of
from retroscope.representations.represent import TowerPlan, plan_towers
from retroscope.study.settings import StudySettings, plain

MIB, GIB = 2**20, 2**30
ROLES = ("before", "after", "model")  # of those that everything is measured of
SAMPLED_UNITS = 8  # that the time of an attribution is estimated from


def plan_run(
    retrievers: Mapping[str, Retriever],
    collection: Collection,
    settings: StudySettings,
    cache: Path,
    *,
    neurons: bool = False,
) -> dict[str, Any]:
    """The resolved plan, JSON-like: recipes, texts, bytes and seconds of every tower, and all settings.

    Args:
        retrievers: role ("before", "after", "model", and those of `training_roles`) -> retriever; random-weight twins
            of all but other trainings are added where that control is asked for, one where they would be the same.
        neurons: they are to be attributed, if the settings say so.
    """
    everyone, retrievers = retrievers, {role: r for role, r in retrievers.items() if role in ROLES}
    planned = dict(everyone) | other_poolings(retrievers, settings.baselines)
    if "random_weights" in settings.probing.chosen_controls:
        planned |= _twins(retrievers)
    towers = [
        _tower(role, tower)
        for role, retriever in planned.items()
        for tower in plan_towers(retriever, collection, cache, settings.extraction)
    ]
    return {
        "schema": SCHEMA,
        "collection": _collection(collection),
        "similarity": {role: retriever.similarity for role, retriever in everyone.items()},
        "similarity_source": {role: retriever.similarity_source for role, retriever in everyone.items()},
        "towers": towers,
        "bytes": sum(t["bytes"] for t in towers if not t["stored"]),
        "seconds": round(sum(t["seconds"] for t in towers), 1),
        "cache": str(cache),
        "neurons": _neurons(retrievers, collection, settings) if neurons else {},
        "transplants": _transplants(retrievers, collection, settings.transplants),
        "baselines": plan_baselines(retrievers, collection, settings),
        "settings": plain(settings),
    }


def training_roles(sisters: Sequence[Retriever]) -> dict[str, Retriever]:
    """Name other trainings of the retriever in a plan: they are encoded, searched and probed, and no more."""
    return {f"training {number}": retriever for number, retriever in enumerate(sisters, start=2)}


def _collection(collection: Collection) -> dict[str, Any]:
    return {
        "name": collection.name,
        "source": collection.source,
        "mapping": dict(collection.mapping),
        "notes": list(collection.notes),
    }


def _twins(retrievers: Mapping[str, Retriever]) -> dict[str, Retriever]:
    """The distinct random-weight twins, by role."""
    found: dict[tuple[str, str], tuple[str, Retriever]] = {}
    for role, retriever in retrievers.items():
        twin = random_twin(retriever, seed=0)
        found.setdefault((twin.query.fingerprint, twin.passage.fingerprint), (role, twin))
    return {"random weights" if len(found) == 1 else f"random weights of {role}": t for role, t in found.values()}


def _tower(role: str, tower: TowerPlan) -> dict[str, Any]:
    inventory = tower.plan.inventory
    return {
        "model": role,
        "tower": tower.tower,
        "texts": len(inventory.first),
        "distinct": inventory.n_distinct,
        "tokens": inventory.tokens,
        "at_max_length": inventory.truncated,
        "bytes": tower.plan.n_bytes,
        "seconds": round(tower.seconds(), 1),
        "stored": tower.is_stored,
        "recipe": tower.plan.encoder.recipe.as_dict(),
    }


def _transplants(
    retrievers: Mapping[str, Retriever], collection: Collection, settings: SweepSettings | None
) -> dict[str, Any]:
    """Empty where there is no pair, or one that is too unlike."""
    before, after = (retrievers.get(side) for side in ("before", "after"))
    if settings is None or before is None or after is None or why_not(before, after):
        return {}
    return plan_transplants(before, after, collection, settings)


def plan_sweep(
    before: Retriever, after: Retriever, collection: Collection, settings: TransplantSettings, cache: Path
) -> dict[str, Any]:
    """The same of `transplant` alone: recipes, size, time and all settings, JSON-like.

    To draw a sample, both models encode the whole corpus once; `to_sample` has the towers that are not stored yet.
    """
    pair = {"before": before, "after": after}
    recipes = {
        side: {tower: retriever.tower(tower).recipe.as_dict() for tower in ("query", "passage")}
        for side, retriever in pair.items()
    }
    return {
        "schema": SCHEMA,
        "collection": _collection(collection),
        "recipes": recipes,
        "similarity": {side: retriever.similarity for side, retriever in pair.items()},
        "similarity_source": {side: retriever.similarity_source for side, retriever in pair.items()},
        "to_sample": _to_sample(pair, collection, settings.sweep, cache),
        "transplants": plan_transplants(before, after, collection, settings.sweep),
        "settings": plain(settings),
    }


def _to_sample(
    pair: Mapping[str, Retriever], collection: Collection, settings: SweepSettings, cache: Path
) -> list[dict[str, Any]]:
    if not is_sampled(collection, settings.passages):
        return []
    towers = [_tower(side, t) for side, r in pair.items() for t in plan_towers(r, collection, cache)]
    return [tower for tower in towers if not tower["stored"]]


def _neurons(
    retrievers: Mapping[str, Retriever], collection: Collection, settings: StudySettings
) -> dict[str, dict[str, Any]]:
    if settings.neurons is None:
        return {}
    towers = settings.neurons.towers if len(retrievers) > 1 else (settings.neurons.scaled,)
    return {
        f"{role}, {tower} tower": _expected(r, collection, settings, replace(settings.neurons, tower=tower))
        for role, r in retrievers.items()
        for tower in towers
    }


def _expected(
    retriever: Retriever, collection: Collection, settings: StudySettings, chosen: NeuronSettings
) -> dict[str, Any]:
    """Units, seconds and bytes of the attribution of neurons, from a few units.

    Their negatives are other queries' relevant passages: as long as real ones, and found at once.
    """
    judged = collection.judged_queries
    relevant = [next(p for p, grade in collection.qrels[query].items() if grade > 0) for query in judged]
    pairs = zip(judged, relevant, [*relevant[1:], *relevant[:1]], strict=True)
    sample = replace(chosen, limit=min(SAMPLED_UNITS, chosen.limit or SAMPLED_UNITS))
    candidates = [Candidates(query, positive, (other,)) for query, positive, other in pairs]
    said = facts(plan_on_collection(retriever, collection, candidates, sample, settings.protocol))
    units = min(chosen.limit or len(judged), len(judged))
    runs = 0 if settings.ablation is None else settings.ablation.ablations + 2
    searched = collection
    if settings.ablation is not None and is_sampled(collection, settings.ablation.passages):
        searched = sampled(collection, judged, settings.ablation.passages, settings.ablation.seed)
    encoded = len(searched.passages) if chosen.scaled == "passage" else len(searched.judged_queries)
    return {
        "units": units,
        "seconds": said["seconds"] * units / said["units"],
        "bytes": said["bytes"],
        "ablations": runs,
        "ablation_texts": encoded if runs else 0,
        "ablation_seconds": round(runs * encoded * _seconds(retriever, collection, chosen.scaled), 1) if runs else 0.0,
    }


def _seconds(retriever: Retriever, collection: Collection, tower: str) -> float:
    """Of one text of a tower, encoded once more."""
    return seconds_each(texts_of(retriever, a_few(collection), tower, None))


def describe(plan: Mapping[str, Any]) -> str:
    """The plan in a few lines."""
    lines = _collection_lines(plan)
    for tower in plan["towers"]:
        lines += _tower_lines(tower)
    lines += _similarity_lines(plan)
    for role, said in plan["neurons"].items():
        cost = f"{said['seconds']:,.0f} s and {said['bytes'] / GIB:,.1f} GiB"
        again = f"; for ablation {said['ablation_texts']:,} texts are encoded {said['ablations']} times more, "
        again += f"about {said['ablation_seconds']:,.0f} s"
        lines.append(f"{role}: neurons of {said['units']:,} units, about {cost}{again if said['ablations'] else ''}")
    if plan["transplants"]:
        lines.append(transplants_line(plan["transplants"]))
    if plan["baselines"]:
        lines.append(baselines_line(plan["baselines"]))
    if plan["settings"].get("elsewhere"):
        lines.append("elsewhere: encoded besides, and not in this plan")
    lines.append(
        f"to encode: about {plan['seconds']:,.0f} s and {plan['bytes'] / MIB:,.0f} MiB in {plan['cache']}; "
        "this excludes the times listed above, search, probing and statistics"
    )
    return "\n".join(lines)


def describe_sweep(plan: Mapping[str, Any]) -> str:
    """The plan of `transplant` in a few lines."""
    lines = _collection_lines(plan)
    lines += [
        f"{side}, {tower} tower: {_recipe_words(recipe)}"
        for side, towers in plan["recipes"].items()
        for tower, recipe in towers.items()
    ]
    if plan["to_sample"]:
        texts, seconds = (sum(tower[name] for tower in plan["to_sample"]) for name in ("texts", "seconds"))
        lines.append(f"to draw a sample, {texts:,} texts are encoded once, about {seconds:,.0f} s")
    return "\n".join([*lines, *_similarity_lines(plan), transplants_line(plan["transplants"])])


def _collection_lines(plan: Mapping[str, Any]) -> list[str]:
    said = plan["collection"]
    fields = [f"  {ours} <- {theirs}" for ours, theirs in said["mapping"].items()]
    return [f"collection: {said['name']} ({said['source']})", *fields, *(f"  note: {note}" for note in said["notes"])]


def _similarity_lines(plan: Mapping[str, Any]) -> list[str]:
    sources = plan["similarity_source"]
    return [f"{role}: vectors are compared by {name} ({sources[role]})" for role, name in plan["similarity"].items()]


def _tower_lines(tower: Mapping[str, Any]) -> Sequence[str]:
    state = "stored" if tower["stored"] else f"about {tower['seconds']:,.0f} s, {tower['bytes'] / MIB:,.1f} MiB"
    counts = f"{tower['texts']:,} texts, {tower['distinct']:,} distinct, {tower['tokens']:,} tokens"
    counts += f", {tower['at_max_length']:,} at the maximum length"
    head = f"{tower['model']}, {tower['tower']} tower: {counts}; {state}"
    return head, f"  recipe: {_recipe_words(tower['recipe'])}"


def _recipe_words(recipe: Mapping[str, Any]) -> str:
    told = ("pooling", "max_length", "prompt", "suffix", "append_eos", "padding_side", "head")
    sources = recipe["sources"]
    return ", ".join(f"{name}={recipe[name]!r} ({sources.get(name, 'default')})" for name in told if recipe[name])
