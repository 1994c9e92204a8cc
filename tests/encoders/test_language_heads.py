"""The language-model head alone, on the states of our encoder, gives the logits of transformers' own class."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedModel

from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.checkpoints.language_heads import (
    LanguageHead,
    NoLanguageHead,
    WhyNoHead,
    load_language_head,
)
from retroscope.encoders.encode import final_norm
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import EncoderError
from toy_adapters import adapter
from toys import TOYS, save, save_toy, scatter

IDS = torch.tensor([[5, 6, 7, 8, 9]])
MEAN = LoadSettings(pooling="mean")
MASKED = ["bert", "roberta", "camembert", "distilbert", "mpnet", "electra-projected", "deberta-v2", "modernbert"]
CAUSAL = ["llama", "mistral", "qwen2", "gemma2", "gpt_neox", "gpt2", "opt"]


def whole(name: str, *, tied: bool | None = None) -> PreTrainedModel:
    """The toy with its head, every weight random."""
    config = TOYS[name].build().config
    if tied is not None:
        config.tie_word_embeddings = tied
    cls = AutoModelForCausalLM if TOYS[name].causal else AutoModelForMaskedLM
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(1)
        return scatter(cls.from_config(config), 1)


def assert_same_logits(model: PreTrainedModel, folder: Path) -> LanguageHead:
    head = load_language_head(folder)
    assert isinstance(head, LanguageHead)
    encoder = load_encoder(folder, MEAN)
    with torch.inference_mode():
        wanted = model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits
        states = encoder.backbone(input_ids=IDS, attention_mask=torch.ones_like(IDS)).last_hidden_state
        logits = head.logits(states)
        one = head.logits(states[0, 2])
    assert wanted.std() > 0.1
    torch.testing.assert_close(logits, wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(one, wanted[0, 2], rtol=0, atol=1e-5)
    assert head.vocabulary == wanted.shape[-1]
    return head


@pytest.mark.parametrize("name", [*MASKED, *CAUSAL])
def test_head_on_our_states_gives_the_logits_of_the_whole_model(name: str, tmp_path: Path) -> None:
    model = whole(name)
    head = assert_same_logits(model, save(model, tmp_path / name, TOYS[name].style))
    assert head.kind == ("causal" if TOYS[name].causal else "masked")


@pytest.mark.parametrize("name", ["bert", "llama", "gpt2"])
@pytest.mark.parametrize("tied", [True, False])
def test_tied_and_untied_heads(name: str, tied: bool, tmp_path: Path) -> None:
    model = whole(name, tied=tied)
    assert assert_same_logits(model, save(model, tmp_path / name, TOYS[name].style)).tied is tied


def test_head_reads_a_lower_layer_through_the_final_norm(tmp_path: Path) -> None:
    model = whole("llama")
    folder = save(model, tmp_path / "llama", "llama")
    head, encoder = load_language_head(folder), load_encoder(folder, MEAN)
    assert isinstance(head, LanguageHead)
    with torch.inference_mode():
        states = encoder.backbone(input_ids=IDS, output_hidden_states=True).hidden_states
        wanted = model.lm_head(model.model.norm(states[1]))
        torch.testing.assert_close(head.logits(final_norm(encoder)(states[1])), wanted)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bert", WhyNoHead.NOT_SAVED),
        ("roberta", WhyNoHead.NOT_SAVED),
        ("llama", WhyNoHead.NOT_SAVED),
        ("dpr-question", WhyNoHead.NOT_SAVED),
        ("t5", WhyNoHead.NOT_OF_ENCODER),
    ],
)
def test_checkpoint_without_a_head_says_so(name: str, reason: WhyNoHead, tmp_path: Path) -> None:
    folder = save_toy(name, tmp_path / name)
    assert load_language_head(folder) == NoLanguageHead(reason, str(folder))


def test_tied_decoder_saved_bare_has_its_embeddings_as_head(tmp_path: Path) -> None:
    model = whole("llama", tied=True)
    folder = save(model.model, tmp_path / "bare", "llama")
    assert assert_same_logits(model, folder).tied


def test_adapter_has_the_head_of_its_base(tmp_path: Path) -> None:
    folder = adapter("gpt2", tmp_path, ["c_attn"])
    head = load_language_head(folder)
    assert isinstance(head, LanguageHead)
    assert head.source == str(tmp_path / "base")


def test_adapter_of_the_embeddings_has_no_head_of_its_base(tmp_path: Path) -> None:
    folder = adapter("gpt2", tmp_path, ["wte"])
    assert load_language_head(folder) == NoLanguageHead(WhyNoHead.ADAPTED, str(folder))


def test_damaged_backbone_is_an_error_and_no_missing_head(tmp_path: Path) -> None:
    folder = save(whole("bert"), tmp_path / "bert", "bert")
    tensors = load_file(folder / "model.safetensors")
    lost = {name: value for name, value in tensors.items() if "layer.1.output.dense" not in name}
    save_file(lost, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=r"missing from the checkpoint.*layer\.1"):
        load_language_head(folder)


@pytest.mark.shared
def test_stories_has_a_head_and_its_retriever_has_none(shared: Path) -> None:
    folder = shared / "models" / "stories260K"
    with quiet():
        model = AutoModelForCausalLM.from_pretrained(folder).eval()
    assert not assert_same_logits(model, folder).tied
    bare = shared / "models" / "stories260K-retriever-squad"
    assert json.loads((bare / "config.json").read_text())["tie_word_embeddings"] is False
    assert isinstance(load_language_head(bare), NoLanguageHead)
