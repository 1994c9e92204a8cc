"""The plan of `neurons --texts FILE`: an attribution without a collection, and so without a study."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from retroscope.analyses.measurement import Measurement
from retroscope.analyses.neurons import ANALYSIS
from retroscope.analyses.neurons.one_model import TextsPlan, plan_texts
from retroscope.analyses.section import Reading
from retroscope.cli.running import Document, Outcome, Plan
from retroscope.inputs.encoding import doubts, tested
from retroscope.inputs.provenance import command_line, model_facts, software
from retroscope.inputs.settings import StudySettings
from retroscope.progress import Progress
from retroscope.study.console import in_words
from retroscope.study.facts import model_of
from retroscope.study.folder import MEASURED
from retroscope.study.protocols import departures
from retroscope.study.report import Report, write_report
from retroscope.study.settings import as_values
from retroscope.typesetting.subject import MODEL, CollectionFacts, Subject


@dataclass(frozen=True, eq=False)
class TextsOutcome:
    """Attributed neurons of a file of texts."""

    plan: TextsPlan
    settings: StudySettings
    measurement: Measurement

    @cached_property
    def report(self) -> Report:
        """What the report says: one section."""
        retriever, source = self.plan.retriever, self.plan.source
        self_tests = tested(retriever)
        found, settings = self.measurement, self.settings
        subject = Subject(
            title=f"Neurons of {retriever.name} on {source}",
            models={MODEL: model_of(model_facts(retriever, self_tests))},
            collections=(CollectionFacts(source, source, {"texts": found.facts["plan"]["texts"]}),),
            protocol=settings.protocol,
            measures=settings.measures,
            statistics=settings.statistics,
            settings=as_values(settings),
            caveats=(*departures(settings), *found.caveats, *doubts(self_tests)),
            command=command_line(),
            versions=software(),
            timings=found.seconds,
        )
        reporter = ANALYSIS.reporter()
        if reporter.alone is None:
            raise TypeError("neurons of one model are not reported")
        return Report(subject, {ANALYSIS.name: reporter.alone(found, Reading(subject))})

    def write(self, folder: Path) -> Path:
        """Write report, tables, figures and the aggregates of every neuron."""
        folder.mkdir(parents=True, exist_ok=True)
        self.measurement.save(folder / MEASURED / ANALYSIS.name / "0")
        return write_report(self.report, folder)

    def document(self) -> Document:
        """Return what `summary.json` holds."""
        return self.report.document()

    def text(self) -> str:
        """Return the verdict in words."""
        return in_words(self.report)


@dataclass(frozen=True, eq=False)
class RunnableTexts:
    """The plan of an attribution on a file of texts."""

    plan: TextsPlan
    settings: StudySettings

    def lines(self) -> list[str]:
        """Return the plan in words."""
        return self.plan.lines()

    def document(self) -> Document:
        """Return the plan as JSON-like values."""
        return self.plan.document()

    def run(self, progress: Progress) -> Outcome:
        """Attribute every neuron."""
        return TextsOutcome(self.plan, self.settings, self.plan.measure(progress))


def plan_neurons_of_texts(settings: StudySettings, texts: Path, cache: Path) -> Plan:
    """Load one retriever, and plan the attribution of its neurons on a file of texts."""
    return RunnableTexts(plan_texts(settings, texts, cache), settings)
