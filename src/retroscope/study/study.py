"""Study: all measurements of models on collections, in memory and as a folder, and their report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from retroscope.analyses import analyses
from retroscope.analyses.measurement import Measurement, load_measurement
from retroscope.analyses.section import Reading, Section
from retroscope.collection.records import Run
from retroscope.documents import as_json, read_document, write_text
from retroscope.errors import AnalysisError, unknown_name
from retroscope.files import whole_folder
from retroscope.inputs.settings_files import as_yaml, from_yaml, read_as
from retroscope.statistics.settings import ComparisonSettings
from retroscope.study.facts import collection_from_facts, model_from_facts
from retroscope.study.folder import FACTS, MEASURED, SETTINGS
from retroscope.study.replacing import refuse_foreign_files, refuse_other_study
from retroscope.study.report import Report, write_report
from retroscope.typesetting.subject import Subject


@dataclass(frozen=True, eq=False)
class Study:
    """All measurements of a study (models x collections x analyses), and their report.

    Attributes:
        facts: JSON-like: models, collections, caveats, versions, timings.
        settings: of the study, JSON-like.
        measured: analysis -> its measurement on every collection, the first collection's first.

    `study["retrieval"]` is the result of an analysis: paired differences with intervals and tests.
    """

    facts: Mapping[str, Any]
    settings: Mapping[str, Any]
    measured: Mapping[str, Sequence[Measurement]]

    def __getitem__(self, name: str) -> Any:
        """Return the result of an analysis.

        Raises:
            AnalysisError: if it was not measured.
            SettingsError: if there is no such analysis.
        """
        if name in self.results:
            return self.results[name]
        if name not in analyses():
            raise unknown_name("analysis", name, analyses())
        raise AnalysisError(f"{name!r} was not measured in this study", fix=f"measured are {', '.join(self.results)}")

    def __repr__(self) -> str:
        measured = ", ".join(name for name in analyses() if name in self.measured)
        return f"<Study: {self.facts['title']}; {measured}>"

    @cached_property
    def subject(self) -> Subject:
        """Return the names, models, collections and statistics that a report prints."""
        facts, settings = self.facts, self.settings
        return Subject(
            title=facts["title"],
            models={side: model_from_facts(one) for side, one in facts["models"].items()},
            collections=tuple(collection_from_facts(one) for one in facts["collections"]),
            protocol=settings["protocol"],
            measures=tuple(settings["measures"]),
            statistics=read_as(ComparisonSettings, settings["statistics"], "statistics"),
            trainings=facts["trainings"],
            settings=settings,
            caveats=tuple(facts["caveats"]),
            command=facts["command"],
            versions=facts["versions"],
            timings=facts["timings"],
        )

    @property
    def results(self) -> Mapping[str, Any]:
        """Return the result of every analysis that has one, in reading order."""
        return {name: reported[0] for name, reported in self._reported.items()}

    @cached_property
    def report_contents(self) -> Report:
        """Return what page, tables, terminal and `summary.json` print; computed once."""
        return Report(self.subject, {name: section for name, (_, section) in self._reported.items()})

    @cached_property
    def _reported(self) -> dict[str, tuple[Any, Section]]:
        """Return the result and the section of every analysis in reading order, made in the order of needs."""
        reported: dict[str, tuple[Any, Section]] = {}
        for name in _in_order_of_needs():
            self._add(name, reported)
        return {name: reported[name] for name in analyses() if name in reported}

    def _add(self, name: str, reported: dict[str, tuple[Any, Section]]) -> None:
        """Infer and report one analysis, if it was measured or reads others that were."""
        analysis = analyses()[name]
        measurements = self.measured.get(name, ())
        if (analysis.instrument is not None and not measurements) or self.settings.get(name, {}) is None:
            return
        needed = {other: reported[other] for other in analysis.needs if other in reported}
        results, sections = ({other: pair[k] for other, pair in needed.items()} for k in (0, 1))
        reading, reporter = Reading(self.subject, results, sections), analysis.reporter()
        of_models = analysis.instrument is None and not analysis.needs  # reads the subject alone, of one model or two
        if len(self.subject.models) == 1 and not of_models:
            if reporter.alone is not None and measurements:
                reported[name] = (measurements[0], reporter.alone(measurements[0], reading))
            return
        result = reporter.infer(measurements, reading)
        if result is not None:
            reported[name] = (result, reporter.report(result, reading))

    def save(self, folder: Path, *, overwrite: bool = False) -> None:
        """Write what `load_study` reads; `study.json` last, so that its presence means a finished study.

        Raises:
            SettingsError: if the folder holds files that no study wrote, or another study and not `overwrite`.
        """
        self._refuse_replacing(folder, overwrite)
        self._save_measured(folder)
        self._finish(folder)

    def _save_measured(self, folder: Path) -> None:
        """Write measurements and settings; until `_finish` the folder holds no finished study."""
        from retroscope.retrieval.runs import write_run  # its room imports torch, which reading needs not

        names = {side: model["name"] for side, model in self.facts["models"].items()}

        def named_run(run: Run, path: Path, side: str) -> None:
            write_run(run, path, names.get(side, side))

        folder.mkdir(parents=True, exist_ok=True)
        (folder / FACTS).unlink(missing_ok=True)
        with whole_folder(folder / MEASURED) as measured:
            for name, measurements in self.measured.items():
                for number, one in enumerate(measurements):
                    one.save(measured / name / str(number), named_run)
        write_text(folder / SETTINGS, as_yaml(self.settings))

    def _finish(self, folder: Path) -> None:
        """Write `study.json`, which makes the folder a finished study."""
        kept = {name: len(measurements) for name, measurements in self.measured.items()}
        write_text(folder / FACTS, as_json({**self.facts, "measured": kept}))

    def _refuse_replacing(self, folder: Path, overwrite: bool) -> None:
        refuse_foreign_files(folder)
        if not overwrite:
            refuse_other_study(folder, self.settings, self.facts)

    def report(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write everything below `folder` (measurements, runs, tables, figures, page) and return the page's path.

        Args:
            folder: to write to; of this study, what was written there before is replaced.
            overwrite: replace another finished study, too.

        Raises:
            SettingsError: if the folder holds files that no study wrote, or another study and not `overwrite`.
        """
        target = Path(folder)
        self._refuse_replacing(target, overwrite)
        self._save_measured(target)
        page = write_report(self.report_contents, target)
        self._finish(target)
        return page

    def summary(self) -> dict[str, Any]:
        """Return the study in numbers and sentences, for other programs: what `summary.json` holds."""
        return self.report_contents.document()


