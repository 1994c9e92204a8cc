"""Measure and report one analysis on a tiny pair, without a whole study."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from retroscope.analyses.analysis import Analysis
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement, load_measurement
from retroscope.analyses.section import Reading, Section
from retroscope.collection.loading import load_collection
from retroscope.encoders.loading import load_retriever
from retroscope.inputs.pairing import compared_like
from retroscope.inputs.provenance import collection_facts, model_facts
from retroscope.inputs.settings import StudySettings
from retroscope.retrieval.runs import write_run
from retroscope.study.reporting.facts import collection_from_facts, model_from_facts
from retroscope.typesetting.subject import Subject
from tiny_study import Tiny


def context_of(tiny: Tiny, cache: Path, settings: StudySettings) -> Context:
    """Return a context of the tiny pair on its collection."""
    after = load_retriever(str(tiny.retriever), pooling="mean")
    before = compared_like(load_retriever(str(tiny.backbone), pooling="mean"), after)
    models = {"before": before, "after": after}
    return Context(models, load_collection(tiny.data), settings, cache)


def subject_of(context: Context) -> Subject:
    """Return what a report says of the context's models and collection."""
    models = {
        side: model_from_facts(model_facts(one, dict(context.encoded(one).self_tests)))
        for side, one in context.models.items()
    }
    collection = collection_from_facts(collection_facts(context.collection, context.negatives()))
    settings = context.settings
    return Subject("test", models, (collection,), settings.protocol, settings.measures, settings.statistics)


def measured(analysis: Analysis, context: Context, settings: Any, folder: Path) -> Measurement:
    """Plan, measure, save and load; what is loaded is what was saved."""
    assert analysis.instrument is not None
    instrument = analysis.instrument()
    assert instrument.refusal(context, settings) == ""
    measurement = instrument.measure(context, settings, instrument.plan(context, settings))
    measurement = replace(measurement, collection=context.collection.name)
    measurement.save(folder, write_run)
    return load_measurement(folder)


def reported(
    analysis: Analysis,
    measurements: Sequence[Measurement],
    subject: Subject,
    results: Mapping[str, Any] | None = None,
    sections: Mapping[str, Section] | None = None,
) -> tuple[Any, Section]:
    """Return the result and the section."""
    reporter, reading = analysis.reporter(), Reading(subject, results or {}, sections or {})
    result = reporter.infer(measurements, reading)
    return result, reporter.report(result, reading)
