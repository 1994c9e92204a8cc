"""The plan of `neurons --texts FILE`: an attribution without a collection, and so without a study."""

from dataclasses import dataclass
from pathlib import Path

from retroscope.analyses.neurons.attribute import describe_neurons, plan_document
from retroscope.analyses.neurons.one_model import NeuronJob, NeuronRun, prepare, run_neurons, save_run
from retroscope.cli.running import Document, Outcome, Plan
from retroscope.inputs.settings import StudySettings
from retroscope.progress import Progress
from retroscope.study.console import neuron_summary


@dataclass(frozen=True, eq=False)
class NeuronOutcome:
    """Attributed neurons of a file of texts."""

    found: NeuronRun

    def write(self, folder: Path) -> Path:
        """Write report, tables, figures and the aggregates of every neuron."""
        return save_run(self.found, folder)

    def document(self) -> Document:
        """Return what `neurons --json` prints."""
        return self.found.document

    def text(self) -> str:
        """Return the verdict in words."""
        return neuron_summary(self.found.report)


@dataclass(frozen=True, eq=False)
class NeuronPlan:
    """The plan of an attribution on a file of texts."""

    job: NeuronJob
    cache: Path

    def lines(self) -> list[str]:
        """Return the plan in words."""
        return describe_neurons(self.job.plan).splitlines()

    def document(self) -> Document:
        """Return the plan as JSON-like values."""
        return plan_document(self.job.plan)

    def run(self, progress: Progress) -> Outcome:
        """Attribute every neuron."""
        return NeuronOutcome(run_neurons(self.job, self.cache, progress))


def plan_neurons_of_texts(settings: StudySettings, texts: Path, cache: Path) -> Plan:
    """Load one retriever, and plan the attribution of its neurons on a file of texts."""
    return NeuronPlan(prepare(settings, texts), cache)
