"""The scripts beside the package, which no other test runs: every name that they import from it is there."""

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(path for folder in ("benchmarks", "examples") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.relative_to(ROOT)))
def test_what_a_script_imports_of_the_package_is_there(script: Path) -> None:
    imports = [node for node in ast.walk(ast.parse(script.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
    wanted = [(node.module, one.name) for node in imports if _is_ours(node.module) for one in node.names]
    assert [f"{module}.{name}" for module, name in wanted if not _is_there(str(module), name)] == []


def _is_ours(module: str | None) -> bool:
    return module is not None and module.split(".")[0] == "retroscope"


def _is_there(module: str, name: str) -> bool:
    if find_spec(module) is None:
        return False
    imported = import_module(module)
    return hasattr(imported, name) or (hasattr(imported, "__path__") and find_spec(f"{module}.{name}") is not None)
