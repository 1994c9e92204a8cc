"""What the documentation names exists: commands, options, functions, settings, pages (test_pages.py follows them)."""

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

import retroscope
from pages import NOT_RUN, RUN, blocks, lines_typed

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), *ROOT.glob("README.md")]


def code_of(page: Path, tag: str) -> list[str]:
    return [block.code for block in blocks(page) if block.tag == tag]


def commands(page: Path) -> list[list[str]]:
    """The `retroscope ...` command lines of a page, in blocks and within a line, as words."""
    lines = [line for tag in ("", "bash") for code in code_of(page, tag) for line in lines_typed(code)]
    within = re.findall(r"`(retroscope [^`\n]+)`", page.read_text(encoding="utf-8"))
    found = [line.strip().removeprefix("$ ") for line in [*lines, *within]]
    return [shlex.split(line, comments=True) for line in found if line.startswith("retroscope ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_is_run_or_known_not_to_be(page: Path) -> None:
    assert {block.tag for block in blocks(page)} <= {*RUN, *NOT_RUN}


def test_the_drawn_layers_are_the_enforced_ones() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    drawn = next(code for code in code_of(ROOT / "docs" / "architecture.md", "") if code.startswith("cli >"))
    assert [layer.strip() for layer in drawn.split(">")] == contracts[0]["layers"]


def test_every_package_is_drawn() -> None:
    src = ROOT / "src" / "retroscope"
    drawing = next(code for code in code_of(ROOT / "docs" / "architecture.md", "") if code.startswith("src/"))
    named = set(re.findall(r"^\s+([\w.]+\.py|\w+/)\s", drawing, re.MULTILINE))
    packages = {f"{path.name}/" for path in src.iterdir() if (path / "__init__.py").exists()}
    assert packages <= named


def test_what_is_drawn_is_where_it_is_drawn() -> None:
    drawing = next(code for code in code_of(ROOT / "docs" / "architecture.md", "") if code.startswith("src/"))
    folders = [ROOT / "src" / "retroscope"]
    for indent, name in re.findall(r"^( +)([\w.]+\.py|\w+/)\s", drawing, re.MULTILINE):
        depth = len(indent) // 2
        place = folders[depth - 1] / name
        assert place.exists(), place.relative_to(ROOT)
        folders[depth:] = [place]


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
    used = {name for code in code_of(page, "python") for name in re.findall(r"\brs\.(\w+)", code)}
    assert [name for name in sorted(used) if name not in dir(retroscope)] == []


def test_the_api_page_lists_the_facade_and_where_its_names_live() -> None:
    page = (ROOT / "docs" / "api" / "index.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"\[`(\w+)`\]\[(retroscope\.[\w.]+)\]", page))
    homes = {name: getattr(retroscope, name).__module__ for name in retroscope.__all__}
    assert listed == {name: f"{home}.{name}" for name, home in homes.items()}


@pytest.mark.parametrize("name", ["settings_page", "presets_page"])
def test_a_page_made_from_the_code_is_what_the_code_says(name: str) -> None:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    written = tool.PAGE.read_text(encoding="utf-8")
    assert written == tool.page(), f"run `python tools/{name}.py`"
    assert [line for line in written.splitlines() if line.endswith("| |")] == [], "a cell without content"


def test_the_readme_counts_the_statements_that_were_proved() -> None:
    table = [line for line in (ROOT / "docs" / "proofs.md").read_text().splitlines() if line.startswith("| ")]
    (stated,) = re.findall(r"\[(\d+) kinds of statement", (ROOT / "README.md").read_text())
    assert int(stated) == len(table) - len(("head", "rule"))


def test_every_page_is_in_the_navigation() -> None:
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w/.-]+\.md", config))
    assert named == {
        page.relative_to(ROOT / "docs").as_posix() for page in PAGES if "docs" in page.parts[len(ROOT.parts) :]
    }
