"""Defaults and names that help shows are those of the library, also where help cannot import it."""

from dataclasses import MISSING, dataclass, fields
from importlib import import_module

import pytest
from command_line import every_command

from retroscope.cli import names
from retroscope.cli.defaults import WRITTEN, as_typed, default_of
from retroscope.training.settings import TrainingSettings

every_command()  # imports every command, so that WRITTEN is whole


def library_default(setting: str) -> object:
    """The default of "MODULE:CLASS.FIELD", or the value of "MODULE:NAME"."""
    module, _, path = setting.partition(":")
    name, _, field = path.partition(".")
    value = getattr(import_module(f"retroscope.{module}"), name)
    if not field:
        return value
    (one,) = [one for one in fields(value) if one.name == field]
    return one.default if one.default_factory is MISSING else one.default_factory()


@pytest.mark.parametrize("setting", WRITTEN)
def test_a_written_default_is_the_librarys(setting: str) -> None:
    assert WRITTEN[setting] == as_typed(library_default(setting))


def test_defaults_as_they_are_typed() -> None:
    assert default_of(TrainingSettings, "epochs") == "1"
    assert default_of(TrainingSettings, "strategy") == "full"
    assert (as_typed((0.01, 0.1)), as_typed(("a", "b")), as_typed(2e-5)) == ("0.01,0.1", "a,b", "2e-05")


def test_a_default_that_nobody_could_type_is_described() -> None:
    for field in ("steps", "lora", "no_such_field"):
        with pytest.raises(TypeError, match=f"TrainingSettings.{field} has no default"):
            default_of(TrainingSettings, field)


TABLES = {
    "POOLINGS": "encoders.pooling:POOLINGS",
    "SIMILARITIES": "encoders.similarity:SIMILARITIES",
    "PROTOCOLS": "encoders.settings:PROTOCOLS",
    "PRESETS": "encoders.presets.table:PRESETS",
    "ENGINES": "engine.choice:ENGINES",
    "TOWERS": "study.embed:TOWERS",
    "ATTRIBUTED_TOWERS": "attribution.settings:TOWERS",
    "TARGETS": "attribution.settings:TARGETS",
    "METHODS": "attribution.settings:METHOD_NAMES",
    "PARTS": "attribution.settings:PARTS",
    "ATTRIBUTION_PRECISIONS": "encoders.precision:PRECISION_NAMES",
    "PROBES": "probing.settings:KNOWN_PROBES",
    "CONTROLS": "probing.controls:CONTROLS",
}


def test_every_name_has_its_registry() -> None:
    assert {name for name in vars(names) if name.isupper()} == set(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_the_names_of_an_option_are_those_of_its_table(name: str) -> None:
    module, _, table = TABLES[name].partition(":")
    assert set(getattr(names, name)) == set(getattr(import_module(f"retroscope.{module}"), table))


def test_every_option_says_what_it_does_and_what_happens_without_it() -> None:
    """An option without a default in its help is required, a switch, may be repeated, or adds something."""
    adds = {"--settings", "--steps", "--data", "--texts", "--shape", "--from", "--version"}
    for command in every_command().values():
        for option in command.params:
            text = getattr(option, "help", None)
            assert text, (command.name, option.name)
            assert text[0].isupper(), text
            free = option.required or option.param_type_name == "argument" or option.is_flag or option.multiple
            assert free or "[default: " in text or set(option.opts) & adds, (command.name, option.name)


@dataclass(frozen=True)
class Unused:
    """So that a settings class without defaults is tried, too."""

    field: str


def test_a_setting_without_default() -> None:
    with pytest.raises(TypeError, match=r"Unused\.field has no default"):
        default_of(Unused, "field")
