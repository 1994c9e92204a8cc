"""Adapters: attached tensor by tensor, merged in float32, and refused when they change nothing or fit nowhere."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, PromptEncoderConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModel, AutoModelForCausalLM

from retroscope.drift.weights import diff_weights
from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.checkpoints.tensors import open_weights
from retroscope.encoders.encode import encode_layers
from retroscope.encoders.loading import load_encoder, load_retriever
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import EncoderError
from retroscope.inputs.settings import ModelSettings
from retroscope.study.doctor.diagnosis import diagnose
from toys import TEXTS, TOYS, save, save_toy, tokenizer

MEAN = LoadSettings(pooling="mean")
LAST = LoadSettings(pooling="last_token", append_eos=True)
IDS = torch.tensor([[5, 6, 7, 8]])
CLASSES: dict[str | None, type] = {
    "CAUSAL_LM": AutoModelForCausalLM,
    "FEATURE_EXTRACTION": AutoModel,
    None: AutoModel,
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A LLaMA with its language-model head, as backbones are published."""
    torch.manual_seed(0)
    with quiet():
        whole = AutoModelForCausalLM.from_config(TOYS["llama"].build().config)
    return save(whole.eval(), tmp_path / "base", "llama")


def train(base: Path, folder: Path, task: str | None = "CAUSAL_LM", **options: Any) -> PeftModel:
    """Save an adapter whose every tensor is random."""
    settings = LoraConfig(task_type=task, target_modules=["q_proj", "down_proj"], r=2, **options)
    torch.manual_seed(1)
    with quiet():
        model = get_peft_model(CLASSES[task].from_pretrained(base), settings).eval()
        scatter_adapter(model)
        model.save_pretrained(folder)
    return model


@torch.no_grad()
def scatter_adapter(model: PeftModel) -> None:
    for name, parameter in model.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            parameter.add_(0.1 * torch.randn_like(parameter))


def tamper(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Path:
    file = folder / "adapter_model.safetensors"
    save_file(change(load_file(file)), file)
    return folder


def edit(folder: Path, **changes: object) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize("task", CLASSES)
@pytest.mark.parametrize(
    "options", [{}, {"use_dora": True}, {"modules_to_save": ["embed_tokens"]}, {"use_rslora": True}]
)
def test_a_merged_adapter_computes_what_peft_computes(
    task: str | None, options: dict[str, Any], base: Path, tmp_path: Path
) -> None:
    model = train(base, tmp_path / "adapter", task, **options)
    encoder = load_encoder(tmp_path / "adapter", LAST)
    with torch.no_grad(), quiet():
        theirs = model(input_ids=IDS, output_hidden_states=True).hidden_states
        ours = encoder.backbone(input_ids=IDS, output_hidden_states=True).hidden_states
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=2e-5)
    assert not any(p.requires_grad for p in encoder.backbone.parameters())
    assert not any("lora" in name for name, _ in encoder.backbone.named_parameters())


def train_biases(folder: Path, base: Path, bias: str) -> PeftModel:
    """Save an adapter of a BERT with biases that were trained along."""
    settings = LoraConfig(target_modules=["query", "value"], r=2, bias=bias)
    torch.manual_seed(1)
    with quiet(), torch.no_grad():
        model = get_peft_model(AutoModel.from_pretrained(base), settings).eval()
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and (name.endswith("bias") or "lora_" in name):
                parameter.add_(0.1 * torch.randn_like(parameter))
        model.save_pretrained(folder)
    return model


@pytest.mark.parametrize(("bias", "example"), [("all", "embeddings.LayerNorm"), ("lora_only", "query.base_layer")])
def test_biases_that_were_trained_along_are_loaded(bias: str, example: str, tmp_path: Path) -> None:
    bert, folder = save_toy("bert", tmp_path / "bert"), tmp_path / "adapter"
    train_biases(folder, bert, bias)
    encoder, bare = (load_encoder(place, LoadSettings(pooling="mean")) for place in (folder, bert))
    with torch.no_grad(), quiet():
        peft = PeftModel.from_pretrained(AutoModel.from_pretrained(bert), folder).eval()
        theirs = peft(input_ids=IDS, output_hidden_states=True).hidden_states
        ours = encoder.backbone(input_ids=IDS, output_hidden_states=True).hidden_states
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    biases = [n for n, _ in bare.backbone.named_parameters() if n.endswith("bias") and "pooler" not in n]
    state, before = encoder.backbone.state_dict(), bare.backbone.state_dict()
    changed = [name for name in biases if not torch.equal(state[name], before[name])]
    trained = biases if bias == "all" else [name for name in biases if name.split(".")[-2] in ("query", "value")]
    assert changed == trained
    tamper(folder, lambda tensors: {k: v for k, v in tensors.items() if f"{example}.bias" not in k})
    with pytest.raises(EncoderError, match=rf"missing from the adapter: .*{example}\.bias"):
        load_encoder(folder, LoadSettings(pooling="mean"))


