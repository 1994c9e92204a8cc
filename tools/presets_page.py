"""Write docs/reference/presets.md: every preset with its models, recipe and sources, from the table in the code.

python tools/presets_page.py
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from retroscope.collection.named import ROWS
from retroscope.encoders.architecture.families import FAMILIES
from retroscope.encoders.presets.preset import Preset
from retroscope.encoders.presets.printed import compare_command
from retroscope.encoders.presets.table import PRESETS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "presets.md"
HEAD = """# Presets

`python tools/presets_page.py` writes this page from the code; a test compares page and code. `retroscope presets`
prints a table of all presets, and `retroscope presets NAME` prints the recipe of one preset.

A preset is the published recipe of a known retriever, with the name of its backbone. If you load a hub name of this
page, its preset is used. For a local copy of such a model, and for the backbone of a pair, pass `--preset NAME` (in
Python: `load_retriever(path, preset="NAME")`).

- A preset never changes what the checkpoint records. If preset and checkpoint differ, loading fails, and the error
  lists every field that differs. Loading also compares the family and the modules of preset and checkpoint.
- The preset fills the fields that the checkpoint does not record. The recipe then names the preset and its source.
- An option that you pass overrides both preset and checkpoint.

Every preset is tested on a tiny random model saved in the layout of its repository: the vectors equal those of the
library that the model was published for (sentence-transformers, transformers or PEFT) to 1e-5. With one exception,
the real weights of these models were not available. Below each recipe, the page names the copy of the model's files,
or the code of another library, that the recipe was compared with. A recipe that was compared with neither rests only on
the sources in its table.
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
    neither = "not compared with a copy of the model's files or with the code of another library"
    copy = f"compared with {preset.checked}" if preset.checked else neither
    yield f"The recipe of `{name}` was {copy}."
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

For these model families (`model_type` in transformers), a table says where the blocks, the attention, the FFN
matrices and the embeddings are: {named}.

Any other text encoder or decoder that transformers knows is traced when it is loaded. The trace of a
model, one forward pass, finds the blocks, the attention, the FFN matrices and which of them passes through the
activation function, the norms, the embeddings and the positions. These parts are then verified in the same way as a row
of the table. If the trace cannot find a part, the error names the reason (shared blocks, experts, an activation that
transformers does not know, padding that changes vectors).
"""


def collections() -> str:
    """Return the table of named collections."""
    lines = [
        "## Named collections",
        "",
        "`--data named:NAME` reads a collection of this table from the hub, at the given revision. In the",
        "table, *not known* means that the source does not state the value; none was made up.",
        "",
        "| name | read from | revision | licence | split | title and text | measure | stated by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        cells = (row.licence, row.split, row.title and f"joined by {row.title}", row.measure, row.stated_by)
        source = f"`{row.source}`" if row.source else f"not read, to be converted to BEIR's files: {row.get}"
        shown = " | ".join(cell or "not known" for cell in (row.revision and f"`{row.revision[:12]}`", *cells))
        lines.append(f"| `{row.name}` | {source} | {shown} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
