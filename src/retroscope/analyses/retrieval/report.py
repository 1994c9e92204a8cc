"""Test and report retrieval from the scores of every query."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.retrieval.card import cards
from retroscope.analyses.retrieval.flips import flip_frame, flip_measure, flipped_queries
from retroscope.analyses.retrieval.queries import page_queries
from retroscope.analyses.retrieval.result import QueryRankings, RetrievalEffect, RetrievalResult
from retroscope.analyses.retrieval.tables import names, retrieval_tables
from retroscope.analyses.retrieval.words import estimates, statements
from retroscope.analyses.section import Reading, Section
from retroscope.statistics.comparison import compare_scores
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.documents import by_measure, mean_records, measure_table
from retroscope.typesetting.frames import rows
from retroscope.typesetting.means import means_by
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL


def infer(measurements: Sequence[Measurement], reading: Reading) -> RetrievalResult | None:
    """Test how fine-tuning changed retrieval on every collection. The headline measure is tested on its own."""
    if not measurements:
        return None
    measures = reading.subject.measures
    settings = replace(reading.subject.paired_statistics, family_per=(), headline=("measure", measures[0]))
    effects = [
        RetrievalEffect(
            measurement.collection,
            compare_scores(measurement.scores[BEFORE], measurement.scores[AFTER], settings),
            _rankings(measurement),
        )
        for measurement in measurements
    ]
    return RetrievalResult(
        tuple(effects),
        headline=measures[0],
        flip_measure=flip_measure(measures),
    )


def _rankings(one: Measurement) -> QueryRankings | None:
    if "queries" not in one.frames:
        return None
    return QueryRankings(one.frames["queries"], one.frames["hits"], one.frames["passages"], one.facts["depth"])


def report(result: RetrievalResult, reading: Reading) -> Section:
    """Return the report section: all results on the first collection, a statement and a table for each other one."""
    subject, tables, conclusions = reading.subject, names(result), statements(result, reading.subject)
    frames = {
        name: rows(on_collection.effect) for name, on_collection in zip(tables, result.by_collection, strict=True)
    }
    return Section(
        statements=conclusions,
        cards=cards(result, conclusions, subject),
        estimates=estimates(result),
        compared={on_collection.collection: on_collection.effect for on_collection in result.by_collection},
        draw=lambda: _figures(result),
        tables=retrieval_tables(result, subject),
        frames={**frames, "flips": flip_frame(result)},
        differences={
            ("Retrieval" if n == 0 else f"Retrieval, {on_collection.collection}"): on_collection.effect
            for n, on_collection in enumerate(result.by_collection)
        },
        document=[
            {"collection": on_collection.collection, "measures": by_measure(on_collection.effect)}
            for on_collection in result.by_collection
        ],
        values={
            "flips": flipped_queries(result),
            "flip_measure": result.flip_measure,
            "other_collections": tables[1:],
        },
        printed=("retrieval",),
        data=lambda: _page_data(result),
    )


def _page_data(result: RetrievalResult) -> dict[str, list[dict[str, Any]]]:
    """Return the queries of every collection for the page's script, empty if the study did not store them."""
    queries = page_queries(result.by_collection, result.flip_measure)
    return {"queries": queries} if queries else {}


def alone(measurement: Measurement, reading: Reading) -> Section:
    """Return the report section of a single model: its mean of every retrieval measure."""
    scores, settings = measurement.scores[MODEL], reading.subject.statistics
    records = mean_records(scores, settings)
    return Section(
        tables={"retrieval": means_by("measure", records, reading.subject, "Retrieval")},
        frames={"retrieval": pd.DataFrame(records)},
        document={"measures": measure_table(scores, settings)},
        printed=("retrieval",),
    )


def _figures(result: RetrievalResult) -> tuple[Figure, ...]:
    """Draw the figures. Their slow libraries are imported only here, because a terminal shows no figures."""
    from retroscope.analyses.retrieval.figures import retrieval_figures

    return retrieval_figures(result)


REPORTER = Reporter(infer, report, alone)