def test_an_adapter_that_changes_biases_only_is_loaded(tmp_path: Path) -> None:
    bert, folder = save_toy("bert", tmp_path / "bert"), tmp_path / "adapter"
    train_biases(folder, bert, "all")
    tamper(folder, lambda t: {k: torch.zeros_like(v) if "lora_B" in k else v for k, v in t.items()})
    assert load_encoder(folder, LoadSettings(pooling="mean")).proof.loaded


def test_the_proof_and_recipe_tell_of_the_adapter(base: Path, tmp_path: Path) -> None:
    train(base, tmp_path / "adapter")
    encoder = load_encoder(tmp_path / "adapter", LAST)
    assert encoder.proof.notes == ("adapter adapter merged in float32: 4 of 4 adapted modules changed",)
    assert str(base) in encoder.proof.source
    assert encoder.proof.unexpected == ("lm_head.weight",)
    assert encoder.recipe.append_eos
    assert encode_layers(encoder, TEXTS).final.isfinite().all()


def test_merging_is_in_float32_even_when_all_else_is_bfloat16(base: Path, tmp_path: Path) -> None:
    train(base, tmp_path / "adapter")
    exact = load_encoder(tmp_path / "adapter", LAST).backbone.state_dict()
    half = load_encoder(
        tmp_path / "adapter", LoadSettings(pooling="last_token", dtype="bfloat16")
    ).backbone.state_dict()
    assert all(torch.equal(value.to(torch.bfloat16), half[name]) for name, value in exact.items())


def test_an_adapter_on_an_adapter(base: Path, tmp_path: Path) -> None:
    train(base, tmp_path / "first")
    train(base, tmp_path / "second")
    edit(tmp_path / "second", base_model_name_or_path=str(tmp_path / "first"))
    once, twice = (load_encoder(tmp_path / name, LAST).backbone for name in ("first", "second"))
    start = load_encoder(base, LAST).backbone
    name = "layers.0.self_attn.q_proj.weight"
    a, b, c = (model.state_dict()[name] for model in (start, once, twice))
    torch.testing.assert_close(c - b, b - a, atol=1e-6, rtol=1e-5)
    assert (b - a).abs().max() > 1e-3


def write_modules(folder: Path, inside: str = "") -> Path:
    """Write the files of sentence-transformers: mean pooling, and a transformer in the folder or inside it."""
    types = {inside: "Transformer", "1_Pooling": "Pooling"}
    rows = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(types.items())
    ]
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"embedding_dimension": 16, "pooling_mode": "mean"}))
    (folder / "modules.json").write_text(json.dumps(rows))
    return folder


@pytest.mark.parametrize("inside", ["", "0_Transformer"])
def test_adapters_over_a_sentence_transformers_folder_are_all_merged(inside: str, base: Path, tmp_path: Path) -> None:
    train(base, tmp_path / "first")
    train(base, tmp_path / "second")
    edit(tmp_path / "second", base_model_name_or_path=str(tmp_path / "first"))
    once, twice = (load_encoder(tmp_path / name, MEAN) for name in ("first", "second"))  # over the plain folder
    library = tmp_path / "library"
    shutil.copytree(base, library / inside)
    write_modules(library, inside)
    edit(tmp_path / "first", base_model_name_or_path=str(library))
    for folder, expected in ((tmp_path / "first", once), (tmp_path / "second", twice)):
        retriever = load_retriever(folder)
        assert retriever.passage.recipe.pooling == "mean"
        assert torch.equal(encode_layers(retriever.passage, TEXTS).final, encode_layers(expected, TEXTS).final)
        assert diagnose({"model": ModelSettings(source=str(folder))}).sound
    changed = diff_weights(open_weights(library), open_weights(tmp_path / "second")).tensors.query("relative > 0")
    assert set(changed["name"].str.split(".").str[-2]) == {"q_proj", "down_proj"}
    own = write_modules(tmp_path / "first")  # an adapter with modules of its own
    assert torch.equal(encode_layers(load_encoder(own), TEXTS).final, encode_layers(once, TEXTS).final)
    assert not torch.allclose(encode_layers(once, TEXTS).final, encode_layers(twice, TEXTS).final, atol=1e-2)


