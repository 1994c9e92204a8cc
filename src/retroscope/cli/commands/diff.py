"""`retroscope diff BEFORE AFTER`: compare the weights of two checkpoints."""

from dataclasses import dataclass
from typing import Annotated

import typer

from retroscope.cli.defaults import option, written
from retroscope.cli.groups import flat
from retroscope.cli.loading import load_libraries
from retroscope.cli.options import shared as o

EXAMPLE = "retroscope diff bert-base-uncased facebook/contriever --out runs/diff"
DIRECTIONS = 8


@dataclass(frozen=True, kw_only=True)
class DiffOptions:
    """Options of the comparison: the backbone of an adapter, and which statistics of the changes are computed."""

    base: Annotated[
        str | None,
        option(
            "--base",
            help="Backbone that the adapter was trained on, if BEFORE or AFTER is an adapter",
            metavar="MODEL",
            default="the one that the adapter names",
        ),
    ] = None
    no_spectra: Annotated[
        bool,
        option(
            "--no-spectra",
            help="Skip the rank and the singular directions of every weight change, which take most of the time",
        ),
    ] = False
    directions: Annotated[
        int,
        option(
            "--directions",
            help="Number of singular directions of each weight change in which the amplification is measured",
            metavar="N",
            default=written("analyses.weights.settings:WeightSettings.directions", str(DIRECTIONS)),
        ),
    ] = DIRECTIONS


@flat()
def run(
    before: Annotated[str, typer.Argument(help="Backbone: a folder, a hub name or a GGUF file", metavar="BEFORE")],
    after: Annotated[
        str,
        typer.Argument(
            help="Model or adapter that was fine-tuned from BEFORE: a folder or a hub name", metavar="AFTER"
        ),
    ],
    *,
    out: o.Out = None,
    options: DiffOptions,
    as_json: o.Json = False,
) -> None:
    """Measure how much every weight changed.

    The command compares the weights of two models, tensor by tensor, and needs no data. For an adapter, it
    computes the change from the adapter's factors.
    """
    load_libraries()
    from retroscope.analyses.weights.diff import diff, diff_document, diff_text, refuse_other_reports, write_diff
    from retroscope.analyses.weights.settings import WeightSettings
    from retroscope.cli.terminal import claimed, emit, note, say
    from retroscope.display import progress_bars

    if out is not None:
        refuse_other_reports(out)
    with claimed(*([out] if out else [])), progress_bars() as progress:
        drift = diff(
            before, after, base=options.base,
            settings=WeightSettings(spectra=not options.no_spectra, directions=options.directions),
            progress=lambda done, total: progress("tensors", done, total),
        )  # fmt: skip
        if out is not None:
            note(f"report: {write_diff(drift, out)}")
    emit(diff_document(drift)) if as_json else say(diff_text(drift))
