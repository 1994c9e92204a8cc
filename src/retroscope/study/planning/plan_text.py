"""Format the plan of a study as text: collections, towers to encode, recipes, and times."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from retroscope.analyses.analysis import TowerWork
from retroscope.collection.collection import Collection
from retroscope.encoders.recipe import RecipeFacts
from retroscope.number_format import count, estimate

MIB = 2**20
PRINTED = ("pooling", "max_length", "prompt", "suffix", "append_eos", "padding_side", "head")  # of a recipe


def counts(collections: Sequence[Collection]) -> str:
    """Return a line for each collection: how many passages, queries and judged queries it has."""
    sizes = [
        f"{collection.name}: {count(len(collection.passages), 'passage')}, {count(len(collection.queries), 'query')} "
        f"({len(collection.judged_queries):,} judged)"
        for collection in collections
    ]
    return "\n".join(sizes)


class PlannedCollection(TypedDict):
    """A collection in a plan, JSON-like. `mapping`: field of a record -> column of the data that it is read from."""

    name: str
    source: str
    mapping: dict[str, str]
    notes: list[str]


def collection_document(collection: Collection) -> PlannedCollection:
    """Return the name, source, field mapping and notes of a collection, as JSON-like values."""
    return {
        "name": collection.name,
        "source": collection.source,
        "mapping": dict(collection.mapping),
        "notes": list(collection.notes),
    }


def collection_lines(collection: PlannedCollection) -> list[str]:
    """Return lines that describe a collection: its source, the column of each field, and notes."""
    columns = [f"  {ours} <- {theirs}" for ours, theirs in collection["mapping"].items()]
    notes = [f"  note: {note}" for note in collection["notes"]]
    return [f"collection: {collection['name']} ({collection['source']})", *columns, *notes]


def tower_lines(towers: Sequence[TowerWork], *, several: bool) -> list[str]:
    """Describe the planned encoding by each tower (query or passage encoder) in two lines.

    The first line has the numbers of texts, tokens and bytes. The second has the recipe, or names the tower above it
    that has the same recipe.
    """
    lines: list[str] = []
    first: dict[str, str] = {}  # recipe -> the tower that it is printed for
    for tower in towers:
        name, recipe = f"{tower['model']}, {tower['tower']} tower", _recipe(tower["recipe"])
        shown = f"that of {first[recipe]}" if recipe in first else recipe
        first.setdefault(recipe, name)
        lines += [_tower_line(tower, several=several), f"  recipe: {shown}"]
    return lines


def _tower_line(tower: TowerWork, *, several: bool) -> str:
    state = "stored" if tower["stored"] else f"{tower['bytes'] / MIB:,.1f} MiB"
    state += f", encoded together with {tower['within']}" if tower["within"] else ""
    counts = f"{tower['texts']:,} texts, {tower['distinct']:,} distinct, {tower['tokens']:,} tokens"
    counts += f", {tower['at_max_length']:,} at the maximum length"
    on = f", {tower['collection']}" if several else ""
    return f"{tower['model']}, {tower['tower']} tower{on}: {counts}; {state}"


def time_lines(plan: Mapping[str, Any]) -> list[str]:
    """Return lines with the estimated time of each stage, and the total time and disk space."""
    stages = {name: estimate(seconds) for name, seconds in plan["stages"].items() if seconds}
    width = max(map(len, stages), default=0)
    rows = [f"  {name:<{width}}  {time}" for name, time in stages.items()]
    total = f"in all about {estimate(plan['seconds'])}, and {plan['bytes'] / MIB:,.0f} MiB in {plan['cache']}"
    return ["estimated time:", *rows, total]


def _recipe(recipe: RecipeFacts) -> str:
    """Return the recipe fields that are set, each with its source, e.g. "pooling='mean' (option)"."""
    sources, values = recipe["sources"], dict(recipe)
    return ", ".join(f"{name}={values[name]!r} ({sources.get(name, 'default')})" for name in PRINTED if values[name])
