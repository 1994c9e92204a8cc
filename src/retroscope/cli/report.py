"""retroscope report DIR."""

from pathlib import Path
from typing import Annotated

import typer

from retroscope.cli import options as o


def run(
    folder: Annotated[Path, typer.Argument(help="A folder that compare wrote.", metavar="DIR")],
    out: o.Out = None,
    as_json: o.Json = False,
) -> None:
    """Write the report, tables and figures of a finished study again, without measuring anything."""
    from retroscope.cli.terminal import emit, note
    from retroscope.study.study import load_study
    from retroscope.study.summary import write_summary

    study = load_study(folder)
    page = study.report(out or folder)
    document = write_summary(study, out or folder)
    if as_json:
        emit(document)
    note(f"report: {page}")
