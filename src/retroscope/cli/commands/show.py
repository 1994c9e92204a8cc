"""`retroscope show DIR`: print what a finished study found."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retroscope.cli.defaults import option
from retroscope.cli.groups import flat
from retroscope.cli.options import shared as o
from retroscope.cli.studies import Gates, judge, judge_all
from retroscope.errors import SettingsError

if TYPE_CHECKING:
    from retroscope.study.reporting.gate import Gate

EXAMPLE = "retroscope show runs/nq"


@flat()
def run(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Folder of a finished study or set of studies, or of the output of ablate or diff", metavar="DIR"
        ),
    ],
    everything: Annotated[
        bool, option("--all", help="Print every statement, the caveats and the tables of the study, too")
    ] = False,
    gate: Gates = None,
    as_json: o.Json = False,
) -> None:
    """Print what a finished study found.

    The command prints the answer of the report: one sentence, and a line for each question. With --all, it prints the
    whole report.
    """
    from retroscope.cli.terminal import emit, say
    from retroscope.files.documents import read_document
    from retroscope.study.folder import DIFF, FACTS, GRID, SET
    from retroscope.study.reporting.gate import parse_gate, refuse_unknown

    gates = [parse_gate(text) for text in gate or ()]
    if (folder / SET).exists():
        _show_set(folder, gates, as_json)
        return
    files = [folder / name for name in (GRID, DIFF) if (folder / name).exists()]
    if files and not (folder / FACTS).exists():
        if gates:
            raise SettingsError(
                "--gate needs a study of two models, which this folder does not hold",
                where=str(folder),
                fix="leave out --gate, or give a folder that `retroscope compare` wrote",
            )
        documents = [read_document(file) for file in files]
        if as_json:
            emit(documents[0] if len(documents) == 1 else {"documents": documents})
        else:
            statements = [[s["text"] for s in document["statements"]] for document in documents]
            caveats = [[f"- {caveat}" for caveat in document.get("caveats", ())] for document in documents]
            say("\n\n".join("\n".join((*lines, *more)) for lines, more in zip(statements, caveats, strict=True)))
        return

    from retroscope.study.reporting.console import console_text
    from retroscope.study.study import load_study

    study = load_study(folder)
    subject = study.subject
    refuse_unknown(gates, subject.measures, [collection.name for collection in subject.collections])
    text = console_text(study.report_contents, everything=everything, folder=folder)
    emit(study.summary()) if as_json else say(text)
    judge(study.report_contents, gates)


def _show_set(folder: Path, gates: list["Gate"], as_json: bool) -> None:
    from retroscope.cli.terminal import emit, say
    from retroscope.study.folder import PAGE
    from retroscope.study.overview.console import overview_text
    from retroscope.study.reporting.gate import refuse_unknown
    from retroscope.study.several.study_set import load_set

    studies = load_set(folder)
    for study in studies.studies.values():
        refuse_unknown(gates, study.subject.measures, [collection.name for collection in study.subject.collections])
    overview = studies.overview(folder)
    emit(overview.document(folder / PAGE)) if as_json else say(overview_text(overview))
    judge_all({name: study.report_contents for name, study in studies.studies.items()}, gates)
