"""retroscope show DIR."""

from pathlib import Path
from typing import Annotated

import typer

from retroscope.cli import options as o
from retroscope.cli.groups import flat

EXAMPLE = "retroscope show runs/nq"


@flat()
def run(
    folder: Annotated[Path, typer.Argument(help="Folder of a finished study, of ablate or of diff", metavar="DIR")],
    as_json: o.Json = False,
) -> None:
    """Print what a finished study found."""
    from retroscope.cli.terminal import emit, say
    from retroscope.documents import read_document
    from retroscope.study.folder import DIFF, FACTS, GRID

    others = [folder / name for name in (GRID, DIFF) if (folder / name).exists()]
    if others and not (folder / FACTS).exists():
        documents = [read_document(file) for file in others]
        if as_json:
            emit(documents[0] if len(documents) == 1 else {"documents": documents})
        else:
            texts = [[*one["verdict"], *(f"- {caveat}" for caveat in one.get("caveats", ()))] for one in documents]
            say("\n\n".join("\n".join(lines) for lines in texts))
        return

    from retroscope.study.reporting.console import console_text
    from retroscope.study.study import load_study

    study = load_study(folder)
    emit(study.summary()) if as_json else say(console_text(study.report_contents))