def test_an_adapter_in_a_sentence_transformers_folder(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    train(base, folder, "FEATURE_EXTRACTION")
    tokenizer("llama").save_pretrained(folder)
    write_modules(folder)
    retriever = load_retriever(folder)
    bare = load_encoder(base, LoadSettings(pooling="mean"))
    with torch.no_grad(), quiet():
        peft = PeftModel.from_pretrained(AutoModel.from_pretrained(base), folder).eval()
        theirs = peft(input_ids=IDS).last_hidden_state
        ours, untouched = (e.backbone(input_ids=IDS).last_hidden_state for e in (retriever.query, bare))
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=2e-5)
    assert not torch.allclose(untouched, theirs, atol=1e-2)
    assert retriever.query.recipe.pooling == "mean"


def test_a_base_that_has_gone_can_be_given(base: Path, tmp_path: Path) -> None:
    train(base, tmp_path / "adapter")
    edit(tmp_path / "adapter", base_model_name_or_path="/home/someone/else/llama")
    with pytest.raises(
        EncoderError,
        match=r"of this adapter cannot be loaded(.|\n)*give the base model as a folder or a hub name \(e\.g\. --set",
    ):
        load_encoder(tmp_path / "adapter", LAST)
    given = load_retriever(tmp_path / "adapter", pooling="last_token", base=str(base))
    assert given.query.proof.loaded > 0
    with pytest.raises(EncoderError, match=r"the base model .* was given, but this checkpoint is not an adapter"):
        load_retriever(base, pooling="last_token", base=str(base))


def test_an_adapter_that_names_no_base_is_an_error(base: Path, tmp_path: Path) -> None:
    train(base, tmp_path / "adapter")
    edit(tmp_path / "adapter", base_model_name_or_path=None)
    with pytest.raises(EncoderError, match="names no base"):
        load_encoder(tmp_path / "adapter", LAST)


def test_an_adapter_that_changes_nothing_is_an_error(base: Path, tmp_path: Path) -> None:
    settings = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], r=2)  # B starts at zero
    with quiet():
        get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings).save_pretrained(tmp_path / "adapter")
    with pytest.raises(
        EncoderError, match="the adapter changes no weight: all 2 adapted modules equal the base model's"
    ):
        load_encoder(tmp_path / "adapter", LAST)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda t: {k.replace("self_attn", "attention"): v for k, v in t.items()},
            r"attached nowhere: .*attention\.q_proj",
        ),
        (
            lambda t: {k: v for k, v in t.items() if "layers.1.mlp" not in k},
            r"missing from the adapter: .*layers\.1\.mlp\.down_proj",
        ),
        (
            lambda t: {**t, "base_model.model.stray.lora_A.weight": torch.ones(2, 2)},
            r"attached nowhere: .*stray\.lora_A",
        ),
    ],
)
def test_an_adapter_whose_tensors_fit_nowhere_is_an_error(
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]], expected: str, base: Path, tmp_path: Path
) -> None:
    train(base, tmp_path / "adapter")
    with pytest.raises(EncoderError, match=expected):
        load_encoder(tamper(tmp_path / "adapter", change), LAST)


def test_an_adapter_on_another_architecture_is_an_error(base: Path, tmp_path: Path) -> None:
    train(base, tmp_path / "adapter")
    other = save_toy("bert", tmp_path / "bert")
    with pytest.raises(EncoderError, match=r"the adapter does not fit BertModel(.|\n)*--set after\.load\.base=NAME"):
        load_retriever(tmp_path / "adapter", pooling="mean", base=str(other))


