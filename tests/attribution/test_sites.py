"""Sites: the rows of a site's matrix are the neurons, whatever the family calls the module and however it is stored."""

from typing import Any

import pytest
import torch
from oracles import parts, toy
from torch import Tensor
from transformers.activations import ACT2FN

from retroscope.attribution.integrals.trace import Trace, trace
from retroscope.attribution.settings import PARTS
from retroscope.attribution.sites import find_sites
from retroscope.encoders.checks.selftest import tolerance
from retroscope.encoders.encode import pad, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.errors import EncoderError, SettingsError
from toys import TEXTS, TOYS


def recorded(encoder: Encoder) -> Trace:
    return trace(encoder, pad(encoder, tokenise(encoder, TEXTS)))


@pytest.mark.parametrize("name", TOYS)
def test_outputs_are_the_matrix_times_the_inputs(name: str) -> None:
    encoder = toy(name)
    record = recorded(encoder)
    for site in find_sites(encoder, parts(encoder)):
        bias = getattr(encoder.backbone.get_submodule(site.path), "bias", None)
        made = record.inputs(site) @ site.weight(encoder).T + (0 if bias is None else site.units(bias))
        size = record.outputs(site).abs().max()
        assert (made - record.outputs(site)).abs().max() <= tolerance(encoder) * size, site


def test_intermediate_is_what_passes_the_activation_and_up_what_multiplies_it() -> None:
    gated = [toy(name) for name in TOYS if "up" in parts(toy(name))]
    assert {e.anatomy.family for e in gated} >= {"modernbert", "llama", "mistral", "qwen2", "gemma", "t5"}
    for encoder in gated:
        check_gate(encoder)


def check_gate(encoder: Encoder) -> None:
    record = recorded(encoder)
    gate, up, output = find_sites(encoder, PARTS)[:3]
    activation = ACT2FN[named(encoder.backbone.config)]
    made: Tensor = activation(record.outputs(gate)) * record.outputs(up)
    torch.testing.assert_close(made, record.inputs(output), atol=1e-5, rtol=1e-4)
    other = activation(record.outputs(up)) * record.outputs(gate)
    assert (other - record.inputs(output)).abs().max() > 0.1


def named(config: Any) -> str:
    names = ("hidden_activation", "hidden_act", "dense_act_fn")
    return next(getattr(config, name) for name in names if getattr(config, name, None))


def test_sites_come_block_by_block() -> None:
    sites = find_sites(toy("llama"), ("output", "intermediate"))
    assert [(s.layer, s.part, s.role) for s in sites] == [
        (1, "intermediate", "ffn_gate"),
        (1, "output", "ffn_out"),
        (2, "intermediate", "ffn_gate"),
        (2, "output", "ffn_out"),
    ]
    assert [s.block for s in sites] == [0, 0, 1, 1]
    assert sites[0].path == "layers.0.mlp.gate_proj"


def test_the_halves_of_a_fused_gate_are_two_sites_of_one_module() -> None:
    encoder = toy("modernbert")
    gate, up, _ = find_sites(encoder, PARTS)[:3]
    assert gate.path == up.path
    assert (gate.half, up.half) == (0, 1)
    whole = encoder.backbone.get_submodule(gate.path).weight
    assert torch.equal(torch.cat([gate.weight(encoder), up.weight(encoder)]), whole)


def test_up_needs_a_gate() -> None:
    with pytest.raises(EncoderError, match=r"family 'bert' has no FFN matrix 'up'(.|\n)*intermediate, output"):
        find_sites(toy("bert"), ("intermediate", "up"))


def test_an_unknown_part_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"unknown part 'outputs'(.|\n)*did you mean 'output'"):
        find_sites(toy("bert"), ("outputs",))
