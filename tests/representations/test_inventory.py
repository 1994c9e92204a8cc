"""What repeats, how long texts are, and what it costs to know."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retroscope.encoders.encode import tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import RepresentationError
from retroscope.representations import inventory
from retroscope.representations.inventory import first_occurrences, take_inventory, windows
from toys import TEXTS, save_toy


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = save_toy("bert", tmp_path_factory.mktemp("bert"))
    return load_encoder(folder, LoadSettings(pooling="mean", max_length=16))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=50))
def test_first_occurrences_are_those_of_a_search_from_the_start(keys: list[tuple[int, int]]) -> None:
    occurrences = first_occurrences(np.asarray(keys, dtype=np.uint64))
    assert occurrences.tolist() == [keys.index(key) for key in keys]


def test_repeats_are_found_across_chunks(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "CHUNK", 2)
    texts = [TEXTS[0], TEXTS[1], TEXTS[0], "red", "red", TEXTS[1]]
    found = take_inventory(encoder, texts)
    assert found.first.tolist() == [0, 1, 0, 3, 3, 1]
    assert found.n_distinct == 3
    assert found.lengths.tolist() == [len(row) for row in tokenise(encoder, texts)]
    assert found.tokens == int(found.lengths[[0, 1, 3]].sum())


def test_texts_that_differ_beyond_the_cut_are_one_input(encoder: Encoder) -> None:
    same = "the moon " * 20
    found = take_inventory(encoder, [f"{same} red", f"{same} cat", "red"])
    assert found.first.tolist() == [0, 0, 2]
    assert found.truncated == 2


def test_the_fingerprint_knows_every_text_and_its_place(encoder: Encoder) -> None:
    def print_of(*texts: str) -> str:
        return take_inventory(encoder, texts).fingerprint

    prints = [print_of("a", "b"), print_of("b", "a"), print_of("a"), print_of("ab"), print_of("a", "b", "b")]
    assert len(set(prints)) == len(prints)
    assert print_of("a", "b") == prints[0]


def test_no_text_is_an_error(encoder: Encoder) -> None:
    with pytest.raises(RepresentationError, match=r"no text was given to encode\n  fix: give at least one text"):
        take_inventory(encoder, [])


def test_windows_are_consecutive() -> None:
    assert list(windows(iter("abcde"), 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(windows([], 2)) == []


def test_a_two_tower_retriever_may_cut_its_towers_differently(tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path)
    long = "the moon " * 30
    sizes = [
        take_inventory(load_encoder(folder, LoadSettings(pooling="mean", max_length=n)), [long]).lengths[0]
        for n in (8, 32)
    ]
    assert sizes == [8, 32]
