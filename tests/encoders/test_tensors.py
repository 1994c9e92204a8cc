"""Tensors read one at a time are those of the loaded model, in every family, adapters included."""

import json
from collections.abc import Callable
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


DENSE = "encoder.layer.0.output.dense.weight"
NORM = "encoder.layer.0.output.LayerNorm"
RIVALS: dict[str, Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]] = {
    "a prefix": lambda t: {**t, f"bert.{DENSE}": t[DENSE] * 2},
    "a bare name": lambda t: {**{f"bert.{k}": v for k, v in t.items()}, DENSE: t[DENSE] * 2},
    "an old name": lambda t: {**t, f"{NORM}.gamma": t[f"{NORM}.weight"] * 2},
}


@pytest.mark.parametrize("kind", RIVALS)
def test_two_values_of_one_parameter_are_refused_wherever_weights_are_read(kind: str, tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path / "bert")
    file = folder / "model.safetensors"
    save_file(RIVALS[kind](load_file(file)), file, {"format": "pt"})
    for read in (open_weights, loaded):
        with pytest.raises(EncoderError, match=r"two different values of one parameter: .*encoder\.layer\.0\.output"):
            read(folder)


def test_two_equal_copies_of_one_parameter_are_read(tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path / "bert")
    file = folder / "model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, f"bert.{DENSE}": tensors[DENSE].clone()}, file, {"format": "pt"})
    assert torch.equal(whole(open_weights(folder))[DENSE], tensors[DENSE])


def sharded(folder: Path, *, also: dict[str, torch.Tensor]) -> None:
    """Write the weights of a folder as two shards, the second with the tensors of `also` besides its own."""
    tensors = load_file(folder / "model.safetensors")
    halves = sorted(tensors)[::2], sorted(tensors)[1::2]
    parts = [{name: tensors[name] for name in half} for half in halves]
    for number, part in enumerate((parts[0], {**parts[1], **also})):
        save_file(part, folder / f"model-{number}.safetensors", {"format": "pt"})
    places = {name: f"model-{number}.safetensors" for number, part in enumerate(parts) for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


@pytest.mark.parametrize("factor", [1, 2])
def test_shards_that_overlap_agree_or_are_refused(factor: int, tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path / "bert")
    tensors = load_file(folder / "model.safetensors")
    first = min(tensors)
    sharded(folder, also={first: tensors[first] * factor})
    (folder / "model.safetensors").unlink()
    if factor == 1:
        assert torch.equal(whole(open_weights(folder))[first], tensors[first])
        return
    for read in (open_weights, loaded):
        with pytest.raises(EncoderError, match=rf"model-0.*model-1.*hold different values of the tensor '{first}'"):
            read(folder)


def test_one_file_is_read_before_shards_as_by_transformers(tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path / "bert")
    tensors = load_file(folder / "model.safetensors")
    sharded(folder, also={})
    save_file({name: value + 1 for name, value in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
    streamed, model = whole(open_weights(folder)), loaded(folder)
    assert torch.equal(streamed[DENSE], tensors[DENSE] + 1)
    assert torch.equal(model[DENSE], tensors[DENSE] + 1)


FACTOR = "base_model.model.layers.0.self_attn.q_proj.lora_B.weight"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda tensor: tensor * float("nan"), rf"NaN or infinite values:\n  - {FACTOR}"),
        (lambda tensor: tensor / 0, rf"NaN or infinite values:\n  - {FACTOR}"),
        (
            lambda tensor: tensor.to(torch.int8),
            rf"whole numbers or truth values, .*:\n  - {FACTOR}",
        ),
    ],
)
def test_factors_are_finite_fractions_wherever_they_are_read(
    change: Callable[[torch.Tensor], torch.Tensor], expected: str, tmp_path: Path
) -> None:
    folder = adapter("llama", tmp_path, ["q_proj", "down_proj"])
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, FACTOR: change(tensors[FACTOR])}, file)
    for read in (open_weights, loaded):
        with pytest.raises(EncoderError, match=expected):
            read(folder)


@pytest.mark.parametrize(
    "change",
    [{"lora_alpha": float("nan")}, {"lora_alpha": float("inf")}, {"lora_alpha": None}, {"lora_alpha": "8"},
     {"lora_alpha": True}, {"alpha_pattern": {"q_proj": float("nan")}}],
)  # fmt: skip
def test_the_scale_of_an_adapter_is_a_finite_number(change: dict[str, object], tmp_path: Path) -> None:
    """`diff` reported a change of 0 % where the scale was not a number."""
    folder = adapter("llama", tmp_path, ["q_proj", "down_proj"])
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    for read in (open_weights, loaded):
        with pytest.raises(EncoderError, match=r"adapter_config\.json: the alpha .* must be a finite number, found"):
            read(folder)


def test_a_base_that_is_given_for_no_adapter_is_refused(tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path / "bert")
    with pytest.raises(EncoderError, match=r"the base model 'x' was given, but this checkpoint is not an adapter"):
        open_weights(folder, "x")
