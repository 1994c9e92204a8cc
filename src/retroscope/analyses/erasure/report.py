"""Report erasure: statements, figure, and the table of readable and used relevance."""

from typing import Any

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.erasure.infer import infer
from retroscope.analyses.erasure.result import ErasureResult
from retroscope.analyses.erasure.tables import erasure_table
from retroscope.analyses.erasure.words import erasure_statements
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Reading, Section
from retroscope.files.documents import clean
from retroscope.typesetting.charts.figure import Figure


def report(result: ErasureResult, reading: Reading) -> Section:
    """Return the report's section about erasure in one model or in both."""
    statements = erasure_statements(result, reading.subject)
    differences = {f"Erased against random subspaces, {side}": difference for side, difference in result.beyond.items()}
    if result.use is not None:
        differences["Use of what is readable"] = result.use
    return Section(
        statements=statements,
        draw=lambda: _figures(result, reading),
        tables={"erasure": erasure_table(result, reading.subject)},
        frames={"erasure": result.table},
        differences=differences,
        document=_document(result),
        values={"notes": result.notes, "alone": result.use is None},
        printed=("erasure",),
    )


def alone(measurement: Measurement, reading: Reading) -> Section:
    """Return the report's section about erasure in a single model, without a comparison."""
    result = infer([measurement], reading)
    return Section() if result is None else report(result, reading)


def _document(result: ErasureResult) -> dict[str, Any]:
    document: dict[str, Any] = clean(
        {
            "collection": result.collection,
            "measure": result.measure,
            "chance": result.chance,
            "layers": result.table.to_dict(orient="records"),
            "notes": list(result.notes),
            "p_shuffled": dict(result.alarm),
        }
    )
    return document


def _figures(result: ErasureResult, reading: Reading) -> tuple[Figure, ...]:
    """Draw the probe's accuracy and the loss of retrieval by layer.

    The plotting code is imported here because it is slow and the terminal shows no figures.
    """
    from retroscope.analyses.erasure.figures import erasure_figure

    return (erasure_figure(result, reading.subject),)


REPORTER = Reporter(infer, report, alone)
