"""Tensors read one at a time are those of the loaded model, in every family, adapters included."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

from retroscope.encoders.checkpoints.tensors import Weights, open_weights
from retroscope.errors import EncoderError
from toy_adapters import adapter, loaded
from toys import RENAMED, TOYS, save_toy


def whole(weights: Weights) -> dict[str, torch.Tensor]:
    """Every tensor, what adapters add included."""
    by_name = {name: read() for name, read in weights.read.items()}
    return by_name | {name: by_name[name] + low.left @ low.right for name, low in weights.updates.items()}


@pytest.mark.parametrize("name", RENAMED)
def test_a_family_that_is_renamed_as_it_is_loaded_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        EncoderError, match=r"the checkpoint lacks(.|\n)*`retroscope compare`, which compares the loaded weights"
    ):
        open_weights(save_toy(name, tmp_path / name))


@pytest.mark.parametrize("name", [name for name in TOYS if name not in RENAMED])
def test_streamed_equals_loaded(name: str, tmp_path: Path) -> None:
    folder = save_toy(name, tmp_path / name)
    tensors, expected = whole(open_weights(folder)), loaded(folder)
    assert tensors.keys() == expected.keys()
    assert [key for key in expected if not torch.equal(tensors[key], expected[key])] == []


@pytest.mark.parametrize(
    ("name", "targets", "options"),
    [
        ("llama", ["q_proj", "down_proj"], {}),
        ("llama", ["q_proj", "down_proj"], {"use_rslora": True}),
        ("gpt2", ["c_attn", "c_fc"], {"fan_in_fan_out": True}),
        ("bert", ["query", "value"], {}),
        ("bert", ["query", "value"], {"use_dora": True}),
        ("llama", ["q_proj", "down_proj"], {"init_lora_weights": "pissa"}),
    ],
)
def test_the_factors_of_an_adapter_make_the_merged_weights(
    name: str, targets: list[str], options: dict, tmp_path: Path
) -> None:
    folder = adapter(name, tmp_path, targets, **options)
    weights, expected = open_weights(folder), loaded(folder)
    tensors = whole(weights)
    in_memory = bool({"use_dora", "init_lora_weights"} & set(options))
    assert bool(weights.updates) == (not in_memory)
    assert any("merged in memory" in note for note in weights.notes) == in_memory, "and it is said"
    assert tensors.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(tensors[key], value, rtol=1e-5, atol=1e-6)
    changed = {key for key, value in weights.read.items() if not torch.equal(value(), expected[key])}
    if weights.updates:
        assert changed == set(weights.updates)


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_a_folder_of_sentence_transformers(name: str, tmp_path: Path) -> None:
    """Its transformer lies in the folder itself."""
    base = save_toy(name, tmp_path / "base")
    transformer = Transformer(str(base))
    pooling = Pooling(transformer.get_embedding_dimension(), "mean")
    SentenceTransformer(modules=[transformer, pooling], device="cpu").save(str(tmp_path / "st"))
    tensors, expected = whole(open_weights(tmp_path / "st")), loaded(base)
    assert all(torch.equal(tensors[key], value) for key, value in expected.items())


def test_factors_that_fit_nowhere_are_an_error(tmp_path: Path) -> None:
    folder = adapter("llama", tmp_path, ["q_proj", "down_proj"])
    file = folder / "adapter_model.safetensors"
    tensors = {key.replace("layers.1", "layers.7"): value for key, value in load_file(file).items()}
    save_file(tensors, file)
    with pytest.raises(EncoderError, match=r"(?s)do not fit its configuration and base.*layers\.1.*layers\.7"):
        open_weights(folder)


def test_a_checkpoint_that_lacks_tensors_names_them(tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path / "bert")
    file = folder / "model.safetensors"
    tensors = {key: value for key, value in load_file(file).items() if "layer.1.output.dense.weight" not in key}
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(EncoderError, match=r"(?s)lacks.*encoder\.layer\.1\.output\.dense\.weight"):
        open_weights(folder)
