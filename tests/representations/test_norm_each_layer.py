"""The final norm on every layer: exact where a model has one, absent and without effect where it has none."""

from pathlib import Path

import numpy as np
import pytest
import torch

from retroscope.drift.by_layer import representation_drift
from retroscope.drift.settings import DriftSettings
from retroscope.encoders.encode import encode_layers, encode_rows, final_norm, forward, pad, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import EncoderError, RepresentationError
from retroscope.representations.extraction import extract
from retroscope.representations.plan import plan_extraction
from retroscope.representations.settings import ExtractionSettings
from retroscope.representations.store import open_store
from retroscope.representations.vectors import Representations, RetrieverRepresentations
from toys import TEXTS, TOYS, save_toy

POST_NORM = [name for name, toy in TOYS.items() if toy.post_norm]
POOLINGS = ("mean", "last_token", "weighted_mean", "max")


def toy(name: str, folder: Path, pooling: str = "mean") -> Encoder:
    encoder = load_encoder(save_toy(name, folder), LoadSettings(pooling=pooling))
    with torch.no_grad():  # a norm that is no identity in its weights, as a trained one
        for parameter in final_norm(encoder).parameters() if encoder.anatomy.post_norm else ():
            parameter.mul_(1 + torch.rand(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return encoder


def stored(encoder: Encoder, folder: Path, **settings: object) -> Representations:
    ids = [str(k) for k in range(len(TEXTS))]
    return extract(plan_extraction(encoder, TEXTS, ExtractionSettings(**settings)), ids, TEXTS, folder)


@pytest.mark.parametrize("name", POST_NORM)
def test_every_layer_is_what_the_last_would_be_if_the_model_ended_there(name: str, tmp_path: Path) -> None:
    """The same model cut after k blocks has, as its last hidden state, layer k with the final norm."""
    encoder = toy(name, tmp_path)
    encoded = encode_layers(encoder, TEXTS)
    rows = tokenise(encoder, TEXTS)
    normed = encode_rows(encoder, rows, norm_each_layer=True)
    last = encoder.anatomy.n_blocks
    assert normed.layers.shape[1] == 2 * last + 1
    torch.testing.assert_close(normed.layers[:, : last + 1], encoded.layers)
    torch.testing.assert_close(normed.final, encoded.final)
    below = normed.layers[:, last + 1 :]
    for row, vectors in zip(rows, below, strict=True):
        with torch.no_grad():
            output = encoder.backbone(input_ids=torch.tensor([row]), output_hidden_states=True)
            for k in range(last):
                alone = final_norm(encoder)(output.hidden_states[k])[0].mean(dim=0)
                torch.testing.assert_close(vectors[k], alone, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(below, normed.layers[:, :last], rtol=1e-2), "the norm changes what it is given"


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_norm_comes_before_the_pooling(pooling: str, tmp_path: Path) -> None:
    encoder = toy("llama", tmp_path, pooling)
    rows = tokenise(encoder, TEXTS)
    below = encode_rows(encoder, rows, norm_each_layer=True).layers[:, -encoder.anatomy.n_blocks :]
    batch = pad(encoder, rows, extra=3)
    with torch.no_grad():
        padded = forward(encoder, batch, norm_each_layer=True).layers[:, -encoder.anatomy.n_blocks :]
        after = final_norm(encoder)(encode_rows(encoder, rows).layers[:, : encoder.anatomy.n_blocks])
    torch.testing.assert_close(below, padded, rtol=1e-4, atol=1e-5)
    same = torch.allclose(below, after, rtol=1e-3, atol=1e-4)
    assert same == (pooling == "last_token"), "one token alone can be normed after it was pooled"


def test_the_store_reads_normed_and_bare_layers(tmp_path: Path) -> None:
    encoder = toy("llama", tmp_path / "m")
    vectors = stored(encoder, tmp_path / "v")
    expected = encode_rows(encoder, tokenise(encoder, TEXTS), norm_each_layer=True).layers.numpy()
    last = encoder.anatomy.n_blocks
    assert vectors.normed
    assert (vectors.n_layers, vectors.layer_names) == (last + 1, tuple(map(str, range(last + 1))))
    assert vectors.bare().layer_names[-1] == f"{last} (post-norm)"
    for k in range(last + 1):
        np.testing.assert_allclose(vectors.layer(k), expected[:, last + 1 + k if k < last else last], atol=1e-5)
        np.testing.assert_allclose(vectors.bare().layer(k), expected[:, k], atol=1e-5)
    rows = np.array([2, 0])
    for view in (vectors, vectors.bare()):
        whole = np.stack([view.layer(k)[rows] for k in range(last + 1)], axis=1)
        np.testing.assert_array_equal(view.texts(rows), whole)
        np.testing.assert_array_equal(np.concatenate([next(block) for block in view.layer_blocks()]), view.layer(0))
    np.testing.assert_array_equal(vectors.final(), vectors.bare().final())


def test_a_model_without_a_final_norm_keeps_its_store_and_its_numbers(tmp_path: Path) -> None:
    encoder = toy("bert", tmp_path / "m")
    with_norm, without = (plan_extraction(encoder, TEXTS, ExtractionSettings(norm_each_layer=n)) for n in (True, False))
    assert (with_norm.key, with_norm.shape) == (without.key, without.shape)
    vectors = stored(encoder, tmp_path / "v")
    assert not vectors.normed
    assert RetrieverRepresentations("r", vectors, vectors, "cosine", {}).bare() is None
    with pytest.raises(EncoderError, match="has no final norm"):
        final_norm(encoder)


def test_of_a_decoder_what_is_kept_is_in_the_key(tmp_path: Path) -> None:
    encoder = toy("llama", tmp_path / "m")
    with_norm, without = (plan_extraction(encoder, TEXTS, ExtractionSettings(norm_each_layer=n)) for n in (True, False))
    assert with_norm.key != without.key
    bare = stored(encoder, tmp_path / "v", norm_each_layer=False)
    assert not bare.normed
    np.testing.assert_allclose(bare.layer(0), stored(encoder, tmp_path / "w").bare().layer(0), atol=1e-6)
    with pytest.raises(RepresentationError, match="stored without applying the final norm to every layer"):
        Representations(bare.ids, open_store(tmp_path / "v"), normed=True)


def test_a_model_whose_layers_differ_by_the_norm_alone_has_not_drifted_under_it(tmp_path: Path) -> None:
    """Blocks that add nothing: layer 0 and the last are one but for the norm, and only normed layers show it.

    The control: read as the blocks leave them, the two differ.
    """
    encoder = toy("llama", tmp_path / "m", "last_token")
    with torch.no_grad():
        for name, parameter in encoder.backbone.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.zero_()
    texts = [
        f"{a} {b}" for a in ("moon", "river", "red", "cat", "star") for b in ("light", "book", "mat", "moon", "red")
    ]
    ids = [str(k) for k in range(len(texts))]
    vectors = extract(plan_extraction(encoder, texts, ExtractionSettings()), ids, texts, tmp_path / "v")
    last = vectors.n_layers - 1
    np.testing.assert_allclose(vectors.layer(0), vectors.layer(last), atol=1e-5)
    assert not np.allclose(vectors.bare().layer(0), vectors.layer(last), atol=1e-2)
    sides = RetrieverRepresentations("r", vectors, vectors, "cosine", {})
    bare = sides.bare()
    assert bare is not None
    settings = DriftSettings(texts=25, cross_texts=25, neighbours=3)
    maps = [representation_drift(s, s, settings=settings).layer_map for s in (sides, bare)]
    crossed = [m.set_index(["tower", "layer_before", "layer_after"])["cka"]["passage", 0, last] for m in maps]
    assert crossed[0] == pytest.approx(1, abs=1e-4)
    assert crossed[1] < 0.99


def test_published_layers_are_as_published() -> None:
    from retroscope.study.protocols import PROTOCOLS

    assert PROTOCOLS["ielab-2025"]["extraction"] == {"norm_each_layer": False}
