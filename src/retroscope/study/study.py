"""Study: all measurements of models on collections, in memory and as a folder, and their report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from retroscope.analyses import analyses, in_order_of_needs
from retroscope.analyses.analysis import Analysis
from retroscope.analyses.measurement import Measurement, load_measurement
from retroscope.analyses.section import Reading, Section
from retroscope.collection.records import Run
from retroscope.errors import AnalysisError, did_you_mean, unknown_name
from retroscope.files.locks import held
from retroscope.files.reading import PathLike, path_of
from retroscope.files.whole import prove_writable
from retroscope.inputs.settings_files import read_as
from retroscope.statistics.settings import ComparisonSettings
from retroscope.study.folder import (
    FACTS,
    MEASURED,
    PAGE,
    PARTS,
    RESTORE,
    SETTINGS,
    stored_facts,
    stored_settings,
    studies_in,
)
from retroscope.study.overwriting import (
    ANOTHER_FOLDER,
    refuse_foreign_files,
    refuse_other_study,
    refuse_report_of_another,
)
from retroscope.study.reporting.facts import collection_from_facts, model_from_facts
from retroscope.study.reporting.report import Report, write_report
from retroscope.study.reporting.reported import Reported, SectionSubject
from retroscope.study.stored import MeasurementPlace, is_ahead, refuse_mixed, write_facts, write_measured
from retroscope.typesetting.subject import Pending, Refused, StudyFacts, Subject


@dataclass(frozen=True, eq=False)
class Study:
    """All measurements of a study (models x collections x analyses), from which its report is made.

    Attributes:
        facts: models, collections, caveats, versions, timings.
        settings: settings of the study, JSON-like.
        measured: analysis -> its measurements, one for each collection, in the order of the collections.
        reported_before: analysis -> its result and section from an earlier study of the same run. They are reused if
            their inputs are the same.

    `study["retrieval"]` is the result of an analysis: paired differences with intervals and tests.
    """

    facts: StudyFacts
    settings: Mapping[str, Any]
    measured: Mapping[str, Sequence[Measurement]]
    reported_before: dict[str, Reported] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str) -> Any:
        """Return the result of an analysis by its name.

        Raises:
            AnalysisError: if the analysis was not measured.
            SettingsError: if there is no analysis of this name.
        """
        if name in self.results:
            return self.results[name]
        if name not in analyses():
            raise unknown_name("analysis", name, analyses())
        if name in {pending.analysis for pending in self.subject.not_yet_run}:
            raise AnalysisError(
                f"the analysis {name!r} has not run yet in this study",
                fix="repeat the command that made the study, which continues where it stopped",
            )
        raise AnalysisError(
            f"the analysis {name!r} was not measured in this study",
            fix=f"use an analysis that was measured: {', '.join(self.results)}",
        )

    def __repr__(self) -> str:
        measured = ", ".join(name for name in analyses() if name in self.measured)
        return f"<Study: {self.facts['title']}; {measured}>"

    def _repr_html_(self) -> str:
        from retroscope.study.reporting.notebook import answer_html

        return answer_html(self.report_contents)

    @cached_property
    def subject(self) -> Subject:
        """Return the title, models, collections, settings and caveats that a report prints."""
        facts, settings = self.facts, self.settings
        return Subject(
            title=facts["title"],
            models={side: model_from_facts(model) for side, model in facts["models"].items()},
            collections=tuple(collection_from_facts(record) for record in facts["collections"]),
            protocol=settings["protocol"],
            measures=tuple(settings["measures"]),
            statistics=read_as(ComparisonSettings, settings["statistics"], "statistics"),
            trainings=facts["trainings"],
            settings=settings,
            caveats=tuple(facts["caveats"]),
            command=facts["command"],
            versions=facts["versions"],
            timings=facts["timings"],
            not_yet_run=tuple(Pending(**step) for step in facts.get("not_yet_run", ())),
            refused=tuple(Refused(**step) for step in facts.get("refused", ())),
            too_long=tuple(facts.get("too_long", ())),
        )

    @property
    def results(self) -> Mapping[str, Any]:
        """Map each analysis that was measured to its result, in the order of the report."""
        return {name: reported.result for name, reported in self._reported.items()}

    @cached_property
    def report_contents(self) -> Report:
        """Return the report of the study (computed once), which page, terminal and `summary.json` print."""
        return Report(self.subject, {name: known.section for name, known in self._reported.items() if known.section})

    @cached_property
    def _reported(self) -> dict[str, Reported]:
        """Map each analysis that was measured to its result and section, in the order of the report."""
        reported: dict[str, Reported] = {}
        for name in in_order_of_needs():
            self._add(name, reported)
        return {name: reported[name] for name in analyses() if name in reported}

    def _add(self, name: str, reported: dict[str, Reported]) -> None:
        """Add the result and section of an analysis to `reported` if it was measured. Reuse them for equal inputs."""
        analysis = analyses()[name]
        measurements = tuple(self.measured.get(name, ()))
        if (analysis.instrument is not None and not measurements) or self.settings.get(name, {}) is None:
            return
        needed = {other: reported[other] for other in analysis.needs if other in reported}
        known = self.reported_before.get(name)
        about = SectionSubject.of(self.subject)
        if known is None or not known.is_of(about, measurements, needed):
            known = Reported(about, measurements, needed, *self._infer(analysis, measurements, needed))
            self.reported_before[name] = known
        if known.section is not None:
            reported[name] = known

    def _infer(
        self, analysis: Analysis, measurements: Sequence[Measurement], needed: Mapping[str, Reported]
    ) -> tuple[Any, Section | None]:
        """Return the result and the section of an analysis. The section is None if there is nothing to report."""
        results = {name: other.result for name, other in needed.items()}
        sections = {name: other.section for name, other in needed.items() if other.section is not None}
        reading, reporter = Reading(self.subject, results, sections), analysis.reporter()
        of_models = analysis.instrument is None and not analysis.needs  # reads the subject alone, of one model or two
        if len(self.subject.models) == 1 and not of_models:
            if reporter.alone is None or not measurements:
                return None, None
            return measurements[0], reporter.alone(measurements[0], reading)
        result = reporter.infer(measurements, reading)
        return result, None if result is None else reporter.report(result, reading)

    def save(self, folder: PathLike, *, overwrite: bool = False) -> None:
        """Write the study's measurements and facts for `load_study`, with `study.json` last.

        Raises:
            SettingsError: if the folder holds files that no study wrote, or another study while `overwrite` is false.
                Also if the folder cannot be written to, or another run is writing to it.
        """
        target = path_of(folder)
        self._refuse_replacing(target, overwrite)
        with held(target):
            self._save_measured(target, set())
            write_facts(target, self.measured, self.settings, self.facts)

    def _save_measured(self, folder: Path, written: set[MeasurementPlace]) -> None:
        """Write measurements and settings. The tag in a TREC run file is the name of the model."""
        from retroscope.retrieval.runs import write_run  # its package imports torch, which reading needs not

        names = {side: model["name"] for side, model in self.facts["models"].items()}

        def named_run(run: Run, path: Path, side: str) -> None:
            write_run(run, path, names.get(side, side))

        write_measured(folder, self.measured, self.settings, named_run, written)

    def _refuse_replacing(self, folder: Path, overwrite: bool) -> None:
        refuse_foreign_files(folder)
        prove_writable(folder)
        if not overwrite:
            refuse_other_study(folder, self.settings, self.facts)

    def report(
        self, folder: PathLike, written: set[MeasurementPlace] | None = None, *, overwrite: bool = False
    ) -> Path:
        """Write the complete study (measurements, runs, tables, figures, page) to `folder`, and return the page's path.

        If analyses are still to be run, tables and figures are written only at the end, and a folder that already holds
        more of the same study is not changed.

        Args:
            folder: folder to write to. Files of this study that were written there earlier are replaced.
            written: measurements that this process has already written to the folder. They are not written again, and
                new ones are added to this set.
            overwrite: whether another study in the folder is replaced.

        Raises:
            SettingsError: if the folder holds files that no study wrote, or another study while `overwrite` is false.
                Also if the folder cannot be written to, or another run is writing to it.
        """
        target = path_of(folder)
        self._refuse_replacing(target, overwrite)
        already_written = set() if written is None else written
        with held(target):
            if is_ahead(target, self.measured, self.settings, already_written):
                return target / PAGE
            self._save_measured(target, already_written)
            page = write_report(self.report_contents, target, page_only=not self.subject.is_finished)
            write_facts(target, self.measured, self.settings, self.facts)
            return page

    def report_alone(self, folder: PathLike) -> Path:
        """Write only page, tables, figures and summary.json below `folder`, and return the path of the page.

        Raises:
            SettingsError: if the folder holds files that no report wrote, or another study or its report, or if it
                cannot be written to.
        """
        target = path_of(folder)
        refuse_other_study(target, self.settings, self.facts, ANOTHER_FOLDER)
        refuse_report_of_another(target, self.summary())
        prove_writable(target)
        return write_report(self.report_contents, target)

    def summary(self) -> dict[str, Any]:
        """Return the study as JSON-like values, which are the content of `summary.json`."""
        return self.report_contents.document()


def load_study(folder: PathLike) -> Study:
    """Read a study that `Study.save` wrote to `folder`, without loading a model or torch.

    Raises:
        AnalysisError: if the folder holds no study, or a study of another version of Retroscope.
        DamageError: if a file of the study is damaged.
    """
    home = path_of(folder)
    if not (home / FACTS).exists():
        inside, near = studies_in(home), studies_in(home.parent)
        meant = did_you_mean(home.name, near) if near else ""
        if inside:
            meant = f"give one of the studies in it: {', '.join(str(home / name) for name in inside)}"
        raise AnalysisError(
            "this folder holds no study" if home.is_dir() else "this folder does not exist",
            where=str(home),
            fix=meant or "give the folder of a study, which `retroscope compare ... --out DIR` makes",
        )
    facts = stored_facts(home)
    parts = facts.pop(PARTS, {})
    measured = {
        name: tuple(load_measurement(home / MEASURED / name / str(number), RESTORE) for number in range(count))
        for name, count in facts.pop("measured").items()
    }
    unknown = [name for name in measured if name not in analyses()]
    if unknown:
        raise AnalysisError(
            f"this study measured the analysis {unknown[0]!r}, which no installed package declares",
            where=str(home),
            fix="install the package that declares this analysis",
        )
    settings = stored_settings(home)
    missing = [name for name in ("protocol", "measures", "statistics") if name not in settings]
    if missing:
        raise AnalysisError(
            f"these settings lack the setting {missing[0]!r}",
            where=str(home / SETTINGS),
            fix=RESTORE,
        )
    refuse_mixed(home, measured, settings, parts)
    return Study(cast(StudyFacts, facts), settings, measured)
