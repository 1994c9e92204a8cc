"""Self-tests pass for a sound encoder and catch each fault that they are there for."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from published_layouts import publish
from retroscope.encoders.checks import selftest
from retroscope.encoders.checks.library import library_test
from retroscope.encoders.checks.selftest import SELF_TESTS, position_tolerance, self_test, tolerance
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder, load_retriever
from retroscope.encoders.pooling import POOLINGS
from retroscope.encoders.settings import LoadSettings
from toys import TOYS, save_toy


def but(encoder: Encoder, **changes: object) -> Encoder:
    return replace(encoder, recipe=encoder.recipe.but("test", **changes))


def failed(encoder: Encoder) -> set[str]:
    return {test.name for test in self_test(encoder) if not test.passed}


def load(name: str, folder: Path, pooling: str = "mean", dtype: str = "float32") -> Encoder:
    return load_encoder(save_toy(name, folder), LoadSettings(pooling=pooling, dtype=dtype))


@pytest.mark.parametrize("name", TOYS)
def test_every_family_passes(name: str, tmp_path: Path) -> None:
    tests = self_test(load(name, tmp_path))
    assert [t.name for t in tests] == list(SELF_TESTS)
    assert [(t.name, t.value) for t in tests if not t.passed] == []


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["bert", "llama"])
def test_half_precision_passes_and_its_tolerance_is_no_blank_cheque(name: str, dtype: str, tmp_path: Path) -> None:
    encoder = load(name, tmp_path, dtype=dtype)
    assert failed(encoder) == set()
    assert failed(but(encoder, pooling="last_column")) >= {"batch", "padding_right"}
    assert tolerance(encoder) < 0.15


def test_mean_over_padding_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POOLINGS, "mean", lambda hidden, mask: hidden.mean(dim=1))
    assert failed(load("bert", tmp_path)) == set(SELF_TESTS)


def test_the_last_column_is_caught_under_right_padding_only(tmp_path: Path) -> None:
    right = but(load("bert", tmp_path), pooling="last_column")
    assert failed(right) == {"batch", "padding_right"}
    assert failed(but(right, padding_side="left")) == {"padding_right"}


def test_positions_that_padding_shifts_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load("bert", tmp_path)
    blind = replace(encoder.anatomy, layout=replace(encoder.anatomy.layout, takes_positions=False))
    assert failed(replace(encoder, anatomy=blind)) == {"padding_left"}
    assert failed(but(replace(encoder, anatomy=blind), padding_side="left")) == {"batch", "padding_left"}


def test_attention_to_padding_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load("bert", tmp_path)
    run = encoder.backbone.forward

    def unmasked(**inputs: Tensor) -> object:
        return run(**{**inputs, "attention_mask": torch.ones_like(inputs["input_ids"])})

    monkeypatch.setattr(encoder.backbone, "forward", unmasked)
    assert failed(encoder) == set(SELF_TESTS)


def test_undefined_vectors_fail(tmp_path: Path) -> None:
    encoder = load("bert", tmp_path)
    with torch.no_grad():
        encoder.backbone.embeddings.LayerNorm.bias.fill_(float("nan"))
    assert failed(encoder) == set(SELF_TESTS)
    assert all(test.value == float("inf") for test in self_test(encoder))


@pytest.mark.parametrize("max_length", [64, 6, 3])
def test_texts_that_fill_every_position_can_be_tested(max_length: int, tmp_path: Path) -> None:
    """BERT has 64 positions; five columns more would be beyond them."""
    encoder = load("bert", tmp_path)
    assert failed(but(encoder, max_length=max_length)) == set()
    assert failed(but(encoder, max_length=max_length, pad_to_max=True)) == set()


def test_the_tolerance_is_what_its_docstring_derives(tmp_path: Path) -> None:
    single, half = load("bert", tmp_path / "a"), load("bert", tmp_path / "b", dtype="float16")
    assert tolerance(single) == pytest.approx(2**-23 * (16**0.5 * 3 + 4 * 3**0.5))
    assert tolerance(half) == pytest.approx(2**-23 * 16**0.5 * 3 + 4 * 2**-10 * 3**0.5)


def test_rounding_of_rotary_angles_is_no_fault(tmp_path: Path) -> None:
    """The library pads this decoder on the left, by more than a hundred positions. Without the rounding of their angles
    the check failed at 1.5 of its limit, and a sound model was called not sound.
    """
    folder = publish("qwen3-embedding", tmp_path / "model", seed=2)["query"]
    encoder = load_retriever(str(folder), preset="qwen3-embedding").query
    library = library_test(encoder)
    assert library is not None
    assert library.passed
    assert library.tolerance < 1e-4, "texts that differ by one position are farther apart by far"
    assert position_tolerance(encoder, 200) == pytest.approx(2**-23 * 200 * 3**0.5)


def test_every_test_says_what_it_changes(tmp_path: Path) -> None:
    details = [test.detail for test in self_test(load("bert", tmp_path))]
    assert len(set(details)) == len(SELF_TESTS)
    assert str(selftest.EXTRA) == "5"
    assert "five more columns" in details[1]


@pytest.mark.real
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_real_encoder_passes_in_every_precision_and_its_faults_do_not(minilm: Path, dtype: str) -> None:
    encoder = load_encoder(minilm, LoadSettings(dtype=dtype))
    assert failed(encoder) == set()
    assert failed(but(encoder, pooling="last_column")) >= {"batch", "padding_right"}
    blind = replace(encoder.anatomy, layout=replace(encoder.anatomy.layout, takes_positions=False))
    assert failed(replace(encoder, anatomy=blind)) == {"padding_left"}


@pytest.mark.real
def test_final_vectors_are_those_of_the_library_that_wrote_the_folder(minilm: Path) -> None:
    encoder = load_encoder(minilm)
    library = library_test(encoder)
    assert library is not None
    assert library.passed
    wrong = library_test(replace(encoder, recipe=encoder.recipe.but("test", pooling="cls")))
    assert wrong is not None
    assert not wrong.passed


def test_the_library_is_not_asked_about_a_recipe_of_the_user_or_another_kind_of_folder(tmp_path: Path) -> None:
    assert library_test(load("bert", tmp_path)) is None  # the pooling is the user's, and there is no modules.json
