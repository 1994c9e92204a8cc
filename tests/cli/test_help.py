"""What is printed before anything is done: help, and what typer finds wrong with a command line."""

from importlib.metadata import version

import golden_texts as golden
import pytest
from command_line import Cli, every_command

COMMANDS = list(every_command())


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command(cli: Cli, command: str) -> None:
    done = cli(command, "--help")
    assert (done.code, done.err) == (0, "")
    golden.check(f"help-{command}", done.out)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_short_for_it_and_ends_with_an_example(cli: Cli, command: str) -> None:
    long, short = cli(command, "--help").out, cli(command, "-h").out
    assert long == short
    *_, heading, example = long.rstrip().splitlines()
    assert (heading, example.split()[:2]) == ("  Example:", ["retroscope", command])


def test_the_version(cli: Cli) -> None:
    done = cli("--version")
    assert (done.code, done.out, done.err) == (0, f"retroscope {version('retroscope')}\n", "")


def test_the_help(cli: Cli) -> None:
    done = cli("--help")
    assert (done.code, done.err) == (0, "")
    golden.check("help", done.out)


def test_no_command_says_which_there_are(cli: Cli) -> None:
    done = cli()
    assert done.code == 2
    assert all(command in done.out + done.err for command in COMMANDS)


def test_every_command_is_summed_up_whole(cli: Cli) -> None:
    lines = cli("--help", line="").out.splitlines()
    assert not [line for line in lines if line.startswith("  ") and line.endswith("...")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("comprae", "No such command 'comprae'. Did you mean 'compare'?"),
        ("compare", "BEFORE, AFTER, --data and --out are missing"),
        ("compare a", "fix: add AFTER, --data SPEC and --out DIR; `retroscope compare --help` ends with an example"),
        ("compare a b --out x", "--data is missing"),
        ("compare a b --data x", "fix: add --out DIR; "),
        ("retrieve a b --data x", "Got unexpected extra argument(s) (b)"),
        ("compare a b --data x --out x --poolin mean", "unknown option --poolin"),
        ("compare a b --data x --out x --max-length many", "Invalid value for '--max-length'"),
        ("retrieve", "MODEL and --data are missing"),
        ("embed a --out x", "fix: add --texts FILE; "),
        ("report", "DIR is missing"),
    ],
)
def test_a_mistake_in_the_command_line(cli: Cli, line: str, message: str) -> None:
    done = cli(line=line)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err
