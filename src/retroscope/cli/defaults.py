"""Declare options whose help ends with their default, which is read from a settings class or written by hand.

Defaults are written by hand if the module of their settings class imports torch (`encoders.settings`,
`inputs.settings`, `study.training.grid_settings`), or pandas or numpy (`attribution.settings`, `probing.settings`,
`analyses.neurons.settings`, `analyses.transplants.settings`, `collection.world.people`). tests/cli/test_defaults.py
compares the written defaults with the classes.
"""

from collections.abc import Callable, Collection
from dataclasses import MISSING, fields
from typing import Any

import typer

from retroscope.errors import unknown_name

WRITTEN: dict[str, str] = {}  # "MODULE:CLASS.FIELD" -> its default, as help shows it


def as_typed(value: object) -> str:
    """Return a default value as a user would type it, e.g. "0.1,0.5" for (0.1, 0.5)."""
    if isinstance(value, tuple | list):
        return ",".join(as_typed(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def default_of(settings: Any, field: str) -> str:
    """Return the default of a setting as a user would type it.

    Raises:
        TypeError: if there is no such setting, or its default cannot be typed.
    """
    default = {setting.name: setting.default for setting in fields(settings)}.get(field, MISSING)
    if default is MISSING or default is None:
        raise TypeError(
            f"{settings.__name__}.{field} has no default that a user could type: describe the default in words"
        )
    return as_typed(default)


def written(setting: str, default: str) -> str:
    """Return `default`, after registering it for the test that compares handwritten defaults with the settings classes.

    Args:
        setting: "MODULE:CLASS.FIELD", with the module's name relative to `retroscope`.
        default: default as a user would type it.
    """
    WRITTEN[setting] = default
    return default


def any_of(names: Collection[str], besides: str = "") -> str:
    """Join names for a help text, as "cosine or dot". The name `besides` is left out."""
    *first, last = (name for name in names if name != besides)
    return f"{', '.join(first)} or {last}"


def option(
    *names: str,
    help: str,
    metavar: str | None = None,
    default: str = "",
    known: Collection[str] = (),
    kind: str = "",
    joint: str = "",
) -> Any:
    """Return a `typer.Option` whose help ends with its default. The option refuses values that are not in `known`.

    Args:
        names: names of the option as a user types them, e.g. `--out` or `--spectra/--no-spectra`.
        help: what to type and what it does.
        metavar: placeholder of the value in the help text.
        default: default as a user would type it, or in words.
        known: allowed values, if they are names. If empty, values are not checked.
        kind: what the names stand for, e.g. "pooling", for an error.
        joint: separator of the names, e.g. ",", if the option takes several of them.
    """
    text = f"{help}  [default: {default}]" if default else help
    check = _checked(kind, known, joint) if known else None
    return typer.Option(*names, help=text, metavar=metavar, show_default=False, callback=check)


def _checked(kind: str, known: Collection[str], joint: str) -> Callable[[str | None], str | None]:
    def check(value: str | None) -> str | None:
        parts = [] if value is None else value.split(joint) if joint else [value]
        for name in (part.strip() for part in parts):
            if name and name not in known:
                raise unknown_name(kind, name, known)
        return value

    return check
