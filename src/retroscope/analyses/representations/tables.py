"""Tables on how both models' vectors differ."""

import pandas as pd

from retroscope.analyses.representations.result import RepresentationResult
from retroscope.analyses.representations.words import towers
from retroscope.drift.result import RepresentationDrift
from retroscope.number_format import interval, score
from retroscope.typesetting.effect_tables import effects_by, pair
from retroscope.typesetting.frames import rows
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.subject import Subject


def representation_tables(result: RepresentationResult, subject: Subject) -> dict[str, PaperTable]:
    """Return the tables of both models' vectors: retrieval with whitened vectors, and CKA by layer on each collection.

    The first is left out if it was not measured, the second if there is only one collection.
    """
    tables, whitened = {}, result.first.whitened
    if whitened is not None:
        caption = f"Retrieval with whitened vectors: {pair(subject)}."
        tables["whitened"] = effects_by("measure", whitened, rows(whitened), caption)
    if len(result.by_collection) > 1:
        tables["cka_by_collection"] = _cka(result, subject)
    return tables


def _cka(result: RepresentationResult, subject: Subject) -> PaperTable:
    first = result.first.drift
    layers = [subject.layer_label(int(k)) for k in sorted(set(first.similarity["layer"]))]
    columns = {
        f"{tower}, {cka.collection}": _values(cka.drift, tower)
        for tower in towers(first)
        for cka in result.by_collection
    }
    both = "both" if len(result.by_collection) == 2 else "all"
    caption = f"CKA before and after, on {both} collections"
    return PaperTable(pd.DataFrame({"layer": layers, **columns}), caption, "Intervals are over texts.", tuple(columns))


def _values(drift: RepresentationDrift, tower: str) -> list[str]:
    """Return the CKA of every layer with its interval as text, from the lowest layer up."""
    table = drift.similarity
    values = table[(table["statistic"] == "cka") & (table["tower"] == tower)].sort_values("layer")
    return [
        f"{score(value)} {interval(low, high)}"
        for value, low, high in zip(values["value"], values["low"], values["high"], strict=True)
    ]
