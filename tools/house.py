"""Measure the order of the house: sizes, imports, parameters, types, names and docstrings of src/retroscope.

`make house` prints one line a measure, `make house LIST=names` what is behind one of them. tests/test_house.py holds
the limits. Reads the source with `ast` and imports none of it.
"""

import argparse
import ast
import sys
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERBS = Path(__file__).with_name("verbs.txt")
MOST_PARAMETERS = 8
MOST_BEFORE_SETTINGS = 5
SHOWN = 3  # items behind a number that the summary names

# Names that several modules of one kind define on purpose: which names -> where. Each module there plays one role.
ROLES: Mapping[str, str] = {
    "read recognises splits": "collection/readers/*.py",
    "run": "cli/commands/*.py",
    "refusal plan measure infer report alone statements cards": "analyses/*/*.py",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One parsed file.

    Attributes:
        name: its path inside the package, e.g. "drift/weights.py".
    """

    name: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """Return the first folder of its path, or its own name where it lies in none."""
        return self.name.partition("/")[0].removesuffix(".py")

    @property
    def functions(self) -> Iterator[Function]:
        """Iterate over all functions and methods, inner ones too."""
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))


@dataclass(frozen=True)
class Measure:
    """One number about the house, and what is behind it.

    Attributes:
        value: the number; the lower the better, except for shares in per cent.
        items: (size, place) of what was counted, the largest first.
    """

    name: str
    value: float
    items: Sequence[tuple[float, str]]


def read_modules(package: Path) -> list[Module]:
    """Parse every Python file of a package."""
    paths = sorted(package.rglob("*.py"))
    texts = {path.relative_to(package).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    return [Module(name, text, ast.parse(text)) for name, text in texts.items()]


def read_layers(project: Path) -> list[list[str]]:
    """Read the layers of the first import-linter contract of a pyproject.toml, the top one first."""
    contracts = tomllib.loads(project.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    return [[room.strip() for room in layer.split("|")] for layer in contracts[0]["layers"]]


def read_verbs(path: Path = VERBS) -> frozenset[str]:
    """Read the verbs that a docstring may start with, in the imperative."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def folders(modules: Sequence[Module]) -> list[tuple[float, str]]:
    """Count the modules of each folder; its `__init__.py` and the folders in it do not count."""
    sizes: dict[str, int] = defaultdict(int)
    for module in modules:
        folder, _, file = module.name.rpartition("/")
        sizes[folder or "."] += file != "__init__.py"
    return [(size, folder) for folder, size in sizes.items()]


def module_lines(modules: Sequence[Module]) -> list[tuple[float, str]]:
    """Count the lines of each module."""
    return [(len(module.text.splitlines()), module.name) for module in modules]


def body_lines(modules: Sequence[Module]) -> list[tuple[float, str]]:
    """Count the lines of each function's body, its docstring left out."""
    return [(_lines(function), _place(module, function)) for module in modules for function in module.functions]


def _lines(function: Function) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def upward_imports(modules: Sequence[Module], layers: Sequence[Sequence[str]]) -> list[tuple[float, str]]:
    """List the files that import a room above their own, or beside it; imports for type checkers do not count."""
    floor = {room: number for number, layer in enumerate(layers) for room in layer}
    files: list[tuple[float, str]] = []
    for module in modules:
        own = floor.get(module.room, -1)
        rooms = sorted({room for room in _imported_rooms(module) if room in floor and room != module.room})
        upward = [room for room in rooms if floor[room] <= own]
        if upward:
            files.append((len(upward), f"{module.name} -> {', '.join(upward)}"))
    return files


def _imported_rooms(module: Module) -> Iterator[str]:
    typing_only = {
        id(inner)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(module.tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "retroscope":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("retroscope."):
            yield (node.module or "").split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("retroscope."))


def parameters(modules: Sequence[Module], most: int = MOST_PARAMETERS) -> list[tuple[float, str]]:
    """List the functions with more parameters than `most`; `self` and `cls` do not count."""
    counts = [(len(_arguments(f)), _place(module, f)) for module in modules for f in module.functions]
    return [(count, place) for count, place in counts if count > most]


def before_settings(modules: Sequence[Module], most: int = MOST_BEFORE_SETTINGS) -> list[tuple[float, str]]:
    """List the functions with more parameters than `most` besides settings, options and progress."""
    counts = [
        (len([a for a in _arguments(f) if not _is_setting(a)]), _place(module, f))
        for module in modules
        for f in module.functions
    ]
    return [(count, place) for count, place in counts if count > most]


def _arguments(function: Function) -> list[ast.arg]:
    known = function.args
    return [a for a in (*known.posonlyargs, *known.args, *known.kwonlyargs) if a.arg not in ("self", "cls")]


def _is_setting(argument: ast.arg) -> bool:
    kind = "" if argument.annotation is None else ast.unparse(argument.annotation)
    return any(word in kind for word in ("Settings", "Options", "Progress", "Count", "Shown"))


def untyped(modules: Sequence[Module]) -> list[tuple[float, str]]:
    """List the functions that lack the type of a parameter or of what they return."""
    return [
        (1, _place(module, function))
        for module in modules
        for function in module.functions
        if function.returns is None or any(a.annotation is None for a in _all_arguments(function))
    ]


def _all_arguments(function: Function) -> list[ast.arg]:
    return [*_arguments(function), *(a for a in (function.args.vararg, function.args.kwarg) if a)]


def shared_names(modules: Sequence[Module]) -> list[tuple[float, str]]:
    """List the public names that two modules or more define for a class, a function or a type.

    A name that all of them define for one role (`ROLES`) has one meaning.
    """
    homes: dict[str, set[str]] = defaultdict(set)
    for module in modules:
        for name in _defined(module.tree):
            homes[name].add(module.name)
    return [
        (len(places), f"{name}: {', '.join(sorted(places))}")
        for name, places in sorted(homes.items())
        if len(places) > 1 and not _is_role(name, places)
    ]


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name[0].isupper() and not name.isupper() and "TypeVar" not in ast.unparse(node.value):
                yield name


def _is_role(name: str, places: set[str]) -> bool:
    return any(name in names.split() and all(fnmatch(p, where) for p in places) for names, where in ROLES.items())


def without_verb(modules: Sequence[Module], verbs: frozenset[str]) -> list[tuple[float, str]]:
    """List the public functions, methods and properties whose docstring does not start with a verb.

    The docstring of a class says what its objects are, so it starts with a noun; classes do not count.
    """
    return [
        (1, f"{_place(module, function)}: {text.splitlines()[0]}")
        for module in modules
        for function, text in _documented(module.tree)
        if not starts_with_verb(text, verbs)
    ]


def starts_with_verb(text: str, verbs: frozenset[str]) -> bool:
    """Return whether a text starts with a verb of the list, and not with a noun of that form ("Share of ...")."""
    first, second, *_ = [*text.split(), "", ""]
    return first.strip(",.:;").lower() in verbs and second != "of"


def _documented(node: ast.Module | ast.ClassDef) -> Iterator[tuple[Function, str]]:
    for inner in node.body:
        if isinstance(inner, ast.ClassDef) and not inner.name.startswith("_"):
            yield from _documented(inner)
        elif isinstance(inner, Function) and not inner.name.startswith("_"):
            text = ast.get_docstring(inner)
            if text:
                yield inner, text


def _place(module: Module, function: Function) -> str:
    return f"{module.name}:{function.lineno} {function.name}"


def measures(package: Path, project: Path, verbs: frozenset[str]) -> list[Measure]:
    """Take every measure of a package whose layers are in the pyproject.toml `project`."""
    modules = read_modules(package)
    layers = read_layers(project)
    documented = sum(1 for module in modules for _ in _documented(module.tree))
    silent = without_verb(modules, verbs)
    share = 100 * (1 - len(silent) / documented) if documented else 100.0
    largest: Sequence[tuple[str, Callable[[Sequence[Module]], list[tuple[float, str]]]]] = (
        ("modules in the widest folder", folders),
        ("lines of the longest module", module_lines),
        ("lines of the longest body", body_lines),
    )
    counted: Sequence[tuple[str, list[tuple[float, str]]]] = (
        ("files with an upward import", upward_imports(modules, layers)),
        (f"functions with more than {MOST_PARAMETERS} parameters", parameters(modules)),
        (f"functions with more than {MOST_BEFORE_SETTINGS} before their settings", before_settings(modules)),
        ("functions without all types", untyped(modules)),
        ("names with two meanings", shared_names(modules)),
    )
    return [
        *(
            Measure(name, max((n for n, _ in take(modules)), default=0), _sorted(take(modules)))
            for name, take in largest
        ),
        *(Measure(name, len(items), _sorted(items)) for name, items in counted),
        Measure("per cent of docstrings that start with a verb", share, _sorted(silent)),
    ]


def _sorted(items: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    return sorted(items, key=lambda item: (-item[0], item[1]))


def report(taken: Sequence[Measure], wanted: str = "") -> str:
    """Return one line a measure with its largest items; or all items of the measures whose name holds `wanted`."""
    if wanted:
        chosen = [one for one in taken if wanted in one.name]
        return "\n".join(line for one in chosen for line in (_headline(one), *(f"  {n:g}  {p}" for n, p in one.items)))
    return "\n".join(f"{_headline(one)}  {_examples(one)}".rstrip() for one in taken)


def _headline(one: Measure) -> str:
    return f"{one.value:6.1f}  {one.name}" if one.value % 1 else f"{one.value:4g}    {one.name}"


def _examples(one: Measure) -> str:
    places = [place if size == 1 else f"{place} ({size:g})" for size, place in one.items[:SHOWN]]
    return f"[{'; '.join(places)}]" if places else ""


def main() -> None:
    """Print the measures of this checkout."""
    parser = argparse.ArgumentParser(description="Measure the order of src/retroscope.")
    parser.add_argument("--list", default="", metavar="WORDS", help="list all that is behind the measures so named")
    options = parser.parse_args()
    taken = measures(ROOT / "src" / "retroscope", ROOT / "pyproject.toml", read_verbs())
    sys.stdout.write(report(taken, options.list) + "\n")


if __name__ == "__main__":
    main()
