"""Report the words that vectors decode to: statements, shares by layer, and the words of every query."""

from dataclasses import asdict
from typing import Any

import pandas as pd

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Reading, Section
from retroscope.analyses.vocabulary.infer import infer
from retroscope.analyses.vocabulary.result import VocabularyResult
from retroscope.analyses.vocabulary.tables import vocabulary_tables
from retroscope.analyses.vocabulary.words import vocabulary_statements
from retroscope.files.documents import clean
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.documents import effect_records
from retroscope.typesetting.effect_tables import labelled
from retroscope.typesetting.frames import rows
from retroscope.typesetting.subject import AFTER, BEFORE

EXAMPLES = 12  # queries in the section's table


def report(result: VocabularyResult, reading: Reading) -> Section:
    """Return the report section about the words that the vectors of one or two models decode to."""
    subject, effect = reading.subject, result.effect
    differences = {f"Overlap against shuffled pairs, {side}": difference for side, difference in result.beyond.items()}
    frames = {"vocabulary_says": result.says}
    if effect is not None:
        if result.gain is not None:
            differences["Overlap beyond shuffled pairs"] = result.gain
        differences["Shares of decoded words"] = effect
        frames["vocabulary"] = labelled(subject, rows(effect))
    return Section(
        statements=vocabulary_statements(result, subject),
        draw=lambda: _figures(result, reading),
        tables=vocabulary_tables(result, subject),
        frames=frames,
        differences=differences,
        document=_document(result),
        values={"k": result.k, "centred": result.centred, "examples": _examples(result.says)},
        printed=("vocabulary",),
        data=lambda: {"vocabulary": [page_words(result)]} if effect is not None else {},
    )


def alone(measurement: Measurement, reading: Reading) -> Section:
    """Return the report section about the words that the vectors of a single model decode to."""
    result = infer([measurement], reading)
    return Section() if result is None else report(result, reading)


def page_words(result: VocabularyResult) -> dict[str, Any]:
    """Return the words that the vectors of queries and relevant passages decode to, as data for the page's script."""
    by_side = {side: result.says[result.says["side"] == side].set_index("query_id") for side in (BEFORE, AFTER)}
    ids = by_side[AFTER].index.tolist()
    return {
        "collection": result.collection,
        "ids": ids,
        **{
            name: {side: frame.loc[ids, f"{name}_says"].tolist() for side, frame in by_side.items()}
            for name in ("query", "passage")
        },
    }


def _examples(says: pd.DataFrame) -> list[dict[str, str]]:
    ids = list(dict.fromkeys(says["query_id"]))[:EXAMPLES]
    records: list[dict[str, str]] = (
        says[says["query_id"].isin(ids)].sort_values(["query_id", "side"]).to_dict("records")
    )
    return records


def _document(result: VocabularyResult) -> dict[str, Any]:
    document: dict[str, Any] = clean(
        {
            "collection": result.collection,
            "k": result.k,
            "centred": result.centred,
            "effects": [] if result.effect is None else effect_records(result.effect),
            "overlap_beyond_shuffled": {side: effect_records(difference) for side, difference in result.beyond.items()},
            "overlap_gain": [] if result.gain is None else effect_records(result.gain),
            "measure": result.measure,
            "associated": [asdict(correlation) for correlation in result.associated],
        }
    )
    return document


def _figures(result: VocabularyResult, reading: Reading) -> tuple[Figure, ...]:
    """Draw the figure of the shares of decoded words by layer.

    The plotting code is imported here because it is slow and the terminal shows no figures.
    """
    from retroscope.analyses.vocabulary.figures import vocabulary_figure

    return () if result.effect is None else (vocabulary_figure(result, result.effect, reading.subject),)


REPORTER = Reporter(infer, report, alone)
