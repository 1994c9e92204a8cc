"""Report the drift of representations on every collection."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.representations.result import CollectionDrift, RepresentationResult, TextMap
from retroscope.analyses.representations.tables import representation_tables
from retroscope.analyses.representations.words import representation_statements
from retroscope.analyses.retrieval.result import RetrievalResult
from retroscope.analyses.section import Reading, Section
from retroscope.drift.result import RepresentationDrift
from retroscope.statistics import Difference
from retroscope.statistics.comparison import compare_scores
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.documents import by_measure
from retroscope.typesetting.frames import rows
from retroscope.typesetting.subject import AFTER, BEFORE, Subject


def infer(measurements: Sequence[Measurement], reading: Reading) -> RepresentationResult | None:
    """Return the comparison of both models' vectors on every collection, or None if nothing was measured."""
    if not measurements:
        return None
    return RepresentationResult(
        tuple(
            CollectionDrift(
                measurement.collection,
                _drift(measurement, ""),
                _bare(measurement),
                _whitened(measurement, reading.subject),
                _text_map(measurement),
            )
            for measurement in measurements
        )
    )


def _drift(measurement: Measurement, prefix: str) -> RepresentationDrift:
    similarity, geometry, layer_map = (
        measurement.frames[f"{prefix}{name}"] for name in ("similarity", "geometry", "layer_map")
    )
    return RepresentationDrift(similarity, geometry, layer_map, measurement.facts["texts"])


def _bare(measurement: Measurement) -> RepresentationDrift | None:
    return _drift(measurement, "bare/") if "bare/similarity" in measurement.frames else None


def _text_map(measurement: Measurement) -> TextMap | None:
    if "map" not in measurement.frames:
        return None
    return TextMap(measurement.frames["map"], measurement.frames["map_links"], measurement.facts["map"])


def _whitened(measurement: Measurement, subject: Subject) -> Difference | None:
    """Compare retrieval with whitened vectors before and after. The headline measure is tested on its own."""
    before, after = (measurement.scores.get(f"{side}/whitened") for side in (BEFORE, AFTER))
    if before is None or after is None:
        return None
    settings = replace(subject.paired_statistics, family_per=(), headline=("measure", subject.measures[0]))
    return compare_scores(before, after, settings)


def report(result: RepresentationResult, reading: Reading) -> Section:
    """Return the report's section on how both models' vectors differ: statements, figures, tables and numbers.

    The figures show the first collection only.
    """
    retrieval = reading.result("retrieval", RetrievalResult)
    first = result.first
    return Section(
        statements=representation_statements(result, None if retrieval is None else retrieval.effect, reading.subject),
        draw=lambda: _figures(first, reading.subject),
        tables=representation_tables(result, reading.subject),
        frames=_frames(result),
        differences={} if first.whitened is None else {"Whitened": first.whitened},
        document=[_document(on_collection) for on_collection in result.by_collection],
        values={
            "texts": first.drift.texts,
            "others": [on_collection.collection for on_collection in result.by_collection[1:]],
            "several_trainings": reading.subject.trainings > 1,
        },
    )


def _frames(result: RepresentationResult) -> dict[str, pd.DataFrame]:
    """Return the data frames of all collections.

    The maps of layers and of texts are those of the first collection only.
    """
    first = result.first
    frames = {
        "similarity": first.drift.similarity,
        "geometry": first.drift.geometry,
        "layer_map": first.drift.layer_map,
    }
    if first.bare is not None:
        frames |= {"similarity_bare": first.bare.similarity, "geometry_bare": first.bare.geometry}
    if first.text_map is not None:
        frames |= {"text_map": first.text_map.places, "text_map_links": first.text_map.links}
    if first.whitened is not None:
        frames["whitened"] = rows(first.whitened)
    for number, other in enumerate(result.by_collection[1:], start=2):
        frames |= {f"similarity_{number}": other.drift.similarity, f"geometry_{number}": other.drift.geometry}
    return frames


def _document(drifted: CollectionDrift) -> dict[str, Any]:
    return {
        "collection": drifted.collection,
        "texts": dict(drifted.drift.texts),
        **_by_layer(drifted.drift),
        "without_final_norm": None if drifted.bare is None else _by_layer(drifted.bare),
        "whitened": by_measure(drifted.whitened),
    }


def _by_layer(drift: RepresentationDrift) -> dict[str, Any]:
    return {
        "similarity": drift.similarity.to_dict(orient="records"),
        "geometry": drift.geometry.to_dict(orient="records"),
    }


def _figures(drifted: CollectionDrift, subject: Subject) -> tuple[Figure, ...]:
    """Draw the figures. Their slow libraries are imported only here, because a terminal shows no figures."""
    from retroscope.analyses.representations.figures import representation_figures

    return representation_figures(drifted, subject)


REPORTER = Reporter(infer, report)
