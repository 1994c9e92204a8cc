"""Plan and run `neurons --texts FILE`: attribute neurons on a file of texts, without queries or judgments."""

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
    """Results of `neurons --texts`: the attributions of all neurons on a file of texts, as a study of one analysis."""

    study: Study
    is_final: bool = True

    def write(self, folder: Path) -> Path:
        """Write the study (measurement, report, tables, figures) into a folder and return the path of the page."""
        return self.study.report(folder, overwrite=True)  # refused before, unless the user asked for it

    def news(self) -> str:
        """Return "", because this run has no partial results."""
        return ""

    def document(self) -> Document:
        """Return the results as the JSON document that `neurons --json` prints."""
        return self.study.summary()

    def text(self, folder: Path | None) -> str:
        """Return the report as plain text, which is printed without `--json`."""
        return console_text(self.study.report_contents, folder=folder)

    def close(self) -> None:
        """Do nothing: the cached attributions, from which a later run can resume, are kept."""


@dataclass(frozen=True, eq=False)
class NeuronPlan:
    """An attribution of neurons on a file of texts that is planned but has not begun."""

    plan: TextsPlan
    settings: StudySettings

    def lines(self) -> Sequence[str]:
        """Return the lines of the plan, as `--dry-run` prints them."""
        return self.plan.lines()

    def document(self) -> Document:
        """Return the plan as JSON-like values."""
        return self.plan.document()

    def run(self, progress: Progress) -> Iterator[Outcome]:
        """Attribute every neuron on the texts, and yield the complete results, once."""
        yield NeuronOutcome(study_of_texts(self.plan, self.settings, progress))


def plan_neurons_of_texts(settings: StudySettings, texts: Path, cache: Path, engine: str) -> Plan:
    """Load one retriever, and plan the attribution of its neurons on a file of texts.

    Raises:
        SettingsError: for an engine other than `local`, because the attribution runs in this process.
    """
    if engine != "local":
        raise SettingsError(
            f"--engine {engine} cannot be used with --texts, because these texts are encoded in this process",
            fix="leave out --engine",
        )
    return NeuronPlan(plan_texts(settings, texts, cache), settings)
