"""The report about weights as a folder: page, tables, figures."""

from pathlib import Path

from retroscope.analyses.weights.figures import weight_figures, weight_tables
from retroscope.analyses.weights.result import WeightFindings
from retroscope.analyses.weights.words import weight_statements
from retroscope.files import write_whole
from retroscope.typesetting.drawing import write_figures
from retroscope.typesetting.page import fill
from retroscope.typesetting.tables import write_frames


def write_weight_report(f: WeightFindings, folder: Path) -> Path:
    """Write report.html, tables/ and figures/ into `folder` and return the path of the page."""
    figures, papers = weight_figures(f), weight_tables(f)
    page = fill("weights.html.j2", figures, papers, {"f": f, "statements": weight_statements(f)})
    write_frames({"tensors": f.tensors, "groups": f.groups}, papers, folder / "tables")
    write_figures(figures, folder / "figures")
    return write_whole(folder / "report.html", page.encode())