def load_study(folder: str | Path) -> Study:
    """Return the study that `Study.save` wrote to `folder`; no model is needed for it, nor torch.

    Raises:
        AnalysisError: if there is no finished study, or one of another version.
    """
    home = Path(folder)
    if not (home / FACTS).exists():
        raise AnalysisError("there is no finished study here", where=str(home), fix="run retroscope compare --out DIR")
    facts = read_document(home / FACTS)
    measured = {
        name: tuple(load_measurement(home / MEASURED / name / str(number)) for number in range(count))
        for name, count in facts.pop("measured").items()
    }
    unknown = [name for name in measured if name not in analyses()]
    if unknown:
        raise AnalysisError(
            f"this study measured {unknown[0]!r}, and no installed package declares that analysis",
            where=str(home),
            fix="install the package that declares it",
        )
    settings = from_yaml(home / SETTINGS)
    missing = [name for name in ("protocol", "measures", "statistics") if name not in settings]
    if missing:
        raise AnalysisError(f"these settings lack {missing[0]!r}", where=str(home / SETTINGS), fix="restore the file")
    return Study(facts, settings, measured)


def _in_order_of_needs() -> list[str]:
    """Return the names of the analyses, each after those that it needs.

    Raises:
        ValueError: if two need one another.
    """
    known, order = analyses(), list[str]()

    def add(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise ValueError(f"analyses need one another: {' > '.join((*path, name))}")
        if name in known and name not in order:
            for other in known[name].needs:
                add(other, (*path, name))
            order.append(name)

    for name in known:
        add(name, ())
    return order
