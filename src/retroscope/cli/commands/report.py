"""`retroscope report DIR ...`: write the report of a study, or an overview of several, again."""

from pathlib import Path
from typing import Annotated

import typer

from retroscope.cli.defaults import option
from retroscope.cli.groups import flat
from retroscope.cli.options import shared as o
from retroscope.errors import SettingsError

EXAMPLE = "retroscope report runs/nq"


@flat()
def run(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Folder of a finished study, or of a set of studies; may be repeated", metavar="DIR"),
    ],
    out: Annotated[
        Path | None,
        option("--out", help="Folder to write the report to; for an overview, the HTML file to write, e.g. "
                             "runs/overview.html",
               metavar="DIR", default="the folder itself"),
    ] = None,
    as_json: o.Json = False,
) -> None:  # fmt: skip
    """Write the report of a study again, or one overview of several.

    The command writes the page, tables, figures and summary.json from the stored numbers of a study and measures
    nothing. An overview is one page with links into the page of each study; it groups studies whose numbers can be
    compared.
    """
    from retroscope.study.several.study_set import is_set

    if len(folders) > 1 or is_set(folders[0]):
        _overview(folders, out, as_json)
        return
    from retroscope.cli.terminal import claimed, emit, note
    from retroscope.study.study import load_study

    study = load_study(folders[0])
    target = out or folders[0]
    with claimed(target):
        page = study.report_alone(target)
    if as_json:
        emit(study.summary())
    note(f"report: {page}")


def _overview(folders: list[Path], out: Path | None, as_json: bool) -> None:
    """Write an overview page of several studies, or write the page of one set of studies again."""
    from retroscope.cli.terminal import claimed, emit, note
    from retroscope.study.overview.page import read_overview, refuse_other_page, write_overview
    from retroscope.study.several.study_set import expanded, load_set

    if out is None and len(folders) > 1:
        raise SettingsError(
            "--out is missing: the overview of several studies is written to a file",
            fix="name an HTML file, e.g. --out runs/overview.html",
        )
    if out is None:
        studies = load_set(folders[0])
        with claimed(folders[0]):
            page = studies.write_pages(folders[0])
        document = studies.overview(folders[0]).document(page)
    else:
        refuse_other_page(out)
        overview = read_overview(expanded(folders))
        with claimed(out.parent):
            page = write_overview(overview, out)
        document = overview.document(page)
    if as_json:
        emit(document)
    note(f"report: {page}")
