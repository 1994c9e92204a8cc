"""Tables of retrieval by layer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from retroscope.analyses.layers.result import LayerResult
from retroscope.analyses.layers.words import WITHOUT
from retroscope.statistics import Difference
from retroscope.typesetting.effect_tables import effects_by_layer, pair
from retroscope.typesetting.frames import rows
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.means import means_by
from retroscope.typesetting.subject import Subject


def layer_tables(result: LayerResult, subject: Subject) -> dict[str, PaperTable]:
    """Return tables of the headline retrieval measure by layer: one for each collection.

    If the models have a final norm, there is also one for the first collection without this norm.
    """
    first = result.first
    tables = {"layer_retrieval": _by_layer(first.effect, subject, first.collection)}
    if first.bare is not None:
        bare = _by_layer(first.bare, subject, first.collection)
        tables["layer_retrieval_bare"] = replace(bare, caption=f"{bare.caption} Layers {WITHOUT}.")
    for number, other in enumerate(result.by_collection[1:], start=2):
        tables[f"layer_retrieval_{number}"] = _by_layer(other.effect, subject, other.collection)
    return tables


def _by_layer(effect: Difference, subject: Subject, collection: str) -> PaperTable:
    caption = f"{subject.measures[0]} of every layer: {pair(subject, collection)}."
    return effects_by_layer(subject, effect, rows(effect, measure=subject.measures[0]), caption)


def layer_means(records: Sequence[Mapping[str, Any]], subject: Subject) -> PaperTable:
    """Return a table of the headline retrieval measure of a single model by layer."""
    headline = subject.measures[0]
    return means_by("layer", [row for row in records if row["measure"] == headline], subject, f"{headline} by layer")
