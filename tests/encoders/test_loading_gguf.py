"""GGUF files: a tiny one written here, loaded back as the model that it was written from."""

from pathlib import Path

import pytest
import torch
from gguf import GGUFWriter
from torch import Tensor
from transformers import PreTrainedModel

from retroscope.encoders.encode import encode_layers
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import EncoderError
from toys import TEXTS, TOYS, tokenizer

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
OUTSIDE = {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}


def interleaved(name: str, tensor: Tensor, heads: int, kv_heads: int) -> Tensor:
    """The order in which llama.cpp stores the rotary halves of queries and keys."""
    count = {"q_proj": heads, "k_proj": kv_heads}.get(name.split(".")[-2])
    if count is None:
        return tensor
    rows, columns = tensor.shape
    return tensor.reshape(count, 2, rows // count // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write(model: PreTrainedModel, file: Path, leave_out: str = "") -> Path:
    config = model.config
    writer = GGUFWriter(file, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    tokens = sorted(tokenizer("llama").get_vocab().items(), key=lambda item: item[1])
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([token for token, _ in tokens])
    writer.add_token_types([3 if token.startswith("<") else 1 for token, _ in tokens])
    writer.add_token_merges([next(f"{t[0]} {t[1]}" for t, _ in tokens if len(t) == 2 and t.isalpha())])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for name, tensor in model.state_dict().items():
        if name == leave_out:
            continue
        stored = interleaved(name, tensor, config.num_attention_heads, config.num_key_value_heads)
        writer.add_tensor(ggml_name(name), stored.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def ggml_name(name: str) -> str:
    if name in OUTSIDE:
        return OUTSIDE[name]
    _, block, rest = name.split(".", 2)
    return f"blk.{block}.{NAMES[rest.removesuffix('.weight')]}.weight"


def test_a_gguf_file_is_the_model_that_it_was_written_from(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = TOYS["llama"].build()
    encoder = load_encoder(write(model, tmp_path / "toy.gguf"), LoadSettings(pooling="mean"))
    assert capfd.readouterr() == ("", "")
    for name, value in model.state_dict().items():
        assert torch.equal(encoder.backbone.state_dict()[name], value), name
    assert encoder.proof.loaded == len(model.state_dict())
    assert "tensors counted, not compared" in encoder.proof.notes[0]
    assert encode_layers(encoder, TEXTS).final.isfinite().all()


def test_a_model_from_a_gguf_file_can_be_saved(tmp_path: Path) -> None:
    file = write(TOYS["llama"].build(), tmp_path / "toy.gguf")
    encoder = load_encoder(file, LoadSettings(pooling="mean"))
    encoder.backbone.save_pretrained(tmp_path / "plain")
    encoder.tokenizer.save_pretrained(tmp_path / "plain")
    again = load_encoder(tmp_path / "plain", LoadSettings(pooling="mean"))
    assert again.proof.loaded == encoder.proof.loaded
    assert torch.equal(encode_layers(again, TEXTS).final, encode_layers(encoder, TEXTS).final)


def test_a_gguf_file_that_lacks_a_tensor_is_an_error(tmp_path: Path) -> None:
    file = write(TOYS["llama"].build(), tmp_path / "toy.gguf", leave_out="layers.1.mlp.up_proj.weight")
    with pytest.raises(EncoderError, match=r"missing: layers\.1\.mlp\.up_proj\.weight"):
        load_encoder(file, LoadSettings(pooling="mean"))


def test_a_gguf_file_with_nan_is_refused(tmp_path: Path) -> None:
    model = TOYS["llama"].build()
    with torch.no_grad():
        model.get_input_embeddings().weight[7, 3] = float("nan")
    with pytest.raises(EncoderError, match=r"toy\.gguf: these weights contain NaN:\n  - embed_tokens\.weight"):
        load_encoder(write(model, tmp_path / "toy.gguf"), LoadSettings(pooling="mean"))


def test_a_pointer_of_git_lfs_is_named(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n")
    with pytest.raises(EncoderError, match=r"model\.gguf: this is a pointer of Git LFS(.|\n)*`git lfs pull`"):
        load_encoder(file, LoadSettings(pooling="mean"))
