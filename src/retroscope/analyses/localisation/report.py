"""Report localisation, and mark the statements that rely on probes with a failed control."""

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.localisation.card import cards
from retroscope.analyses.localisation.infer import infer
from retroscope.analyses.localisation.result import LocalisationResult
from retroscope.analyses.localisation.tables import localisation_tables
from retroscope.analyses.localisation.words import PROBES, localisation_statements
from retroscope.analyses.section import Reading, Section
from retroscope.files.documents import clean
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.statements import seen_above


def report(result: LocalisationResult, reading: Reading) -> Section:
    """Return the report's section on localisation. Statements that rely on probes with a failed control are marked."""
    doubts = seen_above(reading.alarms("probes"))
    parts = {"evidence": result.evidence, "most": result.most, "claims": result.claims}
    conclusions = tuple(s.doubted(*doubts) if PROBES in s.instruments else s for s in localisation_statements(result))
    return Section(
        statements=conclusions,
        cards=cards(result, conclusions),
        draw=lambda: _figures(result),
        tables=localisation_tables(result),
        frames={
            "localisation": result.evidence,
            "localisation_most": result.most,
            "localisation_claims": result.claims,
        },
        document={name: clean(frame.to_dict(orient="records")) for name, frame in parts.items()},
    )


def _figures(result: LocalisationResult) -> tuple[Figure, ...]:
    """Draw the instruments' values by block.

    Their module is imported only here: it is slow to import, and a terminal shows no figures.
    """
    from retroscope.analyses.localisation.figures import localisation_figures

    return localisation_figures(result)


REPORTER = Reporter(infer, report)
