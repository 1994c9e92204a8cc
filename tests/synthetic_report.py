"""The report of made-up results with known truth."""

from typing import Any

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.health.report import REPORTER as HEALTH
from retroscope.analyses.layers.report import REPORTER as LAYERS
from retroscope.analyses.probes.report import REPORTER as PROBES
from retroscope.analyses.representations.report import REPORTER as REPRESENTATIONS
from retroscope.analyses.retrieval.report import REPORTER as RETRIEVAL
from retroscope.analyses.section import Reading
from retroscope.analyses.vocabulary.report import REPORTER as VOCABULARY
from retroscope.study.reporting.report import Report
from retroscope.typesetting.subject import Subject
from synthetic_probes import probes_result
from synthetic_retrieval import layer_result, retrieval_result
from synthetic_subject import subject

REPORTERS: dict[str, Reporter] = {
    "retrieval": RETRIEVAL,
    "layers": LAYERS,
    "probes": PROBES,
    "representations": REPRESENTATIONS,
    "vocabulary": VOCABULARY,
}


def report_of(about: Subject | None = None, **results: Any) -> Report:
    """Return the report of made-up results; those that are not given have their defaults, None leaves one out."""
    about = about or subject()
    reading = Reading(about)
    made = {"retrieval": retrieval_result(), "layers": layer_result(), "probes": probes_result()} | results
    sections = {"health": HEALTH.report(HEALTH.infer((), reading), reading)}
    sections |= {name: REPORTERS[name].report(one, reading) for name, one in made.items() if one is not None}
    return Report(about, sections)
