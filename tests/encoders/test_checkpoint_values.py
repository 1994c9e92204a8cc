"""Settings of a checkpoint that Python would take and that mean something else are refused, with their file."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sentence_transformers.base.modules import Dense
from sentence_transformers.sentence_transformer.modules import Pooling
from test_loading_modules import build, edit_json, transformer

from retroscope.encoders.checks import selftest
from retroscope.encoders.checks.selftest import check_told_apart
from retroscope.encoders.loading import load_encoder, load_retriever
from retroscope.errors import EncoderError
from toys import save_toy

ROOT, BERT, POOL, DENSE = (
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
    "2_Dense/config.json",
)
NUMBER, FLAG, TEXT, GROUP = "a whole number of at least 1", "true or false", "a text", "a JSON object"
WRONG = [
    *((BERT, "max_seq_length", value, NUMBER) for value in (0, -1, -3, 1.5, True, "128", [128], {})),
    *((BERT, "query_length", value, NUMBER) for value in (0, "32")),
    *((BERT, "document_length", value, NUMBER) for value in (0, False)),
    *((BERT, "do_lower_case", value, FLAG) for value in ("false", 0, 1)),
    *((ROOT, "truncate_dim", value, NUMBER) for value in (0, -3, True, "8", 8.0)),
    *((ROOT, "similarity_fn_name", value, TEXT) for value in (["cosine"], {}, 1)),
    *((ROOT, "default_prompt_name", value, TEXT) for value in ({}, 1)),
    (ROOT, "prompts", ["query: "], GROUP),
    (POOL, "include_prompt", "false", FLAG),
    (DENSE, "bias", "false", FLAG),
    (DENSE, "in_features", 16.0, NUMBER),
    (DENSE, "out_features", None, NUMBER),
    (DENSE, "use_residual", 0, FLAG),
]


@pytest.fixture(scope="module")
def st_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers folder with a head; vectors of 8 numbers."""
    folder = tmp_path_factory.mktemp("made")
    build(folder / "st", transformer(folder), Pooling(16, "mean"), Dense(16, 8))
    return folder / "st"


@pytest.fixture
def folder(st_folder: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(st_folder, tmp_path / "st"))


@pytest.mark.parametrize(("file", "key", "value", "wanted"), WRONG, ids=lambda v: str(v)[:24])
def test_a_wrong_value_is_refused_with_its_file(folder: Path, file: str, key: str, value: object, wanted: str) -> None:
    load_encoder(folder)
    edit_json(folder / file, **{key: value})
    with pytest.raises(EncoderError) as refused:
        load_encoder(folder)
    assert refused.value.what == f"{key} must be {wanted}, found {value!r}"
    assert refused.value.where == str(folder / file)


@pytest.mark.parametrize("prompt", [{"text": "query: "}, ["query: "], 1, True], ids=repr)
def test_a_prompt_is_a_text(folder: Path, prompt: object) -> None:
    for name in ("query", "unused"):
        edit_json(folder / ROOT, prompts={name: prompt})
        with pytest.raises(EncoderError, match=rf"{ROOT}: {name} must be a text, found"):
            load_retriever(folder)


@pytest.mark.parametrize("value", [True, False, 2.5, 0, -1])
def test_the_tokenizers_length_is_a_whole_number(folder: Path, value: object) -> None:
    (file,) = folder.rglob("tokenizer_config.json")
    edit_json(file, model_max_length=value)
    with pytest.raises(EncoderError, match=r"(model_max_length of the tokenizer must|max_length must be at least 1)"):
        load_encoder(folder)


def test_a_tokenizer_without_a_limit_is_read(folder: Path) -> None:
    (file,) = folder.rglob("tokenizer_config.json")
    edit_json(file, model_max_length=1e30)
    assert load_encoder(folder).recipe.max_length > 1


def test_two_poolings_that_differ_are_refused(folder: Path) -> None:
    edit_json(folder / POOL, pooling_mode="mean", pooling_mode_mean_tokens=True)
    assert load_encoder(folder).recipe.pooling == "mean"
    edit_json(folder / POOL, pooling_mode="cls")
    with pytest.raises(EncoderError, match=r"must be exactly one known name, found cls \+ mean"):
        load_encoder(folder)


def test_the_default_prompt_must_exist(folder: Path) -> None:
    edit_json(folder / ROOT, prompts={"query": "Q: ", "x": "X: "}, default_prompt_name="x")
    towers = load_retriever(folder)
    assert (towers.query.recipe.prompt, towers.passage.recipe.prompt) == ("Q: ", "X: ")
    edit_json(folder / ROOT, default_prompt_name="querry")
    with pytest.raises(EncoderError, match=r"default_prompt_name is 'querry', which is not among.*\n.*add it"):
        load_retriever(folder)


def test_a_prompt_of_null_is_none(folder: Path) -> None:
    edit_json(folder / ROOT, prompts={"query": None, "document": "passage: "})
    towers = load_retriever(folder)
    assert (towers.query.recipe.prompt, towers.passage.recipe.prompt) == ("", "passage: ")


def test_null_leaves_a_length_to_the_tokenizer(folder: Path) -> None:
    before = load_encoder(folder).recipe.max_length
    edit_json(folder / BERT, max_seq_length=None, query_length=None)
    assert load_encoder(folder).recipe.max_length == before


@pytest.mark.parametrize("value", ["false", "true", 1])
def test_the_flags_of_the_first_pooling_generation(folder: Path, value: object) -> None:
    old = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": value}
    (folder / POOL).write_text(json.dumps(old))
    with pytest.raises(EncoderError, match="pooling_mode_cls_token must be true or false"):
        load_encoder(folder)


@pytest.mark.parametrize("kept", [1, 7, 8])
def test_as_many_dimensions_as_there_are_can_be_kept(folder: Path, kept: int) -> None:
    edit_json(folder / ROOT, truncate_dim=kept)
    assert load_encoder(folder).recipe.truncate_dim == kept


def test_more_dimensions_than_there_are_cannot_be_kept(folder: Path) -> None:
    edit_json(folder / ROOT, truncate_dim=9)
    with pytest.raises(EncoderError, match=r"truncate_dim 9 \(source: checkpoint: .*\) is more than the 8 dimensions"):
        load_encoder(folder)


def test_the_tokenizer_is_held_to_the_same(folder: Path) -> None:
    edit_json(folder / BERT, max_seq_length=None)
    edit_json(folder / "tokenizer_config.json", model_max_length=0)
    with pytest.raises(
        EncoderError,
        match=r"max_length must be at least 1, found 0 \(source: checkpoint: tokenizer \(model_max_length\)\)",
    ):
        load_encoder(folder)


@pytest.mark.parametrize("file", [ROOT, BERT, POOL, "modules.json", "config.json"])
def test_a_key_that_occurs_twice_is_refused(folder: Path, file: str) -> None:
    text = (folder / file).read_text()
    at = text.index("{") + 1
    (folder / file).write_text(f'{text[:at]}"same": 1, "same": 2, {text[at:]}')
    with pytest.raises(
        EncoderError, match=rf"{file.split('/')[-1]}: this JSON cannot be read: keys that occur more than once: 'same'"
    ):
        load_encoder(folder)


def test_an_encoder_that_cannot_tell_texts_apart_is_refused(tmp_path: Path) -> None:
    save_toy("llama", tmp_path / "llama")
    check_told_apart(load_retriever(tmp_path / "llama", pooling="mean").query)
    blind = load_retriever(tmp_path / "llama", pooling="cls").query  # the first token of a decoder sees itself alone
    with pytest.raises(EncoderError, match="different texts have one and the same vector"):
        check_told_apart(blind)
    whole = load_retriever(save_toy("bert", tmp_path / "bert"), pooling="mean").query
    short = replace(whole, recipe=whole.recipe.but("test", max_length=2))
    with pytest.raises(EncoderError, match="different texts have one and the same vector"):
        check_told_apart(short)
    with torch.no_grad():
        for parameter in short.backbone.parameters():
            parameter.zero_()
    with pytest.raises(EncoderError, match="every vector is 0"):
        check_told_apart(short)
    assert len(set(selftest.SENTENCES)) == len(selftest.SENTENCES)
