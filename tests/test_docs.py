"""What the documentation says is true: its pages can be followed, its commands and names exist."""

import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

import retroscope
from pages import blocks, check_output, executed, follow, lines_typed, retroscope_command
from retroscope.study.demo import shipped

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), *ROOT.glob("README.md")]
RUN = ("bash", "python")
NOT_RUN = ("", "text", "html", "toml", "py", "json", "tsv", "xml", "yaml")  # drawings, output, files, tested code
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
EXTENDING = sorted((ROOT / "docs" / "how-to").glob("add-*.md"))  # they add to the tables of the package
README = ROOT / "README.md"  # shows models of the hub
FOLLOWED = [
    page for page in PAGES if page not in (*EXTENDING, README) and any(block.tag in RUN for block in blocks(page))
]


def code_of(page: Path, tag: str) -> list[str]:
    return [block.code for block in blocks(page) if block.tag == tag]


def commands(page: Path) -> list[list[str]]:
    """The `retroscope ...` command lines of a page, in blocks and within a line, as words."""
    lines = [line for tag in ("", "bash") for code in code_of(page, tag) for line in lines_typed(code)]
    within = re.findall(r"`(retroscope [^`\n]+)`", page.read_text(encoding="utf-8"))
    found = [line.strip().removeprefix("$ ") for line in [*lines, *within]]
    return [shlex.split(line, comments=True) for line in found if line.startswith("retroscope ")]


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the tutorial leaves its reader: the shipped models, a world, an adapter."""
    desk = tmp_path_factory.mktemp("desk")
    models = shipped()
    for name, place in (("backbone", models.backbone), ("retriever", models.retriever), ("other", models.scratch)):
        (desk / name).symlink_to(place)
    for line in (
        f"world --people 500 --out {desk}/data",
        f"train {desk}/backbone --data beir:{desk}/data --pooling mean --strategy lora --steps 5 --out {desk}/adapter",
    ):
        status, output = retroscope_command(line.split())
        assert status == 0, output
    return desk


@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: page.stem)
def test_a_page_can_be_followed(page: Path, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RETROSCOPE_CACHE", str(desk / "cache"))
    for thing in desk.iterdir():
        (tmp_path / thing.name).symlink_to(thing)
    follow(page, tmp_path)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_runs_and_keeps_no_output(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cells run in order, as plain Python: jupyter would bring two dozen packages."""
    cells = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell for cell in cells if cell["outputs"] or cell["execution_count"]] == []
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": notebook.stem}
    for cell in cells:
        executed("".join(cell["source"]), names)
    assert names["rs"] is retroscope


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_is_run_or_known_not_to_be(page: Path) -> None:
    assert {block.tag for block in blocks(page)} <= {*RUN, *NOT_RUN}


def test_output_is_compared_word_by_word_and_numbers_nearly() -> None:
    printed = "first\nnDCG@10 .512 after 3.1 s\nlast"
    check_output(printed, "...\nnDCG@10 .510 after 9 s\n...\n")
    for wrong in ("nDCG@10 .612 after 3.1 s\n", "RR@10 .512 after 3.1 s\n", "first\nlast\n"):
        with pytest.raises(AssertionError, match="the page shows"):
            check_output(printed, wrong)


@pytest.mark.parametrize("page", EXTENDING, ids=lambda page: page.stem)
def test_code_that_extends_the_package_runs(page: Path) -> None:
    code = "\n".join(code_of(page, "python"))
    assert code
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_drawn_layers_are_the_enforced_ones() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    drawn = next(code for code in code_of(ROOT / "docs" / "architecture.md", "") if code.startswith("cli >"))
    assert [layer.strip() for layer in drawn.split(">")] == contracts[0]["layers"]


def test_every_room_is_drawn() -> None:
    src = ROOT / "src" / "retroscope"
    drawing = next(code for code in code_of(ROOT / "docs" / "architecture.md", "") if code.startswith("src/"))
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
    used = {name for code in code_of(page, "python") for name in re.findall(r"\brs\.(\w+)", code)}
    assert [name for name in sorted(used) if name not in dir(retroscope)] == []


def test_the_api_page_lists_the_facade_and_where_its_names_live() -> None:
    page = (ROOT / "docs" / "api" / "index.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"\[`(\w+)`\]\[(retroscope\.[\w.]+)\]", page))
    homes = {name: getattr(retroscope, name).__module__ for name in retroscope.__all__}
    assert listed == {name: f"{home}.{name}" for name, home in homes.items()}


def test_the_page_of_settings_is_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("settings_page", ROOT / "tools" / "settings_page.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    written = tool.PAGE.read_text(encoding="utf-8")
    assert written == tool.page(), "run `python tools/settings_page.py`"
    assert [line for line in written.splitlines() if line.endswith("| |")] == [], "a setting without a meaning"


def test_every_page_is_in_the_navigation() -> None:
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w/.-]+\.md", config))
    assert named == {
        page.relative_to(ROOT / "docs").as_posix() for page in PAGES if "docs" in page.parts[len(ROOT.parts) :]
    }
