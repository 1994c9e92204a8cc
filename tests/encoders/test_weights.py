"""Checkpoints tampered with in every way are refused by name; sound ones are loaded bit for bit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModel, BertForMaskedLM, DPRQuestionEncoder, LlamaForCausalLM, T5ForConditionalGeneration

from retroscope.encoders.checkpoints.backbones import How, loader_for
from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.checks.disk import open_disk
from retroscope.encoders.checks.weights import compare_with_disk, prove_loaded, unused_reason
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import EncoderError
from toys import TOYS, save, save_toy

MEAN = LoadSettings(pooling="mean")
Tensors = dict[str, Tensor]


def tamper(folder: Path, change: Callable[[Tensors], Tensors]) -> Path:
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})
    return folder


def without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


# Saved under the names of the published repositories, q, k and v in one tensor.
RENAMED = ("nomic_bert", "gte", "jina_embeddings_v3")


def holds(tensor: torch.Tensor, value: torch.Tensor) -> bool:
    """Whether the rows of a value are a run of rows of a tensor."""
    if tensor.shape[1:] != value.shape[1:]:
        return False
    return any(torch.equal(tensor[k : k + len(value)], value) for k in range(0, len(tensor), len(value)))


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_piece_of_a_larger_tensor_is_compared_too(part: int, tmp_path: Path) -> None:
    folder = save_toy("nomic_bert", tmp_path / "nomic")
    assert load_encoder(folder, MEAN).proof.unexpected == ()
    saved = load_file(folder / "model.safetensors")
    fused = "encoder.layers.1.attn.Wqkv.weight"
    model, info = AutoModel.from_pretrained(folder, output_loading_info=True)
    rows = slice(16 * part, 16 * part + 16)
    saved[fused][rows] = saved[fused][rows] + 1  # the file, after the model was loaded
    save_file(saved, folder / "model.safetensors", metadata={"format": "pt"})
    letter = "qkv"[part]
    with pytest.raises(EncoderError, match=rf"layers\.1\.self_attn\.{letter}_proj\.weight(.|\n)*not used.*Wqkv"):
        prove_loaded(model, info, open_disk(folder), "nomic_bert")


@pytest.mark.parametrize("name", TOYS)
def test_loaded_weights_are_those_on_disk_bit_for_bit(name: str, tmp_path: Path) -> None:
    folder = save_toy(name, tmp_path / name)
    encoder = load_encoder(folder, MEAN)
    saved = load_file(folder / "model.safetensors")
    state = encoder.backbone.state_dict()
    prefixes = ("", "question_encoder.bert_model.", "ctx_encoder.bert_model.")
    for key, value in state.items():
        names = [*(prefix + key for prefix in prefixes), "shared.weight"]
        full = next((name for name in names if name in saved), None)
        if TOYS[name].model_type in RENAMED and full is None:
            assert any(holds(tensor, value) for tensor in saved.values()), key
        else:
            assert torch.equal(value, saved[full]), key
    assert encoder.proof.loaded >= len(state)
    assert encoder.proof.unexpected == ()
    assert not encoder.backbone.training
    assert not any(p.requires_grad for p in encoder.backbone.parameters())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            without("encoder.layer.1.output.dense.weight"),
            r"missing from the checkpoint: encoder\.layer\.1\.output\.dense\.w",
        ),
        (without("embeddings.LayerNorm.bias"), r"missing from the checkpoint: embeddings\.LayerNorm\.bias"),
        (
            lambda t: {**t, "encoder.layer.0.intermediate.dense.weight": torch.zeros(30, 16)},
            r"reshaped: encoder\.layer\.0\.intermediate\.dense\.weight: checkpoint \(30, 16\), model \(24, 16\)",
        ),
        (
            lambda t: {**t, "encoder.layer.2.extra.weight": torch.zeros(2)},
            r"not used by the model: encoder\.layer\.2\.extra",
        ),
        (lambda t: {f"model.{k}.inner": v for k, v in t.items()}, r"missing from the checkpoint: embeddings"),
    ],
)
def test_a_tampered_checkpoint_is_an_error_that_names_the_tensor(
    change: Callable[[Tensors], Tensors], expected: str, tmp_path: Path
) -> None:
    folder = tamper(save_toy("bert", tmp_path / "bert"), change)
    with pytest.raises(EncoderError, match=expected):
        load_encoder(folder, MEAN)


def test_several_problems_are_all_listed(tmp_path: Path) -> None:
    folder = save_toy("llama", tmp_path / "llama")
    tamper(folder, lambda t: {k: v for k, v in t.items() if "norm" not in k} | {"stray": torch.zeros(1)})
    with pytest.raises(EncoderError, match=r"layers\.0\.input_layernorm\.weight(.|\n)*not used by the model: stray"):
        load_encoder(folder, MEAN)


def test_a_silently_initialised_tensor_is_caught(tmp_path: Path) -> None:
    """The library's own report says that nothing is missing; the comparison with the file does not believe it."""
    folder = save_toy("bert", tmp_path / "bert")
    with quiet():
        model, info = AutoModel.from_pretrained(folder, output_loading_info=True)
    disk = open_disk(folder)
    assert prove_loaded(model, info, disk, "bert").loaded == len(model.state_dict())
    with torch.no_grad():
        model.encoder.layer[1].attention.self.query.weight[3, 3] += 1e-6
    with pytest.raises(
        EncoderError, match=r"not the checkpoint's values: encoder\.layer\.1\.attention\.self\.query\.weight"
    ):
        prove_loaded(model, info, disk, "bert")


