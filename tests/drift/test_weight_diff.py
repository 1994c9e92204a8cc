"""What moved in the weights: planted changes are found, and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from retroscope.drift.weights import diff_weights
from retroscope.encoders.checkpoints.tensors import open_weights
from retroscope.errors import EncoderError
from toy_adapters import adapter, loaded
from toys import BERT_LIKE, RENAMED, TOYS, Toy, save_toy

PLANTED = "layers.1.mlp.down_proj.weight"


def altered(folder: Path, copy: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Path:
    """A copy of a checkpoint with other tensors."""
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    save_file(change(load_file(folder / "model.safetensors")), copy / "model.safetensors", {"format": "pt"})
    return copy


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return save_toy("llama", tmp_path / "llama")


@pytest.fixture
def noise() -> Tensor:
    return torch.randn(16, 24, generator=torch.Generator().manual_seed(5))


def test_a_planted_change_is_found_and_nothing_else(llama: Path, tmp_path: Path, noise: Tensor) -> None:
    after = altered(llama, tmp_path / "after", lambda t: t | {PLANTED: t[PLANTED] + noise})
    weight_drift = diff_weights(open_weights(llama), open_weights(after))
    moved = weight_drift.tensors[weight_drift.tensors["status"] == "changed"]
    assert moved["name"].tolist() == [PLANTED]
    assert set(weight_drift.tensors["status"]) == {"changed", "identical"}
    row = moved.iloc[0]
    assert (row["layer"], row["part"], row["rows"], row["columns"]) == (2, "ffn_out", 16, 24)
    before = load_file(llama / "model.safetensors")[PLANTED]
    assert row["change"] == pytest.approx(float(noise.norm()), rel=1e-5)
    assert row["relative"] == pytest.approx(float(noise.norm() / before.norm()), rel=1e-5)
    assert row["largest"] == pytest.approx(float(noise.abs().max()), rel=1e-5)
    groups = weight_drift.groups[weight_drift.groups["changed"] > 0]
    assert groups[["layer", "part", "changed"]].values.tolist() == [[2, "ffn_out", 1]]
    assert weight_drift.groups.loc[weight_drift.groups["changed"] == 0, "change"].eq(0).all()


@pytest.mark.parametrize("name", [name for name in TOYS if name not in RENAMED])
def test_a_checkpoint_and_its_copy_do_not_differ(name: str, tmp_path: Path) -> None:
    one = save_toy(name, tmp_path / "one")
    two = altered(one, tmp_path / "two", lambda t: t)
    for after in (one, two):
        weight_drift = diff_weights(open_weights(one), open_weights(after))
        assert set(weight_drift.tensors["status"]) == {"identical"}
        assert (weight_drift.tensors["norm"] > 0).all()
        without_part = weight_drift.tensors.loc[weight_drift.tensors["part"] == "other", "name"]
        assert without_part.str.startswith("pooler.").all(), "every tensor has its part"


def test_rounding_is_no_change(llama: Path, tmp_path: Path) -> None:
    after = altered(llama, tmp_path / "half", lambda t: {k: v.half() for k, v in t.items()})
    weight_drift = diff_weights(open_weights(llama), open_weights(after)).tensors
    assert set(weight_drift["status"]) == {"rounded"}
    assert (weight_drift["change"] > 0).all()
    assert (weight_drift["relative"] < torch.finfo(torch.float16).eps).all()


def test_the_factors_of_an_adapter_say_what_the_merged_weights_say(tmp_path: Path) -> None:
    """LoRA's change by its factors, against the same weights written out."""
    folder = adapter("llama", tmp_path, ["q_proj", "down_proj"])
    base = tmp_path / "base"
    whole = loaded(folder)
    merged = altered(base, tmp_path / "merged", lambda t: {k: whole[k].detach().contiguous() for k in t})
    by_factors = diff_weights(open_weights(base), open_weights(folder)).tensors.set_index("name")
    written_out = diff_weights(open_weights(base), open_weights(merged)).tensors.set_index("name")
    moved = by_factors["status"] == "changed"
    assert moved.sum() == 4
    assert (written_out["status"] == by_factors["status"]).all()
    assert (by_factors.loc[moved, "intruders"] == written_out.loc[moved, "intruders"]).all()
    assert by_factors.loc[~moved, "intruders"].isna().all(), "what did not change is not asked"
    for column in ("change", "relative", "largest", "amplification", "alignment", "stable_rank", "effective_rank"):
        # the written-out change carries the float32 rounding of the sum, 6e-8 of the weights, as further directions
        torch.testing.assert_close(
            torch.tensor(by_factors.loc[moved, column].astype(float).values),
            torch.tensor(written_out.loc[moved, column].astype(float).values),
            rtol=1e-3, atol=0,
        )  # fmt: skip


