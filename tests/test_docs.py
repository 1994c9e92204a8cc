"""What the documentation says is true: its code runs, its commands and names exist."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

import retroscope

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), *ROOT.glob("README.md")]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [code for tag, code in FENCE.findall(page.read_text(encoding="utf-8")) if tag == language]


def commands(page: Path) -> list[list[str]]:
    """The `retroscope ...` command lines of a page, in blocks and within a line, as words."""
    shown = "\n".join(code for tag in ("", "bash", "sh", "console") for code in blocks(page, tag))
    lines = shown.replace("\\\n", " ").splitlines()
    within = re.findall(r"`(retroscope [^`\n]+)`", page.read_text(encoding="utf-8"))
    found = [line.strip().removeprefix("$ ") for line in [*lines, *within]]
    return [shlex.split(line, comments=True) for line in found if line.startswith("retroscope ")]


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "how-to").glob("*.md")), ids=lambda page: page.stem)
def test_how_to_code_runs(page: Path) -> None:
    code = "\n".join(blocks(page, "python"))
    assert code
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_drawn_layers_are_the_enforced_ones() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    drawn = next(code for code in blocks(ROOT / "docs" / "architecture.md", "") if code.startswith("cli >"))
    assert [layer.strip() for layer in drawn.split(">")] == contracts[0]["layers"]


def test_every_room_is_drawn() -> None:
    src = ROOT / "src" / "retroscope"
    drawing = next(code for code in blocks(ROOT / "docs" / "architecture.md", "") if code.startswith("src/"))
    named = set(re.findall(r"^\s+([\w.]+\.py|\w+/)\s", drawing, re.MULTILINE))
    rooms = {f"{path.name}/" for path in src.iterdir() if (path / "__init__.py").exists()}
    assert rooms <= named
    files = {path.name for path in src.rglob("*.py")}
    assert {name for name in named if name.endswith(".py")} <= files


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_and_their_options_exist(page: Path) -> None:
    from retroscope.cli.main import make_app

    known = get_command(make_app()).commands
    for _, name, *words in commands(page):
        if name.startswith("-"):
            continue
        assert name in known, f"retroscope {name}"
        options = {option for parameter in known[name].params for option in parameter.opts} | {"--help"}
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert used <= options, f"retroscope {name}: {sorted(used - options)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_names_of_the_facade_exist(page: Path) -> None:
    used = {name for code in blocks(page, "python") for name in re.findall(r"\brs\.(\w+)", code)}
    assert [name for name in sorted(used) if name not in dir(retroscope)] == []


def test_the_api_page_lists_the_facade_and_where_its_names_live() -> None:
    page = (ROOT / "docs" / "api" / "index.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"\[`(\w+)`\]\[(retroscope\.[\w.]+)\]", page))
    homes = {name: getattr(retroscope, name).__module__ for name in retroscope.__all__}
    assert listed == {name: f"{home}.{name}" for name, home in homes.items()}
