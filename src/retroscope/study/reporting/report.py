"""Report: the sections of all analyses, as page, tables, figures and `summary.json`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from retroscope.analyses import analyses
from retroscope.analyses.analysis import Analysis
from retroscope.analyses.section import Section
from retroscope.files.documents import SCHEMA, as_json, clean, write_document, write_text
from retroscope.files.whole import write_whole
from retroscope.study.folder import PAGE, SUMMARY
from retroscope.study.reporting.answer import Answer, answer_of, first_cards, marked
from retroscope.study.reporting.certainty import Certainty, certainties
from retroscope.study.reporting.controls import controls_of
from retroscope.study.reporting.missing import missing
from retroscope.study.reporting.verdict import Verdict, every_statement, verdict
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.frames import alpha
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.subject import Subject
from retroscope.typesetting.tables import merge_named, write_frames

if TYPE_CHECKING:
    from retroscope.typesetting.page import SectionPage


@dataclass(frozen=True, eq=False)
class Report:
    """Report of a study: its models, collections and settings, and the sections of all analyses.

    Attributes:
        subject: title, models, collections and settings of the study.
        sections: analysis -> its section, in reading order.
    """

    subject: Subject
    sections: Mapping[str, Section]

    @cached_property
    def verdict(self) -> Verdict:
        """Return the verdict: all statements of the study in the order in which `show --all` prints them."""
        return verdict(self.sections, self.subject, first_cards(self.sections))

    @cached_property
    def answer(self) -> Answer | None:
        """Return the summary that the report begins with, or None if no section states the effect of fine-tuning."""
        controls = controls_of(every_statement(self.sections))
        absent = missing(self.subject, self.sections)
        return answer_of(self._marked, self.subject, controls, self.verdict.alarms, absent)

    @property
    def _marked(self) -> dict[str, Section]:
        """Return the sections. Cards that rest on a model with a failed self-test are marked as doubtful."""
        return {name: replace(section, cards=tuple(marked(card, self.subject) for card in section.cards))
                for name, section in self.sections.items()}  # fmt: skip

    @cached_property
    def picture(self) -> Figure | None:
        """Return the figure beside the answer, or None if the study has no answer or no curves by layer."""
        from retroscope.study.reporting.picture import picture  # altair is slow to import

        return None if self.answer is None else picture(self.sections, self.subject)

    @property
    def figures(self) -> list[Figure]:
        """Return the figures of all sections, which have distinct names."""
        return list(
            merge_named([{figure.name: figure for figure in s.figures} for s in self.sections.values()]).values()
        )

    @property
    def tables(self) -> dict[str, PaperTable]:
        """Return the tables of all sections by name, as the page and a paper show them."""
        return merge_named([section.tables for section in self.sections.values()])

    @property
    def data(self) -> dict[str, Any]:
        """Return the JSON-like data of all sections by name, for the scripts of the page."""
        return merge_named([section.data() for section in self.sections.values()])

    @property
    def methods(self) -> dict[str, Mapping[str, Any]]:
        """Return the statistical method (e.g. test and correction) of each table of numbers, by the table's label."""
        methods: dict[str, Mapping[str, Any]] = {}
        for section in self.sections.values():
            methods |= {label: {**d.method, "alpha": alpha(d)} for label, d in section.differences.items()}
            methods |= section.methods
        return methods

    @cached_property
    def certainties(self) -> dict[str, Certainty]:
        """Map each analysis that compares both models by query to the half-width of its main interval."""
        return certainties(self.sections, self.subject.measures[0]) if self.subject.measures else {}

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return the tables of numbers (CSV) of all sections by name; "verdict" has all statements."""
        return merge_named([*(section.frames for section in self.sections.values()), {"verdict": self._sentences()}])

    def _sentences(self) -> pd.DataFrame:
        sentences = [
            {**s.document(), "doubts": "; ".join(s.doubts)}
            for s in (*self.verdict.everything(), *self.verdict.unconfirmed)
        ]
        frame = pd.DataFrame(sentences)
        ends = frame.pop("interval").map(lambda ends: ends or (None, None)) if len(frame) else ()
        return frame.assign(ci_low=[low for low, _ in ends], ci_high=[high for _, high in ends])

    def document(self) -> dict[str, Any]:
        """Return the content of `summary.json`. "analyses" maps the name of each analysis to its results."""
        subject = self.subject
        head = {
            "schema": SCHEMA,
            "title": subject.title,
            "protocol": subject.protocol,
            "answer": None if self.answer is None else self.answer.document(),
            "statements": [s.document() for s in self.verdict.everything()],
            "unconfirmed": [s.document() for s in self.verdict.unconfirmed],
            "not_yet_run": [asdict(step) for step in subject.not_yet_run],
            "caveats": list(subject.caveats),
            "collections": [asdict(collection) for collection in subject.collections],
            "analyses": {name: section.document for name, section in self.sections.items()},
            "statistics": self.methods,
            "certainty": {name: asdict(certainty) for name, certainty in self.certainties.items()},
            "settings": dict(subject.settings),
            "versions": dict(subject.versions),
            "timings": dict(subject.timings),
            "command": subject.command,
        }
        return {name: clean(value) for name, value in head.items()}


def write_report(report: Report, folder: Path, *, page_only: bool = False) -> Path:
    """Write page, tables, figures and summary into `folder` and return the path of the page.

    Each part of an earlier report is replaced as a whole. Other files stay.

    Args:
        page_only: write page and summary, but not the folders of tables and figures.
    """
    from retroscope.typesetting.charts.drawing import write_figures  # slow to import, and a terminal shows no figure

    page = render(report)
    if not page_only:
        large = merge_named([section.large for section in report.sections.values()])
        write_frames(report.frames(), report.tables, folder / "tables", large)
        write_figures(report.figures, folder / "figures")
    write_document(folder / SUMMARY, report.document())
    for name, value in merge_named([section.files for section in report.sections.values()]).items():
        write_text(folder / name, as_json(value))
    return write_whole(folder / PAGE, page.encode())


def render(report: Report) -> str:
    """Render the page of the report as HTML."""
    from retroscope.typesetting.page import fill

    pending = {step.analysis for step in report.subject.not_yet_run}
    pages = [
        _section_page(known, report.sections.get(name), report.subject)
        for name, known in analyses().items()
        if name in report.sections or name in pending
    ]
    values = {
        "subject": report.subject,
        "title": report.subject.title,
        "answer": report.answer,
        "picture": _drawn(report.picture),
        "verdict": report.verdict,
        "methods": report.methods,
        "data": report.data,
    }
    return fill("report.html.j2", report.figures, report.tables, values, pages)


def _drawn(figure: Figure | None) -> Mapping[str, object] | None:
    """Return the SVG and the caption of a figure, which the page shows without scripts, or None without a figure."""
    from retroscope.typesetting.charts.drawing import svg
    from retroscope.typesetting.page import inline_svg

    if figure is None:
        return None
    return {"svg": inline_svg(svg(figure.specification), figure.alt), "caption": figure.caption}


def _section_page(analysis: Analysis, section: Section | None, subject: Subject) -> "SectionPage":
    """Return the section of an analysis for the page, or an empty section if the analysis has not run yet."""
    from retroscope.typesetting.page import SectionPage

    if section is None:
        return SectionPage(analysis.name, analysis.title, analysis.question, "", {})
    values = {**section.values, "section": section}
    statements = (*section.statements, *section.details, *section.unconfirmed)
    label = of_one_training(analysis, subject)
    return SectionPage(analysis.name, analysis.title, analysis.question, analysis.package, values, statements, label)


def of_one_training(analysis: Analysis, subject: Subject) -> str:
    """Return the label of a section that describes only one of several trainings, or "" for other sections."""
    if analysis.over_trainings or subject.trainings == 1:
        return ""
    return f"Of {subject.trainings} training runs, this section is about {subject.after.name} alone."