def test_adapted_heads_are_left_out_and_listed(base: Path, tmp_path: Path) -> None:
    train(base, tmp_path / "adapter", modules_to_save=["lm_head"])
    encoder = load_encoder(tmp_path / "adapter", LAST)
    assert any("lm_head" in name and name != "lm_head.weight" for name in encoder.proof.unexpected)


def test_an_embedding_that_grew_with_the_tokenizer_comes_along(base: Path, tmp_path: Path) -> None:
    grown = tokenizer("llama")
    grown.add_tokens(["neologism"])
    settings = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], r=2)
    with quiet():
        whole = AutoModelForCausalLM.from_pretrained(base)
        whole.resize_token_embeddings(len(grown))
        model = get_peft_model(whole, settings)
        scatter_adapter(model)
        model.save_pretrained(tmp_path / "adapter", save_embedding_layers=True)
    grown.save_pretrained(tmp_path / "adapter")
    encoder = load_encoder(tmp_path / "adapter", LAST)
    theirs = model.get_input_embeddings().weight
    assert torch.equal(encoder.backbone.get_input_embeddings().weight, theirs)
    assert len(theirs) == len(grown) == len(encoder.tokenizer)


def with_trained_embedding(base: Path, folder: Path, tied: bool) -> PeftModel:
    """Save an adapter that trains the embedding of a grown tokenizer as a whole module."""
    grown = tokenizer("llama")
    grown.add_tokens(["neologism"])
    settings = LoraConfig(
        task_type="CAUSAL_LM",
        target_modules=["q_proj"],
        r=2,
        modules_to_save=["embed_tokens"],
        ensure_weight_tying=tied,
    )
    with quiet():
        whole = AutoModelForCausalLM.from_pretrained(base, tie_word_embeddings=tied)
        whole.resize_token_embeddings(len(grown))
        model = get_peft_model(whole, settings).eval()
        scatter_adapter(model)
        model.save_pretrained(folder)
    grown.save_pretrained(folder)
    return model


@pytest.mark.parametrize("tied", [False, True])
def test_a_grown_embedding_that_was_trained_as_a_module_gives_the_vectors_of_peft(
    tied: bool, base: Path, tmp_path: Path
) -> None:
    model = with_trained_embedding(base, tmp_path / "adapter", tied)
    stored = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert any("embed_tokens.modules_to_save" in key for key in stored), "PEFT saves the embedding twice"
    encoder = load_encoder(tmp_path / "adapter", LAST)
    ids = torch.tensor([[5, 6, len(encoder.tokenizer) - 1, 8]])
    with torch.no_grad():
        theirs = model(input_ids=ids, output_hidden_states=True).hidden_states[-1]
        ours = encoder.backbone(input_ids=ids).last_hidden_state
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    untouched = load_encoder(base, LAST).backbone.get_input_embeddings().weight
    assert (encoder.backbone.get_input_embeddings().weight[: len(untouched)] - untouched).abs().max() > 0.01


def test_two_values_of_a_trained_embedding_are_an_error(base: Path, tmp_path: Path) -> None:
    with_trained_embedding(base, tmp_path / "adapter", tied=False)
    tamper(tmp_path / "adapter", lambda t: {k: v + ("modules_to_save" in k) for k, v in t.items()})
    with pytest.raises(EncoderError, match=r"two different values of one tensor: .*modules_to_save"):
        load_encoder(tmp_path / "adapter", LAST)


def test_prompt_tuning_cannot_be_merged(base: Path, tmp_path: Path) -> None:
    with quiet():
        settings = PromptEncoderConfig(task_type="CAUSAL_LM", num_virtual_tokens=2, encoder_hidden_size=8)
        get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings).save_pretrained(tmp_path / "adapter")
    with pytest.raises(EncoderError, match=r"a P_TUNING adapter adds inputs to the model and cannot be merged"):
        load_encoder(tmp_path / "adapter", LAST)


def test_a_pickled_adapter_is_refused(base: Path, tmp_path: Path) -> None:
    train(base, tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_model.safetensors").rename(tmp_path / "adapter" / "adapter_model.bin")
    with pytest.raises(EncoderError, match=r"no weights in safetensors(.|\n)*never read(.|\n)*`PeftModel\."):
        load_encoder(tmp_path / "adapter", LAST)