def test_a_context_encoder_loaded_as_a_question_encoder_would_be_caught(tmp_path: Path) -> None:
    """The published slip: `AutoModel` makes a question encoder of it, and every weight is random."""
    folder = save_toy("dpr-context", tmp_path / "context")
    with quiet():
        model, info = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert type(model) is DPRQuestionEncoder
    with pytest.raises(EncoderError, match=r"missing from the checkpoint: question_encoder\.bert_model\.embeddings"):
        prove_loaded(model, info, open_disk(folder), "dpr")


@pytest.mark.parametrize(
    ("name", "cls", "unused"),
    [
        ("bert", BertForMaskedLM, "cls.predictions"),
        ("llama", LlamaForCausalLM, "lm_head.weight"),
        ("t5", T5ForConditionalGeneration, "decoder."),
    ],
)
def test_a_checkpoint_with_a_head_loads_as_its_backbone(name: str, cls: type, unused: str, tmp_path: Path) -> None:
    """Prefixes (bert. / model.) are the library's business; heads are known not to matter, and are listed."""
    config = TOYS[name].build().config
    config.tie_word_embeddings = False
    torch.manual_seed(0)
    whole = cls(config)
    encoder = load_encoder(save(whole, tmp_path / name, TOYS[name].style), MEAN)
    assert any(key.startswith(unused) for key in encoder.proof.unexpected)
    theirs = whole.state_dict()
    for key, value in encoder.backbone.state_dict().items():
        prefix = {"bert": "bert.", "llama": "model.", "t5": ""}[name]
        assert torch.equal(value, theirs[prefix + key])


def test_a_bert_without_a_pooler_is_loaded_without_one(tmp_path: Path) -> None:
    """A random pooler would change the fingerprint from one load to the next."""
    folder = tamper(save_toy("bert", tmp_path / "b"), lambda t: {k: v for k, v in t.items() if "pooler" not in k})
    first, second = load_encoder(folder, MEAN), load_encoder(folder, MEAN)
    assert first.fingerprint == second.fingerprint
    assert "the checkpoint has no pooler, so none was built" in first.proof.notes
    with pytest.raises(EncoderError, match=r"pooling is 'pooler' \(source: user\), but the checkpoint has no pooler"):
        load_encoder(folder, LoadSettings(pooling="pooler"))


