"""Print presets as text and as JSON. No torch."""

import textwrap
from collections.abc import Iterator
from typing import Any

from retroscope.encoders.presets.preset import Preset
from retroscope.encoders.presets.table import PRESETS
from retroscope.errors import unknown_name

WIDTH = 100
COLUMNS = ("preset", "families", "pooling", "similarity", "models")


def find_preset(name: str) -> tuple[str, Preset]:
    """Find a preset by its name, or by the hub name of one of its models. Return its name and the preset.

    Raises:
        SettingsError: if there is none.
    """
    for key, preset in PRESETS.items():
        if name == key or name in preset.models:
            return key, preset
    raise unknown_name("preset", name, [*PRESETS, *(model for preset in PRESETS.values() for model in preset.models)])


def presets_document() -> dict[str, Any]:
    """Return every preset as JSON-like values, by its name."""
    return {name: preset_document(preset) for name, preset in PRESETS.items()}


def preset_document(preset: Preset) -> dict[str, Any]:
    """Return one preset as JSON-like values: each field with its value and the place of publication."""
    fields = {field: {"value": _plain(value), "source": preset.source(field)} for field, value in preset.stated.items()}
    about = {"checked": preset.checked, "note": preset.note}
    backbone = preset.sources.get("backbone", "")
    return {"models": dict(preset.models), "families": list(preset.families), "recipe": fields,
            "backbone_source": backbone, **about}  # fmt: skip


def presets_text() -> str:
    """Return the table of presets for the terminal."""
    rows = [COLUMNS, *(_row(name, preset) for name, preset in PRESETS.items())]
    widths = [max(len(row[k]) for row in rows) for k in range(len(COLUMNS) - 1)]
    lines = []
    for row in rows:
        lead = "".join(f"{cell:<{width + 2}}" for cell, width in zip(row, widths, strict=False))
        lines.append(textwrap.fill(row[-1], 2 * WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead)))
    return "\n".join([*lines, "", "retroscope presets NAME shows a recipe with the source of each field."])


def _row(name: str, preset: Preset) -> tuple[str, ...]:
    models = list(preset.models)
    more = f" and {len(models) - 1} more" if len(models) > 1 else ""
    return name, ", ".join(preset.families), preset.pooling, preset.similarity, f"{models[0]}{more}"


def preset_text(name: str, preset: Preset) -> str:
    """Return one preset for the terminal, with the command that compares it with its backbone."""
    return "\n".join(
        [f"preset {name}, for checkpoints of family {' or '.join(preset.families)}", *_lines(name, preset)]
    )


def _lines(name: str, preset: Preset) -> Iterator[str]:
    for field, value in preset.stated.items():
        yield f"  {field:<16}{_shown(value):<52}{preset.source(field)}"
    yield "  models and their backbones"
    for model, backbone in preset.models.items():
        yield f"    {model:<52}{backbone or 'not published'}"
    if source := preset.sources.get("backbone"):
        yield f"    source of the backbone: {source}"
    yield f"  checked against: {preset.checked or 'neither files nor code; the values rest on the sources above'}"
    if preset.note:
        yield f"  note: {preset.note}"
    if command := compare_command(name, preset):
        yield f"\n  {command}"


def compare_command(name: str, preset: Preset) -> str:
    """Return the command line that compares a preset's first retriever with its backbone, or "" without a backbone."""
    model, backbone = next(iter(preset.models.items()))
    if not backbone:
        return ""
    towers = (
        [tower for tower in preset.models if tower.endswith(model.partition("question")[2])]
        if "question" in model
        else []
    )
    after = f"query={towers[0]},passage={towers[1]}" if len(towers) == 2 else model
    return f"retroscope compare {backbone} {after} --preset {name} --data beir:data/nq --out runs/{name}"


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return repr(value) if isinstance(value, str) and (not value or " " in value or "\n" in value) else str(value)
