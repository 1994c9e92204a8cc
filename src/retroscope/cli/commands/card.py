"""`retroscope card DIR`: print the section for a model card of a finished study."""

from pathlib import Path
from typing import Annotated

import typer

from retroscope.cli.defaults import option
from retroscope.cli.groups import flat
from retroscope.cli.options import shared as o

EXAMPLE = "retroscope card runs/nq --into README.md"


@flat()
def run(
    folder: Annotated[Path, typer.Argument(help="Folder of a finished study of two models (a pair)", metavar="DIR")],
    into: Annotated[
        Path | None,
        option("--into", help="Model card that receives the section and its metadata", metavar="FILE",
               default="print them"),
    ] = None,
    as_json: o.Json = False,
) -> None:  # fmt: skip
    """Print a section for a model card: what fine-tuning changed.

    The section begins with metadata (model-index) that the Hugging Face hub reads. With --into FILE, the section
    is written into FILE, in place of an earlier one by Retroscope, if any. The rest of FILE is kept.
    """
    from retroscope.cli.terminal import emit, note, say
    from retroscope.errors import SettingsError
    from retroscope.files.documents import write_text
    from retroscope.study.reporting.model_card import card_document, into_card, model_card
    from retroscope.study.study import load_study

    if into is not None and not into.is_file():
        raise SettingsError(
            "this model card does not exist", where=str(into), fix="give an existing file, e.g. --into README.md"
        )
    report = load_study(folder).report_contents
    if into is not None:
        write_text(into, into_card(report, into.read_text(encoding="utf-8"), str(into)))
        note(f"model card: {into}")
    if as_json:
        emit(card_document(report))
    elif into is None:
        say(model_card(report).rstrip())
