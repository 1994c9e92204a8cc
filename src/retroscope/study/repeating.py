"""Find the reason why a finished study must be measured again."""

from pathlib import Path

from retroscope.errors import AnalysisError, DamageError
from retroscope.files.documents import impersonal
from retroscope.study.folder import FACTS, stored_facts, stored_settings
from retroscope.study.planning.plan import StudyPlan
from retroscope.study.record import models_as_measured
from retroscope.study.settings import as_values

Fingerprints = list[list[str]]


def reason_to_repeat(plan: StudyPlan, folder: Path) -> str:
    """Return the reason why a finished study with the settings of the plan must be measured again.

    Return "" if `folder` holds no such study.
    """
    if not (folder / FACTS).exists():
        return ""
    try:
        facts, settings = stored_facts(folder), stored_settings(folder)
    except (DamageError, AnalysisError):
        return "it is damaged, or of another version of Retroscope"
    if facts.get("not_yet_run") or settings != impersonal(as_values(plan.settings)):
        return ""
    towers = [[tower["fingerprint"] for tower in model["towers"]] for model in facts["models"].values()]
    if towers != _towers(plan):
        return "a model has changed"
    stored = [record.get("fingerprint") for record in facts["collections"]]
    if stored != [collection.fingerprint for collection in plan.collections]:
        return "a collection has changed"
    return "Retroscope, a library or another input has changed, or a file of the study is damaged"


def _towers(plan: StudyPlan) -> Fingerprints:
    """Return the fingerprints of every model's encoders: one if queries and passages share an encoder, else two."""
    both = [[model.query.fingerprint, model.passage.fingerprint] for model in models_as_measured(plan).values()]
    return [towers[:1] if towers[0] == towers[1] else towers for towers in both]