def test_names_of_old_checkpoints_are_understood(tmp_path: Path) -> None:
    def aged(tensors: Tensors) -> Tensors:
        old = {k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
               for k, v in tensors.items()}  # fmt: skip
        return {**{f"bert.{k}": v for k, v in old.items()}, "bert.embeddings.position_ids": torch.arange(64)[None]}

    folder = save_toy("bert", tmp_path / "bert")
    young = load_encoder(folder, MEAN)
    old = load_encoder(tamper(folder, aged), MEAN)
    assert old.fingerprint == young.fingerprint
    assert old.proof.unexpected == ("bert.embeddings.position_ids",)


def test_pickles_are_refused_and_the_error_says_how_to_convert(tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path / "bert")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(EncoderError, match=r"no weights in safetensors(.|\n)*never read(.|\n)*`AutoModel.*save_"):
        load_encoder(folder, MEAN)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_pointer_of_git_lfs_is_named(name: str, tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path / "bert")
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n")
    with pytest.raises(EncoderError, match=rf"{name}: this is a pointer of Git LFS(.|\n)*fix: run `git lfs pull` in"):
        load_encoder(folder, MEAN)
    (folder / name).write_text("version https://example.org\n")
    with pytest.raises(EncoderError, match=r"damaged weights|cannot load the tokenizer"):
        load_encoder(folder, MEAN)


def test_absent_and_damaged_weights_are_errors(tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path / "bert")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(EncoderError, match="damaged weights"):
        load_encoder(folder, MEAN)
    file.unlink()
    with pytest.raises(EncoderError, match=r"no weights in safetensors(.|\n)*download the checkpoint again"):
        load_encoder(folder, MEAN)


def test_sharded_checkpoints_are_read_and_a_lost_shard_is_named(tmp_path: Path) -> None:
    model = TOYS["bert"].build()
    whole = load_encoder(save(model, tmp_path / "one", "bert"), MEAN)
    with quiet():
        model.save_pretrained(tmp_path / "one", max_shard_size="5KB")
    (tmp_path / "one" / "model.safetensors").unlink(missing_ok=True)
    shards = sorted((tmp_path / "one").glob("model-*.safetensors"))
    assert len(shards) > 1
    assert load_encoder(tmp_path / "one", MEAN).fingerprint == whole.fingerprint
    shards[0].unlink()
    with pytest.raises(EncoderError, match=shards[0].name):
        load_encoder(tmp_path / "one", MEAN)


def test_half_precision_on_disk_is_compared_in_the_dtype_that_is_loaded(tmp_path: Path) -> None:
    folder = save(TOYS["llama"].build().to(torch.bfloat16), tmp_path / "llama", "llama")
    assert load_encoder(folder, MEAN).backbone.dtype == torch.float32
    half = load_encoder(folder, LoadSettings(pooling="mean", dtype="bfloat16"))
    assert half.backbone.dtype == torch.bfloat16


def test_comparison_tells_equal_strange_and_unused_apart(tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path / "bert")
    comparison = compare_with_disk(TOYS["bert"].build(seed=1), open_disk(folder))
    assert comparison.equal == ()
    assert len(comparison.strange) == len(comparison.unused) == 39


@pytest.mark.parametrize(
    ("name", "family", "known"),
    [
        ("lm_head.weight", "llama", True),
        ("decoder.layers.0.fc1.weight", "opt", False),
        ("decoder.block.0.layer.0.SelfAttention.q.weight", "t5", True),
        ("encoder.block.0.layer.0.SelfAttention.q.weight", "t5", False),
        ("transformer.h.0.attn.bias", "gpt2", True),
        ("encoder.layer.0.attention.self.query.bias", "bert", False),
        ("head.dense.weight", "modernbert", True),
        ("head.dense.weight", "bert", False),
    ],
)
def test_only_known_heads_and_buffers_may_go_unused(name: str, family: str, known: bool) -> None:
    assert (unused_reason(name, family) is not None) == known


def test_a_folder_that_is_no_checkpoint_lists_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(EncoderError, match=r"not a checkpoint(.|\n)*notes\.txt"):
        loader_for(tmp_path)(tmp_path, How())
