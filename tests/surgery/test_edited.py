"""An edit at a layer: the model goes on from the edited states, as a hook on the layer shows."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from retroscope.encoders.capture import rewrite_inputs, rewrite_outputs
from retroscope.encoders.encode import encode_rows, final_vectors, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import SettingsError
from retroscope.surgery.edited import LayerEdit, edited_vectors
from toys import TEXTS, TOYS, save_toy


def turned(states: Tensor) -> Tensor:
    return states.flip(-1) * 0.5 + 0.1


def hooked(encoder: Encoder, rows: list[list[int]], layer: int) -> Tensor:
    """The same by a hook on the module that returns the layer."""
    norm, last = encoder.anatomy.layout.final_norm, encoder.anatomy.n_blocks
    blocks = encoder.anatomy.blocks(encoder.backbone)
    if layer == 0:
        context = rewrite_inputs({"first": blocks[0]}, lambda _, states: turned(states))
    elif layer == last and norm:
        context = rewrite_outputs({"norm": encoder.backbone.get_submodule(norm)}, lambda _, states: turned(states))
    else:
        context = rewrite_outputs({"block": blocks[layer - 1]}, lambda _, states: turned(states))
    with context:
        return final_vectors(encoder, rows)


@pytest.mark.parametrize("family", sorted(TOYS))
def test_an_edit_is_what_a_hook_at_that_layer_does(family: str, tmp_path: Path) -> None:
    encoder = load_encoder(save_toy(family, tmp_path), LoadSettings(pooling="mean"))
    rows = tokenise(encoder, TEXTS)
    layers = range(encoder.anatomy.n_blocks + 1)
    made = edited_vectors(encoder, rows, {k: LayerEdit(k, turned) for k in layers}, tokens=40)
    for layer in layers:
        assert torch.allclose(made[layer], hooked(encoder, rows, layer), atol=1e-5), layer
    nothing = edited_vectors(encoder, rows, {"none": LayerEdit(0, lambda states: states)})["none"]
    intact = final_vectors(encoder, rows)
    assert torch.allclose(nothing, intact, atol=1e-5)
    assert not torch.allclose(made[0], intact, atol=1e-3)


def test_an_affine_edit_of_tokens_is_the_same_edit_of_the_pooled_vector(tmp_path: Path) -> None:
    encoder = load_encoder(save_toy("llama", tmp_path), LoadSettings(pooling="mean"))
    rows, last = tokenise(encoder, TEXTS), encoder.anatomy.n_blocks
    edited = edited_vectors(encoder, rows, {"last": LayerEdit(last, turned)})["last"]
    assert torch.allclose(edited, turned(encode_rows(encoder, rows).layers[:, last]), atol=1e-5)


def test_a_layer_that_is_not_there_is_refused(tmp_path: Path) -> None:
    encoder = load_encoder(save_toy("bert", tmp_path), LoadSettings(pooling="mean"))
    with pytest.raises(SettingsError, match="this model has no layer 3"):
        edited_vectors(encoder, tokenise(encoder, TEXTS), {"x": LayerEdit(3, turned)})
