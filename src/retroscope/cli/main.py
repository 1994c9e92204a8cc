"""The command line: one subcommand per file in `commands/`, named like the functions of the API.

Nothing here imports torch. A command imports what it needs when it runs.
"""

import sys
from contextlib import suppress
from importlib.metadata import version as version_of
from types import ModuleType
from typing import Annotated, NoReturn

import typer

from retroscope.cli.exit_codes import INTERRUPTED, MEANINGS, USER_ERROR, stopping
from retroscope.cli.parsing import Command, Commands
from retroscope.errors import RetroscopeError
from retroscope.files.disk_errors import is_full, refused_by_system
from retroscope.visible import visible

HELP_NAMES = ["--help", "-h"]


def make_app() -> typer.Typer:
    """Return the typer application with every command.

    Raises:
        SettingsError: if another package declares an analysis that cannot be used.
    """
    app = typer.Typer(
        name="retroscope",
        help="Measure what fine-tuning changed in a dense retriever, and what its backbone already does.",
        cls=Commands,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": HELP_NAMES},
    )
    app.callback()(_program)
    for command in _commands():
        name = command.__name__.rpartition(".")[2]
        app.command(name=name, cls=Command, epilog=f"\b\nExample:\n  {command.EXAMPLE}")(command.run)
    return app


def _commands() -> tuple[ModuleType, ...]:
    """Return the modules of the commands, in the order of the help text."""
    from retroscope.cli.commands import (
        cache,
        card,
        compare,
        demo,
        diff,
        doctor,
        embed,
        neurons,
        presets,
        probe,
        report,
        reproduce,
        retrieve,
        show,
        transplant,
    )
    from retroscope.cli.commands.training import ablate, edit, pretrain, train, world

    measure = (compare, doctor, diff, retrieve, probe, neurons, embed, transplant)
    return (*measure, reproduce, report, show, card, train, pretrain, edit, ablate, world, demo, presets, cache)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"retroscope {version_of('retroscope')}\n")
        raise typer.Exit


def _program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version of Retroscope and exit", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Parse the options that come before a command, such as `--version`."""


def main() -> None:
    """Run the command line. A user's mistake or a full disk ends with status 2 and a message, not a traceback."""
    with stopping() as stop:
        try:
            make_app()(prog_name="retroscope")
        except SystemExit as end:
            if end.code != INTERRUPTED:
                raise
            _end(f"\n{MEANINGS[stop.code]}", stop.code)
        except BaseException as error:
            if stop.number:  # a library made an error of its own of the interruption
                _end(f"\n{MEANINGS[stop.code]}", stop.code)
            known = _known(error)
            if known is None:
                raise
            _end(f"error: {known}", USER_ERROR)


def _known(error: BaseException) -> RetroscopeError | None:
    """Return the error to print if a user can correct the mistake, or None for any other error."""
    refused = refused_by_system(error)
    return error if isinstance(error, RetroscopeError) and not is_full(error) else refused


def _end(message: str, code: int) -> NoReturn:
    with suppress(OSError):  # the terminal may be gone
        sys.stderr.write(visible(f"{message}\n"))
        sys.stderr.flush()
    sys.exit(code)
