"""retroscope show DIR."""

from pathlib import Path
from typing import Annotated

import typer

from retroscope.cli import options as o


def run(
    folder: Annotated[
        Path, typer.Argument(help="A folder that compare, ablate, diff or transplant wrote.", metavar="DIR")
    ],
    as_json: o.Json = False,
) -> None:
    """Say what a finished study found."""
    from retroscope.cli import diff, transplant
    from retroscope.cli.terminal import emit, say
    from retroscope.documents import read_document
    from retroscope.study.console import summary as in_words
    from retroscope.study.folder import FACTS
    from retroscope.study.grid_summary import GRID
    from retroscope.study.study import load_study
    from retroscope.study.summary import summary

    others = [folder / name for name in (GRID, diff.DOCUMENT, transplant.DOCUMENT) if (folder / name).exists()]
    if others and not (folder / FACTS).exists():
        found = [read_document(file) for file in others]
        if as_json:
            emit(found[0] if len(found) == 1 else {"documents": found})
        else:
            said = [[*document["verdict"], *(f"- {c}" for c in document.get("caveats", ()))] for document in found]
            say("\n\n".join("\n".join(lines) for lines in said))
        return
    study = load_study(folder)
    if as_json:
        emit(summary(study))
    else:
        say(in_words(study.findings()))
