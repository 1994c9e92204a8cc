"""The pages of the documentation, followed: files written, commands typed, code run, and what they print compared."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import retroscope
from pages import RUN, blocks, check_output, executed, follow, retroscope_command
from retroscope.study.demo import shipped

DOCS = Path(__file__).resolve().parents[1] / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
EXTENDING = sorted((DOCS / "how-to").glob("add-*.md"))  # they add to the tables of the package: a process for each
FOLLOWED = [
    page
    for page in sorted(DOCS.rglob("*.md"))
    if page not in EXTENDING and any(block.tag in RUN for block in blocks(page))
]
MEASURING = [page for page in FOLLOWED if page.parent.name == "how-to" or page.stem in ("tutorial", "compares", "json")]
QUICK = [page for page in FOLLOWED if page not in MEASURING]


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


@pytest.fixture
def place(desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for a page, a terminal of 100 columns, and the vectors that other pages made."""
    for name, value in {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RETROSCOPE_CACHE", str(desk / "cache"))
    for thing in desk.iterdir():
        (tmp_path / thing.name).symlink_to(thing)
    return tmp_path


@pytest.mark.parametrize("page", QUICK, ids=lambda page: page.stem)
def test_a_page_can_be_followed(page: Path, place: Path) -> None:
    follow(page, place)


@pytest.mark.parametrize("page", MEASURING, ids=lambda page: page.stem)
def test_a_page_that_measures_can_be_followed(page: Path, place: Path, request: pytest.FixtureRequest) -> None:
    if page.stem != "tutorial":  # it draws all figures of the demo
        request.getfixturevalue("not_drawn")
    follow(page, place)


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


def test_output_is_compared_word_by_word_and_numbers_nearly() -> None:
    printed = "first\nnDCG@10 .512 after 3.1 s\nlast"
    check_output(printed, "...\nnDCG@10 .510 after 9 s\n...\n")
    for wrong in ("nDCG@10 .612 after 3.1 s\n", "RR@10 .512 after 3.1 s\n", "first\nlast\n"):
        with pytest.raises(AssertionError, match="the page shows"):
            check_output(printed, wrong)


@pytest.mark.parametrize("page", EXTENDING, ids=lambda page: page.stem)
def test_code_that_extends_the_package_runs(page: Path) -> None:
    code = "\n".join(block.code for block in blocks(page) if block.tag == "python")
    assert code
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
