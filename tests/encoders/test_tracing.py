"""A family without a row in the table is traced: what is found is proved, and what cannot be found is named."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from retroscope.encoders.architecture import anatomy
from retroscope.encoders.architecture.anatomy import prove_anatomy
from retroscope.encoders.architecture.families import FAMILIES
from retroscope.encoders.checks.selftest import self_test
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import EncoderError
from toys import BERT_LIKE, GROUPED, ROBERTA_LIKE, SIZE, TOYS, Toy, save_toy

TRACED: dict[str, Toy] = {
    "ernie": Toy("ernie", BERT_LIKE),
    "megatron-bert": Toy("megatron-bert", BERT_LIKE, post_norm=True),
    "data2vec-text": Toy("data2vec-text", ROBERTA_LIKE, "roberta"),
    "xlm-roberta-xl": Toy("xlm-roberta-xl", ROBERTA_LIKE, "roberta", post_norm=True),
    "deberta": Toy("deberta", BERT_LIKE),
    "olmo2": Toy("olmo2", GROUPED, "llama", causal=True, post_norm=True),
    "phi": Toy("phi", {**SIZE, "max_position_embeddings": 64}, "llama", causal=True, post_norm=True),
    "phi3": Toy("phi3", GROUPED, "llama", causal=True, post_norm=True),
    "granite": Toy("granite", GROUPED, "llama", causal=True, post_norm=True),
    "smollm3": Toy("smollm3", GROUPED, "llama", causal=True, post_norm=True),
    "bloom": Toy("bloom", {"hidden_size": 16, "n_layer": 2, "n_head": 2}, "llama", causal=True, post_norm=True),
    "gpt_bigcode": Toy(
        "gpt_bigcode",
        {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64},
        "llama",
        causal=True,
        post_norm=True,
    ),
}
REFUSED = {
    "albert": (Toy("albert", {**BERT_LIKE, "embedding_size": 16}), "0 lists of 2 blocks"),
    "fnet": (Toy("fnet", BERT_LIKE), "found 0 attention modules in a block"),
    "nystromformer": (Toy("nystromformer", BERT_LIKE), "padding on the left changes the vectors"),
    "bitnet": (Toy("bitnet", GROUPED, "llama"), "which of mlp.gate_proj and mlp.up_proj passes the activation"),
    "esm": (
        Toy("esm", ROBERTA_LIKE, "roberta"),
        "differs in structure from the layout that a forward pass suggests(.|\n)*add a row",
    ),
}
# Not these: one list of blocks in two halves (T5), a norm of relative positions that looks like a final norm (DeBERTa),
# blocks inside a decoder (OPT), a backbone that does not run alone (DPR).
APART = ("electra", "deberta-v2", "dpr", "t5", "mt5", "umt5", "opt")
TABLED = [name for name in TOYS if TOYS[name].model_type not in APART]


def load(toy: Toy, folder: Path) -> Encoder:
    return load_encoder(toy.save(folder), LoadSettings(pooling="mean", max_length=40))


@pytest.mark.parametrize("name", TRACED)
def test_a_family_without_a_row_is_traced_and_passes_every_self_test(name: str, tmp_path: Path) -> None:
    toy = TRACED[name]
    assert toy.model_type not in FAMILIES
    encoder = load(toy, tmp_path)
    found = encoder.anatomy
    assert (found.n_blocks, found.causal, found.post_norm) == (2, toy.causal, toy.post_norm)
    assert [(test.name, test.value) for test in self_test(encoder) if not test.passed] == []
    parts = {found.part_of(parameter)[1] for parameter, _ in encoder.backbone.named_parameters()}
    assert {"attention", "ffn_in", "ffn_out", "norm", "embedding"} <= parts
    others = [name for name, _ in encoder.backbone.named_parameters() if found.part_of(name)[1] == "other"]
    assert [name for name in others if "pooler" not in name] == []


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_traced_is_named(name: str, tmp_path: Path) -> None:
    toy, expected = REFUSED[name]
    with pytest.raises(EncoderError, match=expected):
        load(toy, tmp_path)


@pytest.mark.parametrize("name", TABLED)
def test_tracing_finds_what_the_table_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is the truth that tracing is held against: without its row, a family is found to be the same."""
    tabled = load_encoder(save_toy(name, tmp_path), LoadSettings(pooling="mean"))
    family = tabled.anatomy.family
    monkeypatch.setattr(anatomy, "FAMILIES", {key: row for key, row in FAMILIES.items() if key != family})
    traced = prove_anatomy(tabled.backbone)
    ours, theirs = tabled.anatomy.layout, traced.layout
    same = ("blocks", "ffn_in", "ffn_gate", "ffn_out", "fused_gate", "transposed", "norms", "final_norm")
    assert [getattr(theirs, part) for part in same] == [getattr(ours, part) for part in same]
    assert (traced.causal, traced.post_norm) == (tabled.anatomy.causal, tabled.anatomy.post_norm)
    assert [test.name for test in self_test(replace(tabled, anatomy=traced)) if not test.passed] == []


def test_a_gate_is_told_from_what_it_multiplies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_encoder(save_toy("llama", tmp_path), LoadSettings(pooling="mean")).backbone
    monkeypatch.setattr(anatomy, "FAMILIES", {})
    for block in model.layers:  # the two matrices change places: the one called up_proj passes the activation now
        block.mlp.gate_proj, block.mlp.up_proj = block.mlp.up_proj, block.mlp.gate_proj
        block.mlp.forward = lambda x, own=block.mlp: own.down_proj(own.act_fn(own.up_proj(x)) * own.gate_proj(x))
    assert prove_anatomy(model).layout.ffn_gate == "mlp.up_proj"
    for block in model.layers:
        block.mlp.forward = lambda x, own=block.mlp: own.down_proj(torch.sin(own.up_proj(x)) * own.gate_proj(x))
    with pytest.raises(EncoderError, match="passes the activation: for no known activation"):
        prove_anatomy(model)


def test_two_lists_of_blocks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_encoder(save_toy("bert", tmp_path), LoadSettings(pooling="mean")).backbone
    monkeypatch.setattr(anatomy, "FAMILIES", {})
    model.second = nn.ModuleList([nn.Linear(16, 16) for _ in range(2)])
    with pytest.raises(EncoderError, match=r"2 lists of 2 blocks, expected one(.|\n)*second: 2"):
        prove_anatomy(model)
