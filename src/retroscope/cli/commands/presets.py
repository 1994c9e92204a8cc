"""`retroscope presets [NAME]`: list known retrievers and their recipes."""

from typing import Annotated

import typer

from retroscope.cli.defaults import option
from retroscope.cli.groups import flat
from retroscope.cli.options import shared as o

EXAMPLE = "retroscope presets contriever"


@flat()
def run(
    name: Annotated[
        str | None,
        typer.Argument(help="Preset to show: the name of the preset, or the hub name of its retriever", metavar="NAME"),
    ] = None,
    collections: Annotated[
        bool,
        option(
            "--collections",
            help="List the collections that `retrieve MODEL --data named:NAME` reads, instead of the retrievers",
        ),
    ] = False,
    as_json: o.Json = False,
) -> None:
    """List known retrievers with their backbones and recipes.

    A preset is the published recipe of a retriever. A retriever that is loaded by its hub name gets its preset; for
    a local copy, give `retrieve MODEL --preset NAME`. A preset fills in what a checkpoint does not record; a preset
    that contradicts the checkpoint is an error.
    """
    from retroscope.cli.terminal import emit, say
    from retroscope.collection.named import NAMED, named_text
    from retroscope.encoders.presets.printed import (
        find_preset,
        preset_document,
        preset_text,
        presets_document,
        presets_text,
    )

    if collections:
        emit({key: vars(row) for key, row in NAMED.items()}) if as_json else say(named_text())
        return
    if name is None:
        emit(presets_document()) if as_json else say(presets_text())
        return
    key, preset = find_preset(name)
    emit({key: preset_document(preset)}) if as_json else say(preset_text(key, preset))
