"""Make the options that skip (`--no-NAME`) or request (`--NAME`) an analysis, from the table of all analyses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, make_dataclass
from typing import Annotated, ClassVar

from retroscope.analyses import analyses, refuse_option_names
from retroscope.analyses.analysis import Analysis, switch_of
from retroscope.cli.defaults import option
from retroscope.cli.groups import spellings
from retroscope.errors import SettingsError

PREFIX = "no_"
NULLS = ("", "~", "null", "Null", "NULL")  # of YAML


@dataclass(frozen=True)
class Switches:
    """Options that leave analyses out or ask for them. `switches` adds one field for each analysis."""

    HEADING: ClassVar[str] = "Analyses"

    @property
    def left_out(self) -> dict[str, str]:
        """Map each analysis that is switched off to the option that switches it off."""
        return {
            name: switch_of(analysis)
            for name, analysis in _optional().items()
            if getattr(self, f"{PREFIX}{name}", False)
        }

    @property
    def asked(self) -> tuple[str, ...]:
        """Return the analyses that are measured on request only and that the user asked for."""
        return tuple(name for name, analysis in _optional().items() if analysis.on_request and getattr(self, name))


def switches(*groups: type) -> type[Switches]:
    """Return a dataclass with one option for each analysis: `--no-NAME` to skip it, or `--NAME` to request it.

    Analyses of other packages are included.

    Args:
        groups: classes of the other options of the command, whose names no analysis may have.

    Raises:
        SettingsError: if an analysis of another package has the name of one of these options.
    """
    refuse_option_names({name for group in groups for name in spellings(group)})
    options = [(*_switch(name, analysis), False) for name, analysis in _optional().items()]
    return make_dataclass("AnalysisSwitches", options, bases=(Switches,), frozen=True)


def _switch(name: str, analysis: Analysis) -> tuple[str, object]:
    """Return the field name and type of an analysis's option: `--no-NAME`, or `--NAME` if it runs only on request."""
    help = f"{'Run' if analysis.on_request else 'Skip'} the analysis '{analysis.question}'"
    return name if analysis.on_request else f"{PREFIX}{name}", Annotated[bool, option(switch_of(analysis), help=help)]


def refuse_without_effect(
    values: Mapping[str, object], assignments: Sequence[str] | None, left_out: Mapping[str, str]
) -> None:
    """Refuse a setting of an analysis (or of a part of one) that the command leaves out.

    Args:
        values: dotted name of a setting -> value of its option, or None where it was not given.
        assignments: assignments of `--set`.
        left_out: an analysis, or a part of one -> the option that leaves it out, or "" if the command itself leaves it
            out.

    Raises:
        SettingsError: for the first such setting.
    """
    assigned = [text.partition("=")[::2] for text in assignments or ()]
    nulls = {name: f"--set {name}={value}" for name, value in assigned if value.strip() in NULLS}
    off = {**nulls, **left_out}
    options = [(name, value) for name, value in values.items() if value is not None]
    for name, value in (*options, *((name, value) for name, value in assigned if name not in nulls)):
        part = next((part for part in off if name.startswith(f"{part}.")), None)
        if part is not None and off[part]:
            raise SettingsError(
                f"{name}={value} has no effect with {off[part]}",
                fix=f"leave out the value of {name}, or leave out {off[part]}",
            )
        if part is not None:
            raise SettingsError(
                f"{name}={value} has no effect: this command does not measure {part}",
                fix=f"leave out the value of {name}",
            )


def all_but(*names: str, pair: bool = False) -> dict[str, str]:
    """Return the analyses that a command for only `names` leaves out. Each is mapped to "": no option controls it.

    Without `pair`, they are the other analyses that measure something and need no optional input. With `pair`, they are
    the other analyses that a study of two models does not require.
    """
    if pair:
        return {name: "" for name in _optional() if name not in names}
    measured = (name for name, analysis in analyses().items() if analysis.instrument and not analysis.optional_input)
    return {name: "" for name in measured if name not in names}


def _optional() -> dict[str, Analysis]:
    return {name: analysis for name, analysis in analyses().items() if not analysis.required}
