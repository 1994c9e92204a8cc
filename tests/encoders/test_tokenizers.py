"""What a tokenizer and its settings may not do: give ids without a row, or leave nothing of a text."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retroscope.encoders.encode import encode_layers
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import EncoderError
from toys import TEXTS, save_toy

MEAN = LoadSettings(pooling="mean")


def edited(folder: Path, change: Callable[[dict[str, Any]], None], name: str = "tokenizer.json") -> Path:
    file = folder / name
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))
    return folder


def far_cls(document: dict[str, Any]) -> None:
    document["post_processor"]["special_tokens"]["[CLS]"]["ids"] = [5000]


def far_word(document: dict[str, Any]) -> None:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    document["added_tokens"].append({"id": 9000, "content": "river", **flags})


def test_a_token_without_a_row_that_every_text_gets_is_refused_on_loading(tmp_path: Path) -> None:
    folder = edited(save_toy("bert", tmp_path / "bert"), far_cls)
    with pytest.raises(EncoderError, match=r"of a text has the id 5000, but the embedding matrix has only \d+ rows"):
        load_encoder(folder, MEAN)


def test_a_special_token_without_a_row_is_refused_in_the_text_that_has_it(tmp_path: Path) -> None:
    encoder = load_encoder(edited(save_toy("bert", tmp_path / "bert"), far_word), MEAN)
    assert encode_layers(encoder, ["A cat sat on a mat."]).final.isfinite().all()
    with pytest.raises(EncoderError, match=r"the token 'river' of a text has the id \d+, .*\n  fix: use the tokenizer"):
        encode_layers(encoder, TEXTS)


@pytest.mark.parametrize("longest", [1, 2])
@pytest.mark.parametrize("recorded", [True, False])
def test_a_length_that_only_special_tokens_fill_is_refused(longest: int, recorded: bool, tmp_path: Path) -> None:
    """With a length of 1, tokenizers cut nothing; with 2, every text is [CLS] [SEP]."""
    folder = save_toy("bert", tmp_path / "bert")
    settings = LoadSettings(pooling="mean", max_length=None if recorded else longest)
    if recorded:
        edited(folder, lambda document: document.update(model_max_length=longest), "tokenizer_config.json")
    with pytest.raises(EncoderError, match=rf"max_length {longest} leaves no token of a text: .* are 2 tokens"):
        load_encoder(folder, settings)
    assert load_encoder(folder, LoadSettings(pooling="mean", max_length=3)).recipe.max_length == 3


def test_a_prompt_that_fills_the_maximum_length_is_refused(tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path / "bert")
    for length, prompt in ((48, "the river " * 60), (4, "a a ")):
        settings = LoadSettings(pooling="mean", max_length=length, passage_prompt=prompt)
        with pytest.raises(EncoderError, match=rf"max_length {length} leaves no token of a text: .*prompt"):
            load_encoder(folder, settings)


def test_the_token_that_ends_every_text_is_counted(tmp_path: Path) -> None:
    folder = save_toy("llama", tmp_path / "llama")
    kept = LoadSettings(pooling="last_token", append_eos=True, max_length=3)
    assert encode_layers(load_encoder(folder, kept), TEXTS).final.isfinite().all()
    with pytest.raises(EncoderError, match=r"max_length 2 leaves no token of a text: .* are 2 tokens"):
        load_encoder(folder, LoadSettings(pooling="last_token", append_eos=True, max_length=2))
