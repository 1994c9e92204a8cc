"""Parse the command line and format its help, and refuse mistakes that typer would accept silently."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup

from retroscope.errors import SettingsError

# Contexts, parameters and parsers are `Any`: their classes are private to typer.
ARGUMENTS, OPTIONS = "Arguments", "Options"
DRY_RUN = "--dry-run"


class Command(TyperCommand):
    """A command that refuses repeated options, and suggests the nearest option for an unknown one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Check the arguments of the command line, then parse them as typer does."""
        if DRY_RUN in args:
            _without_folder(self, ctx)
        check_words(self, ctx, args)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the help of arguments and options, each group of options under its heading."""
        sections: dict[str, list[tuple[str, str]]] = {ARGUMENTS: [], OPTIONS: []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                heading = _heading(parameter)
                if heading == ARGUMENTS:  # typer adds the Python type
                    record = (record[0].partition(" <")[0], record[1])
                sections.setdefault(heading, []).append(record)
        general = sections.pop(OPTIONS)
        for heading, records in {**sections, OPTIONS: general}.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


class Commands(TyperGroup):
    """The program with all commands. It checks its own options (e.g. `--version`) as a command does."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Check the arguments of the command line, then parse them as typer does."""
        check_words(self, ctx, args)
        return super().parse_args(ctx, args)


def _without_folder(command: TyperCommand, ctx: Any) -> None:
    """Make `--out` optional, because a dry run writes nothing."""
    for parameter in command.get_params(ctx):
        if parameter.name == "out":
            parameter.required = False


def _heading(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return ARGUMENTS
    return getattr(parameter, "rich_help_panel", None) or OPTIONS


def check_words(command: TyperCommand | TyperGroup, ctx: Any, args: Sequence[str]) -> None:
    """Refuse unknown options, repeated options that take one value, empty paths, and missing arguments or options.

    Raises:
        SettingsError: for the first such mistake. The fix names the nearest option, or everything that is missing.
    """
    parser: Any = command.make_parser(ctx)
    parser.ignore_unknown_options = True
    values, rest, order = parser.parse_args(list(args))
    place = ctx.command_path
    names = (name for parameter in command.get_params(ctx) for name in (*parameter.opts, *parameter.secondary_opts))
    known = [name for name in names if name[:1] == "-"]
    for word in _unknown(command, ctx, values, rest, args):
        near = get_close_matches(word, known, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}? " if near else ""
        raise SettingsError(f"unknown option {word}", where=place, fix=f"{hint}`{place} --help` lists the options")
    for option in dict.fromkeys(order):
        if values.get(option.name) == "" and option.type_descriptor.annotation is Path:
            raise SettingsError(f"the value of {option.opts[-1]} is empty", where=place, fix="give a file or folder")
        if order.count(option) > 1 and _takes_one(option):
            spelled = "/".join((*option.opts, *option.secondary_opts))
            raise SettingsError(f"{spelled} is given more than once", where=place, fix=f"give {spelled} once")
    if not {*ctx.help_option_names} & {*args}:
        _refuse_missing(command, ctx, values)


def _refuse_missing(command: TyperCommand | TyperGroup, ctx: Any, values: dict[str, Any]) -> None:
    absent = [option for option in command.get_params(ctx) if option.required and not values.get(option.name)]
    if not absent:
        return
    names = [option.metavar or option.name.upper() for option in absent]
    kinds = [option.param_type_name for option in absent]
    words = [
        option.opts[-1] if kind == "option" else name for option, kind, name in zip(absent, kinds, names, strict=True)
    ]
    wanted = [word if word == name else f"{word} {name}" for word, name in zip(words, names, strict=True)]
    raise SettingsError(
        f"{_all_of(words)} {'is' if len(words) == 1 else 'are'} missing",
        where=ctx.command_path,
        fix=f"add {_all_of(wanted)}; `{ctx.command_path} --help` ends with an example",
    )


def _all_of(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _unknown(
    command: TyperCommand | TyperGroup, ctx: Any, values: dict[str, Any], rest: list[str], args: Sequence[str]
) -> list[str]:
    """Return the words that look like options but are no options of the command. After `--`, no word is an option."""
    words = list(args)
    if isinstance(command, TyperGroup):
        left = rest[:1]  # what follows is the command's
    else:
        arguments = [option.name for option in command.get_params(ctx) if option.param_type_name == "argument"]
        typed = [values.get(str(name)) for name in arguments]
        left = [*rest, *(word for value in typed for word in ([value] if isinstance(value, str) else value or ()))]
    after = words[words.index("--") + 1 :] if "--" in words else []
    return [word.partition("=")[0] for word in left if word[:1] == "-" and len(word) > 1 and word not in after]


def _takes_one(parameter: Any) -> bool:
    """Return whether an option takes one value, so that a repetition would silently replace the first."""
    if parameter.param_type_name != "option" or parameter.multiple:
        return False
    return not parameter.is_flag or bool(parameter.secondary_opts)
