"""Test and report how much of the gain by fine-tuning the frozen backbone reaches."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.baselines.card import cards
from retroscope.analyses.baselines.infer import baseline_result
from retroscope.analyses.baselines.result import BaselineResult
from retroscope.analyses.baselines.tables import baseline_tables
from retroscope.analyses.baselines.words import baseline_statements
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.retrieval.result import RetrievalResult
from retroscope.analyses.section import Reading, Section
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.frames import rows
from retroscope.typesetting.subject import Subject


def infer(measurements: Sequence[Measurement], reading: Reading) -> BaselineResult | None:
    """Compare the retriever with the best variants of the frozen backbone, e.g. another layer or whitened vectors.

    Return None if the baselines or retrieval were not measured.
    """
    retrieval = reading.result("retrieval", RetrievalResult)
    if not measurements or retrieval is None:
        return None
    (measurement,) = measurements
    return baseline_result(measurement, retrieval.effect, reading.subject.paired_statistics)


def report(result: BaselineResult, reading: Reading) -> Section:
    """Return the report's section on retrieval by the frozen backbone and on the gain that is due to fine-tuning."""
    conclusions = baseline_statements(result, reading.subject)
    return Section(
        statements=conclusions,
        cards=cards(result, conclusions, reading.subject),
        draw=lambda: _figures(result, reading.subject),
        tables=baseline_tables(result, reading.subject),
        frames=_frames(result),
        differences={"Already there": result.left},
        document=_document(result),
        values={"left_out": result.left_out},
    )


def _frames(result: BaselineResult) -> dict[str, pd.DataFrame]:
    return {
        "baselines": result.variants,
        "baseline_gains": rows(result.left),
        "baseline_shares": result.shares,
        "baseline_choices": result.choices,
        "baselines_alike": rows(result.alike),
    }


def _document(result: BaselineResult) -> dict[str, Any]:
    differences = {name: getattr(result, name) for name in ("left", "alike", "pre_training", "shuffled")}
    return {
        "variants": result.variants.replace({np.nan: None}).to_dict(orient="records"),
        "choices": result.choices.to_dict(orient="records"),
        "shares": result.shares.to_dict(orient="records"),
        **{n: None if d is None else d.to_frame().to_dict(orient="records") for n, d in differences.items()},
        "left_out": dict(result.left_out),
    }


def _figures(result: BaselineResult, subject: Subject) -> tuple[Figure, ...]:
    """Draw the figures. Their slow libraries are imported only here, because a terminal shows no figures."""
    from retroscope.analyses.baselines.figures import baseline_figure

    return (baseline_figure(result, subject),)


REPORTER = Reporter(infer, report)
