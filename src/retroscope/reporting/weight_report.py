"""The report about weights as a folder: page, tables, figures."""

from pathlib import Path

from retroscope.reporting.figures import write_figures
from retroscope.reporting.files import write_whole
from retroscope.reporting.page import fill
from retroscope.reporting.tables import write_frames
from retroscope.reporting.weight_figures import weight_figures, weight_tables
from retroscope.reporting.weight_findings import WeightFindings
from retroscope.reporting.weight_words import weight_statements


def write_weight_report(f: WeightFindings, folder: Path) -> Path:
    """Write report.html, tables/ and figures/ into `folder` and return the path of the page."""
    figures, papers = weight_figures(f), weight_tables(f)
    page = fill("weights.html.j2", figures, papers, {"f": f, "statements": weight_statements(f)})
    write_frames({"tensors": f.tensors, "groups": f.groups}, papers, folder / "tables")
    write_figures(figures, folder / "figures")
    return write_whole(folder / "report.html", page.encode())
