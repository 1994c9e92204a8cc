"""`tools/sentences.py` draws sentences of every kind, the same ones for one seed."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sentences", ROOT / "tools" / "sentences.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_seed_decides_which_sentences_are_drawn(tool: ModuleType) -> None:
    one = tool.draw(ROOT, seed=1, number=3)
    assert {kind: len(sentences) for kind, sentences in one.items()} == dict.fromkeys(tool.KINDS, 3)
    assert tool.draw(ROOT, seed=1, number=3) == one
    assert tool.draw(ROOT, seed=2, number=3) != one


def test_sentences_come_from_text_and_not_from_code_or_tables(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(
        "# Title of it\n\nOne sentence. Two\nsentences.\n\n```\ncode is left out\n```\n\n| a |\n"
    )
    assert [text for _, text in tool.prose(tmp_path)] == ["One sentence.", "Two sentences."]


def test_an_error_keeps_its_expressions_and_its_fix(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text(
        'def f(n: int) -> None:\n    raise ValueError(f"n is {n}", fix="give " "1")\n'
    )
    assert [text for _, text in tool.errors(tmp_path)] == ["n is {n} | fix: give 1"]
