"""Report activation patching."""

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.patching.infer import infer, patching_result
from retroscope.analyses.patching.result import PatchingResult
from retroscope.analyses.patching.tables import patching_tables
from retroscope.analyses.patching.words import patching_statements
from retroscope.analyses.section import Reading, Section
from retroscope.files.documents import clean
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.subject import MODEL


def report(result: PatchingResult, reading: Reading) -> Section:
    """Return the report's section about activation patching: statements, a figure, and tables for each model."""
    differences = {f"Patching {side}: own, random": patches.against_random for side, patches in result.sides.items()}
    differences |= {
        f"Patching {side}: other, own": patches.against_own
        for side, patches in result.sides.items()
        if patches.against_own is not None
    }
    return Section(
        statements=patching_statements(result),
        draw=lambda: _figures(result),
        tables=patching_tables(result),
        frames={f"patching_{side}": patches.table for side, patches in result.sides.items()},
        differences=differences,
        document=clean(result.document()),
        values={"sides": list(result.sides)},
    )


def alone(measurement: Measurement, reading: Reading) -> Section:
    """Return the report's section about activation patching in a single model, without a comparison."""
    return report(patching_result(measurement, (MODEL,), reading), reading)


def _figures(result: PatchingResult) -> tuple[Figure, ...]:
    """Draw the figures. Their slow libraries are imported only here, because a terminal shows no figures."""
    from retroscope.analyses.patching.figures import patching_figures

    return patching_figures(result)


REPORTER = Reporter(infer, report, alone)
