"""The command line: the API's words, one thin file a command.

Nothing here imports torch; a command imports what it needs when it runs.
"""

import sys

import typer

from retroscope.cli import (
    ablate,
    compare,
    demo,
    diff,
    doctor,
    embed,
    neurons,
    pretrain,
    probe,
    report,
    retrieve,
    show,
    train,
    transplant,
    world,
)
from retroscope.cli.exit_codes import INTERRUPTED, USER_ERROR
from retroscope.errors import RetroscopeError

app = typer.Typer(
    name="retroscope",
    help="What did fine-tuning change in a dense retriever, and what was already there?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    compare,
    doctor,
    diff,
    retrieve,
    probe,
    neurons,
    embed,
    transplant,
    report,
    show,
    train,
    pretrain,
    ablate,
    world,
    demo,
):
    app.command(name=command.__name__.rpartition(".")[2])(command.run)


def main() -> None:
    """Run the command line; a user's mistake ends with status 2 and a message, not a traceback."""
    try:
        app(prog_name="retroscope")
    except RetroscopeError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(USER_ERROR)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            sys.stderr.write("\ninterrupted; vectors made so far are kept, and the same command goes on from there\n")
        raise