def test_an_embedding_that_grew_is_named_and_not_compared(llama: Path, tmp_path: Path) -> None:
    def grow(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        name = "embed_tokens.weight"
        return tensors | {name: torch.cat([tensors[name], torch.zeros(2, 16)])}

    after = altered(llama, tmp_path / "after", grow)
    config = json.loads((after / "config.json").read_text())
    (after / "config.json").write_text(json.dumps(config | {"vocab_size": config["vocab_size"] + 2}))
    weight_drift = diff_weights(open_weights(llama), open_weights(after)).tensors
    assert weight_drift.loc[weight_drift["status"] == "reshaped", "name"].tolist() == ["embed_tokens.weight"]
    assert (weight_drift["status"] == "identical").sum() == len(weight_drift) - 1


def test_a_tensor_of_one_side_alone_is_named(tmp_path: Path) -> None:
    one = save_toy("bert", tmp_path / "one")
    without = altered(one, tmp_path / "two", lambda t: {k: v for k, v in t.items() if "pooler" not in k})
    weight_drift = diff_weights(open_weights(one), open_weights(without)).tensors
    assert set(weight_drift.loc[weight_drift["status"] == "only before", "name"]) == {
        "pooler.dense.weight",
        "pooler.dense.bias",
    }


def test_values_that_are_no_numbers_are_changed(llama: Path, tmp_path: Path) -> None:
    after = altered(llama, tmp_path / "after", lambda t: t | {PLANTED: t[PLANTED] * float("nan")})
    for spectra in (True, False):
        weight_drift = diff_weights(open_weights(llama), open_weights(after), spectra=spectra).tensors
        assert weight_drift.loc[weight_drift["status"] == "changed", "name"].tolist() == [PLANTED]


def test_two_architectures_are_refused(llama: Path, tmp_path: Path) -> None:
    bert = save_toy("bert", tmp_path / "bert")
    with pytest.raises(EncoderError, match="one is a llama of 2 blocks, the other a bert of 2"):
        diff_weights(open_weights(llama), open_weights(bert))


def test_an_adapter_before_is_read_with_what_it_adds(tmp_path: Path) -> None:
    """An adapter beside itself is the same model, and beside its base as far away as the base is from it."""
    folder = adapter("llama", tmp_path, ["q_proj", "down_proj"])
    same = diff_weights(open_weights(folder), open_weights(folder)).tensors
    assert set(same["status"]) == {"identical"}
    there = diff_weights(open_weights(tmp_path / "base"), open_weights(folder)).tensors
    back = diff_weights(open_weights(folder), open_weights(tmp_path / "base")).tensors
    assert (there["status"] == back["status"]).all()
    assert back["change"].astype(float).tolist() == pytest.approx(there["change"].astype(float).tolist(), rel=1e-4)


def test_models_of_another_width_have_nothing_to_compare(tmp_path: Path) -> None:
    narrow = save_toy("bert", tmp_path / "narrow")
    wide = Toy("bert", {**BERT_LIKE, "hidden_size": 32}).save(tmp_path / "wide")
    weight_drift = diff_weights(open_weights(narrow), open_weights(wide))
    reshaped = weight_drift.tensors.loc[weight_drift.tensors["status"] != "reshaped", "name"]
    assert reshaped.str.endswith("intermediate.dense.bias").all(), "which has the width of the FFN"
    assert set(weight_drift.groups["part"]) == {"ffn_in"}


def test_a_dpr_encoder_is_a_bert(tmp_path: Path) -> None:
    bert, dpr = (save_toy(name, tmp_path / name) for name in ("bert", "dpr-question"))
    assert (diff_weights(open_weights(bert), open_weights(dpr)).tensors["status"] == "changed").any()
    with pytest.raises(EncoderError, match="the other a roberta"):
        diff_weights(open_weights(bert), open_weights(save_toy("roberta", tmp_path / "roberta")))
