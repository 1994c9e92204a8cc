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
    assert list(tool.prose(tmp_path)) == [("README.md:3", "One sentence."), ("README.md:3", "Two sentences.")]


def test_a_sentence_may_begin_with_a_number_or_a_link_and_keeps_its_line(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(
        "Three of them. 4 are left. [A link](a.md) ends.\n\n```\ncode\n```\n\n- An item.\n"
    )
    expected = [(1, "Three of them."), (1, "4 are left."), (1, "[A link](a.md) ends."), (7, "- An item.")]
    assert list(tool.prose(tmp_path)) == [(f"README.md:{line}", text) for line, text in expected]


def test_a_page_is_drawn_from_statements_captions_and_templates(tool: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "src" / "analyses" / "toy"
    folder.mkdir(parents=True)
    (folder / "words.py").write_text(
        '"""Not this."""\n\n\ndef f(n: int) -> str:\n    """Nor this."""\n'
        '    return f"It rose by {n}." " So it " "did."\n'
    )
    (folder / "measure.py").write_text('TEXT = "Not of a page."\n')
    (folder / "section.html.j2").write_text(
        "{# no\ncomment #}\n<p>Bands are <em>intervals</em>. 3 texts of {{ n }}.</p>\n"
    )
    assert list(tool.page(tmp_path)) == [
        ("src/analyses/toy/words.py:6", "It rose by {n}."),
        ("src/analyses/toy/words.py:6", "So it did."),
        ("src/analyses/toy/section.html.j2:3", "Bands are intervals."),
        ("src/analyses/toy/section.html.j2:3", "3 texts of {{ n }}."),
    ]


def test_an_error_keeps_its_expressions_and_its_fix(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text(
        'def f(n: int) -> None:\n    raise ValueError(f"n is {n}", fix="give " "1")\n'
    )
    assert [text for _, text in tool.errors(tmp_path)] == ["n is {n} | fix: give 1"]


def test_an_abbreviation_does_not_end_a_sentence(tool: ModuleType, tmp_path: Path) -> None:
    text = "One form, e.g. `pip install .`, as in Rao et al. 2022 (ch. 6), is enough. Another follows."
    (tmp_path / "README.md").write_text(f"{text}\n")
    assert [sentence for _, sentence in tool.prose(tmp_path)] == [text[: -len(" Another follows.")], "Another follows."]


def test_a_docstring_is_drawn_with_its_signature(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text(
        '"""Two models."""\n\n\ndef mean(rows: list[int], *, n: int = 1) -> float:\n    """Average rows. Not this."""\n'
        '\n\nclass Pair:\n    """Both models."""\n'
    )
    assert list(tool.docstrings(tmp_path)) == [
        ("src/a.py:1", "Two models."),
        ("src/a.py:4 def mean(rows: list[int], *, n: int=1) -> float", "Average rows."),
        ("src/a.py:8 class Pair", "Both models."),
    ]
