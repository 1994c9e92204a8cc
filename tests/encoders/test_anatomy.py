"""The table of families against real models, and against models that are not built as it says."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import AlbertConfig, AlbertModel, BertConfig, BertModel, PreTrainedModel

from retroscope.encoders.architecture import anatomy as anatomy_module
from retroscope.encoders.architecture import families
from retroscope.encoders.architecture.anatomy import PARTS, find_anatomy, prove_anatomy
from retroscope.encoders.architecture.families import FAMILIES, Layout
from retroscope.encoders.capture import capture_calls, rewrite_outputs
from retroscope.encoders.loading import look_both_ways
from retroscope.errors import EncoderError
from toys import TOYS

INNER = {"dpr-question": "question_encoder", "dpr-context": "ctx_encoder", "dpr-projected": "ctx_encoder"}


def backbone(name: str) -> PreTrainedModel:
    model = TOYS[name].build()
    return model.get_submodule(f"{INNER[name]}.bert_model") if name in INNER else model


def swap(monkeypatch: pytest.MonkeyPatch, family: str, layout: Layout) -> None:
    monkeypatch.setattr(anatomy_module, "FAMILIES", {**FAMILIES, family: (layout,)})


def test_there_is_a_toy_of_every_family() -> None:
    assert {toy.model_type for toy in TOYS.values()} == set(FAMILIES)


@pytest.mark.parametrize("name", TOYS)
def test_every_family_is_built_as_the_table_says(name: str) -> None:
    model = backbone(name)
    anatomy = prove_anatomy(model)
    assert anatomy.n_blocks == len(anatomy.blocks(model)) == 2
    assert anatomy.post_norm == TOYS[name].post_norm
    assert anatomy.causal == TOYS[name].causal == anatomy.layout.causal


@pytest.mark.parametrize("name", TOYS)
def test_every_parameter_belongs_to_a_part(name: str) -> None:
    model = backbone(name)
    anatomy = find_anatomy(model)
    by_name = {parameter: anatomy.part_of(parameter) for parameter, _ in model.named_parameters()}
    assert [p for p, (_, part) in by_name.items() if part == "other" and not p.startswith("pooler.")] == []
    parts = {part for _, part in by_name.values()}
    assert parts <= set(PARTS)
    assert {"attention", "norm", "embedding", *anatomy.layout.ffn()} <= parts
    assert {block for block, _ in by_name.values()} == {None, 0, 1}


@pytest.mark.parametrize("name", TOYS)
def test_ffn_matrices_widen_and_narrow(name: str) -> None:
    model = backbone(name)
    anatomy = find_anatomy(model)
    order = (1, 0) if anatomy.layout.transposed else (0, 1)
    for k in range(anatomy.n_blocks):
        out, inner = (model.get_submodule(anatomy.path("ffn_out", k)).weight.shape[i] for i in order)
        for part in set(anatomy.layout.ffn()) - {"ffn_out"}:
            wide, hidden = (model.get_submodule(anatomy.path(part, k)).weight.shape[i] for i in order)
            assert (wide, hidden) == (inner * (2 if anatomy.layout.fused_gate else 1), out)


@pytest.mark.parametrize("name", [name for name, toy in TOYS.items() if toy.causal])
def test_the_mask_of_a_decoder_can_be_lifted_and_that_is_measured(name: str) -> None:
    model = backbone(name)
    look_both_ways(model)
    assert prove_anatomy(model).causal is False


@pytest.mark.parametrize("name", ["llama", "t5-gated", "modernbert"])
@pytest.mark.parametrize("passes_activation", [True, False])
def test_the_gate_is_the_matrix_in_front_of_the_activation(name: str, passes_activation: bool) -> None:
    """gelu and silu of -50 vanish, so only a matrix in front of the activation can silence the FFN with it."""
    model = backbone(name)
    anatomy = find_anatomy(model)
    part = "ffn_gate" if passes_activation and not anatomy.layout.fused_gate else "ffn_in"
    forced, watched = ({p: anatomy.ffn(model)[anatomy.path(p, 0)]} for p in (part, "ffn_out"))

    def force(name: str, z: torch.Tensor) -> torch.Tensor:
        """All of a matrix of its own; of a fused one the half that is asked for."""
        if not anatomy.layout.fused_gate:
            return torch.full_like(z, -50.0)
        first, second = z.chunk(2, dim=-1)
        low = torch.full_like(first, -50.0)
        return torch.cat([low, second] if passes_activation else [first, low], dim=-1)

    with torch.no_grad(), rewrite_outputs(forced, force), capture_calls(watched) as calls:
        model(input_ids=torch.tensor([[3, 4, 5]]))
    assert (calls.only("ffn_out").input.abs().max() < 1e-15) == passes_activation


def test_an_unknown_family_says_how_to_add_it() -> None:
    config = AlbertConfig(vocab_size=20, embedding_size=8, hidden_size=8, num_attention_heads=2, intermediate_size=8)
    with pytest.raises(
        EncoderError, match=r"cannot be detected by a forward pass: found 0 lists of 12 blocks(.|\n)*add-a-family"
    ):
        find_anatomy(AlbertModel(config))


def test_a_missing_module_is_named() -> None:
    model = backbone("bert")
    del model.encoder.layer[1].intermediate.dense
    with pytest.raises(EncoderError, match=r"lacks modules(.|\n)*encoder\.layer\.1\.intermediate\.dense"):
        find_anatomy(model)


def test_a_wrong_norm_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    swap(monkeypatch, "bert", replace(families.BERT, final_norm="embeddings.LayerNorm"))
    expected = r"input of the final norm is not the output of block 2(.|\n)*not the output of the final"
    with pytest.raises(EncoderError, match=expected):
        prove_anatomy(backbone("bert"))


def test_a_norm_that_the_table_forgot_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    swap(monkeypatch, "llama", replace(families.LLAMA, final_norm=None))
    with pytest.raises(EncoderError, match="layer 2 is not the output of block 2, and the family has no final norm"):
        prove_anatomy(backbone("llama"))


def test_ffn_paths_that_are_not_the_ffn_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    swap(monkeypatch, "llama", replace(families.LLAMA, ffn_out="mlp.up_proj"))
    with pytest.raises(EncoderError, match="up_proj does not return the hidden size 16"):
        prove_anatomy(backbone("llama"))


def test_an_ffn_matrix_that_never_runs_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    model = backbone("bert")
    for block in model.encoder.layer:
        block.spare = nn.Linear(16, 24)
    swap(monkeypatch, "bert", replace(families.BERT, ffn_in="spare"))
    with pytest.raises(EncoderError, match=r"encoder\.layer\.0\.spare ran 0 times"):
        prove_anatomy(model)


class Halved(BertModel):
    """Its hidden states are half of what the blocks return."""

    def forward(self, *args: object, **kwargs: object) -> object:
        output = super().forward(*args, **kwargs)
        if output.hidden_states is not None:
            output.hidden_states = (output.hidden_states[0], *(h / 2 for h in output.hidden_states[1:]))
        return output


class Short(BertModel):
    """It forgets a layer."""

    def forward(self, *args: object, **kwargs: object) -> object:
        output = super().forward(*args, **kwargs)
        if output.hidden_states is not None:
            output.hidden_states = output.hidden_states[1:]
        return output


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (Halved, r"layer 1 is not the output of block 1(.|\n)*layer 2 is not the last hidden state"),
        (Short, r"2 hidden states for 2 blocks \(expected 3\)"),
    ],
)
def test_hidden_states_that_are_not_the_layers_are_caught(cls: type[BertModel], expected: str) -> None:
    config = BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8)
    with pytest.raises(EncoderError, match=expected):
        prove_anatomy(cls(config).eval())
