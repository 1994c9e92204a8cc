"""What every supported family must obey: one table of models drives every invariant."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from retroscope.encoders.architecture.anatomy import prove_anatomy
from retroscope.encoders.architecture.families import FAMILIES
from retroscope.encoders.batches import can_share
from retroscope.encoders.capture import capture_calls
from retroscope.encoders.checks.selftest import tolerance
from retroscope.encoders.encode import encode_layers, encode_rows, final_vectors, forward, pad, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.representations.extraction import extract
from retroscope.representations.plan import plan_extraction
from retroscope.representations.settings import ExtractionSettings
from toys import TEXTS, TOYS, save_toy

POOLED = ("mean", "cls", "last_token", "max", "weighted_mean", "mean_sqrt_len")
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@pytest.fixture(scope="module", params=TOYS)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = save_toy(request.param, tmp_path_factory.mktemp("toy") / request.param)
    return load_encoder(folder, LoadSettings(pooling="mean"))


def pooled_by(encoder: Encoder, pooling: str, **changes: object) -> Encoder:
    return replace(encoder, recipe=encoder.recipe.but("test", pooling=pooling, **changes))


EXACT = 8 * torch.finfo(torch.float32).eps  # pooled vectors are rounded to float32, some families' rotations too


def hooks(model: nn.Module) -> int:
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in HOOKS)


def test_every_row_of_the_table_of_families_is_tried() -> None:
    assert {toy.model_type for toy in TOYS.values()} == set(FAMILIES)


@pytest.mark.parametrize("pooling", POOLED)
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(encoder: Encoder, pooling: str, side: str) -> None:
    """In double precision, so that random weights that amplify rounding do not hide or feign anything."""
    chosen = pooled_by(encoder, pooling)
    double = chosen.anatomy.family != "gemma2"  # transformers' masks of it are NaN in double under left padding
    if double:
        chosen = replace(chosen, backbone=deepcopy(chosen.backbone).double())
    rows = tokenise(chosen, TEXTS)
    with torch.inference_mode():
        alone = torch.cat([forward(chosen, pad(chosen, [row])).layers for row in rows])
        padded = forward(chosen, pad(chosen, rows, side=side, extra=3)).layers
    gap = (padded - alone).norm(dim=-1) / alone.norm(dim=-1)
    assert gap.max() <= (EXACT if double else tolerance(chosen))


def test_batch_size_changes_nothing(encoder: Encoder) -> None:
    rows = tokenise(encoder, TEXTS * 3)
    one, some, all_at_once = (encode_rows(encoder, rows, tokens).layers for tokens in (1, 64, 4096))
    for other in (some, all_at_once):
        assert ((other - one).norm(dim=-1) / one.norm(dim=-1)).max() <= tolerance(encoder)


def test_the_number_of_threads_changes_no_bit(encoder: Encoder, three_threads: None) -> None:
    """Every batch is run by one thread. Copies that share the weights run in other threads without harm."""
    assert can_share(encoder)
    rows = tokenise(encoder, [f"{text} {' '.join(TEXTS[: k % 4])}" for k in range(8) for text in TEXTS])
    torch.set_num_threads(1)
    alone = encode_rows(encoder, rows, 64)
    torch.set_num_threads(3)
    for _ in range(3):
        together = encode_rows(encoder, rows, 64)
        assert torch.equal(together.layers, alone.layers)
        assert torch.equal(together.final, alone.final)
    assert torch.equal(final_vectors(encoder, rows, 64), alone.final)


def test_a_repeated_call_gives_the_same_bits(encoder: Encoder) -> None:
    """No dropout, no state left behind by a call, and no draw from the random numbers of the caller."""
    torch.manual_seed(0)
    first = encode_layers(encoder, TEXTS)
    state = torch.get_rng_state()
    second = encode_layers(encoder, TEXTS)
    assert torch.equal(first.layers, second.layers)
    assert torch.equal(first.final, second.final)
    assert torch.equal(state, torch.get_rng_state())


def test_the_last_layer_is_what_the_model_returns(encoder: Encoder) -> None:
    rows = tokenise(encoder, TEXTS[:1])
    with torch.no_grad():
        output = encoder.backbone(torch.tensor(rows))
    last = getattr(output, "last_hidden_state", None)
    expected = output.hidden_states[-1].mean(1) if last is None else last.mean(1)
    encoded = encode_rows(encoder, rows)
    torch.testing.assert_close(encoded.layers[:, -1], expected, atol=tolerance(encoder) * 10, rtol=0)
    assert encoded.layers.shape[1] == encoder.anatomy.n_blocks + 1 == len(encoder.layer_names)


def test_no_hook_is_left_by_success_or_exception(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hooks(encoder.backbone)
    encode_layers(encoder, TEXTS)
    prove_anatomy(encoder.backbone)
    assert hooks(encoder.backbone) == before
    last = encoder.anatomy.blocks(encoder.backbone)[-1]
    with monkeypatch.context() as patched:
        patched.setattr(last, "forward", _fail)
        with pytest.raises(RuntimeError, match="out of memory"), capture_calls({"block": last}):
            encode_layers(encoder, TEXTS)
    assert hooks(encoder.backbone) == before
    assert encode_layers(encoder, TEXTS).layers.isfinite().all()


def _fail(*args: object, **kwargs: object) -> None:
    raise RuntimeError("out of memory")


def test_no_parameter_is_changed_or_wants_a_gradient(encoder: Encoder) -> None:
    fingerprint = replace(encoder).fingerprint
    encode_layers(encoder, TEXTS)
    assert replace(encoder).fingerprint == fingerprint
    assert not any(p.requires_grad or p.grad is not None for p in encoder.backbone.parameters())
    assert not encoder.backbone.training


def test_stored_vectors_are_the_encoded_ones(encoder: Encoder, tmp_path: Path) -> None:
    """The layers as the blocks leave them; those with the final norm are in test_norm_each_layer.py."""
    texts = [*TEXTS, TEXTS[0]]
    extraction = plan_extraction(encoder, texts, ExtractionSettings())
    stored = extract(extraction, list("abcde"), texts, tmp_path / "v.zarr")
    assert stored.normed == encoder.anatomy.post_norm
    expected = encode_layers(encoder, texts)
    for k in range(stored.n_layers):
        bare = torch.tensor(stored.bare().layer(k))
        torch.testing.assert_close(bare, expected.layers[:, k], atol=1e-5, rtol=1e-5)
        assert (stored.layer(k)[0] == stored.layer(k)[4]).all()
    torch.testing.assert_close(torch.tensor(stored.final()), expected.final, atol=1e-5, rtol=1e-5)
