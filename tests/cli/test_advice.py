"""Every option that help, an error or a finding names exists, for a command that prints it."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from command_line import Cli, every_command

from retroscope.analyses import analyses
from retroscope.cli.options.shared import DataOptions, ModelOptions
from retroscope.inputs.settings import StudySettings

SRC = Path(__file__).resolve().parents[2] / "src" / "retroscope"
OPTION = re.compile(r"(?<![\w-])--[a-z](?:[a-z-]*[a-z])?")
SETTING = re.compile(r"--set ([a-z_]+(?:\.[a-z_]+)+)=")
COMMAND = re.compile(r"(?:`|retroscope )(?:retroscope )?([a-z]+)\b([^`;]*)")  # a command line in a sentence
FOREIGN = ("ray start", "hf download")  # options of other programs
EVERYWHERE = {"--help", "--version"}

COMMANDS = {
    name: {word for one in command.params for word in (*one.opts, *one.secondary_opts) if word.startswith("--")}
    for name, command in every_command().items()
}
ALL = tuple(COMMANDS)
LOADING = tuple(name for name, options in COMMANDS.items() if "--pooling" in options)
SHORT = {
    *(f"{side}.load.{field.name}" for side in ("before", "after") for field in fields(ModelOptions)),
    *(f"data.{field.name}" for field in fields(DataOptions) if field.name != "data"),
    "data.source",
    "measures",
    "protocol",
}  # settings that options of their own set
# Where a text is -> the commands that may print it, each of which needs the options that it names; elsewhere any does.
PRINTED_BY: Mapping[str, tuple[str, ...]] = {
    "encoders/checks": ("doctor",),
    "encoders/checkpoints": LOADING,
    "collection": tuple(name for name in LOADING if "--data" in COMMANDS[name]),
    "study/doctor": ("doctor",),
    "study/cache": ("cache",),
    "study/demo": ("demo",),
    "study/embed": ("embed",),
    "study/several": ("compare",),
    "study/planning/sizes": ("compare",),
    "study/reporting/model_card": ("card",),
    "study/training/fine_tuning": ("train",),
    "study/training/grid": ("ablate",),
    "study/training/pretraining": ("pretrain",),
    "analyses/neurons/one_model": ("neurons",),
    "reproduction": ("reproduce",),
    **{f"cli/commands/{name}": (name,) for name in COMMANDS},
    **{f"cli/commands/training/{name}": (name,) for name in COMMANDS},
}


def texts(source: str) -> Iterator[str]:
    """The texts of a module but its docstrings; of an f-string `X` stands for what is filled in.

    A text of one word that is an option alone declares one, or is a word of a command that is put together.
    """
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    left_out = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            left_out |= {id(part) for part in node.values}
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            text = node.value
        else:
            continue
        if not re.fullmatch(r"-{1,2}[a-zX-]+(/--[a-z-]+)?", text):
            yield text


def missing(text: str, commands: tuple[str, ...], *, by_all: bool) -> list[str]:
    """The options that a text names and that no command (with `by_all`: not each of these) has."""
    if any(program in text for program in FOREIGN):
        return []
    lost = []
    for name, rest in COMMAND.findall(text):
        if name in COMMANDS:
            lost += [f"{name} {word}" for word in OPTION.findall(rest) if word not in COMMANDS[name] | EVERYWHERE]
    plain = COMMAND.sub(lambda found: "" if found[1] in COMMANDS else found[0], text)
    for word in OPTION.findall(plain):
        having = [name for name in commands if word in COMMANDS[name] | EVERYWHERE]
        if len(having) < len(commands) if by_all else not having:
            lost.append(word)
    return lost


def place(path: Path) -> tuple[tuple[str, ...], bool]:
    name = path.relative_to(SRC).with_suffix("").as_posix()
    known = [
        commands
        for start, commands in PRINTED_BY.items()
        if name == start or name.startswith((f"{start}/", f"{start}_"))
    ]
    return (known[0], True) if known else (ALL, False)


def setting_exists(kind: Any, names: list[str]) -> bool:
    if not names:
        return True
    for one in (kind, *get_args(kind)):
        if isinstance(one, type) and is_dataclass(one) and names[0] in {field.name for field in fields(one)}:
            return setting_exists(get_type_hints(one)[names[0]], names[1:])
    return False


def known_setting(name: str) -> bool:
    first, *rest = name.split(".")
    own = analyses().get(first)
    return setting_exists(own.settings(), rest) if own else setting_exists(StudySettings, [first, *rest])


def modules() -> list[Path]:
    return [path for path in sorted(SRC.rglob("*.py")) if "reproduction/trials" not in path.as_posix()]


def test_advice_names_options_that_exist() -> None:
    wrong = [
        f"{path.relative_to(SRC)}: {', '.join(lost)} in {text!r}"
        for path in modules()
        for text in texts(path.read_text(encoding="utf-8"))
        if (lost := missing(text, place(path)[0], by_all=place(path)[1]))
    ]
    assert wrong == []


def test_advice_names_settings_that_exist() -> None:
    named = [name for path in modules() for text in texts(path.read_text("utf-8")) for name in SETTING.findall(text)]
    assert len(named) > 5
    assert [name for name in named if not known_setting(name)] == []


def longer_than_needed(text: str) -> list[str]:
    """The settings that a text assigns by --set though a short option sets them."""
    return [name for name in SETTING.findall(text) if name in SHORT]


def test_advice_names_the_short_option() -> None:
    wrong = [
        f"{path.relative_to(SRC)}: {', '.join(long)} in {text!r}"
        for path in modules()
        for text in texts(path.read_text(encoding="utf-8"))
        if (long := longer_than_needed(text))
    ]
    assert wrong == []


def test_advice_that_is_longer_than_needed_is_found() -> None:
    assert longer_than_needed("choose a split: --set data.split=NAME") == ["data.split"]
    assert longer_than_needed("--set after.load.pooling=mean, --set after.load.dtype=float32") == ["after.load.pooling"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_options_of_its_own(cli: Cli, command: str) -> None:
    text = " ".join(cli(command, "--help").out.split())
    assert missing(text, (command,), by_all=True) == []


@pytest.mark.parametrize(
    ("text", "where", "lost"),
    [
        ("give the base (--base)", "encoders/checkpoints/adapters.py", ["--base"]),
        ("give the base (`diff --base NAME`)", "encoders/checkpoints/adapters.py", []),
        ("overwrite it (--overwrite)", "cli/commands/report.py", ["--overwrite"]),
        ("overwrite it (--overwrite)", "study/overwriting.py", []),
        ("use --engin local", "engine/ray.py", ["--engin"]),
        ("run `retroscope show DIR --everything`", "study/study.py", ["show --everything"]),
        ("start a cluster with `ray start --head`", "engine/ray.py", []),
        ("see --help", "cli/commands/show.py", []),
    ],
)
def test_what_is_missing_is_found(text: str, where: str, lost: list[str]) -> None:
    commands, by_all = place(SRC / where)
    assert missing(text, commands, by_all=by_all) == lost


def test_texts_are_found() -> None:
    source = '"""Doc --a."""\ndef f(x):\n    """Doc --b."""\n    return [f"give --c {x}", "--d", "or --e"]\n'
    assert sorted(texts(source)) == ["give --c X", "or --e"]


def test_a_setting_that_is_missing_is_found() -> None:
    assert (known_setting("after.load.base"), known_setting("after.base"), known_setting("probes.rnk")) == (
        True,
        False,
        False,
    )
