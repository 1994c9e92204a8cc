"""`--no-NAME` for every analysis that can be left out, from the table of analyses."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, make_dataclass
from typing import Annotated, ClassVar

from retroscope.analyses import analyses, refuse_option_names
from retroscope.analyses.analysis import Analysis
from retroscope.cli.defaults import option
from retroscope.cli.groups import spellings
from retroscope.errors import SettingsError

PREFIX = "no_"


@dataclass(frozen=True)
class SwitchedOff:
    """Analyses that are left out; `switches` adds a field for each that can be."""

    HEADING: ClassVar[str] = "Analyses"

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the analyses that are switched off."""
        return tuple(one.name.removeprefix(PREFIX) for one in fields(self) if getattr(self, one.name))


def switches(*groups: type) -> type[SwitchedOff]:
    """Return the group of options `--no-NAME`; analyses of other packages have theirs, too.

    Args:
        groups: the other options of the command.

    Raises:
        SettingsError: if another package calls an analysis like one of these.
    """
    refuse_option_names({name for group in groups for name in spellings(group)})
    options = [
        (f"{PREFIX}{name}", Annotated[bool, option(f"--no-{name}", help=f"Leave out: {analysis.question}")], False)
        for name, analysis in _optional().items()
    ]
    return make_dataclass("Switches", options, bases=(SwitchedOff,), frozen=True)


def refuse_options_of(left_out: SwitchedOff, values: Mapping[str, object]) -> None:
    """Refuse options of an analysis that is left out.

    Raises:
        SettingsError: for the first of them.
    """
    for setting, value in values.items():
        analysis, dot, name = setting.partition(".")
        if dot and value is not None and analysis in left_out.names:
            raise SettingsError(f"{name}={value} has no effect with --no-{analysis}", fix=f"drop --no-{analysis}")


def all_but(*names: str, pair: bool = False) -> tuple[str, ...]:
    """Return the analyses to leave out so that only these remain; of a pair those that are required do, too."""
    if pair:
        return tuple(name for name in _optional() if name not in names)
    measured = {name: one for name, one in analyses().items() if one.instrument and not one.optional_input}
    return tuple(name for name in measured if name not in names)


def _optional() -> dict[str, Analysis]:
    """Return the analyses that can be left out; those that need an input of their own run only with it."""
    return {name: one for name, one in analyses().items() if not (one.required or one.optional_input)}
