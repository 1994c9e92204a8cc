"""The report of transplants: which parts of what fine-tuning changed does retrieval need?"""

from pathlib import Path

from retroscope.analyses.transplants.figures import transplant_figures, transplant_tables
from retroscope.analyses.transplants.result import TransplantFindings
from retroscope.analyses.transplants.words import transplant_statements
from retroscope.files import write_whole
from retroscope.typesetting.drawing import write_figures
from retroscope.typesetting.page import fill
from retroscope.typesetting.tables import write_frames


def write_transplant_report(f: TransplantFindings, folder: Path) -> Path:
    """Write report.html, tables/ and figures/ into `folder` and return the path of the page."""
    figures, papers = transplant_figures(f), transplant_tables(f)
    methods = {name: difference.method for name, difference in f.differences.items()}
    page = fill(
        "transplants.html.j2", figures, papers, {"f": f, "statements": transplant_statements(f), "methods": methods}
    )
    write_frames({"transplants": f.table()}, papers, folder / "tables")
    write_figures(figures, folder / "figures")
    return write_whole(folder / "report.html", page.encode())
