"""What the doctor says of a folder beside the library that wrote it: precision, padding, its own code, prompts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import AutoTokenizer

from retroscope.encoders import pooling
from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.checks.finding import ERROR, NOTE, PASSED, WARNING, Finding
from retroscope.encoders.checks.library import library_test
from retroscope.encoders.loading import load_encoder, load_retriever
from retroscope.encoders.settings import LoadSettings
from retroscope.inputs.settings import ModelSettings
from retroscope.study.doctor.diagnosis import Diagnosis, diagnose
from toy_adapters import adapter
from toys import save_toy

HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def written(home: Path, toy: str = "bert", *, how: str = "mean", dtype: torch.dtype = torch.float32) -> Path:
    """Save a toy with a head as a sentence-transformers folder, its weights in a precision."""
    torch.manual_seed(0)
    with quiet():
        body = Transformer(str(save_toy(toy, home / "toy")))
        modules = [body, Pooling(16, how), Dense(16, 8), Normalize()]
        model = SentenceTransformer(modules=modules, device="cpu").to(dtype)
        model.save(str(home / "st"))
    return home / "st"


def examined(folder: Path, load: LoadSettings | None = None) -> Diagnosis:
    return diagnose({"model": ModelSettings(source=str(folder), load=load or LoadSettings())})


def of_check(diagnosis: Diagnosis, check: str) -> list[Finding]:
    return [finding for _, finding in diagnosis.findings if finding.check == check]


@pytest.mark.parametrize("dtype", HALVES)
def test_a_sound_folder_saved_in_half_precision_is_sound(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path, dtype=HALVES[dtype])
    with quiet():
        assert SentenceTransformer(str(folder), device="cpu").dtype == HALVES[dtype], "as the library loads it itself"
    diagnosis = examined(folder)
    assert diagnosis.sound
    assert [finding.severity for finding in of_check(diagnosis, "library")] == [PASSED]
    monkeypatch.setitem(pooling.POOLINGS, "mean", lambda hidden, mask: hidden[:, 0])  # the control: a wrong pooling
    wrong = examined(folder)
    assert not wrong.sound
    assert [finding.severity for finding in of_check(wrong, "library")] == [ERROR]


def set_json(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize(("toy", "pads"), [("llama", "</s>"), ("gpt2", "<|endoftext|>")])
def test_a_tokenizer_without_a_pad_token_is_a_finding(toy: str, pads: str, tmp_path: Path) -> None:
    folder = written(tmp_path, toy, how="lasttoken")
    diagnosis = examined(folder)
    assert diagnosis.sound
    (finding,) = of_check(diagnosis, "library")
    assert finding.severity == WARNING
    assert "cannot encode a batch with this folder: the folder's tokenizer has no pad token" in finding.text
    assert f"set pad_token in tokenizer_config.json, e.g. to {pads!r}" in finding.fix
    assert library_test(load_encoder(folder)) is None
    set_json(folder / "tokenizer_config.json", pad_token=pads)  # the control: the fix that it names
    assert [finding.severity for finding in of_check(examined(folder), "library")] == [PASSED]


def test_a_pad_token_beyond_the_embedding_is_a_finding(tmp_path: Path) -> None:
    folder = written(tmp_path, "llama", how="lasttoken")
    tokens = AutoTokenizer.from_pretrained(folder)
    tokens.add_special_tokens({"pad_token": "<pad>"})
    tokens.save_pretrained(folder)
    (finding,) = of_check(examined(folder), "library")
    assert (finding.severity, "a pad token without a row in the embedding" in finding.text) == (WARNING, True)


def test_a_folder_that_the_library_cannot_load_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object, **named: object) -> None:
        raise ValueError("this version cannot read the folder")

    folder = written(tmp_path)
    monkeypatch.setattr("sentence_transformers.SentenceTransformer", refuse)
    (finding,) = of_check(examined(folder), "library")
    assert finding.severity == WARNING
    assert "this version cannot read the folder" in finding.text


def test_a_decoder_under_the_published_protocol_is_not_compared(tmp_path: Path) -> None:
    """The protocol adds a prompt and a suffix that the library does not, so equal vectors are not expected."""
    folder = written(tmp_path, "llama", how="lasttoken")
    set_json(folder / "tokenizer_config.json", pad_token="</s>", model_max_length=512)
    set_json(folder / "config.json", max_position_embeddings=512)
    set_json(folder / "sentence_bert_config.json", max_seq_length=512)
    test = library_test(load_encoder(folder))
    assert test is not None
    assert test.passed
    published = LoadSettings(protocol="ielab-2025")
    assert library_test(load_encoder(folder, published)) is None
    diagnosis = examined(folder, published)
    assert [finding.severity for finding in of_check(diagnosis, "library")] == [NOTE]


def library_and_weights(home: Path) -> tuple[Path, Path]:
    return (written(home, "llama", how="lasttoken"),) * 2


def plain_and_weights(home: Path) -> tuple[Path, Path]:
    return (save_toy("llama", home / "toy"),) * 2


def adapter_and_weights(home: Path) -> tuple[Path, Path]:
    return adapter("llama", home, ["q_proj"]), home / "base"


@pytest.mark.parametrize("layout", [library_and_weights, plain_and_weights, adapter_and_weights])
def test_code_of_the_checkpoint_that_is_not_run_is_a_warning(
    layout: Callable[[Path], tuple[Path, Path]], tmp_path: Path
) -> None:
    folder, weights = layout(tmp_path)
    load = LoadSettings(pooling="last_token")
    assert WARNING not in {finding.severity for finding in of_check(examined(folder, load), "loading")}
    set_json(weights / "config.json", auto_map={"AutoModel": "modeling_own.Bidirectional"})
    (weights / "modeling_own.py").write_text("raise SystemExit('ran')")
    diagnosis = examined(folder, load)
    assert diagnosis.sound
    (finding,) = [finding for finding in of_check(diagnosis, "loading") if finding.severity == WARNING]
    assert "auto_map {'AutoModel': 'modeling_own.Bidirectional'}" in finding.text
    assert finding.text.endswith("the class used is LlamaModel of transformers")


SETTINGS = "config_sentence_transformers.json"
OTHERWISE = [  # the library puts an empty prompt named "document" first
    ({"prompts": {"query": "find: ", "passage": "text: "}}, {"model, passage tower": "encode_document"}),
    ({"prompts": {"query": "find: ", "corpus": "text: "}}, {"model, passage tower": "encode_document"}),
    ({"prompts": {"query": "find: "}, "default_prompt_name": "query"}, {"model": "encode_document"}),
    ({"prompts": {"query": "find: ", "document": "text: "}}, {}),
    ({"prompts": {"query": "find: "}}, {}),
    ({}, {}),
]


@pytest.mark.parametrize(("recorded", "noted"), OTHERWISE)
def test_prompts_that_the_library_does_not_use_are_a_note(
    recorded: dict[str, object], noted: dict[str, str], tmp_path: Path
) -> None:
    folder = written(tmp_path)
    set_json(folder / SETTINGS, **{"prompts": {}, **recorded})
    diagnosis = examined(folder)
    notes = {
        whom: finding for whom, finding in diagnosis.findings if (finding.check, finding.severity) == ("prompts", NOTE)
    }
    assert diagnosis.sound
    assert notes.keys() == noted.keys()
    for whom, method in noted.items():
        assert f"SentenceTransformer.{method} of the installed version" in notes[whom].text
        prompt = load_retriever(folder).passage.recipe.prompt
        assert f"uses no prompt, but the recipe has {prompt!r} (checkpoint: {SETTINGS}" in notes[whom].text


@pytest.mark.parametrize(
    ("toy", "how", "given"),
    [
        ("bert", "mean", {"causal": False}),
        ("bert", "mean", {"truncate_dim": 8}),
        ("t5", "mean", {"causal": False, "max_length": 48, "pooling": "mean"}),
        ("qwen2", "lasttoken", {"causal": True, "padding_side": "left", "truncate_dim": 8}),
    ],
)
def test_values_that_change_nothing_leave_the_comparison_on(
    toy: str, how: str, given: dict[str, Any], tmp_path: Path
) -> None:
    folder = written(tmp_path, toy, how=how)
    (finding,) = of_check(examined(folder, LoadSettings(**given)), "library")
    assert finding.severity == PASSED
    recipe, own = (load_encoder(folder, LoadSettings(**load)).recipe for load in (given, {}))
    assert recipe.as_dict() == own.as_dict(), "no field has the user as its source"


@pytest.mark.parametrize(
    ("toy", "given"), [("bert", {"truncate_dim": 7}), ("qwen2", {"causal": False}), ("bert", {"max_length": 40})]
)
def test_values_that_change_the_recipe_switch_the_comparison_off(
    toy: str, given: dict[str, Any], tmp_path: Path
) -> None:
    folder = written(tmp_path, toy, how="mean")
    (finding,) = of_check(examined(folder, LoadSettings(**given)), "library")
    assert (finding.severity, "you set a recipe field" in finding.text) == (NOTE, True)
    (field,) = given
    recipe = load_encoder(folder, LoadSettings(**given)).recipe
    assert (recipe.identity()[field], recipe.sources[field]) == (given[field], "user")


def with_transformer_inside(folder: Path) -> Path:
    """Move the files of the transformer into `0_Transformer`, as older versions of the library saved them."""
    inside = folder / "0_Transformer"
    inside.mkdir()
    rows = json.loads((folder / "modules.json").read_text())
    for file in [one for one in folder.iterdir() if one.is_file() and one.name not in ("modules.json", SETTINGS)]:
        file.rename(inside / file.name)
    (folder / "modules.json").write_text(json.dumps([{**rows[0], "path": inside.name}, *rows[1:]]))
    return folder


def test_a_folder_with_its_transformer_inside_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = with_transformer_inside(written(tmp_path))
    (finding,) = of_check(examined(folder), "library")
    assert finding.severity == PASSED
    monkeypatch.setitem(pooling.POOLINGS, "mean", lambda hidden, mask: hidden[:, 0])  # the control: a wrong pooling
    (finding,) = of_check(examined(folder), "library")
    assert finding.severity == ERROR


def test_an_adapter_is_compared_over_the_base_that_it_names(tmp_path: Path) -> None:
    part = adapter("qwen2", tmp_path / "peft", ["q_proj"])
    base, folder = tmp_path / "peft" / "base", written(tmp_path, "qwen2", how="lasttoken")
    for name in ("model.safetensors", "config.json"):
        (folder / name).unlink()
    for file in part.glob("adapter*"):
        shutil.copy(file, folder / file.name)
    for load in (LoadSettings(), LoadSettings(base=str(base))):
        (finding,) = of_check(examined(folder, load), "library")
        assert finding.severity == PASSED
    other = save_toy("qwen2", tmp_path / "other", seed=1)  # whose vectors the library does not make
    (finding,) = of_check(examined(folder, LoadSettings(base=str(other))), "library")
    assert finding.severity == NOTE
    assert "the base model is not the one that the adapter's settings name" in finding.text
