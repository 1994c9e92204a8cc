"""Report transplants: a figure for the first collection, statements and tables for every collection."""

from typing import Any

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.section import Reading, Section
from retroscope.analyses.transplants.infer import infer
from retroscope.analyses.transplants.result import OverTrainings, TransplantEffects, TransplantResult
from retroscope.analyses.transplants.tables import effects_frame, transplant_tables
from retroscope.analyses.transplants.training_words import training_statements
from retroscope.analyses.transplants.words import transplant_statements
from retroscope.files.documents import clean
from retroscope.typesetting.charts.figure import Figure


def report(result: TransplantResult, reading: Reading) -> Section:
    """Return the report section about transplants.

    Its `statements` are about the effects over several training runs. Its `details` are all other statements, which the
    analysis of localisation summarises.
    """
    first, over = result.first, result.first.over_trainings
    others = list(enumerate(result.by_collection[1:], start=2))
    every = {f"transplants_{n}": transplant_tables(effects, reading.subject)["transplants"] for n, effects in others}
    return Section(
        statements=training_statements(first),
        details=transplant_statements(first),
        draw=lambda: _figures(first),
        tables=transplant_tables(first, reading.subject) | every,
        frames={"transplants": effects_frame(first)}
        | {f"transplants_{n}": effects_frame(effects) for n, effects in others}
        | ({} if first.single_blocks is None else {"single_blocks": first.single_blocks.effects})
        | ({} if over is None else {"transplants_trainings": over.places, "transplants_each_training": over.each}),
        differences={
            (f"Transplants: {direction}" if n == 0 else f"Transplants: {direction}, {effects.collection}"): difference
            for n, effects in enumerate(result.by_collection)
            for direction, difference in effects.differences.items()
        },
        methods={} if over is None else {"Transplants over trainings": over.method},
        document=[_document(effects) for effects in result.by_collection],
        values={
            "notes": first.notes,
            "trainings": reading.subject.trainings,
            "retriever": reading.subject.after.name,
            "further": [
                (f"transplants_{n}", effects.collection, transplant_statements(effects)) for n, effects in others
            ],
        },
        left_out=_left_out(reading),
    )


def _left_out(reading: Reading) -> dict[str, str]:
    """Return the control that the settings leave out -> the option that adds it, or nothing if it was run."""
    settings = reading.subject.settings.get("transplants") or {}
    return {"random changes of the weights": "--set transplants.draws=3"} if settings.get("draws") == 0 else {}


def _trainings(over: OverTrainings | None) -> dict[str, Any] | None:
    """Return the effects over several training runs as JSON-like values, or None if there is only one."""
    if over is None:
        return None
    return {
        "names": list(over.names),
        "direction": over.direction,
        "places": over.places.to_dict(orient="records"),
        "each": over.each.to_dict(orient="records"),
        "level": over.level,
    }


def _document(effects: TransplantEffects) -> dict[str, Any]:
    document: dict[str, Any] = clean(
        {
            "collection": effects.collection,
            "queries": effects.queries,
            "passages": effects.passages,
            "statements": [
                statement.text for statement in (*training_statements(effects), *transplant_statements(effects))
            ],
            "effects": effects_frame(effects).to_dict(orient="records"),
            "controls": effects.controls.to_dict(orient="records"),
            "interactions": {
                direction: {
                    "shapley": groups.shapley.to_dict(orient="records"),
                    "pairs": groups.pairs.to_dict(orient="records"),
                }
                for direction, groups in effects.interactions.items()
            },
            "single_blocks": None
            if effects.single_blocks is None
            else {
                "effects": effects.single_blocks.effects.to_dict(orient="records"),
                "controls": effects.single_blocks.controls.to_dict(orient="records"),
            },
            "trainings": _trainings(effects.over_trainings),
            "sample": list(effects.sample),
            "notes": list(effects.notes),
        }
    )
    return document


def _figures(f: TransplantEffects) -> tuple[Figure, ...]:
    """Draw the figures. Their slow libraries are imported only here, because a terminal shows no figures."""
    from retroscope.analyses.transplants.figures import transplant_figures

    return transplant_figures(f)


REPORTER = Reporter(infer, report)
