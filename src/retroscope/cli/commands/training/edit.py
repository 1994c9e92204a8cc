"""retroscope edit BACKBONE --facts FILE --add|--remove --out DIR."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from retroscope.cli import options as o
from retroscope.cli.defaults import option, written
from retroscope.cli.groups import flat
from retroscope.cli.loading import load_libraries
from retroscope.cli.values import given
from retroscope.errors import SettingsError
from retroscope.knowledge.editing.settings import EDITORS

EXAMPLE = "retroscope edit models/backbone --facts data/facts.jsonl --add --out models/edited"
EDIT = "knowledge.editing.settings:EditSettings"


@dataclass(frozen=True, kw_only=True)
class FactOptions:
    """The facts, and how they are edited."""

    HEADING: ClassVar[str] = "Facts"

    facts: Annotated[str, option("--facts", help="Facts to edit: a file, or LAYOUT:PATH", metavar="FILE")]
    add: Annotated[bool, option("--add", help="Add the facts")] = False
    remove: Annotated[bool, option("--remove", help="Remove the facts")] = False
    keep: Annotated[
        str | None, option("--keep", help="Facts that must stay, to measure locality on", metavar="FILE")
    ] = None
    text: Annotated[
        str | None,
        option("--text", help="Neutral text, a document a line", metavar="FILE", default="the passages of the facts"),
    ] = None
    editor: Annotated[
        str | None,
        option("--editor", help=f"Editor: {', '.join(EDITORS)}", metavar="NAME",
               default=written(f"{EDIT}.editor", "rank-one"), known=tuple(EDITORS), kind="editor"),
    ] = None  # fmt: skip
    layer: Annotated[
        int | None, option("--layer", help="Layer whose FFN is changed", metavar="N", default="the middle one")
    ] = None


@flat()
def run(
    backbone: Annotated[str, typer.Argument(help="Backbone with its language-model head", metavar="BACKBONE")],
    out: o.RequiredOut,
    options: FactOptions,
    settings: o.SettingsFile = None,
    assignments: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Add facts to a backbone, or remove them.

    One FFN matrix is changed. Writes an ordinary checkpoint whose card says whether the facts are read, whether other
    wordings follow, and whether other facts stay.
    """
    if options.add == options.remove:
        raise SettingsError("facts are either added or removed", fix="give --add or --remove")
    edit = given(editor=options.editor, layer=options.layer)
    values = {"backbone": backbone, "facts": options.facts, "add": options.add, "edit": edit,
              **given(keep=options.keep, text=options.text)}  # fmt: skip

    load_libraries()
    from retroscope.cli.resolve import resolve_as
    from retroscope.cli.terminal import emit, say
    from retroscope.knowledge.editing.effects import EditState
    from retroscope.study.editing import EditStudySettings, effect_table, prepare_edit, run_edit

    document = run_edit(prepare_edit(resolve_as(EditStudySettings, values, settings, assignments)), out)
    states = (EditState(**{k: float("nan") if v is None else v for k, v in document[side].items()})
              for side in ("before", "after"))  # fmt: skip
    emit(document) if as_json else say(f"{effect_table(*states)}\nbackbone: {out}")
