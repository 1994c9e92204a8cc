"""Token ids are kept from one run to the next, and what is damaged is made again."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from retroscope.encoders import token_memory
from retroscope.encoders.token_memory import TokenMemory, TokenRows

READING = b"tokenizer and recipe"
TEXTS = [f"text number {i}" for i in range(50)]


def rows(texts: list[str]) -> list[list[int]]:
    """The token ids of texts: their characters."""
    return [[ord(letter) for letter in text] for text in texts]


def never(texts: list[str]) -> list[list[int]]:
    raise AssertionError(f"tokenised again: {texts}")


def remembered(folder: Path, budget: int = 2**20) -> TokenMemory:
    memory = TokenMemory(folder, budget)
    assert memory.rows(READING, TEXTS, rows) == rows(TEXTS)
    memory.save()
    return memory


def test_what_was_saved_is_not_tokenised_again(tmp_path: Path) -> None:
    memory = remembered(tmp_path)
    for later in (memory, TokenMemory(tmp_path)):
        assert later.rows(READING, TEXTS[::-1] + TEXTS[:3], never) == rows(TEXTS[::-1] + TEXTS[:3])


def test_another_recipe_shares_nothing(tmp_path: Path) -> None:
    remembered(tmp_path)
    with pytest.raises(AssertionError, match="tokenised again"):
        TokenMemory(tmp_path).rows(b"another recipe", TEXTS, never)


def test_more_than_fits_in_memory_is_saved_as_it_comes(tmp_path: Path) -> None:
    memory = TokenMemory(tmp_path, budget=2000)
    for text in TEXTS:
        memory.rows(READING, [text], rows)
    assert len([*tmp_path.rglob("*.arrow")]) > 5
    assert memory.rows(READING, TEXTS[:-1], rows) == rows(TEXTS[:-1])
    memory.save()
    assert TokenMemory(tmp_path).rows(READING, TEXTS, never) == rows(TEXTS)


@pytest.mark.parametrize(
    "damage", [lambda file: file.write_bytes(file.read_bytes()[:-9]), lambda file: file.write_bytes(b"")]
)
def test_a_damaged_file_is_removed_and_its_texts_are_tokenised_again(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    remembered(tmp_path)
    (file,) = tmp_path.rglob("*.arrow")
    damage(file)
    later = TokenMemory(tmp_path)
    assert later.rows(READING, TEXTS, rows) == rows(TEXTS)
    assert not file.exists()
    later.save()
    assert TokenMemory(tmp_path).rows(READING, TEXTS, never) == rows(TEXTS)


def test_a_tokenizer_in_python_keeps_nothing(tmp_path: Path) -> None:
    """What it does is not all in its state."""
    memory = TokenMemory(tmp_path)
    memory.rows(READING, TEXTS, rows, lasting=False)
    memory.save()
    assert [*tmp_path.iterdir()] == []
    assert memory.rows(READING, TEXTS, never, lasting=False) == rows(TEXTS)


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    memory = TokenMemory(tmp_path / "file")
    assert memory.rows(READING, TEXTS, rows) == rows(TEXTS)
    memory.save()
    assert memory.rows(READING, TEXTS, never) == rows(TEXTS)


def test_no_text_has_no_rows(tmp_path: Path) -> None:
    memory = TokenMemory(tmp_path)
    memory.save()
    remembered(tmp_path)
    assert TokenMemory(tmp_path).rows(READING, [], never) == []


@pytest.mark.parametrize("writable", [True, False])
def test_texts_are_saved_in_portions_also_where_nothing_can_be_written(
    writable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the folder cannot be written, saving is not tried again for every text."""
    monkeypatch.setattr("retroscope.encoders.token_memory.UNSAVED", 3000)
    portions: list[int] = []
    content = token_memory._content

    def counted(kept: TokenRows) -> bytes:
        portions.append(len(kept))
        return content(kept)

    monkeypatch.setattr(token_memory, "_content", counted)
    if not writable:
        (tmp_path / "file").touch()
    memory = TokenMemory(tmp_path if writable else tmp_path / "file", budget=8000)
    for text in TEXTS:
        memory.rows(READING, [text], rows)
    assert 3 <= len(portions) <= 6
    assert (max(portions) <= 12) == writable


def test_memory_does_not_grow_with_the_number_of_saved_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retroscope.encoders.token_memory.UNSAVED", 2**20)
    few, many = (_peak(tmp_path / str(count), count) for count in (5_000, 25_000))
    assert many < 1.5 * few


def _peak(folder: Path, count: int) -> int:
    memory = TokenMemory(folder)
    tracemalloc.start()
    for start in range(0, count, 500):
        memory.rows(READING, [f"text number {i}" for i in range(start, start + 500)], rows)
    memory.save()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak
