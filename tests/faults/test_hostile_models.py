"""Hostile checkpoints are refused at the door, with the file and what to do; `make faults` tries the whole table."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hostile_doors import summary, tried, warm
from hostile_models import DOORS, adapter, make_toys, model_cases, of_st, setting, toy
from safetensors.torch import load_file, save_file

from retroscope.encoders.checkpoints.adapter_settings import _check_pattern
from retroscope.encoders.checkpoints.sizes import LARGEST, MOST, check_config
from retroscope.encoders.checkpoints.tensors import open_weights
from retroscope.encoders.encode import LONGEST_TOKEN, tokenise
from retroscope.encoders.loading import load_retriever
from retroscope.errors import EncoderError

CASES = list(model_cases())
EACH = 40  # one in so many; the whole table takes minutes


def test_the_table_has_every_class_at_every_door() -> None:
    assert len(CASES) > 2500
    assert {case.door for case in CASES} == {*DOORS, "encode"}
    assert len({case.kind for case in CASES}) > 20


@pytest.mark.parametrize("start", range(4))
def test_hostile_checkpoints_are_refused(start: int) -> None:
    warm()
    make_toys()
    verdicts = [tried(case, seconds=120) for case in CASES[start * (EACH // 4) :: EACH]]
    wrong = [f"{v.case.title}: {v.what}: {v.message[:200]}" for v in verdicts if v.wrong]
    assert wrong == [], summary(verdicts)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000, but at most 100,000 is allowed"),
        (
            {"num_hidden_layers": MOST},
            "num_hidden_layers must be from 1 to .*, the number of tensors in the weights; found 100000",
        ),
        ({"hidden_size": 10**9}, "hidden_size is 1000000000"),
        ({"vocab_size": LARGEST}, "config.json describes a model of .* values, but the checkpoint has"),
        ({"num_labels": 10**9}, "num_labels is 1000000000"),
        ({"hidden_size": "abc"}, "transformers cannot read this configuration"),
        ({"layer_norm_eps": float("inf")}, "layer_norm_eps is inf, which is no number of JSON"),
        ({"rope_parameters": {"rope_theta": float("nan")}}, "rope_theta is nan, which is no number of JSON"),
        (
            {"quantization_config": {"quant_method": "no-such"}},
            r"these weights are quantised \(quantization_config: {'quant_method'",
        ),
        ({"attn_implementation": "evil/kernel"}, "which is not built in and may run code from the hub"),
    ],
)
def test_what_a_configuration_asks_for_is_held_against_the_weights(
    changes: dict[str, object], said: str, tmp_path: Path
) -> None:
    shutil.copytree(toy("bert"), tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(EncoderError, match=said) as error:
        load_retriever(tmp_path / "model", pooling="mean")
    assert str(tmp_path / "model") in str(error.value)
    assert "fix: " in str(error.value)


def test_sizes_inside_other_groups_are_seen() -> None:
    with pytest.raises(EncoderError, match="num_layers is 10000000"):
        check_config({"text_config": {"num_layers": 10**7}}, Path("config.json"))


@pytest.mark.parametrize(
    "pattern", [r".*\.(query|value)", r"encoder\.layer\.\d+\.attention", "query", r"(.*\.)?dense", "a+b+c*"]
)
def test_plain_patterns_are_taken(pattern: str) -> None:
    assert _check_pattern(pattern, Path("x")) is None


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*)*", "(?:x.*){3}", ".*.*.*.*.*", "x" * 3000])
def test_patterns_that_could_take_for_ever_are_refused(pattern: str) -> None:
    with pytest.raises(EncoderError, match="could take extremely long to match"):
        _check_pattern(pattern, Path("x"))


def test_adapters_that_name_each_other_are_listed(tmp_path: Path) -> None:
    adapter({}, tmp_path / "a", str(tmp_path / "b" / "adapter"))
    adapter({}, tmp_path / "b", str(tmp_path / "a" / "adapter"))
    with pytest.raises(
        EncoderError, match=r"each of these adapters names the next as its base:(\n  - .*){3}\n  fix: "
    ) as error:
        load_retriever(tmp_path / "a" / "adapter", pooling="mean")
    assert len(str(error.value)) < 2000


def test_a_switch_of_an_adapter_is_true_or_false(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="use_rslora must be true or false, found -1"):
        load_retriever(adapter({"use_rslora": -1}, tmp_path), pooling="mean")


def test_a_head_is_built_with_the_memory_of_its_file(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="the weights do not fit the module's configuration"):
        load_retriever(of_st(setting("2_Dense/config.json", "in_features", 10**6), tmp_path))


def test_a_long_prompt_is_refused(tmp_path: Path) -> None:
    edit = setting("config_sentence_transformers.json", "prompts", {"query": "x" * 20_000})
    with pytest.raises(
        EncoderError, match=r"the prompt has 20,000 characters .*\n  fix: shorten the prompt to at most 10,000"
    ):
        load_retriever(of_st(edit, tmp_path))


@pytest.mark.parametrize("change", [lambda t: t.to(torch.int8), lambda t: t > 0])
def test_weights_that_are_no_fractions_are_refused(
    change: Callable[[torch.Tensor], torch.Tensor], tmp_path: Path
) -> None:
    shutil.copytree(toy("bert"), tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    tensors = load_file(file)
    name = "encoder.layer.0.output.dense.weight"
    save_file({**tensors, name: change(tensors[name])}, file, {"format": "pt"})
    for door in (lambda: load_retriever(tmp_path / "model", pooling="mean"), lambda: open_weights(tmp_path / "model")):
        with pytest.raises(EncoderError, match=f"whole numbers or truth values, as of a quantised model:\\n  - {name}"):
            door()


def test_factors_of_another_rank_than_the_settings_are_refused(tmp_path: Path) -> None:
    open_weights(adapter({}, tmp_path / "sound"))
    with pytest.raises(
        EncoderError, match=r"settings give rank 3, but its factors have the shapes \(2, 16\) and \(16, 2\)"
    ):
        open_weights(adapter({"r": 3}, tmp_path / "odd"))


def test_a_normaliser_that_swells_texts_is_refused(tmp_path: Path) -> None:
    shutil.copytree(toy("bert"), tmp_path / "model")
    setting("tokenizer.json", "normalizer", {"type": "Prepend", "prepend": "x" * 10**6})(tmp_path / "model")
    with pytest.raises(EncoderError, match="makes 1,000,001 characters of one letter"):
        load_retriever(tmp_path / "model", pooling="mean")


TEXT = "The river floods each spring, and a cat sat on a mat. "


@pytest.mark.parametrize("text", [TEXT * 3000, " " * 100_000 + TEXT * 9, "\t" * 60_000 + TEXT, TEXT + "x" * 90_000, "short"],
                         ids=["words", "spaces first", "few words after tabs", "one long word", "short"])  # fmt: skip
def test_a_long_text_that_is_cut_first_has_the_same_tokens(text: str) -> None:
    encoder = load_retriever(toy("bert"), pooling="mean").passage
    room = encoder.recipe.max_length
    whole = encoder.tokenizer(text, truncation=True, max_length=room)["input_ids"]
    assert tokenise(encoder, [text]) == [whole]
    assert len(text) == 5 or len(text) > room * LONGEST_TOKEN


def test_a_tokenizer_that_keeps_the_end_keeps_the_end_of_a_long_text() -> None:
    encoder = load_retriever(toy("bert"), pooling="mean").passage
    encoder.tokenizer.truncation_side = "left"
    text = TEXT * 2000 + "moon book"
    whole = encoder.tokenizer(text, truncation=True, max_length=encoder.recipe.max_length)["input_ids"]
    assert tokenise(encoder, [text]) == [whole]
