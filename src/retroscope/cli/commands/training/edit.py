"""`retroscope edit BACKBONE --facts FILE --add|--remove --out DIR`: edit facts in a backbone."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from retroscope.cli.defaults import default_of, option
from retroscope.cli.groups import flat
from retroscope.cli.loading import load_libraries
from retroscope.cli.options import shared as o
from retroscope.cli.values import given
from retroscope.errors import SettingsError
from retroscope.knowledge.editing.settings import EDITORS, EditSettings

if TYPE_CHECKING:
    from retroscope.study.training.settings import EditStudySettings

EXAMPLE = "retroscope edit models/backbone --facts data/facts.jsonl --add --out models/edited"


@dataclass(frozen=True, kw_only=True)
class FactOptions:
    """Options that name the facts to edit, and the method of editing."""

    HEADING: ClassVar[str] = "Facts"

    facts: Annotated[
        str, option("--facts", help="Facts to edit in the backbone: a file, or LAYOUT:PATH", metavar="FILE")
    ]
    add: Annotated[bool, option("--add", help="Add the facts of --facts to the backbone")] = False
    remove: Annotated[bool, option("--remove", help="Remove the facts of --facts from the backbone")] = False
    keep: Annotated[
        str | None,
        option(
            "--keep",
            help="File of facts that the edit must leave unchanged; locality is measured on these facts",
            metavar="FILE",
            default="none, and locality is not measured",
        ),
    ] = None
    text: Annotated[
        str | None,
        option(
            "--text",
            help="File of neutral text, which states none of the edited facts and on which the edit should hardly "
            "change the model; UTF-8, one document per line",
            metavar="FILE",
            default="the passages of the facts, without those that state an edited fact",
        ),
    ] = None
    editor: Annotated[
        str | None,
        option("--editor", help=f"Method of editing: {', '.join(EDITORS)}. The method `many` edits all facts together",
               metavar="NAME", default=default_of(EditSettings, "editor"), known=tuple(EDITORS), kind="editor"),
    ] = None  # fmt: skip
    layer: Annotated[
        int | None,
        option("--layer", help="Layer whose FFN output matrix is changed", metavar="N", default="the middle one"),
    ] = None


@flat()
def run(
    backbone: Annotated[str, typer.Argument(help="Backbone to edit, with its language-model head", metavar="BACKBONE")],
    out: o.RequiredOut,
    options: FactOptions,
    settings: o.SettingsFile = None,
    assignments: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Add facts to a backbone, or remove them.

    The edited backbone is an ordinary checkpoint. Its model card reports reliability (P@1 of the edited facts),
    generality (of other wordings) and locality (of other facts and neutral text).
    """
    if options.add == options.remove:
        raise SettingsError(
            "both --add and --remove are given" if options.add else "neither --add nor --remove is given",
            fix="give --add to add the facts, or --remove to remove them",
        )
    edit = given(editor=options.editor, layer=options.layer)
    values = {"backbone": backbone, "facts": options.facts, "add": options.add, "edit": edit,
              **given(keep=options.keep, text=options.text)}  # fmt: skip

    from retroscope.cli.resolve import resolve_as
    from retroscope.study.training.settings import EditStudySettings

    study_settings = resolve_as(EditStudySettings, values, settings, assignments)
    _look_for(study_settings)
    load_libraries()
    _edit(study_settings, out, as_json=as_json)


def _look_for(settings: "EditStudySettings") -> None:
    """Refuse missing files or a missing checkpoint, before torch is imported."""
    from retroscope.collection.facts.loading import facts_place
    from retroscope.errors import CollectionError
    from retroscope.files.reading import check_file, path_of
    from retroscope.inputs.settings import ModelSettings
    from retroscope.inputs.sources import look_for_model

    for facts in (settings.facts, settings.keep):
        if facts is not None:
            facts_place(facts)
    if settings.text is not None:
        check_file(path_of(settings.text), CollectionError)
    look_for_model(ModelSettings(source=settings.backbone))


def _edit(settings: "EditStudySettings", out: Path, *, as_json: bool) -> None:
    from retroscope.cli.terminal import emit, say
    from retroscope.study.editing import effect_table, prepare_edit, run_edit

    document = run_edit(prepare_edit(settings), out)
    emit(document) if as_json else say(f"{effect_table(document['effects'])}\nbackbone: {out}")
