"""The plan of `neurons --texts FILE`: an attribution without a collection, reported as a study of one analysis."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from retroscope.analyses.neurons.one_model import TextsPlan, plan_texts
from retroscope.cli.running import Document, Outcome, Plan
from retroscope.errors import SettingsError
from retroscope.inputs.settings import StudySettings
from retroscope.progress import Progress
from retroscope.study.reporting.console import console_text
from retroscope.study.study import Study
from retroscope.study.texts import study_of_texts


@dataclass(frozen=True, eq=False)
class NeuronOutcome:
    """Attributed neurons of a file of texts."""

    study: Study
    is_final: bool = True

    def write(self, folder: Path) -> Path:
        """Write report, tables, figures and the aggregates of every neuron."""
        return self.study.report(folder, overwrite=True)  # refused before, unless the user asked for it

    def news(self) -> str:
        """Return nothing: the outcome is the first and the last."""
        return ""

    def document(self) -> Document:
        """Return what `neurons --json` prints."""
        return self.study.summary()

    def text(self) -> str:
        """Return the verdict in words."""
        return console_text(self.study.report_contents)

    def close(self) -> None:
        """Remove nothing: an attribution goes on from the cache of neurons, which is kept."""


@dataclass(frozen=True, eq=False)
class NeuronPlan:
    """The plan of an attribution on a file of texts."""

    plan: TextsPlan
    settings: StudySettings

    def lines(self) -> Sequence[str]:
        """Return the plan in words."""
        return self.plan.lines()

    def document(self) -> Document:
        """Return the plan as JSON-like values."""
        return self.plan.document()

    def run(self, progress: Progress) -> Iterator[Outcome]:
        """Attribute every neuron."""
        yield NeuronOutcome(study_of_texts(self.plan, self.settings, progress))


def plan_neurons_of_texts(settings: StudySettings, texts: Path, cache: Path, engine: str) -> Plan:
    """Load one retriever, and plan the attribution of its neurons on a file of texts.

    Raises:
        SettingsError: for an engine other than `local`: nothing is encoded that another could do.
    """
    if engine != "local":
        raise SettingsError(
            f"--engine {engine} has no effect on neurons --texts", fix="leave it out: this runs in one process"
        )
    return NeuronPlan(plan_texts(settings, texts, cache), settings)
