"""Report transplants: the figure of the first collection, statements and tables of all."""

from typing import Any

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.section import Reading, Section
from retroscope.analyses.transplants.infer import infer
from retroscope.analyses.transplants.result import TransplantEffects, TransplantResult
from retroscope.analyses.transplants.tables import transplant_tables
from retroscope.analyses.transplants.words import transplant_statements
from retroscope.files.documents import clean
from retroscope.typesetting.figure import Figure


def report(result: TransplantResult, reading: Reading) -> Section:
    """Return the section; its statements are details, since the analysis `localisation` sums them up."""
    first = result.first
    others = list(enumerate(result.by_collection[1:], start=2))
    every = {f"transplants_{n}": transplant_tables(one, reading.subject)["transplants"] for n, one in others}
    return Section(
        details=transplant_statements(first),
        draw=lambda: _figures(first),
        tables=transplant_tables(first, reading.subject) | every,
        frames={"transplants": first.table()} | {f"transplants_{n}": other.table() for n, other in others},
        differences={
            (f"Transplants: {direction}" if n == 0 else f"Transplants: {direction}, {one.collection}"): difference
            for n, one in enumerate(result.by_collection)
            for direction, difference in one.differences.items()
        },
        document=[_document(one) for one in result.by_collection],
        values={
            "notes": first.notes,
            "further": [(f"transplants_{n}", one.collection, transplant_statements(one)) for n, one in others],
        },
        left_out=_left_out(reading),
    )


def _left_out(reading: Reading) -> dict[str, str]:
    """Name the control that the settings left out, with the option that adds it."""
    settings = reading.subject.settings.get("transplants") or {}
    return {"random changes of the weights": "--set transplants.draws=3"} if settings.get("draws") == 0 else {}


def _document(effects: TransplantEffects) -> dict[str, Any]:
    document: dict[str, Any] = clean(
        {
            "collection": effects.collection,
            "queries": effects.queries,
            "passages": effects.passages,
            "statements": [statement.text for statement in transplant_statements(effects)],
            "effects": effects.table().to_dict(orient="records"),
            "controls": effects.controls.to_dict(orient="records"),
            "interactions": {
                direction: {
                    "shapley": one.shapley.to_dict(orient="records"),
                    "pairs": one.pairs.to_dict(orient="records"),
                }
                for direction, one in effects.interactions.items()
            },
            "sample": list(effects.sample),
            "notes": list(effects.notes),
        }
    )
    return document


def _figures(f: TransplantEffects) -> tuple[Figure, ...]:
    """Draw the figures; their libraries are imported here, since they are slow to import and a terminal shows none."""
    from retroscope.analyses.transplants.figures import transplant_figures

    return transplant_figures(f)


REPORTER = Reporter(infer, report)
