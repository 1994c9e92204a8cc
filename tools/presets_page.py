"""Write docs/reference/presets.md: every preset with its models, recipe and sources, from the table in the code.

python tools/presets_page.py
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from retroscope.collection.named import ROWS
from retroscope.encoders.families import FAMILIES
from retroscope.encoders.presets.preset import Preset
from retroscope.encoders.presets.printed import compare_command
from retroscope.encoders.presets.table import PRESETS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "presets.md"
HEAD = """# Presets

`python tools/presets_page.py` writes this page from the code; a test compares them. `retroscope presets` prints the
table, `retroscope presets NAME` one recipe.

A preset is the published recipe of a known retriever, with the name of its backbone. A hub name of this page is
loaded by its preset; for a local copy, and for the backbone of a pair, give `--preset NAME` (in Python:
`load_retriever(path, preset="NAME")`).

- What the checkpoint records wins, and a preset that says otherwise is an error that lists every such field. Its
  family and its modules are compared, too.
- What the checkpoint does not record is filled, and the recipe names the preset and its source.
- An option that you give wins over both.

Every preset is tested on a tiny random model saved in the layout of its repository: its vectors equal those of the
library that published it (sentence-transformers, transformers or PEFT) to 1e-5. The real weights were not at hand, so
*checked against* says which public copy each row was compared with; a row without one rests on the source that it
names.
"""


def page() -> str:
    """Return the page: a section for every preset, and the families that load without one."""
    return "\n".join([HEAD, *(section(name, preset) for name, preset in PRESETS.items()), families(), collections()])


def section(name: str, preset: Preset) -> str:
    """Return the section of a preset."""
    return "\n".join([f"## {name}", "", *models(preset), "", *recipe(preset), "", *besides(name, preset)])


def models(preset: Preset) -> Iterator[str]:
    """Yield the table of models and backbones."""
    yield "| retriever | backbone |"
    yield "|---|---|"
    for model, backbone in preset.models.items():
        yield f"| `{model}` | {f'`{backbone}`' if backbone else 'not published'} |"


def recipe(preset: Preset) -> Iterator[str]:
    """Yield the table of fields with their sources."""
    yield "| field | value | source |"
    yield "|---|---|---|"
    for field, value in preset.stated.items():
        yield f"| {field} | {said(value)} | {preset.source(field)} |"
    if "backbone" in preset.sources:
        yield f"| backbone | above | {preset.sources['backbone']} |"


def said(value: object) -> str:
    """Return a value as the page shows it."""
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if isinstance(value, str) and (not value or value.endswith(" ") or "\n" in value):
        return f"`{value!r}`" if value else "none"
    return str(value)


def besides(name: str, preset: Preset) -> Iterator[str]:
    """Yield what the row was compared with, its note, and the command."""
    yield f"Checked against: {preset.checked or 'nothing at hand'}."
    if preset.note:
        yield f"\n{preset.note[0].upper()}{preset.note[1:]}."
    command = compare_command(name, preset)
    if command:
        yield f"\n```\n{command}\n```\n"
    else:
        yield ""


def families() -> str:
    """Return the section on families."""
    named = ", ".join(f"`{name}`" for name in FAMILIES)
    return f"""## Families

Families with a row in the table: {named}.

Any other text encoder or decoder that transformers knows is traced when it is loaded: the blocks, the attention, the
FFN matrices and which of them passes the activation, the norms, the embeddings and the positions are found by one
forward pass, and proved as a row of the table is. What cannot be found is an error that names it (shared blocks,
experts, an activation that transformers does not know, padding that moves vectors).
"""


def collections() -> str:
    """Return the table of named collections."""
    lines = [
        "## Named collections",
        "",
        "`--data named:NAME` reads a collection of this table from the hub, at its revision. What is *not known* was",
        "not stated by the source, and nothing was made up for it.",
        "",
        "| name | read from | revision | licence | split | title and text | measure | stated by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        cells = (row.licence, row.split, row.title and f"joined by {row.title}", row.measure, row.stated_by)
        source = f"`{row.source}`" if row.source else f"not read: {row.get}"
        shown = " | ".join(cell or "not known" for cell in (row.revision and f"`{row.revision[:12]}`", *cells))
        lines.append(f"| `{row.name}` | {source} | {shown} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
