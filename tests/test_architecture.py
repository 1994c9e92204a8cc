"""The habits of the code that a machine can check: layers, sizes, and what must never appear."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from retroscope.analyses import analyses

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "retroscope"
MODULES = sorted(SRC.rglob("*.py"))
MAX_MODULE = 300
MAX_BODY = 40
MAX_PARAMETERS = 5
NOT_A_ROOM = {"utils", "util", "common", "base", "core", "helpers", "misc"}
HEAVY = ("torch", "transformers", "sentence_transformers")

# Call -> why it may not appear.
FORBIDDEN_CALLS = {
    "torch.load": "unpickles",
    "pickle.load": "runs what it reads",
    "pickle.loads": "runs what it reads",
    "joblib.load": "unpickles",
    "eval": "runs what it reads",
    "exec": "runs what it reads",
    "hasattr": "hides what a thing is; give it a type",
}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_name(path: Path) -> str:
    parts = path.relative_to(SRC.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in nodes(path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first statement to the last, without the docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)


def heavy_modules_after(code: str) -> str:
    """Which heavy libraries a fresh interpreter holds after running `code`."""
    done = python(f"import sys\n{code}\nprint('\\nheld:', *sorted(set({HEAVY!r}) & set(sys.modules)))")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].removeprefix("held:").strip()


def test_rooms_import_one_way() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout


def test_every_room_has_a_place_in_the_layers() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = {package.strip() for layer in contracts[0]["layers"] for package in layer.split("|")}
    packages = {path.stem for path in SRC.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert packages - {"__init__", "__main__"} == layers


def test_nobody_inside_imports_the_facade() -> None:
    inside = [path for path in MODULES if path != SRC / "__init__.py"]
    offenders = [
        f"{named(path)}:{node.lineno}"
        for path in inside
        for node in nodes(path)
        if (isinstance(node, ast.ImportFrom) and node.module == "retroscope" and node.level == 0)
        or (isinstance(node, ast.Import) and any(alias.name == "retroscope" for alias in node.names))
    ]
    assert offenders == []


REPORTING = {"result", "report", "words", "figures", "tables", "settings", "measurement", "section", "analysis"}


def is_read_without_torch(path: Path) -> bool:
    """Whether a module takes part in reading and reporting a study that was measured."""
    _, package, *rest = [*module_name(path).split("."), ""]
    if package in ("scores", "statistics", "typesetting"):
        return True
    reports = package == "study" and rest[0] in ("study", "reporting", "folder")
    return reports or (package == "analyses" and bool(REPORTING & set(rest)))


def test_what_is_stored_and_reported_knows_nothing_of_torch() -> None:
    inside = [path for path in MODULES if is_read_without_torch(path)]
    assert len({path.parent for path in inside}) > 10
    assert heavy_modules_after("\n".join(f"import {module_name(path)}" for path in inside)) == ""


def test_analyses_read_one_another_only_where_they_say_so() -> None:
    """Of another analysis only its `result`, and only of one that it needs."""
    offenders = []
    for path in (path for path in MODULES if module_name(path).startswith("retroscope.analyses.")):
        own = module_name(path).split(".")[2]
        for node in nodes(path):
            words = (node.module or "").split(".") if isinstance(node, ast.ImportFrom) else []
            if words[:2] != ["retroscope", "analyses"] or len(words) < 4 or words[2] == own:
                continue
            if words[3:] != ["result"] or words[2] not in analyses()[own].needs:
                offenders.append(f"{named(path)}:{node.lineno} {'.'.join(words)}")
    assert offenders == []


# What reads the files of one analysis alone: the tensors' report of `diff`, and `neurons --texts`.
OF_ONE_ANALYSIS = {"study/folder.py", "study/texts.py", "cli/plans/texts.py", "cli/commands/diff.py"}


def test_studies_and_commands_import_no_analysis_by_name() -> None:
    """A new analysis is a folder and a line of the table: what runs, stores and reports studies iterates over it."""
    packages = ("study", "inputs", "typesetting", "cli")
    inside = [path for path in MODULES if path.relative_to(SRC).parts[0] in packages]
    naming = {
        path.relative_to(SRC).as_posix()
        for path in inside
        for node in nodes(path)
        if isinstance(node, ast.ImportFrom) and set((node.module or "").split(".")[2:3]) & set(analyses())
        if (node.module or "").startswith("retroscope.analyses.")
    }
    assert naming == OF_ONE_ANALYSIS


def test_the_torch_check_can_fail() -> None:
    assert heavy_modules_after("import torch") == "torch"


def test_facade_is_light() -> None:
    assert heavy_modules_after("import retroscope") == ""


def test_help_imports_no_torch() -> None:
    code = "from retroscope.cli.main import main\nsys.argv = ['retroscope', '--help']\ntry:\n    main()\n"
    assert heavy_modules_after(f"{code}except SystemExit as done:\n    assert not done.code, done.code") == ""


def test_modules_are_short() -> None:
    sizes = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: n for name, n in sizes.items() if n > MAX_MODULE} == {}


def test_functions_are_short() -> None:
    sizes = {f"{named(path)}:{f.name}": body_lines(f) for path in MODULES for f in functions(path)}
    assert {name: n for name, n in sizes.items() if n > MAX_BODY} == {}


def test_functions_take_few_parameters_by_position() -> None:
    # Those given by name read well at the call; a command's are its options.
    library = [path for path in MODULES if module_name(path).split(".")[1:2] != ["cli"]]
    counts = {
        f"{named(path)}:{f.name}": len({a.arg for a in (*f.args.posonlyargs, *f.args.args)} - {"self", "cls"})
        for path in library
        for f in functions(path)
    }
    assert {name: n for name, n in counts.items() if n > MAX_PARAMETERS} == {}


def test_names_say_what_is_inside() -> None:
    parts = {named(path): set(path.relative_to(SRC).with_suffix("").parts) for path in MODULES}
    assert [name for name, words in parts.items() if words & NOT_A_ROOM] == []


def test_no_bare_except() -> None:
    handlers = [(path, node) for path in MODULES for node in nodes(path) if isinstance(node, ast.ExceptHandler)]
    bare = [f"{named(path)}:{h.lineno}" for path, h in handlers if h.type is None]
    silent = [f"{named(path)}:{h.lineno}" for path, h in handlers if isinstance(h.body[0], ast.Pass)]
    assert (bare, silent) == ([], [])


def test_no_assert_for_a_users_mistake() -> None:
    asserts = [f"{named(p)}:{node.lineno}" for p in MODULES for node in nodes(p) if isinstance(node, ast.Assert)]
    assert asserts == []


def test_nothing_runs_what_it_reads() -> None:
    calls = [(path, node) for path in MODULES for node in nodes(path) if isinstance(node, ast.Call)]
    found = [f"{named(p)}:{c.lineno} {ast.unparse(c.func)}" for p, c in calls if ast.unparse(c.func) in FORBIDDEN_CALLS]
    remote = [
        f"{named(path)}:{call.lineno} {keyword.arg}"
        for path, call in calls
        for keyword in call.keywords
        if keyword.arg in ("trust_remote_code", "allow_pickle")
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is not False
    ]
    imports = [
        f"{named(path)}:{node.lineno} pickle"
        for path in MODULES
        for node in nodes(path)
        if (isinstance(node, ast.Import) and any(a.name.split(".")[0] == "pickle" for a in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "pickle")
    ]
    assert (found, remote, imports) == ([], [], [])


def test_one_file_registers_hooks() -> None:
    hooked = {
        named(path)
        for path in MODULES
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and node.attr.startswith("register_") and node.attr.endswith("hook")
    }
    assert hooked == {"src/retroscope/encoders/capture.py"}
