"""retroscope diff BEFORE AFTER."""

from typing import Annotated

import typer

from retroscope.cli import options as o

DOCUMENT = "diff.json"


def run(
    before: Annotated[str, typer.Argument(help="The backbone: folder, hub name or GGUF file.", metavar="BEFORE")],
    after: Annotated[str, typer.Argument(help="What was fine-tuned from it; an adapter is one, too.", metavar="AFTER")],
    out: o.Out = None,
    base: Annotated[
        str | None, typer.Option("--base", help="Of an adapter, where the base that it names is not to be followed.")
    ] = None,
    spectra: Annotated[
        bool, typer.Option("--spectra/--no-spectra", help="Ranks and directions of every change; the slow part.")
    ] = True,
    directions: Annotated[int, typer.Option("--directions", help="In which amplification is measured.")] = 8,
    as_json: o.Json = False,
) -> None:
    """Report which weights changed.

    No data are needed. Tensors are read one at a time; an adapter is measured from its factors.
    """
    from retroscope.analyses.weights.diff import diff, diff_document, diff_text, write_diff
    from retroscope.analyses.weights.settings import WeightSettings
    from retroscope.cli.terminal import claimed, emit, note, progress_bars, say
    from retroscope.documents import as_json as in_json
    from retroscope.documents import write_text
    from retroscope.files import refuse_foreign, refuse_other_report

    if out is not None:
        refuse_other_report(out, DOCUMENT)
        for made in ("tables", "figures"):
            refuse_foreign(out / made)
    with claimed(*([out] if out else [])), progress_bars() as progress:
        found = diff(
            before, after, base=base, settings=WeightSettings(spectra=spectra, directions=directions),
            progress=lambda done, total: progress("tensors", done, total),
        )  # fmt: skip
    document = diff_document(found)
    if out is not None:
        write_text(out / DOCUMENT, in_json(document))
        note(f"report: {write_diff(found, out, document)}")
    emit(document) if as_json else say(diff_text(found))
