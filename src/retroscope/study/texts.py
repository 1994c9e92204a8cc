"""Make a study of one model's neurons on a file of texts, which has no queries and judgments."""

from dataclasses import replace
from pathlib import Path

from retroscope.analyses.neurons.one_model import TextsPlan
from retroscope.files.documents import SCHEMA, clean, impersonal
from retroscope.inputs.encoding import checked, doubts
from retroscope.inputs.provenance import command_line, model_facts, software
from retroscope.inputs.settings import StudySettings
from retroscope.progress import Progress
from retroscope.study.protocols import departures
from retroscope.study.settings import as_values, complete
from retroscope.study.study import Study
from retroscope.typesetting.subject import MODEL, StudyFacts


def study_of_texts(plan: TextsPlan, settings: StudySettings, progress: Progress | None = None) -> Study:
    """Attribute a model's neurons on a file of texts, and return a study that has only this analysis."""
    self_tests = checked(plan.retriever)
    measurement = replace(plan.measure(progress), collection=Path(plan.source).name)
    counts = {"texts": plan.document()["plan"]["texts"]}
    facts: StudyFacts = {
        "schema": SCHEMA,
        "title": f"Neurons of {plan.retriever.name} on {measurement.collection}",
        "models": {MODEL: model_facts(plan.retriever, self_tests)},
        "trainings": 1,
        "collections": [{"name": measurement.collection, "source": plan.source, "counts": counts}],
        "caveats": [*departures(settings), *doubts(self_tests), *measurement.caveats],
        "command": command_line(),
        "versions": software(),
        "timings": dict(measurement.seconds),
    }
    return Study(impersonal(clean(facts)), impersonal(as_values(complete(settings))), {"neurons": (measurement,)})
