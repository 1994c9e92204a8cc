"""retroscope report DIR."""

from pathlib import Path
from typing import Annotated

import typer

from retroscope.cli import options as o
from retroscope.cli.defaults import option
from retroscope.cli.groups import flat

EXAMPLE = "retroscope report runs/nq"


@flat()
def run(
    folder: Annotated[Path, typer.Argument(help="Folder of a finished study", metavar="DIR")],
    out: Annotated[
        Path | None, option("--out", help="Folder to write to", metavar="DIR", default="the folder itself")
    ] = None,
    as_json: o.Json = False,
) -> None:
    """Write the report of a finished study again.

    Page, tables, figures and summary.json, from the stored numbers; nothing is measured.
    """
    from retroscope.cli.terminal import claimed, emit, note
    from retroscope.study.study import load_study

    study = load_study(folder)
    target = out or folder
    with claimed(target):
        page = study.report_alone(target)
    if as_json:
        emit(study.summary())
    note(f"report: {page}")
