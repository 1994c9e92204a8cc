"""What is refused while the command line is read, at once and with what to do."""

import ast
import math
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest
from command_line import Cli, every_command

import retroscope.cli
from retroscope.cli.main import _commands
from retroscope.files.documents import SCHEMA, write_document
from tiny_study import Tiny

COMMANDS = every_command()
HEAVY = ("torch", "transformers", "sentence_transformers", "pandas", "numpy", "altair", "scipy", "retroscope.study")
ENTER = (
    "import sys\nfrom retroscope.cli.main import main\n"
    "sys.argv = ['retroscope', *{words!r}]\n"
    "try:\n    main()\nexcept SystemExit as end:\n    code = end.code or 0\n"
    "print('held:', *sorted({heavy!r} & set(sys.modules)), file=sys.stderr)\nsys.exit(code)"
)
REQUIRED = {
    "compare": "a b --data x --out y",
    "doctor": "a",
    "diff": "a b",
    "retrieve": "a --data x",
    "probe": "a --data x",
    "neurons": "a --data x --out y",
    "embed": "a --texts x --out y",
    "transplant": "a b --data x",
    "report": "x",
    "show": "x",
    "card": "x",
    "train": "a --data x --out y",
    "pretrain": "--text x --shape bert-tiny --tokenizer words --out y",
    "edit": "a --facts x --add --out y",
    "ablate": "a --data x --out y",
    "world": "--out y",
    "demo": "",
    "cache": "",
    "reproduce": "ielab-2025 --out y",
    "presets": "",
}


def entered(*words: str) -> tuple[int, str, str]:
    """Exit code, heavy modules and messages of a fresh interpreter."""
    code = ENTER.format(words=list(words), heavy=set(HEAVY))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    *messages, last = done.stderr.splitlines()
    return done.returncode, last.removeprefix("held:").strip(), "\n".join([done.stdout, *messages])


def test_every_command_is_tried_here() -> None:
    assert set(REQUIRED) == set(COMMANDS)


@pytest.mark.parametrize("command", REQUIRED)
def test_help_and_a_mistyped_option_import_nothing_heavy(command: str) -> None:
    code, held, text = entered(command, "-h")
    assert (code, held) == (0, "")
    assert "Usage: retroscope " in text
    code, held, text = entered(command, *REQUIRED[command].split(), "--jsno")
    assert (code, held) == (2, "")
    assert f"retroscope {command}: unknown option --jsno\n  fix: did you mean --json?" in text


@pytest.mark.parametrize(
    ("word", "expected", "message"),
    [
        ("--help", 0, "Usage: retroscope "),
        ("-h", 0, "Usage: retroscope "),
        ("--version", 0, f"retroscope {version('retroscope')}"),
        ("comprae", 2, "No such command 'comprae'. Did you mean 'compare'?"),
        ("--versoin", 2, "retroscope: unknown option --versoin\n  fix: did you mean --version?"),
    ],
)
def test_the_program_itself_imports_nothing_heavy(word: str, expected: int, message: str) -> None:
    code, held, text = entered(word)
    assert (code, held) == (expected, "")
    assert message in text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("retrieve a --data x --pooling men", "unknown pooling 'men'\n  fix: did you mean 'mean'"),
        ("retrieve a --data x --similarity cosin", "unknown similarity 'cosin'\n  fix: did you mean 'cosine'"),
        ("retrieve a --data x --protocol ielab", "unknown protocol 'ielab'\n  fix: did you mean 'ielab-2025'"),
        ("probe a --data x --probes cosine,bilinaer", "unknown probe 'bilinaer'\n  fix: did you mean 'bilinear'"),
        ("neurons a --data x --out y --method weight-path", "unknown method 'weight-path'"),
        ("neurons a --data x --out y --memory 3x", "invalid size '3x'\n  fix: use a number and a unit, e.g. 4GiB"),
        (
            "probe a --data x --passages 2,b",
            "--passages: invalid number 'b'\n  fix: write whole numbers with commas between them",
        ),
        ("train a --data x --out y --strategy lroa", "unknown strategy 'lroa'\n  fix: did you mean 'lora'"),
        ("pretrain --out y --objective mml", "unknown objective 'mml'\n  fix: did you mean 'mlm'"),
        ("compare qeury=a,passage=b c --data x --out y", "or query=NAME,passage=NAME for two towers"),
    ],
)
def test_a_mistyped_value_imports_nothing_heavy(line: str, message: str) -> None:
    code, held, text = entered(*line.split())
    assert (code, held) == (2, "")
    assert message in text


def test_a_mistyped_measure_needs_no_torch() -> None:
    code, held, text = entered("retrieve", "a", "--data", "x", "--measures", "RR@10,NDGC@10")
    assert code == 2
    assert "torch" not in held.split()
    assert "unknown measure 'NDGC@10'\n  fix: did you mean 'nDCG@10'" in text


