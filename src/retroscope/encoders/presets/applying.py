"""Fill in recipe fields that a checkpoint does not record from a preset. Refuse a preset that contradicts it."""

from dataclasses import replace
from pathlib import Path

from retroscope.encoders.checkpoints.backbones import Choice
from retroscope.encoders.checkpoints.checkpoint import Checkpoint
from retroscope.encoders.presets.preset import Preset
from retroscope.encoders.presets.table import PRESETS, preset_of
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import EncoderError, listed

PROMPTS = ("query_prompt", "passage_prompt")
BY_TOWER = ("query_max_length", "passage_max_length")


def preset_name(source: str | Path, settings: LoadSettings) -> str | None:
    """Return the name of the preset to apply: the one that the user names, else the preset of a hub name.

    If the user names none, return None for a local folder, for a hub name without a preset, and under the published
    protocol, which has its own recipe.
    """
    if settings.preset is not None or settings.protocol != "default":
        return settings.preset
    return None if isinstance(source, Path) or Path(source).exists() else preset_of(source)


def with_preset(checkpoint: Checkpoint, name: str) -> Checkpoint:
    """Return the checkpoint with the recipe fields that it does not record (e.g. pooling) filled from a preset.

    Raises:
        EncoderError: if the checkpoint is of another family or records other values. It lists every difference.
    """
    preset = PRESETS[name]
    problems = [*_wrong_family(checkpoint, preset), *_contradictions(checkpoint, preset)]
    if problems:
        raise EncoderError(
            f"the checkpoint is not what preset {name!r} describes:{listed(problems)}",
            where=checkpoint.proof.source,
            fix="leave out --preset, or give a checkpoint that the preset describes (see `retroscope presets`); if the "
            "hub name chose the preset, give a local folder",
        )
    recorded = {field for field, choice in checkpoint.choices.items() if _says(field, choice)}
    if recorded & {*BY_TOWER}:
        recorded.add("max_length")
    filled = {
        field: Choice(value, f"preset {name}: {preset.source(field)}")
        for field, value in preset.stated.items()
        if field not in recorded and field != "head"
    }
    return replace(checkpoint, choices={**checkpoint.choices, **filled})


def _wrong_family(checkpoint: Checkpoint, preset: Preset) -> list[str]:
    family = checkpoint.model.config.model_type
    expected = " or ".join(preset.families)
    return [] if family in preset.families else [f"family: {family} in the checkpoint, {expected} in the preset"]


def _contradictions(checkpoint: Checkpoint, preset: Preset) -> list[str]:
    """Describe each field for which the checkpoint and the preset have different values."""
    differences = []
    for field, value in preset.stated.items():
        choice = checkpoint.choices.get(field)
        if choice is not None and _says(field, choice) and choice.value != value:
            differences.append(
                f"{field}: {choice.value!r} ({choice.source}), preset: {value!r} ({preset.source(field)})"
            )
    if preset.head is not None and checkpoint.head_recorded and checkpoint.head_names != preset.head:
        differences.append(
            f"head: {_modules(checkpoint.head_names)} in modules.json, {_modules(preset.head)} in the preset"
        )
    return differences


def _says(field: str, choice: Choice) -> bool:
    """Return whether a checkpoint records a field. Empty prompts, which libraries write by default, do not."""
    return choice.recorded and not (field in PROMPTS and not choice.value)


def _modules(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "no module"
