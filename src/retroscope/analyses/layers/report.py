"""Test and report retrieval by layer, from the retrieval scores of every layer."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.layers.card import cards, layer_curves
from retroscope.analyses.layers.queries import page_layers
from retroscope.analyses.layers.result import LayerEffects, LayerResult, Similarities
from retroscope.analyses.layers.tables import layer_means, layer_tables
from retroscope.analyses.layers.words import best_layers
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Reading, Section
from retroscope.statistics import Difference
from retroscope.statistics.comparison import compare_scores
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.documents import effect_records, mean_records
from retroscope.typesetting.effect_tables import labelled
from retroscope.typesetting.frames import rows
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL, Subject


def infer(measurements: Sequence[Measurement], reading: Reading) -> LayerResult | None:
    """Compare retrieval before and after fine-tuning at every layer.

    The tests of all layers of a measure are corrected together.
    """
    settings = replace(reading.subject.paired_statistics, family_per=("measure",))

    def paired(measurement: Measurement, suffix: str) -> Difference | None:
        before, after = (measurement.scores.get(f"{side}{suffix}") for side in (BEFORE, AFTER))
        return None if before is None or after is None else compare_scores(before, after, settings)

    effects = [
        LayerEffects(
            measurement.collection,
            effect,
            paired(measurement, "/bare"),
            measurement.frames.get("first_ranks"),
            _similarities(measurement),
        )
        for measurement in measurements
        if (effect := paired(measurement, "")) is not None
    ]
    return LayerResult(tuple(effects)) if effects else None


def _similarities(one: Measurement) -> Similarities | None:
    if "similarities" not in one.frames:
        return None
    return Similarities(one.frames["similarities"], one.frames["above"], **one.facts["similarities"])


def report(result: LayerResult, reading: Reading) -> Section:
    """Return the report's section on retrieval by layer: figures, and a statement and a table for every collection.

    The figures show the first collection.
    """
    first = result.first
    conclusions = tuple(
        s for on_collection in result.by_collection for s in best_layers(on_collection, reading.subject)
    )
    frames = {"layer_retrieval": labelled(reading.subject, rows(first.effect))}
    if first.similarities is not None:
        frames |= {"similarities": first.similarities.counts, "similarities_above": first.similarities.above}
    for number, other in enumerate(result.by_collection[1:], start=2):
        frames[f"layer_retrieval_{number}"] = labelled(reading.subject, rows(other.effect))
    return Section(
        statements=conclusions,
        cards=cards(first, conclusions, reading.subject),
        curves=layer_curves(first, reading.subject),
        draw=lambda: _figures(first, reading.subject),
        tables=layer_tables(result, reading.subject),
        frames=frames,
        differences={
            ("By layer" if n == 0 else f"By layer, {on_collection.collection}"): on_collection.effect
            for n, on_collection in enumerate(result.by_collection)
        },
        document=[
            {
                "collection": on_collection.collection,
                "effects": effect_records(on_collection.effect),
                "without_final_norm": effect_records(on_collection.bare),
            }
            for on_collection in result.by_collection
        ],
        values={"further": [f"layer_retrieval_{n}" for n, _ in enumerate(result.by_collection[1:], start=2)]},
        printed=("layer_retrieval",),
        data=lambda: {
            "layers": [page_layers(on_collection, reading.subject) for on_collection in result.by_collection]
        },
    )


def alone(measurement: Measurement, reading: Reading) -> Section:
    """Return the report's section on retrieval by layer of a single model: the mean of every measure."""
    subject = reading.subject
    records = mean_records(measurement.scores[MODEL], subject.statistics)
    bare = mean_records(measurement.scores.get(f"{MODEL}/bare"), subject.statistics)
    return Section(
        tables={"layer_retrieval": layer_means(records, subject)},
        frames={"layer_retrieval": labelled(subject, pd.DataFrame(records))},
        document={"layers": records, "without_final_norm": bare},
        values={"further": []},
        printed=("layer_retrieval",),
    )


def _figures(effects: LayerEffects, subject: Subject) -> tuple[Figure, ...]:
    """Draw the figures. Their slow libraries are imported only here, because a terminal shows no figures."""
    from retroscope.analyses.layers.figures import layer_figures

    return layer_figures(effects, subject)


REPORTER = Reporter(infer, report, alone)
