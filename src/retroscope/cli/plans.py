"""From settings to the plan of a study: the command line loads models and collections here, and nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from retroscope.analyses.neurons.attribute import describe_neurons, plan_document
from retroscope.analyses.neurons.one_model import NeuronJob, NeuronRun, prepare, run_neurons, save_run
from retroscope.cli.running import Document, Outcome, Plan
from retroscope.encoders.encoder import Retriever
from retroscope.inputs.load import collection_of, pair_of, retriever_of
from retroscope.inputs.settings import StudySettings
from retroscope.progress import Progress
from retroscope.study.console import neuron_summary
from retroscope.study.plan import plan_study
from retroscope.study.run import Runnable
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL


def plan_study_of_pair(settings: StudySettings, cache: Path) -> Plan:
    """Load a backbone, its retriever and further training runs, and plan their study."""
    before, after = pair_of(settings.before, settings.after)
    return _planned({BEFORE: before, AFTER: after}, settings, cache)


def plan_study_of_model(settings: StudySettings, cache: Path) -> Plan:
    """Load one retriever, and plan its study."""
    return _planned({MODEL: retriever_of(settings.after)}, settings, cache)


def _planned(models: Mapping[str, Retriever], settings: StudySettings, cache: Path) -> Plan:
    collections = [collection_of(settings.data), *(collection_of(one) for one in settings.also)]
    trainings = [retriever_of(one, "training run") for one in settings.trainings]
    return Runnable(plan_study(models, collections, settings, trainings=trainings, cache=cache))


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