def least_seconds(code: str, enough: float = 0.0, runs: int = 10) -> float:
    """Processor time of a fresh interpreter that runs the code; the least of the runs, or the first below `enough`.

    A busy machine is no fault of the code, and two threads of one core slow each other.
    """
    timed = f"import time\nbegan = time.process_time()\n{code}\nprint(time.process_time() - began, file=sys.stderr)"
    least = math.inf
    for _ in range(runs):
        done = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True)
        least = min(least, float(done.stderr.splitlines()[-1]))
        if least < enough:
            break
    return least


def test_a_mistake_is_answered_within_a_second() -> None:
    words = ["compare", "a", "b", "--data", "x", "--out", "y", "--poolin", "mean"]
    code = ENTER.format(words=words, heavy=set(HEAVY)).removesuffix("\nsys.exit(code)")
    assert least_seconds(code, 1) < 1


def test_the_program_needs_little_time_to_import() -> None:
    """A ratio to typer's own import, since one machine may halve its speed from minute to minute.

    Measured: 3.6 to 4.1. The import of numpy alone would add 1.7.
    """
    program, typer = (
        least_seconds(f"import sys\n{code}", runs=5)
        for code in ("from retroscope.cli.main import make_app\nmake_app()", "import typer.main")
    )
    assert program < 5 * typer


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("compare a b --data x --data y --out z", "--data"),
        ("compare a b --data x --out z --pooling mean --pooling=cls", "--pooling"),
        ("retrieve a --data x --set a=1 --set b=2 --limit-queries 1 --limit-queries 2", "--limit-queries"),
        ("train a --data x --out z --append-eos --no-append-eos", "--append-eos/--no-append-eos"),
        ("world --out x --out y", "--out"),
    ],
)
def test_an_option_given_twice_is_refused(cli: Cli, line: str, option: str) -> None:
    done = cli(line=line)
    assert (done.code, done.out) == (2, "")
    command = line.split()[0]
    assert done.err == f"error: retroscope {command}: {option} is given more than once\n  fix: give {option} once\n"


def test_what_may_be_repeated_says_so() -> None:
    for name, command in COMMANDS.items():
        for parameter in command.params:
            text = getattr(parameter, "help", None) or ""
            repeated = bool(getattr(parameter, "multiple", False)) or parameter.nargs == -1
            assert ("may be repeated" in text.lower()) == repeated, (name, parameter.name)


def test_an_option_in_place_of_an_argument_is_refused(cli: Cli) -> None:
    done = cli(line="show --josn")
    assert (done.code, "unknown option --josn\n  fix: did you mean --json?" in done.err) == (2, True)


def test_after_two_dashes_nothing_is_an_option(cli: Cli, tmp_path: Path) -> None:
    done = cli("world", "--out", tmp_path / "w", "--", "--josn")
    assert (done.code, "Got unexpected extra argument(s) (--josn)" in done.err) == (2, True)


def test_an_option_without_its_value_is_refused(cli: Cli) -> None:
    done = cli(line="retrieve a --data")
    assert (done.code, "Option '--data' requires an argument" in done.err) == (2, True)


@pytest.mark.parametrize("module", _commands(), ids=lambda module: module.__name__.rpartition(".")[2])
def test_the_example_of_a_command_is_one(module: ModuleType) -> None:
    words = module.EXAMPLE.split()
    name = module.__name__.rpartition(".")[2]
    assert words[:2] == ["retroscope", name]
    context = COMMANDS[name].make_context(name, words[2:])
    assert context.params


def test_functions_take_at_most_eight_parameters() -> None:
    counts = {}
    for path in Path(retroscope.cli.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                arguments = node.args
                counts[f"{path.name}:{node.name}"] = len(arguments.args) + len(arguments.kwonlyargs)
    assert {name: count for name, count in counts.items() if count > 8} == {}


def test_show_needs_no_torch(tmp_path: Path) -> None:
    write_document(tmp_path / "grid.json", {"schema": SCHEMA, "statements": [{"text": "found"}], "caveats": ["but"]})
    code, held, text = entered("show", str(tmp_path))
    assert (code, held.split()) == (0, ["numpy", "retroscope.study"])
    assert text == "found\n- but\n"
    nothing = entered("show", str(tmp_path / "none"))
    assert (nothing[0], {"torch", "transformers"} & set(nothing[1].split())) == (2, set())
    assert "this folder does not exist" in nothing[2]


@pytest.mark.parametrize("words", [("show",), ("show", "--json"), ("report", "--out")], ids=" ".join)
def test_a_finished_study_is_shown_and_written_again_without_torch(
    cli: Cli, tiny: Tiny, tmp_path: Path, words: tuple[str, ...]
) -> None:
    out = tmp_path / "study"
    done = cli("retrieve", tiny.retriever, "--data", tiny.data, "--out", out, line="--pooling mean --layers")
    assert done.code == 0, done.err
    again = [str(tmp_path / "again")] if "--out" in words else []
    code, held, text = entered(words[0], str(out), *words[1:], *again)
    assert (code, {"torch", "transformers"} & set(held.split())) == (0, set())
    assert "nDCG@10" in text or (tmp_path / "again" / "report.html").exists()
