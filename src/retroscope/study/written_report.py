"""The report on disk: report.html, tables/ and figures/, each whole or not there."""

from pathlib import Path

from retroscope.files import write_whole
from retroscope.study.figures import draw
from retroscope.study.findings import Findings
from retroscope.study.html import render
from retroscope.study.tables import write_tables
from retroscope.typesetting.drawing import write_figures


def write_report(findings: Findings, folder: Path) -> Path:
    """Write the report into `folder` and return the path of `report.html`.

    Of a report that is already there, each part is replaced as a whole; other files stay.
    """
    figures = draw(findings)
    page = render(findings, figures)
    write_tables(findings, folder / "tables")
    write_figures(figures, folder / "figures")
    return write_whole(folder / "report.html", page.encode())
