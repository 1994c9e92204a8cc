"""Print the plan of a study: collections, towers to encode, and recipes."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from retroscope.analyses.analysis import TowerWork
from retroscope.collection.collection import Collection
from retroscope.encoders.recipe import RecipeFacts
from retroscope.numbers import count, estimate

MIB = 2**20
PRINTED = ("pooling", "max_length", "prompt", "suffix", "append_eos", "padding_side", "head")  # of a recipe


def counts(collections: Sequence[Collection]) -> str:
    """Describe the sizes of the collections: passages and queries of each."""
    sizes = [
        f"{one.name}: {count(len(one.passages), 'passage')}, {count(len(one.queries), 'query')} "
        f"({len(one.judged_queries):,} judged)"
        for one in collections
    ]
    return "\n".join(sizes)


class PlannedCollection(TypedDict):
    """A collection in a plan as JSON-like values: its source, the columns of its fields, and notes."""

    name: str
    source: str
    mapping: dict[str, str]
    notes: list[str]


def collection_document(collection: Collection) -> PlannedCollection:
    """Return name, source, field mapping and notes of a collection, as JSON-like values."""
    return {
        "name": collection.name,
        "source": collection.source,
        "mapping": dict(collection.mapping),
        "notes": list(collection.notes),
    }


def collection_lines(collection: PlannedCollection) -> list[str]:
    """Describe a collection in lines: its source, fields and notes."""
    columns = [f"  {ours} <- {theirs}" for ours, theirs in collection["mapping"].items()]
    notes = [f"  note: {note}" for note in collection["notes"]]
    return [f"collection: {collection['name']} ({collection['source']})", *columns, *notes]


def tower_lines(tower: TowerWork, *, several: bool) -> Sequence[str]:
    """Describe in lines what encoding one tower needs, and the recipe of the tower."""
    state = "stored" if tower["stored"] else f"{tower['bytes'] / MIB:,.1f} MiB"
    state += f", encoded together with {tower['within']}" if tower["within"] else ""
    counts = f"{tower['texts']:,} texts, {tower['distinct']:,} distinct, {tower['tokens']:,} tokens"
    counts += f", {tower['at_max_length']:,} at the maximum length"
    on = f", {tower['collection']}" if several else ""
    return f"{tower['model']}, {tower['tower']} tower{on}: {counts}; {state}", f"  recipe: {_recipe(tower['recipe'])}"


def time_lines(plan: Mapping[str, Any]) -> list[str]:
    """Return a table of the stages and their times, with the total."""
    stages = {name: estimate(seconds) for name, seconds in plan["stages"].items() if seconds}
    width = max(map(len, stages), default=0)
    rows = [f"  {name:<{width}}  {time}" for name, time in stages.items()]
    total = f"in all about {estimate(plan['seconds'])}, and {plan['bytes'] / MIB:,.0f} MiB in {plan['cache']}"
    return ["estimated time:", *rows, total]


def _recipe(recipe: RecipeFacts) -> str:
    """Describe the recipe fields that are set, with their sources."""
    sources, values = recipe["sources"], dict(recipe)
    return ", ".join(f"{name}={values[name]!r} ({sources.get(name, 'default')})" for name in PRINTED if values[name])
